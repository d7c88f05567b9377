from harness.migrations import every_edge, walk
from harness.tools import script


@every_edge
def test_knex(tmp_path, captured, edge):
    db = captured(edge)
    with script("knex_app.js", db.path, tmp_path) as knex:
        walk(db, knex)
