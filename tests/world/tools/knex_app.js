// Knex's migrations, by better-sqlite3, whose SQLite is newer than the system's.
//
//   node knex_app.js DATABASE FOLDER
const knex = require('knex');
const serve = require('./serve.js');

const steps = {
  'create people': (k) => k.schema.createTable('people', (t) => {
    t.increments('id');
    t.string('name');
    t.string('email');
    t.text('notes');
  }),
  'create visits': (k) => k.schema.createTable('visits', (t) => {
    t.increments('id');
    t.string('place');
    t.dateTime('at');
  }),
  'add column': (k) => k.schema.alterTable('people', (t) => t.integer('age').notNullable().defaultTo(7)),
  'rename column': (k) => k.schema.alterTable('people', (t) => t.renameColumn('name', 'full_name')),
  'swap names': async (k) => {
    await k.schema.alterTable('people', (t) => t.renameColumn('email', 'tmp'));
    await k.schema.alterTable('people', (t) => t.renameColumn('notes', 'email'));
    await k.schema.alterTable('people', (t) => t.renameColumn('tmp', 'notes'));
  },
  'drop column': (k) => k.schema.alterTable('people', (t) => t.dropColumn('notes')),
  'rebuild': (k) => k.schema.alterTable('people', (t) => t.float('age').nullable().alter()),
  'rename table': (k) => k.schema.renameTable('people', 'persons'),
  'delete rows': async (k) => {
    await k('persons').whereRaw('id % 3 = 0').delete();
    await k('persons').update({ full_name: k.raw("coalesce(full_name, '') || '!'") });
  },
  'drop table': (k) => k.schema.dropTable('visits'),
};

const names = [];
const db = knex({
  client: 'better-sqlite3', connection: { filename: process.argv[2] }, useNullAsDefault: true,
});
const source = {
  getMigrations: async () => names,
  getMigrationName: (name) => name,
  getMigration: async (name) => ({ up: steps[name], down: async () => {} }),
};

serve(async (step) => {
  names.push(step);
  try {
    await db.migrate.latest({ migrationSource: source });
  } catch (error) {
    names.pop();
    throw error;
  }
});
