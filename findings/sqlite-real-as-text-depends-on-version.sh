#!/usr/bin/env bash
# CAST(x AS TEXT) and || write a REAL with 15 digits up to SQLite 3.51, with 17 from 3.53. The same row of the
# same file, made text by two processes with SQLites of their own, is two texts, and only one of them reads
# back as the same number.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
told=()
for version in 3.51.0.0 3.53.4.0; do
  python3 -m venv "$work/$version"
  "$work/$version/bin/pip" install -q "apsw==$version"
  told+=("$("$work/$version/bin/python" - <<'PY'
import apsw
print(apsw.sqlite_lib_version(), *apsw.Connection(":memory:").execute("select cast(0.1 + 0.2 as text)").fetchone())
PY
)")
done
echo "version:  SQLite 3.51.0 and 3.53.4"
echo "expected: the same text, and one that reads back as the number 0.1 + 0.2"
echo "observed: ${told[*]}"
[[ ${told[*]} == "3.51.0 0.3 3.53.4 0.30000000000000004" ]]
