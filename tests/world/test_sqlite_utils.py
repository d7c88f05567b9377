from harness.migrations import every_edge, walk
from harness.tools import script


@every_edge
def test_sqlite_utils(tmp_path, captured, edge):
    db = captured(edge)
    with script("sqlite_utils_app.py", db.path, tmp_path) as sqlite_utils:
        walk(db, sqlite_utils)
