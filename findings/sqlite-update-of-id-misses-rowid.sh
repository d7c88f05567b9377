#!/usr/bin/env bash
# In a table with an INTEGER PRIMARY KEY, id and rowid are one value. A trigger AFTER UPDATE OF id does not
# fire when a statement writes `SET rowid = 5`, although id is another behind it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q apsw==3.53.4.0
"$work/venv/bin/python" - <<'PY'
import sys
import apsw

db = apsw.Connection(":memory:")
db.execute("""create table t(id integer primary key, a); create table log(old, new);
              create trigger noted after update of id on t begin insert into log values(old.id, new.id); end;
              insert into t values(1, 'x');
              update t set rowid = 5;
              update t set id = 6;""")
seen = db.execute("select * from log").fetchall()
print("version:  SQLite", apsw.sqlite_lib_version())
print("expected: both changes of the key fire the trigger: [(1, 5), (5, 6)]")
print("observed:", seen)
sys.exit(0 if seen == [(5, 6)] else 1)
PY
