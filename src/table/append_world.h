// What the tests of commits share: a store in memory, a real catalog file whose swaps can be made
// to fail, and the question that matters: which data files does a reader see, and how often?
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "sim/seams/fake_clock.h"
#include "sim/seams/fake_store.h"
#include "table/append.h"
#include "table/manifest.h"
#include "table/metadata.h"

namespace evodb::table {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = testing::TempDir() + "evodb_table_XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  ~TemporaryFolder() { std::system(("rm -rf '" + path_ + "'").c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

enum class SwapFault : std::uint8_t { kRetry, kUnknownBefore, kUnknownAfter };

// The real catalog, with faults at its swaps and loads.
class FaultyCatalog final : public Catalog {
 public:
  explicit FaultyCatalog(std::unique_ptr<Catalog> real) : real_(std::move(real)) {}
  std::optional<SwapFault> next_swap;  // of one swap
  std::function<void()> before_swap;   // once
  int failing_loads = 0;

  using Catalog::claim;
  Result<WriterEpoch> claim(WriterEpoch at_least) override { return real_->claim(at_least); }
  Result<WriterEpoch> claim_above(WriterEpoch held, WriterEpoch at_least) override {
    return real_->claim_above(held, at_least);
  }
  Result<std::vector<TableEntry>> list() override { return real_->list(); }
  Result<std::optional<std::string>> load(const std::string& table) override {
    if (failing_loads > 0) {
      --failing_loads;
      return fail(ErrorKind::kRetry, "the catalog is away");
    }
    return real_->load(table);
  }
  Result<void> swap(WriterEpoch writer, const std::string& table,
                    const std::optional<std::string>& expected,
                    const std::string& metadata_location) override {
    if (before_swap) std::exchange(before_swap, nullptr)();
    const auto fault = std::exchange(next_swap, std::nullopt);
    if (fault == SwapFault::kRetry) return fail(ErrorKind::kRetry, "the catalog is busy");
    if (fault == SwapFault::kUnknownBefore) return fail(ErrorKind::kOutcomeUnknown, "no answer");
    const auto done = real_->swap(writer, table, expected, metadata_location);
    if (fault == SwapFault::kUnknownAfter) return fail(ErrorKind::kOutcomeUnknown, "no answer");
    return done;
  }
  Result<std::optional<std::string>> property(const std::string& key) override {
    return real_->property(key);
  }
  Result<void> set_property(WriterEpoch writer, const std::string& key,
                            const std::string& value) override {
    return real_->set_property(writer, key, value);
  }

 private:
  std::unique_ptr<Catalog> real_;
};

class AppendWorld : public testing::Test {
 protected:
  AppendWorld() : store(clock), random(7) {
    catalog = std::make_unique<FaultyCatalog>(
        std::move(*open_sqlite_catalog(folder.path() + "/catalog.db", "evodb", "evodb")));
    writer = *catalog->claim();
  }

  static Schema two_columns() {
    return {0,
            {{.id = 1, .name = "_lsn", .type = Type::kLong, .required = true},
             {.id = 2, .name = "name", .type = Type::kString}}};
  }

  DataFile data_file(int n) const {
    DataFile file;
    file.location = store.location("evodb/t/data/" + std::to_string(n) + ".parquet");
    file.record_count = 10;
    file.file_bytes = 1000;
    file.value_counts = {{1, 10}, {2, 10}};
    file.null_counts = {{1, 0}, {2, 3}};
    file.lower_bounds[1] = std::string("\1\0\0\0\0\0\0\0", 8);
    file.upper_bounds[1] = std::string("\7\0\0\0\0\0\0\0", 8);
    return file;
  }

  Watermark at(std::uint64_t position) const {
    return {"parent-1", writer, 99, Position(position)};
  }

  // Data file number `n`; creates the table when n is 0. Moves the watermark from n to n + 1.
  AppendRequest append(int n) {
    AppendRequest request;
    request.table = "t";
    request.create = n == 0;
    request.location_key = "evodb/t";
    request.schema = schema;
    request.sort_by = {1};
    request.files = {data_file(n)};
    const auto position = static_cast<std::uint64_t>(n);
    if (n > 0) request.expected = at(position);
    request.watermark = at(position + 1);
    request.now = clock.wall();
    store.set_object("evodb/t/data/" + std::to_string(n) + ".parquet", "rows");
    clock.advance_ms(1000);
    return request;
  }

  Result<TableState> drive(AppendCommit& commit) {
    while (auto io = commit.next()) commit.on_response(perform(store, *catalog, *io));
    return commit.outcome();
  }
  Result<TableState> run(AppendRequest request, std::shared_ptr<CommitCache> cache = nullptr) {
    AppendCommit commit(std::move(request), store, random, std::move(cache));
    return drive(commit);
  }
  // Performs `responses` effects of a commit and forgets it. False: it ended before.
  bool crash_after(AppendRequest request, int responses) {
    AppendCommit commit(std::move(request), store, random);
    for (int i = 0; i < responses; ++i) {
      auto io = commit.next();
      if (!io) return false;
      commit.on_response(perform(store, *catalog, *io));
    }
    return true;
  }

  TableMetadata metadata() {
    const auto location = catalog->load("t").value().value();
    return TableMetadata::parse(store.get(*store.key_of(location)).value()).value();
  }
  std::vector<ManifestFile> lines() {
    const auto list = metadata().current_snapshot()->manifest_list;
    return read_manifest_list(store.get(*store.key_of(list)).value()).value();
  }
  LiveFiles live() { return list_live_files(store, catalog->load("t").value().value()).value(); }

  // "0..n-1 once each" is what exactly once means here.
  void expect_files(int n, const std::vector<std::string>& foreign = {}) {
    std::map<std::string, int> seen, wanted;
    for (const DataFile& file : live().data) ++seen[file.location];
    for (int i = 0; i < n; ++i) ++wanted[data_file(i).location];
    for (const std::string& location : foreign) ++wanted[location];
    EXPECT_EQ(seen, wanted);
    const auto summary = metadata().current_snapshot()->summary;
    const auto rows = static_cast<long>(n + static_cast<int>(foreign.size())) * 10;
    EXPECT_EQ(summary.at("total-records"), std::to_string(rows));
    EXPECT_EQ(summary.at("total-data-files"), std::to_string(rows / 10));
  }

  // Another engine appends a file: it knows nothing of watermarks.
  std::string foreign_append(const std::string& name);
  // Another engine makes one manifest of all.
  void foreign_rewrite(const std::string& name);
  void foreign_commit(const std::string& name, const std::string& operation,
                      std::vector<ManifestEntry> entries, std::vector<ManifestFile> others);

  TemporaryFolder folder;
  sim::FakeClock clock;
  sim::FakeStore store;
  sim::SeededRandom random;
  std::unique_ptr<FaultyCatalog> catalog;
  WriterEpoch writer;
  Schema schema = two_columns();
};

inline std::string AppendWorld::foreign_append(const std::string& name) {
  ManifestEntry entry;
  entry.file = data_file(0);
  entry.file.location = store.location("evodb/t/data/" + name + ".parquet");
  store.set_object("evodb/t/data/" + name + ".parquet", "rows");
  foreign_commit(name, "append", {entry}, lines());
  return entry.file.location;
}

inline void AppendWorld::foreign_rewrite(const std::string& name) {
  std::vector<ManifestEntry> all;
  for (const ManifestFile& line : lines()) {
    const std::string bytes = store.get(*store.key_of(line.location)).value();
    const auto entries = read_manifest(bytes, line);
    for (ManifestEntry entry : *entries) {
      entry.status = EntryStatus::kExisting;
      all.push_back(std::move(entry));
    }
  }
  foreign_commit(name, "replace", all, {});
}

inline void AppendWorld::foreign_commit(const std::string& name, const std::string& operation,
                                        std::vector<ManifestEntry> entries,
                                        std::vector<ManifestFile> others) {
  const std::string before = catalog->load("t").value().value();
  TableMetadata next = metadata();
  next.log_metadata(before, 100);
  Snapshot snapshot;
  snapshot.id = static_cast<std::int64_t>(random.next() >> 1);
  snapshot.parent = next.current_snapshot()->id;
  snapshot.sequence_number = next.last_sequence_number() + 1;
  snapshot.timestamp_ms = clock.wall().value;
  ManifestFile line;
  line.location = store.location("evodb/t/metadata/" + name + "-m0.avro");
  line.sequence_number = line.min_sequence_number = snapshot.sequence_number;
  line.added_snapshot_id = snapshot.id;
  for (ManifestEntry& entry : entries) {
    if (entry.status == EntryStatus::kAdded) {
      entry.snapshot_id = snapshot.id;
      ++line.added_files;
      line.added_rows += entry.file.record_count;
    } else {
      ++line.existing_files;
      line.existing_rows += entry.file.record_count;
      line.min_sequence_number = std::min(line.min_sequence_number, *entry.sequence_number);
    }
  }
  const std::string bytes = write_manifest({dump_json(next.current_schema()), 0, 0}, entries);
  line.bytes = static_cast<std::int64_t>(bytes.size());
  store.set_object(*store.key_of(line.location), bytes);
  others.push_back(line);
  snapshot.manifest_list = store.location("evodb/t/metadata/" + name + "-list.avro");
  store.set_object(
      *store.key_of(snapshot.manifest_list),
      write_manifest_list({snapshot.id, snapshot.parent, snapshot.sequence_number}, others));
  snapshot.summary = {{"operation", operation}};
  next.add_snapshot(snapshot);
  const std::string key = "evodb/t/metadata/" + name + ".metadata.json";
  store.set_object(key, next.to_json());
  EXPECT_TRUE(catalog->swap(writer, "t", before, store.location(key)));
}

}  // namespace evodb::table
