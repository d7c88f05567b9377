#!/usr/bin/env bash
# sqlite3_update_hook tells of each row that goes, but DELETE without WHERE empties the table without a call;
# so `DELETE FROM t` and `DELETE FROM t WHERE 1` differ for whoever follows a database by the hook. Nor does
# it tell of the row that INSERT OR REPLACE takes away through another unique column.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q apsw==3.53.4.0
"$work/venv/bin/python" - <<'PY'
import sys
import apsw

db, seen = apsw.Connection(":memory:"), {}
calls = []
db.set_update_hook(lambda operation, *_: calls.append(operation))
for statement in ("delete from t", "delete from t where 1", "insert or replace into t values(3, 'b')"):
    db.execute("drop table if exists t; create table t(id integer primary key, u unique);"
               "insert into t values(1, 'a'), (2, 'b')")
    calls.clear()
    db.execute(statement)
    seen[statement] = len(calls)
print("version:  SQLite", apsw.sqlite_lib_version())
print("expected: 2 calls for either DELETE, 2 for a REPLACE that removes row 2 and adds row 3")
print("observed:", seen)
sys.exit(0 if list(seen.values()) == [0, 2, 1] else 1)
PY
