// Sequelize's query interface, as the body of its migrations calls it. What SQLite's ALTER TABLE could not
// do once, it does by a backup table, over several transactions.
//
//   node sequelize_app.js DATABASE FOLDER
const { Sequelize, DataTypes } = require('sequelize');
const serve = require('./serve.js');

const sequelize = new Sequelize({ dialect: 'sqlite', storage: process.argv[2], logging: false });
const q = sequelize.getQueryInterface();

const id = { type: DataTypes.INTEGER, primaryKey: true, autoIncrement: true };
const steps = {
  'create people': () => q.createTable('people', {
    id, name: DataTypes.STRING, email: DataTypes.STRING, notes: DataTypes.TEXT,
  }),
  'create visits': () => q.createTable('visits', { id, place: DataTypes.STRING, at: DataTypes.DATE }),
  'add column': () => q.addColumn('people', 'age',
    { type: DataTypes.INTEGER, allowNull: false, defaultValue: 7 }),
  'rename column': () => q.renameColumn('people', 'name', 'full_name'),
  'swap names': async () => {
    await q.renameColumn('people', 'email', 'tmp');
    await q.renameColumn('people', 'notes', 'email');
    await q.renameColumn('people', 'tmp', 'notes');
  },
  'drop column': () => q.removeColumn('people', 'notes'),
  'rebuild': () => q.changeColumn('people', 'age', { type: DataTypes.FLOAT, allowNull: true }),
  'rename table': () => q.renameTable('people', 'persons'),
  'delete rows': async () => {
    await q.sequelize.query('DELETE FROM persons WHERE id % 3 = 0');
    await q.bulkUpdate('persons', { full_name: 'all the same' }, {});
  },
  'drop table': () => q.dropTable('visits'),
};

serve((step) => steps[step]());
