#!/usr/bin/env bash
# sqlite-utils' transform() renames a column by rebuilding its table from table_info, which names no generated
# columns: they are gone afterwards, with the table's triggers, and nothing is said. CHECK and UNIQUE stay, so
# the new schema looks right at a glance.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q sqlite-utils==4.2.1
"$work/venv/bin/python" - <<'PY'
import importlib.metadata
import sys
import sqlite_utils

db = sqlite_utils.Database(memory=True)
db.execute("create table people(id integer primary key, name text unique, age int check(age > 0),"
           " months int generated always as (age * 12))")
db.execute("create trigger noted after delete on people begin select 1; end")
columns = lambda: [row[1] for row in db.execute("pragma table_xinfo(people)")]
before = columns()
db["people"].transform(rename={"name": "full_name"})
after, triggers = columns(), db.triggers
print("version:  sqlite-utils", importlib.metadata.version("sqlite-utils"))
print("expected:", [c.replace("name", "full_name") for c in before], "or an error; the trigger kept")
print("observed:", after, f"triggers: {len(triggers)}")
sys.exit(0 if after == ["id", "full_name", "age"] and not triggers else 1)
PY
