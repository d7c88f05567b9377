#!/usr/bin/env bash
# A trigger names a table that somebody dropped: every INSERT fails, "no such table". Another connection makes the
# table again. One expects the next INSERT to find it, since SQLite looks at the schema anew when a name is missing.
# For a name inside a trigger it does not: the connection goes on failing until another statement of its own, any
# SELECT, makes it notice that the schema is another.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q apsw==3.53.4.0
"$work/venv/bin/python" - "$work/app.db" <<'PY'
import sys
import apsw

a, b = apsw.Connection(sys.argv[1]), apsw.Connection(sys.argv[1])
a.execute("""create table t(v); create table log(v);
             create trigger noted after insert on t begin insert into log values(new.v); end;
             insert into t values('first')""")


def insert():
    try:
        a.execute("insert into t values('x')")
        return "done"
    except apsw.SQLError as error:
        return str(error)


b.execute("drop table log")
a.execute("select count(*) from t").fetchall()
gone = insert()
b.execute("create table log(v)")
back = insert()
a.execute("select count(*) from t").fetchall()
looked = insert()
print("version:  SQLite", apsw.sqlite_lib_version())
print(f"expected: {gone}; done as soon as the table is back; done")
print(f"observed: {gone}; {back}; {looked} behind a SELECT")
sys.exit(0 if "no such table" in gone and "no such table" in back and looked == "done" else 1)
PY
