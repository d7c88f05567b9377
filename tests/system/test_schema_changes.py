"""What migrations and people do to the schema of a captured database, in plain SQL.

All of it at once, so that hardly anything of it can be looked at in between. Nothing is done by hand
afterwards: the lakehouse folds to what SQLite holds, and says what capture could not see. tests/world
does the same with tools, a step at a time.
"""

import sqlite3
import time

import pytest
from harness.binary import wait_until
from harness.captured import AWAY, HURRIED, Application, Captured

ROWS = "values (1, 'a1', 'b1'), (2, 'a2', 'b2'), (3, 'a3', 'b3'), (4, 'a4', 'b4')"


def table(name):
    return f"create table {name} (id integer primary key, a, b); insert into {name} {ROWS};"


# What is there before, what happens, and how each table's changes then begin anew or end.
CASES = {
    "a column is renamed": (
        table("renamed"),
        "alter table renamed rename column a to x; insert into renamed values (5, 'new', 'row')",
        {"renamed": "RESET"}),
    "two columns swap their names": (
        table("swapped"),
        "alter table swapped rename column a to x; alter table swapped rename column b to a;"
        "alter table swapped rename column x to b; insert into swapped(id, a) values (5, 'was b');"
        "update swapped set a = 'was b, too' where id = 1",
        {"swapped": "RESET"}),
    "a rebuild leaves rows out": (
        table("fewer"),
        "begin; create table new__fewer (id integer primary key, a, b text);"
        "insert into new__fewer select id, a, b from fewer where id % 2 = 0;"
        "drop table fewer; alter table new__fewer rename to fewer; commit",
        {"fewer": "RESET"}),
    "a rebuild and a DELETE behind it": (
        table("rebuilt"),
        "begin; create table rebuilt_new (id integer primary key, b, a);"
        "insert into rebuilt_new select id, b, a from rebuilt;"
        "drop table rebuilt; alter table rebuilt_new rename to rebuilt; commit;"
        "delete from rebuilt where id in (2, 3)",
        {"rebuilt": "RESET"}),
    "a rebuild in several transactions": (
        table("users"),
        "create table _alembic_tmp_users (id integer primary key, a, b, c default 'c');"
        "insert into _alembic_tmp_users (id, a, b) select id, a, b from users where id <> 4;"
        "drop table users; alter table _alembic_tmp_users rename to users",
        {"users": "RESET"}),
    "dropped and made again": (
        table("again"),
        "drop table again; create table again (id integer primary key, a, b);"
        "insert into again values (2, 'of the new one', null)",
        {"again": "RESET"}),
    "another key": (
        table("rekeyed"),
        "begin; create table new_rekeyed (id integer, a text primary key not null, b);"
        "insert into new_rekeyed select id, a, b from rekeyed; drop table rekeyed;"
        "alter table new_rekeyed rename to rekeyed; commit; update rekeyed set id = 1;"
        "delete from rekeyed where a = 'a2'",
        {"rekeyed": "RESET"}),
    "two tables swap their names": (
        table("one") + table("other") + "delete from other where id > 1;",
        "begin; alter table one rename to x; alter table other rename to one;"
        "alter table x rename to other; commit;"
        "insert into one values (9, 'was other', null)",
        {"one": "RESET", "other": "RESET"}),
    "a table is renamed": (
        table("old_name"),
        "alter table old_name rename to present_name; insert into present_name values (5, 'new', 'name')",
        {"old_name": "DROP", "present_name": "RESET"}),
    "a table is dropped": (table("gone"), "drop table gone", {"gone": "DROP"}),
    "a trigger that is newer than ours": (
        table("inbox") + table("archive"),
        "create trigger file_it after insert on inbox when new.a = 'done' begin "
        "insert into archive values (new.id, new.a, new.b); delete from inbox where id = new.id; end;"
        "insert into inbox values (10, 'done', 1), (11, 'waits', 1), (12, 'done', 2)",
        {"inbox": "RESET"}),
    "a unique index, and rows that OR REPLACE takes away": (
        table("uniquely"),
        "create unique index of_uniquely on uniquely(a);"
        "insert or replace into uniquely values (10, 'a1', 'in place of 1'), (11, 'a2', 'of 2')",
        {"uniquely": "RESET"}),
    "a backup beside it that does not stay": (
        table("kept"),
        "create table kept_backup (id integer primary key, a, b);"
        "insert into kept_backup select * from kept; delete from kept where id = 1;"
        "drop table kept_backup",
        {}),
    "VACUUM, for a table without a key": (
        "create table keyless (a, b); insert into keyless values (1, 'x'), (2, 'x'), (3, 'x'), (4, 'y');"
        "delete from keyless where a < 3;",
        "vacuum; update keyless set b = 'z' where a = 4; delete from keyless where a = 3",
        {"keyless": "RESET"}),
}


def marks(db, first):
    """The RESETs and DROPs of each table whose LSN is over `first`, in order, with their reasons."""
    found = {}
    for name in db.lakehouse.tables():
        rows = db.lakehouse.arrow(name).to_pylist() if name.endswith("_changes") else []
        for row in sorted(rows, key=lambda row: row["_lsn"]):  # files are read in any order
            if row["_op"] in ("RESET", "DROP") and row["_lsn"] > first:
                reason = dict(row["_unfit"])["_reason"]
                found.setdefault(name.removesuffix("_changes"), []).append((row["_op"], reason))
    return found


@pytest.mark.parametrize("journal", ["wal", "delete"])
@pytest.mark.parametrize("edge", [HURRIED, AWAY])
def test_whatever_happens_to_a_schema_the_lakehouse_folds_to_it(tmp_path, parent, edge, journal):
    db = Captured(tmp_path, parent("buffer.max_age_ms=100").start(), edge)
    app = sqlite3.connect(db.path, timeout=10, isolation_level=None)
    app.execute(f"pragma journal_mode = {journal}")
    app.execute("pragma recursive_triggers = off")
    for before, _, _ in CASES.values():
        app.executescript(before)
    try:
        db.capture()
        first = db.status()["head_lsn"]
        for _, happens, _ in CASES.values():
            app.executescript(happens)
        db.settle(what="everything at once")
        said = marks(db, first)
        for case, (_, _, expected) in CASES.items():
            for name, op in expected.items():
                assert said.get(name) and said[name][-1][0] == op, (case, name, said.get(name))
                assert all(reason.startswith("text:") and len(reason) > 5
                           for _, reason in said[name]), (case, said[name])
        application = Application(db.path, seed=3)
        application.work(60)
        assert not application.failures, application.failures
        db.settle(what="an application that goes on")
    finally:
        app.close()
        db.end()


def test_committed_at_is_when_the_row_was_changed_and_txn_what_became_visible_together(tmp_path, parent):
    """docs/formats/tables.md, "Columns of a changes table"."""
    db = Captured(tmp_path, parent("buffer.max_age_ms=100").start(), HURRIED)
    app = sqlite3.connect(db.path, timeout=10, isolation_level=None)
    app.execute("create table t (id integer primary key)")
    try:
        db.capture()
        app.execute("begin immediate")
        app.execute("insert into t values (1)")
        time.sleep(1.2)
        app.execute("insert into t values (2)")
        app.execute("commit")
        db.settle()
        (first, one), (second, other) = db.lakehouse.sql(
            "select epoch_ms(_committed_at), _txn from {t} where _op = 'INSERT' order by _lsn", t="t_changes")
        assert second - first > 1000 and one == other
    finally:
        app.close()
        db.end()


@pytest.mark.parametrize("then", ["written to", "left alone"])
def test_a_table_that_looks_temporary_lands_when_it_stays(tmp_path, parent, then):
    db = Captured(tmp_path, parent("buffer.max_age_ms=100").start(), HURRIED)
    app = sqlite3.connect(db.path, timeout=10, isolation_level=None)
    app.executescript(table("users"))
    try:
        db.capture()
        app.executescript("create table users_backup (id integer primary key, a, b);"
                          "insert into users_backup select * from users")
        time.sleep(8)
        if then == "written to":
            app.execute("insert into users(a) values ('something happens')")
        wait_until(lambda: "users_backup_changes" in db.lakehouse.tables(), 15, "it stayed, and lands")
        db.settle()
    finally:
        app.close()
        db.end()
