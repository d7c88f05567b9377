// The proof of capture: random statements over a zoo of tables; after every few of them the tables
// rebuilt from the outbox equal the tables, value for value and class for class, and every change
// fits the state before it.
#include <cstdlib>

#include "capture/capture_test_db.h"

namespace evodb::capture {
namespace {

using sim::SeededRandom;

struct Animal {
  std::string name;                  // of the table
  std::string create;                // one or more statements
  std::vector<std::string> columns;  // that statements may set
  std::vector<std::string> upsert;   // conflict targets
};

std::string wide_columns() {
  std::string sql;
  for (int i = 0; i < 70; ++i) sql += ", w" + std::to_string(i) + " DEFAULT " + std::to_string(i);
  return sql;
}

const std::vector<Animal>& zoo() {
  static const std::vector<Animal> animals = {
      {"plain",
       "CREATE TABLE plain(id INTEGER PRIMARY KEY, a TEXT, b REAL, c)",
       {"id", "a", "b", "c"},
       {"(id)"}},
      {"auto",
       "CREATE TABLE auto(id INTEGER PRIMARY KEY AUTOINCREMENT, a INTEGER UNIQUE, n NUMERIC)",
       {"id", "a", "n"},
       {"(id)", "(a)"}},
      {"text_key", "CREATE TABLE text_key(k TEXT PRIMARY KEY NOT NULL, v)", {"k", "v"}, {"(k)"}},
      {"null_key",
       "CREATE TABLE null_key(a, b TEXT, v INTEGER, PRIMARY KEY(a, b))",
       {"a", "b", "v"},
       {"(a, b)"}},
      {"nocase",
       "CREATE TABLE nocase(k TEXT COLLATE NOCASE PRIMARY KEY, v) WITHOUT ROWID",
       {"k", "v"},
       {"(k)"}},
      {"nocase_rowid",
       "CREATE TABLE nocase_rowid(v, k TEXT NOT NULL COLLATE NOCASE PRIMARY KEY)",
       {"k", "v"},
       {"(k)"}},
      {"composite",
       "CREATE TABLE composite(v, b INT, a TEXT, PRIMARY KEY(a, b DESC), UNIQUE(v)) WITHOUT ROWID",
       {"v", "b", "a"},
       {"(a, b)", "(v)"}},
      {"uniques",
       "CREATE TABLE uniques(id INTEGER PRIMARY KEY, u TEXT COLLATE NOCASE UNIQUE, w INT, x INT, "
       "UNIQUE(w, x)); CREATE UNIQUE INDEX uniques_x ON uniques(x COLLATE RTRIM DESC)",
       {"id", "u", "w", "x"},
       {"(id)", "(u)", "(w, x)"}},
      {"expressions",
       "CREATE TABLE expressions(id INTEGER PRIMARY KEY, email TEXT, gone INT, z);"
       "CREATE UNIQUE INDEX e1 ON expressions(lower(email) /* a, b */) WHERE gone IS NOT 1;"
       "CREATE UNIQUE INDEX e2 ON expressions(z, substr(email, 1, 2) COLLATE NOCASE DESC)",
       {"id", "email", "gone", "z"},
       {"(id)"}},
      {"no_key", "CREATE TABLE no_key(a, b TEXT)", {"a", "b", "rowid"}, {}},
      {"no_key_unique",
       "CREATE TABLE no_key_unique(a UNIQUE, _rowid_ TEXT)",
       {"a", "_rowid_"},
       {"(a)"}},
      {"generated",
       "CREATE TABLE generated(id INTEGER PRIMARY KEY, a INT, b INT, "
       "s GENERATED ALWAYS AS (a + b) STORED UNIQUE, t TEXT AS (a || '-' || b) VIRTUAL)",
       {"id", "a", "b"},
       {"(id)"}},
      {"we ird\"tab'le",
       "CREATE TABLE \"we ird\"\"tab'le\"(\"sel ect\" INTEGER PRIMARY KEY, \"from\" TEXT UNIQUE, "
       "\"\xc3\xbc \xc3\xb1\" , [group], \"new\", \"rid\" DEFAULT 'it''s')",
       {"\"sel ect\"", "\"from\"", "\"\xc3\xbc \xc3\xb1\"", "\"group\"", "\"new\""},
       {"(\"from\")"}},
      {"tree",
       "CREATE TABLE tree(id INTEGER PRIMARY KEY, code INT UNIQUE, "
       "parent INT REFERENCES tree(id) ON DELETE SET NULL ON UPDATE CASCADE, "
       "owner INT UNIQUE REFERENCES tree(code) ON DELETE CASCADE ON UPDATE SET NULL)",
       {"id", "code", "parent", "owner"},
       {"(id)", "(code)"}},
      {"child",
       "CREATE TABLE child(k TEXT REFERENCES text_key(k) ON DELETE CASCADE ON UPDATE CASCADE, "
       "n INT, PRIMARY KEY(k, n)) WITHOUT ROWID",
       {"k", "n"},
       {"(k, n)"}},
      {"clauses",
       "CREATE TABLE clauses(id INTEGER PRIMARY KEY, u UNIQUE ON CONFLICT REPLACE, "
       "n INT NOT NULL DEFAULT 3 UNIQUE, i UNIQUE ON CONFLICT IGNORE)",
       {"id", "u", "n", "i"},
       {"(n)"}},
      {"touched",
       "CREATE TABLE touched(id INTEGER PRIMARY KEY, v, u INT UNIQUE, n INT DEFAULT 0);"
       "CREATE TRIGGER touch AFTER UPDATE OF v ON touched BEGIN "
       "  UPDATE touched SET n = n + 1 WHERE id = NEW.id; END;"
       "CREATE TRIGGER make AFTER INSERT ON touched WHEN NEW.u % 5 = 0 BEGIN "
       "  UPDATE touched SET n = 100 WHERE id = NEW.id; END;"
       "CREATE TRIGGER before BEFORE INSERT ON touched WHEN NEW.u IN (0, 7, 14) BEGIN "
       "  INSERT OR IGNORE INTO touched(u) VALUES(NEW.u + 1); DELETE FROM touched WHERE u = 2; END;"
       "CREATE TRIGGER kill AFTER INSERT ON touched WHEN NEW.u = 11 BEGIN "
       "  DELETE FROM touched WHERE id = NEW.id; END",
       {"id", "v", "u"},
       {"(id)", "(u)"}},
      {"strict_one",
       "CREATE TABLE strict_one(id INTEGER PRIMARY KEY, t TEXT, r REAL, i INT UNIQUE, x ANY) "
       "STRICT",
       {"id", "t", "r", "i", "x"},
       {"(i)"}},
      {"desc_key", "CREATE TABLE desc_key(id INTEGER PRIMARY KEY DESC, v)", {"id", "v"}, {"(id)"}},
      {"wide",
       "CREATE TABLE wide(id INTEGER PRIMARY KEY, u UNIQUE" + wide_columns() + ")",
       {"id", "u", "w1", "w69"},
       {"(u)"}},
  };
  return animals;
}

// Whose changes lead back to them by foreign keys, some of them by way of another table or of a
// trigger of the application's.
const std::vector<Animal>& loops() {
  static const std::vector<Animal> animals = {
      {"both_ways",
       "CREATE TABLE both_ways(id INTEGER PRIMARY KEY, "
       "u INT UNIQUE REFERENCES both_ways(id) ON UPDATE CASCADE ON DELETE CASCADE, "
       "v INT UNIQUE REFERENCES both_ways(u) ON UPDATE CASCADE ON DELETE SET NULL)",
       {"id", "u", "v"},
       {"(id)", "(u)", "(v)"}},
      {"no_rowid",
       "CREATE TABLE no_rowid(a TEXT COLLATE NOCASE, b INT, p TEXT COLLATE NOCASE, q INT, "
       "PRIMARY KEY(a, b), FOREIGN KEY(p, q) REFERENCES no_rowid(a, b) ON DELETE CASCADE ON UPDATE "
       "CASCADE) WITHOUT ROWID",
       {"a", "b", "p", "q"},
       {"(a, b)"}},
      {"null_key",
       "CREATE TABLE null_key(id TEXT PRIMARY KEY, p TEXT REFERENCES null_key(id) ON DELETE SET "
       "NULL ON UPDATE CASCADE, u UNIQUE)",
       {"id", "p", "u"},
       {"(id)", "(u)"}},
      {"no_key",
       "CREATE TABLE no_key(a INT UNIQUE, b INT REFERENCES no_key(a) ON DELETE SET NULL ON UPDATE "
       "CASCADE, c INT REFERENCES no_key(a) ON DELETE CASCADE ON UPDATE SET NULL)",
       {"a", "b", "c", "rowid"},
       {"(a)"}},
      {"there",
       "CREATE TABLE there(id INTEGER PRIMARY KEY, back INT UNIQUE REFERENCES back(id) ON DELETE "
       "CASCADE ON UPDATE CASCADE, n INT UNIQUE)",
       {"id", "back", "n"},
       {"(id)", "(back)"}},
      {"back",
       "CREATE TABLE back(id INTEGER PRIMARY KEY, there INT REFERENCES there(id) ON DELETE SET "
       "NULL ON UPDATE CASCADE, m INT UNIQUE REFERENCES there(n) ON DELETE CASCADE ON UPDATE "
       "CASCADE)",
       {"id", "there", "m"},
       {"(id)", "(m)"}},
      {"counted",
       "CREATE TABLE counted(id INTEGER PRIMARY KEY, n INT DEFAULT 0, u INT UNIQUE)",
       {"id", "u"},
       {"(id)", "(u)"}},
      {"counts",
       "CREATE TABLE counts(id INTEGER PRIMARY KEY, of INT REFERENCES counted(id) ON DELETE "
       "CASCADE ON UPDATE CASCADE);"
       "CREATE TRIGGER more AFTER INSERT ON counts BEGIN "
       "  UPDATE counted SET n = n + 1 WHERE id = NEW.of; END;"
       "CREATE TRIGGER fewer AFTER DELETE ON counts BEGIN "
       "  UPDATE counted SET n = n - 1 WHERE id = OLD.of; END;"
       "CREATE TRIGGER other AFTER UPDATE ON counts BEGIN "
       "  UPDATE counted SET n = n + 10 WHERE id = NEW.of;"
       "  INSERT OR IGNORE INTO counted(u) VALUES(NEW.id); END",
       {"id", "of"},
       {"(id)"}},
      {"generated_key",
       "CREATE TABLE generated_key(id INTEGER PRIMARY KEY, a INT, s INT AS (a + 1) STORED UNIQUE, "
       "p INT REFERENCES generated_key(s) ON DELETE CASCADE ON UPDATE CASCADE, "
       "t TEXT AS (a || '-' || p))",
       {"id", "a", "p"},
       {"(id)"}},
      {"wide_loop",
       "CREATE TABLE wide_loop(id INTEGER PRIMARY KEY, code INT UNIQUE, "
       "parent INT REFERENCES wide_loop(id) ON DELETE SET NULL ON UPDATE CASCADE, "
       "owner INT UNIQUE REFERENCES wide_loop(code) ON DELETE CASCADE ON UPDATE SET NULL" +
           wide_columns() + ")",
       {"id", "code", "parent", "owner", "w69"},
       {"(id)", "(code)"}},
  };
  return animals;
}

std::string value(SeededRandom& random) {
  // Few of them, so that they meet.
  switch (random.below(16)) {
    case 0: return "NULL";
    case 1: return "'" + std::string(1, static_cast<char>('a' + random.below(4))) + "'";
    case 2: return "'" + std::string(1, static_cast<char>('A' + random.below(4))) + "'";
    case 3: return "x'00ff" + std::to_string(random.below(3)) + "0'";
    case 4: return std::to_string(random.below(4)) + ".5";
    case 5: return "CAST(x'ff00" + std::to_string(random.below(3)) + "1' AS TEXT)";
    case 6: return "'" + std::to_string(random.below(5)) + "'";
    case 7: return "'b  '";
    case 8: return random.below(2) == 0 ? "9223372036854775807" : "-9223372036854775808";
    case 9: return random.below(2) == 0 ? "9e999" : std::to_string(random.below(5)) + ".0";
    case 10: return "-1";
    default: return std::to_string(random.below(14));
  }
}

std::string any_of(SeededRandom& random, const std::vector<std::string>& list) {
  return list[random.below(list.size())];
}

class Workload {
 public:
  Workload(const std::vector<Animal>& animals, std::uint64_t seed, App& app)
      : animals_(animals), random_(seed), app_(app) {
    // A history is about a few of the tables, so that much happens to each.
    constexpr std::size_t tables_of_a_history = 5;
    while (chosen_.size() < tables_of_a_history) chosen_.push_back(random_.below(animals_.size()));
  }

  // A statement may fail, that is part of it; nothing of a failed one may show.
  void step() {
    if (random_.below(12) == 0) return transaction();
    if (random_.below(40) == 0) app_.try_run("ROLLBACK TO s; RELEASE s");
    app_.try_run(statement());
  }

 private:
  void transaction() {
    app_.try_run("BEGIN");
    for (std::uint64_t i = random_.below(6); i > 0; --i) app_.try_run(statement());
    app_.try_run("SAVEPOINT s");
    for (std::uint64_t i = random_.below(6); i > 0; --i) app_.try_run(statement());
    if (random_.below(2) == 0) app_.try_run("ROLLBACK TO s");
    app_.try_run("RELEASE s");
    app_.try_run(statement());
    app_.try_run(random_.below(4) == 0 ? "ROLLBACK" : "COMMIT");
  }

  std::string statement() {
    const Animal& animal = animals_[chosen_[random_.below(chosen_.size())]];
    const std::string table = quote_name(animal.name);
    switch (random_.below(12)) {
      case 0: return "DELETE FROM " + table + where(animal);
      case 1: return random_.below(6) == 0 ? "DELETE FROM " + table : insert(animal);
      case 2:
      case 3:
      case 4: return update(animal);
      case 5: return upsert(animal);
      default: return insert(animal);
    }
  }

  std::string policy() {
    static const std::vector<std::string> policies = {
        "",           "",         "",          " OR REPLACE", " OR REPLACE", " OR REPLACE",
        " OR IGNORE", " OR FAIL", " OR ABORT", " OR ROLLBACK"};
    return any_of(random_, policies);
  }

  std::string where(const Animal& animal) {
    if (random_.below(5) == 0) return "";
    return " WHERE " + any_of(random_, animal.columns) + (random_.below(3) == 0 ? " > " : " = ") +
           value(random_);
  }

  std::string insert_values(const Animal& animal) {
    std::string columns, rows;
    for (const std::string& column : animal.columns) {
      if (random_.below(5) == 0) continue;
      columns += (columns.empty() ? "" : ", ") + column;
    }
    if (columns.empty()) return quote_name(animal.name) + " DEFAULT VALUES";
    const auto count =
        static_cast<std::size_t>(std::count(columns.begin(), columns.end(), ',')) + 1;
    for (std::uint64_t row = random_.below(3) + 1; row > 0; --row) {
      rows += rows.empty() ? "(" : ", (";
      for (std::size_t i = 0; i < count; ++i) rows += (i == 0 ? "" : ", ") + value(random_);
      rows += ")";
    }
    return quote_name(animal.name) + "(" + columns + ") VALUES " + rows;
  }

  std::string insert(const Animal& animal) {
    if (random_.below(20) == 0) {
      const std::string table = quote_name(animal.name);
      std::string columns;
      for (const std::string& c : animal.columns) columns += (columns.empty() ? "" : ",") + c;
      return "INSERT" + policy() + " INTO " + table + "(" + columns + ") SELECT " + columns +
             " FROM " + table + where(animal);
    }
    return "INSERT" + policy() + " INTO " + insert_values(animal);
  }

  std::string set(const Animal& animal) {
    std::string list;
    for (std::uint64_t i = random_.below(3) + 1; i > 0; --i) {
      const std::string column = any_of(random_, animal.columns);
      list += (list.empty() ? "" : ", ") + column + " = " +
              (random_.below(4) == 0 ? column + " + 1" : value(random_));
    }
    return list;
  }

  std::string update(const Animal& animal) {
    return "UPDATE" + policy() + " " + quote_name(animal.name) + " SET " + set(animal) +
           where(animal);
  }

  std::string upsert(const Animal& animal) {
    if (animal.upsert.empty()) return insert(animal);
    return "INSERT INTO " + insert_values(animal) + " ON CONFLICT" +
           any_of(random_, animal.upsert) +
           (random_.below(3) == 0 ? " DO NOTHING" : " DO UPDATE SET " + set(animal));
  }

  const std::vector<Animal>& animals_;
  SeededRandom random_;
  App& app_;
  std::vector<std::size_t> chosen_;
};

struct Mode {
  bool recursive_triggers;
  const char* journal;
  bool foreign_keys;
};

void expect_equal(SqliteOutbox& outbox, Replica& replica, App& app,
                  const std::vector<FoundTable>& tables, const std::string& when) {
  must(outbox.read(replica.last, replica));
  replica.settle();
  for (const std::string& fault : replica.faults) ADD_FAILURE() << when << ": " << fault;
  replica.faults.clear();
  for (const FoundTable& table : tables) {
    ASSERT_EQ(table.skip_reason, std::nullopt);
    ASSERT_EQ(replica.rows_of(table.name), rows_in(app, table.shape)) << when << ": " << table.name;
  }
}

// REQUIRES: the same seed and mode give the same history.
void run_history(const std::vector<Animal>& animals, std::uint64_t seed, const Mode& mode,
                 int steps) {
  TempDir dir;
  const std::string path = dir.file("app.db");
  App app(path);
  app.run(std::string("PRAGMA journal_mode = ") + mode.journal);
  app.run("PRAGMA synchronous = OFF");
  app.run(std::string("PRAGMA recursive_triggers = ") + (mode.recursive_triggers ? "1" : "0"));
  app.run(std::string("PRAGMA foreign_keys = ") + (mode.foreign_keys ? "1" : "0"));
  for (const Animal& animal : animals) app.run(animal.create);
  Workload workload(animals, seed, app);
  for (int i = 0; i < 60; ++i) workload.step();  // rows that exist before capture

  must(install_with({.db = path}));
  auto outbox = must(SqliteOutbox::open(path, {}));
  const Database reader = must(Database::open(path, {}));
  const std::vector<FoundTable> tables = must(find_tables(reader));
  ASSERT_EQ(tables.size(), animals.size());
  Replica replica;
  for (int i = 0; i < steps; ++i) {
    workload.step();
    if (i % 7 == 0) {
      expect_equal(*outbox, replica, app, tables,
                   "seed " + std::to_string(seed) + " step " + std::to_string(i));
      if (::testing::Test::HasFailure()) return;
    }
    if (i % 50 == 0) must(trim_to(*outbox, replica.last));
  }
  EXPECT_EQ(app.text("PRAGMA journal_mode"), mode.journal) << "the application's mode stays";
  // Of capture's own table: SQLite 3.40 breaks a STRICT table's index in such histories by itself.
  EXPECT_EQ(app.text("PRAGMA integrity_check(evodb_outbox)"), "ok");
}

class WorkloadTest : public ::testing::TestWithParam<Mode> {};

void run_histories(const std::vector<Animal>& animals, const Mode& mode, std::uint64_t some) {
  // EVODB_CAPTURE_SEEDS=1000 for a long look.
  const char* const wanted = std::getenv("EVODB_CAPTURE_SEEDS");
  const std::uint64_t seeds = wanted != nullptr ? std::stoull(wanted) : some;
  for (std::uint64_t seed = 1; seed <= seeds && !::testing::Test::HasFailure(); ++seed) {
    run_history(animals, seed, mode, 250);
  }
}

TEST_P(WorkloadTest, TablesRebuiltFromChangesEqualTheTables) {
  run_histories(zoo(), GetParam(), 10);
}

TEST_P(WorkloadTest, AlsoWhereForeignKeysLeadBack) { run_histories(loops(), GetParam(), 3); }

INSTANTIATE_TEST_SUITE_P(Modes, WorkloadTest,
                         ::testing::Values(Mode{false, "wal", true}, Mode{true, "wal", true},
                                           Mode{false, "delete", false},
                                           Mode{true, "delete", false}),
                         [](const ::testing::TestParamInfo<Mode>& mode) {
                           return std::string(mode.param.recursive_triggers ? "Recursive"
                                                                            : "NotRecursive") +
                                  (mode.param.foreign_keys ? "ForeignKeys" : "NoForeignKeys") +
                                  mode.param.journal;
                         });

}  // namespace
}  // namespace evodb::capture
