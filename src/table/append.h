// AppendCommit: one Iceberg commit that adds data files, evolves the schema and moves the
// watermark, all or nothing. A state machine: see table/io.h.
//
//   AppendCommit commit(request, store, random);
//   while (auto io = commit.next()) commit.on_response(perform(store, catalog, *io));
//   Result<TableState> after = commit.outcome();
//
// Exactly once: the watermark (parent, writer epoch, journal id, position) goes into the snapshot's
// summary *and* the table's properties of the same metadata file. Before the swap the loaded
// table's watermark must be the one that the caller expects. If the swap's outcome is unknown, the
// table is loaded again and our snapshot id looked for before anything is retried; no file is ever
// deleted while an outcome is unknown.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "evodb/result.h"
#include "evodb/types.h"
#include "table/catalog.h"
#include "table/data_file.h"
#include "table/io.h"
#include "table/schema.h"

namespace evodb::table {

class Claim;  // claim.h

struct Watermark {
  std::string parent;  // the parent's id, for people
  WriterEpoch writer;
  std::uint64_t journal = 0;  // JournalId
  Position position;          // every change of this table below it is in

  friend bool operator==(const Watermark&, const Watermark&) = default;
};

// A table as its metadata says. What a writer keeps of it between commits.
struct TableState {
  std::string name;
  std::string metadata_location;
  std::string location_key;  // key prefix of the table in the warehouse, no trailing slash
  std::string uuid;
  Schema schema;  // the current one
  std::int32_t last_column_id = 0;
  std::optional<Watermark> watermark;
  // False, set by a parent that knows: the watermark has this journal's id, but a copy of it wrote
  // that, and its position means nothing here.
  bool watermark_is_ours = true;
  std::optional<std::int64_t> current_snapshot;
  std::int64_t total_records = 0, total_files = 0, total_bytes = 0;
  std::uint64_t snapshots = 0;
  UnixMillis last_updated;
};

struct AppendRequest {
  std::string table;
  bool create = false;                // the table must not exist; else it must
  std::string location_key;           // for create
  Schema schema;                      // full, with ids; equal to the current one: no evolution
  std::vector<std::int32_t> sort_by;  // field ids, for create
  // In the store at the latest when the commit's PutObjects is answered: whoever drives it may put
  // them in the same call. May be empty (watermark only).
  std::vector<DataFile> files;
  std::optional<Watermark> expected;  // the watermark that must be there now
  Watermark watermark;                // the one that this commit sets
  UnixMillis now;
  // Who writes, as the store knows it; the commit ends when a pointer to it is there (claim.h).
  // Null: nobody will look for the table without its catalog.
  std::shared_ptr<Claim> claim;
  // Retention inside metadata: older snapshots and metadata files beyond these are dropped, and
  // their files removed after the commit (never data files).
  std::uint32_t snapshots_max = 100;
  std::uint32_t metadata_log_max = 20;
};

class CommitCache;  // commit_cache.h

class AppendCommit {
 public:
  // `store` is asked only for location() and key_of(). With a cache, metadata that this process
  // wrote last is not read back.
  AppendCommit(AppendRequest request, const store::ObjectStore& store, base::Random& random,
               std::shared_ptr<CommitCache> cache = nullptr);
  ~AppendCommit();
  AppendCommit(AppendCommit&&) noexcept;

  // The next effect, or nothing when it has ended. One at a time: on_response() comes before the
  // next call.
  std::optional<IoRequest> next();
  void on_response(IoResponse response);

  // REQUIRES: next() gave nothing. Errors: kRetry (store or catalog away: the whole commit may be
  // tried again with the same data files), kFenced, kInvalid, kNotFound (the catalog has no such
  // table), kExists (it has one, and it was to be made), kStale (its watermark is not the expected
  // one), kOutcomeUnknown (the look-up failed too: resume() must be used, nothing may be deleted),
  // kCorrupt (the table's metadata is broken; says where).
  Result<TableState> outcome() const;

  // After kOutcomeUnknown: starts over from the look-up, with the same snapshot id.
  void resume();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Loads a table: metadata by its location. A machine of the same kind would be one GetObject, so it
// is a function of the metadata's bytes.
Result<TableState> parse_table_state(const std::string& name, const std::string& metadata_location,
                                     const std::string& metadata_json,
                                     const store::ObjectStore& store);

// Every live data file of the current snapshot (for rebuilding marks and for orphan removal), with
// every metadata object that is still referred to. Blocking; not on the data path.
struct LiveFiles {
  std::vector<DataFile> data;
  std::vector<std::string> metadata_keys;  // metadata files, manifest lists, manifests
};
Result<LiveFiles> list_live_files(store::ObjectStore& store, const std::string& metadata_location);

// Removes objects under the table's location that nothing refers to and that are older than
// `min_age_ms` (files of crashed flushes). Returns how many. Blocking. The caller asks
// Claim::may_sweep() and may_remove() first.
Result<std::uint64_t> remove_orphans(store::ObjectStore& store, Catalog& catalog,
                                     const std::string& table, std::int64_t min_age_ms,
                                     UnixMillis now);

// The same, and whether all is there that the table refers to. Errors: as remove_orphans; kNotFound
// or kCorrupt, with the location: a manifest or list that cannot be read.
struct Tidied {
  std::uint64_t removed = 0;
  std::vector<std::string> missing;  // data files that are gone, by location
};
Result<Tidied> tidy_table(store::ObjectStore& store, Catalog& catalog, const std::string& table,
                          bool may_remove, std::int64_t min_age_ms, UnixMillis now);

}  // namespace evodb::table
