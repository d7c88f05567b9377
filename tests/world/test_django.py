from harness.migrations import every_edge, walk
from harness.tools import script


@every_edge
def test_django(tmp_path, captured, edge):
    db = captured(edge)
    with script("django_app.py", db.path, tmp_path) as django:
        walk(db, django)
