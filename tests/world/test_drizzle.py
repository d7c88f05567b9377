from harness.migrations import every_edge, walk
from harness.tools import script


@every_edge
def test_drizzle(tmp_path, captured, edge):
    db = captured(edge)
    with script("drizzle_app.js", db.path, tmp_path) as drizzle:
        walk(db, drizzle)
