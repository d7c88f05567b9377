// Shop: a small shop's database and somebody who works with it: what the demo and a benchmark
// write. Three tables, among them one WITHOUT ROWID with a composite key; NULLs, BLOBs, REALs,
// unicode.
//
//   auto shop = EVODB_TRY(Shop::open("shop-1.db", seed));
//   while (!stop) EVODB_TRY(shop->transact());
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "evodb/result.h"

struct sqlite3;

namespace evodb::app {

// One thread. The database is in WAL mode, as SQLite's documentation advises applications.
class Shop {
 public:
  // Creates the file and its tables where they are missing.
  static Result<std::unique_ptr<Shop>> open(const std::string& path, std::uint64_t seed);
  ~Shop();

  // One transaction: a new customer with an order, changed orders, or deleted ones.
  Result<void> transact();
  // One INSERT, nothing else.
  Result<void> insert_one();
  std::uint64_t statements() const { return statements_; }

 private:
  Shop(sqlite3* db, std::uint64_t seed) : db_(db), random_(seed) {}
  Result<void> run(const std::string& sql);
  std::uint64_t random(std::uint64_t bound);

  sqlite3* db_;
  std::uint64_t random_;
  std::uint64_t statements_ = 0;
};

}  // namespace evodb::app
