// A database into another by SQLite's backup API, as two drivers of Node have it.
//
//   node backup.js better-sqlite3|node:sqlite FROM TO
const [driver, from, to] = process.argv.slice(2);

async function main() {
  if (driver === 'node:sqlite') {
    const { DatabaseSync, backup } = require('node:sqlite');
    const db = new DatabaseSync(from);
    await backup(db, to);
    db.close();
  } else {
    const db = new (require('better-sqlite3'))(from);
    await db.backup(to);
    db.close();
  }
}

main();
