"""Tools that think a schema is theirs alone, and people with a DELETE: what is EvoDB's goes, with or
without the rest. The edge alone repairs it; until then the application may be refused, not longer."""

import sqlite3

import pytest

from harness.binary import wait_until
from harness.captured import AWAY, RUNNING
from harness.migrations import CREATE
from harness.tools import Tool, java, script

PEOPLE = "create table if not exists people (id integer primary key, name text, email text, notes text)"


def by_hand(statements):
    def do(db, _):
        connection = sqlite3.connect(db.path, timeout=10, isolation_level=None)
        connection.execute("begin immediate")
        for statement in statements(connection):
            connection.execute(statement)
        connection.execute("commit")
        connection.close()
    return do


def names(connection, kind):
    return [row[0] for row in connection.execute(
        "select name from sqlite_schema where type = ? and name like 'evodb%'", [kind])]


def drizzle_push(db, folder):
    with script("drizzle_app.js", db.path, folder) as drizzle:
        drizzle.do("push")


def typeorm_clear(db, folder):
    with script("typeorm_app.js", db.path, folder) as typeorm:
        typeorm.do("clear")
    db.sql(PEOPLE)


def flyway_clean(db, folder):
    with Tool(java("Migrations", "flyway", db.path, folder), folder) as flyway:
        flyway.do("clean")
    db.sql(PEOPLE)


WAYS = {
    "drizzle-kit push --force": drizzle_push,
    "TypeORM dropDatabase": typeorm_clear,
    "Flyway clean": flyway_clean,
    "our tables dropped": by_hand(lambda c: [f"drop table {t}" for t in names(c, "table")]),
    "our triggers dropped": by_hand(lambda c: [f"drop trigger {t}" for t in names(c, "trigger")]),
    "outbox emptied": by_hand(lambda c: ["delete from evodb_outbox"]),
    "outbox with holes": by_hand(lambda c: [
        "insert into people(name) values ('a'), ('b'), ('c'), ('d')",
        "delete from evodb_outbox where id in (select id from evodb_outbox order by id desc "
        "limit 2 offset 1)"]),
    "state emptied": by_hand(lambda c: ["delete from evodb_state"]),
    "all of ours emptied": by_hand(lambda c: [f"delete from {t}" for t in names(c, "table")]),
}


@pytest.mark.parametrize("edge", [RUNNING, AWAY])
@pytest.mark.parametrize("way", WAYS)
def test_somebody_clears_the_database(tmp_path, captured, way, edge):
    db = captured(edge)
    with script("drizzle_app.js", db.path, tmp_path) as drizzle, db.step(CREATE):
        drizzle.do(CREATE)
    (tmp_path / "drizzle_app").rename(tmp_path / "created")
    db.application.work(20)
    db.capture()
    WAYS[way](db, tmp_path)
    app = db.application
    app.work(6)  # at once; may be refused while nothing has been repaired
    if edge == AWAY:
        db.catch_up()

    def accepted():
        try:
            # A statement that reads: a connection whose INSERT cannot be prepared for a trigger's sake does
            # not look at the schema anew (findings/sqlite-stale-schema-inside-a-trigger.sh).
            app.db.execute("select count(*) from people").fetchone()
            app.db.execute("insert into people(name) values ('accepted')")
            return True
        except sqlite3.OperationalError:
            return False

    wait_until(accepted, 30, "the application may write again")
    app.failures.clear()
    with db.step("writing again"):
        app.work(20)
    db.settle()
