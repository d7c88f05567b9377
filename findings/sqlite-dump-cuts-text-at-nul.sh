#!/usr/bin/env bash
# TEXT may hold U+0000, and every driver reads and writes it. quote() stops there, and with it every dump as
# SQL: what is loaded again is shorter, without an error. VACUUM INTO and the backup API keep it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q sqlite-utils==4.2.1
cd "$work"
venv/bin/python - <<'PY'
import sqlite3
db = sqlite3.connect("app.db")
db.execute("create table t(v text)")
db.execute("insert into t values(?)", ["before\0behind"])
db.commit()
db.execute("vacuum into 'vacuumed.db'")
PY
venv/bin/sqlite-utils dump app.db >dump.sql
venv/bin/python - <<'PY'
import importlib.metadata
import sqlite3
import sys
db = sqlite3.connect("loaded.db")
db.executescript(open("dump.sql").read())
loaded = db.execute("select v from t").fetchone()[0]
vacuumed = sqlite3.connect("vacuumed.db").execute("select v from t").fetchone()[0]
print("version:  sqlite-utils", importlib.metadata.version("sqlite-utils"), "SQLite", sqlite3.sqlite_version)
print("expected: 'before\\x00behind' comes back from `sqlite-utils dump`")
print(f"observed: {loaded!r} from the dump, {vacuumed!r} from VACUUM INTO")
sys.exit(0 if (loaded, vacuumed) == ("before", "before\0behind") else 1)
PY
