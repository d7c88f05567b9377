"""goose and golang-migrate, as libraries of a Go program, on SQLite translated to Go."""

from harness.migrations import SQL, every_edge, walk
from harness.tools import GO, SqlFiles


@every_edge
def test_goose(tmp_path, captured, edge):
    db = captured(edge)
    with SqlFiles([GO / "world", "goose", db.path, tmp_path], tmp_path, SQL, "{n:05}_{step}.sql",
                  lambda n, sql: f"-- +goose Up\n{sql}\n") as goose:
        walk(db, goose)


@every_edge
def test_golang_migrate(tmp_path, captured, edge):
    db = captured(edge)
    with SqlFiles([GO / "world", "migrate", db.path, tmp_path], tmp_path, SQL,
                  "{n:06}_{step}.up.sql") as migrate:
        # A migration that fails leaves "Dirty database version" behind: capture is paused before it.
        walk(db, migrate, pause_first=True)
