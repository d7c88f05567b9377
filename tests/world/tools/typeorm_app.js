// TypeORM's migrations, by better-sqlite3. It rebuilds tables as temporary_people.
//
//   node typeorm_app.js DATABASE FOLDER
require('reflect-metadata');
const { DataSource, Table, TableColumn } = require('typeorm');
const serve = require('./serve.js');

const id = { name: 'id', type: 'integer', isPrimary: true, isGenerated: true, generationStrategy: 'increment' };
const text = (name) => ({ name, type: 'text', isNullable: true });
const steps = {
  'create people': (q) => q.createTable(
    new Table({ name: 'people', columns: [id, text('name'), text('email'), text('notes')] })),
  'create visits': (q) => q.createTable(new Table({
    name: 'visits', columns: [id, text('place'), { name: 'at', type: 'datetime', isNullable: true }],
  })),
  'add column': (q) => q.addColumn('people', new TableColumn({ name: 'age', type: 'integer', default: '7' })),
  'rename column': (q) => q.renameColumn('people', 'name', 'full_name'),
  'swap names': async (q) => {
    await q.renameColumn('people', 'email', 'tmp');
    await q.renameColumn('people', 'notes', 'email');
    await q.renameColumn('people', 'tmp', 'notes');
  },
  'drop column': (q) => q.dropColumn('people', 'notes'),
  'rebuild': (q) => q.changeColumn('people', 'age',
    new TableColumn({ name: 'age', type: 'float', isNullable: true })),
  'rename table': (q) => q.renameTable('people', 'persons'),
  'delete rows': async (q) => {
    await q.query('DELETE FROM persons WHERE id % 3 = 0');
    await q.query("UPDATE persons SET full_name = coalesce(full_name, '') || '!'");
  },
  'drop table': (q) => q.dropTable('visits'),
  'clear': null, // of everything: below
};

const made = [];

function migration(step, n) {
  const made = { up: steps[step], down: async () => {} };
  return Object.assign(function Migration() { return Object.assign(this, made, { name: `Step${1000000000000 + n}` }); },
    {});
}

async function connected(migrations, act) {
  const source = new DataSource({
    type: 'better-sqlite3', database: process.argv[2], entities: [], migrations,
  });
  await source.initialize();
  try {
    await act(source);
  } finally {
    await source.destroy();
  }
}

serve(async (step) => {
  if (step === 'clear') {
    await connected([], (source) => source.dropDatabase());
    return;
  }
  const next = [...made, migration(step, made.length)];
  await connected(next, (source) => source.runMigrations({ transaction: 'each' }));
  made.push(next.at(-1));
});
