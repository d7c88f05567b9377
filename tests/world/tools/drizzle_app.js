// Drizzle: `migrate` applies SQL files as drizzle-kit generates them; `push` makes the database what the
// schema's file says, and drops what it does not name. drizzle-kit asks a person whether a column was renamed,
// so renames are migrations.
//
//   node drizzle_app.js DATABASE FOLDER
const fs = require('node:fs');
const path = require('node:path');
const { execFileSync } = require('node:child_process');
const Database = require('better-sqlite3');
const { drizzle } = require('drizzle-orm/better-sqlite3');
const { migrate } = require('drizzle-orm/better-sqlite3/migrator');
const serve = require('./serve.js');

const [database, folder] = process.argv.slice(2);
const modules = process.env.NODE_PATH;

const steps = {
  'create people': ['CREATE TABLE `people` (`id` integer PRIMARY KEY NOT NULL, `name` text, `email` text, `notes` text);'],
  'create visits': ['CREATE TABLE `visits` (`id` integer PRIMARY KEY NOT NULL, `place` text, `at` integer);'],
  'add column': ['ALTER TABLE `people` ADD `age` integer DEFAULT 7 NOT NULL;'],
  'rename column': ['ALTER TABLE `people` RENAME COLUMN "name" TO "full_name";'],
  'swap names': ['ALTER TABLE `people` RENAME COLUMN "email" TO "tmp";',
    'ALTER TABLE `people` RENAME COLUMN "notes" TO "email";',
    'ALTER TABLE `people` RENAME COLUMN "tmp" TO "notes";'],
  'drop column': ['ALTER TABLE `people` DROP COLUMN `notes`;'],
  'rebuild': ['PRAGMA foreign_keys=OFF;',
    'CREATE TABLE `__new_people` (`id` integer PRIMARY KEY NOT NULL, `full_name` text, `email` text, `age` real);',
    'INSERT INTO `__new_people`("id", "full_name", "email", "age") SELECT "id", "full_name", "email", "age" FROM `people`;',
    'DROP TABLE `people`;',
    'ALTER TABLE `__new_people` RENAME TO `people`;',
    'PRAGMA foreign_keys=ON;'],
  'rename table': ['ALTER TABLE `people` RENAME TO `persons`;'],
  'delete rows': ['DELETE FROM `persons` WHERE `id` % 3 = 0;', "UPDATE `persons` SET `full_name` = coalesce(`full_name`, '') || '!';"],
  'drop table': ['DROP TABLE `visits`;'],
};

const journal = { version: '7', dialect: 'sqlite', entries: [] };

function byMigration(step) {
  const idx = journal.entries.length;
  const tag = `${String(idx).padStart(4, '0')}_${step.replaceAll(' ', '_')}`;
  fs.mkdirSync(path.join(folder, 'meta'), { recursive: true });
  fs.writeFileSync(path.join(folder, `${tag}.sql`), steps[step].join('\n--> statement-breakpoint\n'));
  journal.entries.push({ idx, version: '6', when: 1700000000000 + idx, tag, breakpoints: true });
  fs.writeFileSync(path.join(folder, 'meta', '_journal.json'), JSON.stringify(journal));
  const db = new Database(database);
  try {
    migrate(drizzle(db), { migrationsFolder: folder });
  } catch (error) {
    journal.entries.pop();
    throw error.cause || error;
  } finally {
    db.close();
  }
}

// The schema of a program that knows its own tables only.
function byPush() {
  fs.writeFileSync(path.join(folder, 'schema.js'), `
    const { sqliteTable, integer, text } = require('drizzle-orm/sqlite-core');
    exports.people = sqliteTable('people', { id: integer('id').primaryKey(), name: text('name'),
      email: text('email'), notes: text('notes'), pushed: integer('pushed').notNull().default(5) });`);
  fs.writeFileSync(path.join(folder, 'drizzle.config.json'), JSON.stringify(
    { dialect: 'sqlite', schema: './schema.js', dbCredentials: { url: database } }));
  if (!fs.existsSync(path.join(folder, 'node_modules'))) fs.symlinkSync(modules, path.join(folder, 'node_modules'));
  execFileSync(process.execPath, [path.join(modules, 'drizzle-kit', 'bin.cjs'), 'push', '--force'],
    { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
}

serve((step) => (step === 'push' ? byPush() : byMigration(step)));
