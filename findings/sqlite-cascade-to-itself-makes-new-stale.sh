#!/usr/bin/env bash
# An audit table filled by AFTER triggers should end with the row as it is. Where a foreign key leads back to its own
# table, SQLite carries out the cascade, with the triggers of the rows that it changes, before the AFTER trigger of the
# statement's own row, whose NEW still is the row from before the cascade: the log's last entry is a row that is nowhere.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q apsw==3.53.4.0
"$work/venv/bin/python" - <<'PY'
import sys
import apsw

db = apsw.Connection(":memory:")
db.execute("""
  PRAGMA foreign_keys = ON;
  CREATE TABLE staff(id INTEGER PRIMARY KEY, boss INTEGER REFERENCES staff(id) ON UPDATE CASCADE);
  CREATE TABLE audit(n INTEGER PRIMARY KEY, id, boss);
  CREATE TRIGGER staff_audit AFTER UPDATE ON staff BEGIN
    INSERT INTO audit(id, boss) VALUES (NEW.id, NEW.boss);
  END;
  INSERT INTO staff VALUES (1, 1);
  UPDATE staff SET id = 2 WHERE id = 1;
""")
row = db.execute("SELECT id, boss FROM staff").fetchall()
log = db.execute("SELECT id, boss FROM audit ORDER BY n").fetchall()
print("version:  SQLite", apsw.sqlite_lib_version())
print("expected: the last entry of the log is the row,", row[0])
print("observed: the log is", log)
sys.exit(0 if row == [(2, 2)] and log == [(2, 2), (2, 1)] else 1)
PY
