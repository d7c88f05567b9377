from harness.migrations import every_edge, walk
from harness.tools import script


@every_edge
def test_sequelize(tmp_path, captured, edge):
    db = captured(edge)
    with script("sequelize_app.js", db.path, tmp_path) as tool:
        walk(db, tool)
