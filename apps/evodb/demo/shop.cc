#include "demo/shop.h"

#include <sqlite3.h>

namespace evodb::app {

namespace {

constexpr char schema[] = R"(
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS customers (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT, credit REAL, photo BLOB);
CREATE TABLE IF NOT EXISTS orders (
  id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers(id),
  placed_at DATETIME, status TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS order_items (
  order_id INTEGER, line INTEGER, product TEXT NOT NULL, quantity INTEGER, price REAL,
  PRIMARY KEY (order_id, line)) WITHOUT ROWID;
)";

const char* const names[] = {"Ada", "Grace", "Zoë", "Søren", "Łukasz", "美咲", "Nadia", "O'Neil"};
const char* const products[] = {"teapot", "kettle",       "cup",
                                "spoon",  "coffee, 1 kg", "green \"tea\""};

std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) {
    out += c;
    if (c == '\'') out += c;
  }
  return out + "'";
}

}  // namespace

Result<std::unique_ptr<Shop>> Shop::open(const std::string& path, std::uint64_t seed) {
  sqlite3* db = nullptr;
  const int code = sqlite3_open(path.c_str(), &db);
  std::unique_ptr<Shop> shop(new Shop(db, seed));
  if (code != SQLITE_OK) {
    return fail(ErrorKind::kInvalid, path + ": " + sqlite3_errmsg(db));
  }
  sqlite3_busy_timeout(db, 10'000);
  EVODB_TRY(shop->run(schema));
  return shop;
}

Shop::~Shop() { sqlite3_close(db_); }

Result<void> Shop::run(const std::string& sql) {
  char* text = nullptr;
  if (sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, &text) != SQLITE_OK) {
    const std::string why = text != nullptr ? text : "unknown";
    sqlite3_free(text);
    sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
    return fail(ErrorKind::kInternal, "SQLite: " + why);
  }
  ++statements_;
  return {};
}

std::uint64_t Shop::random(std::uint64_t bound) {
  std::uint64_t z = (random_ += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return (z ^ (z >> 31)) % bound;
}

Result<void> Shop::transact() {
  EVODB_TRY(run("BEGIN IMMEDIATE"));
  const std::uint64_t dice = random(10);
  if (dice < 6) {
    const std::string name = names[random(8)] + std::string(" ") + std::to_string(random(1000));
    EVODB_TRY(run("INSERT INTO customers(name, email, credit, photo) VALUES (" + quoted(name) +
                  ", " + (random(4) == 0 ? "NULL" : quoted(name + "@example.org")) + ", " +
                  std::to_string(random(100000)) + " / 8.0, " +
                  (random(3) == 0 ? "randomblob(24)" : "NULL") + ")"));
    EVODB_TRY(
        run("INSERT INTO orders(customer_id, placed_at, status) VALUES "
            "(last_insert_rowid(), datetime('now'), 'open')"));
    const std::uint64_t lines = 1 + random(4);
    for (std::uint64_t line = 1; line <= lines; ++line) {
      EVODB_TRY(run("INSERT INTO order_items SELECT max(id), " + std::to_string(line) + ", " +
                    quoted(products[random(6)]) + ", " + std::to_string(1 + random(9)) + ", " +
                    std::to_string(random(5000)) + " / 100.0 FROM orders"));
    }
  } else if (dice < 9) {
    EVODB_TRY(run("UPDATE orders SET status = 'paid' WHERE id % 17 = " +
                  std::to_string(random(17)) + " AND status = 'open'"));
    EVODB_TRY(
        run("UPDATE customers SET credit = credit + 1.5, email = NULL WHERE id = "
            "(SELECT max(id) FROM customers) - " +
            std::to_string(random(50))));
  } else {
    const std::string order = "(SELECT max(id) FROM orders) - " + std::to_string(random(40));
    EVODB_TRY(run("DELETE FROM order_items WHERE order_id = " + order));
    EVODB_TRY(run("DELETE FROM orders WHERE id = " + order));
  }
  return run("COMMIT");
}

Result<void> Shop::insert_one() {
  return run("INSERT INTO customers(name, email, credit) VALUES ('Ada', 'ada@example.org', 1.5)");
}

}  // namespace evodb::app
