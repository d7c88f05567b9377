from harness.migrations import every_edge, walk
from harness.tools import script


@every_edge
def test_alembic(tmp_path, captured, edge):
    db = captured(edge)
    with script("alembic_env.py", db.path, tmp_path) as alembic:
        walk(db, alembic)
