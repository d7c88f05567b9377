#!/usr/bin/env bash
# A restored database does not get the backup's schema_version: SQLite's backup API writes the *target's*,
# plus one. Who remembers schema_version to notice that a schema changed sees neither the old number come
# back nor the same number for the same schema.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q apsw==3.53.4.0
"$work/venv/bin/python" - "$work" <<'PY'
import sys
import apsw

folder = sys.argv[1]
backup, live = apsw.Connection(folder + "/backup.db"), apsw.Connection(folder + "/live.db")
version = lambda db: db.execute("pragma schema_version").fetchone()[0]
backup.execute("create table t(a)")
for i in range(10):
    live.execute(f"create table t{i}(a)")
before = version(backup), version(live)
with live.backup("main", backup, "main") as copying:
    copying.step()
print("version:  SQLite", apsw.sqlite_lib_version())
print(f"expected: the backup's schema_version ({before[0]}) is restored with the rest of its bytes")
print(f"observed: {version(live)}: the overwritten database's ({before[1]}) plus one")
sys.exit(0 if (before, version(live)) == ((1, 10), 11) else 1)
PY
