#!/usr/bin/env bash
# Puts one file into a room that includes a header of a room it may not use, and one that includes
# a header it may use: the first must not compile, the second must.
set -euo pipefail
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
build=$(mktemp -d)  # configured, nothing is built: a unity build has no command for a single file
trap 'rm -rf -- "$build"' EXIT
cmake --preset release -S "$root" -B "$build" -DEVODB_TESTS=OFF > "$build.log" 2>&1 || {
  cat -- "$build.log" >&2
  exit 1
}
rm -f -- "$build.log"

compiles() {  # room header...: with the include directories that the build gives to that room
  local room=$1 header=$2
  local flags
  flags=$("$root/.deps/venv/bin/python" - "$build/compile_commands.json" "$root/src/$room/" <<'PY'
import json, shlex, sys
for entry in json.load(open(sys.argv[1])):
    if entry["file"].startswith(sys.argv[2]) and not entry["file"].endswith(("_test.cc", "_fuzz.cc")):
        words = shlex.split(entry["command"])
        print(" ".join(w for w in words if w.startswith("-I")))
        break
else:
    sys.exit("no compile command for " + sys.argv[2])
PY
)
  # shellcheck disable=SC2086
  printf '#include "%s"\n' "$header" |
    g++ -std=c++23 -fsyntax-only $flags -x c++ - 2> /dev/null
}

checked=0
may() { compiles "$1" "$2" || { echo "boundaries: $1 should be able to include $2" >&2; exit 1; }; checked=$((checked + 1)); }
must_not() {
  if compiles "$1" "$2"; then echo "boundaries: $1 could include $2 across a boundary" >&2; exit 1; fi
  checked=$((checked + 1))
}
may wire base/bytes.h
may gate ingest/ingest.h
may lake journal/journal.h
may parent lake/lake.h
must_not base wire/frame.h
must_not wire gate/gate.h
must_not edge gate/gate.h
must_not edge ingest/ingest.h
must_not gate journal/journal.h
must_not gate lake/lake.h
must_not ingest gate/gate.h
must_not journal wire/frame.h
must_not table lake/lake.h
must_not store table/io.h
must_not lake gate/gate.h
must_not parent edge/uplink.h
must_not capture edge/uplink.h
echo "boundaries: $checked includes judged rightly"
