"""Migrations as people write them by hand, by the sqlite3 shell: what every tool is made of."""

import pytest

from harness.captured import AWAY, HURRIED, RUNNING


@pytest.mark.parametrize("edge", [RUNNING, HURRIED, AWAY])
@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_plain_sql(captured, edge, journal):
    db = captured(edge)
    db.sql(f"pragma journal_mode = {journal}")
    db.sql("create table people (id integer primary key, name text, email text, notes text);"
           "create table gone (id integer primary key, v); insert into gone values (1, 2);")
    db.capture()
    with db.step("add a column with a default"):
        db.sql("alter table people add column age integer not null default 7")
    with db.step("rename a column"):
        db.sql("alter table people rename column name to full_name")
    with db.step("swap two names"):
        db.sql("begin immediate; alter table people rename column email to tmp;"
               "alter table people rename column notes to email;"
               "alter table people rename column tmp to notes; commit;")
    with db.step("rebuild with fewer rows"):
        db.sql("begin immediate; create table people_new (id integer primary key, full_name text not null "
               "default '', email text, notes text, age real);"
               "insert into people_new select id, coalesce(full_name, ''), email, notes, age from people"
               " where id % 3 <> 0; drop table people; alter table people_new rename to people; commit;")
    with db.step("rename the table"):
        db.sql("alter table people rename to persons")
    with db.step("drop and create with the same name"):
        db.sql("begin immediate; drop table gone; create table gone (k text primary key, w);"
               "insert into gone values ('a', 1); commit")
    with db.step("drop a table"):
        db.sql("drop table gone")
    db.settle()
