from harness.migrations import every_edge, walk
from harness.tools import script


@every_edge
def test_typeorm(tmp_path, captured, edge):
    db = captured(edge)
    with script("typeorm_app.js", db.path, tmp_path) as typeorm:
        walk(db, typeorm)
