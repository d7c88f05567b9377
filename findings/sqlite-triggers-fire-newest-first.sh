#!/usr/bin/env bash
# Of two AFTER triggers for one event, the one that was made last fires first (SQLite leaves the order
# undefined; this is what it does). A log that is written by triggers is therefore behind every trigger that the
# application adds later: it sees the consequences of a change before the change.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q apsw==3.53.4.0
"$work/venv/bin/python" - <<'PY'
import sys
import apsw

db = apsw.Connection(":memory:")
db.execute("""create table inbox(id integer primary key); create table log(n integer primary key, what);
              create trigger log_insert after insert on inbox begin insert into log(what) values('insert'); end;
              create trigger log_delete after delete on inbox begin insert into log(what) values('delete'); end;
              create trigger consume after insert on inbox begin delete from inbox where id = new.id; end;
              insert into inbox values(1);""")
seen = [what for (what,) in db.execute("select what from log order by n")]
print("version:  SQLite", apsw.sqlite_lib_version())
print("expected: ['insert', 'delete']: the log's trigger was there first")
print("observed:", seen)
sys.exit(0 if seen == ["delete", "insert"] else 1)
PY
