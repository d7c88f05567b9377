// FlushMachine: one flush from sealed columns to a committed snapshot: encode, put, commit. Effects
// and events as in table/io.h, plus waiting: it retries by itself, with backoff, for as long as the
// store is away. The data files are put together with the metadata that names them: one trip to the
// store, or one wait for the disk, instead of one a file.
//
//   FlushMachine machine(std::move(job), encoder, store, clock, random, options);
//   for (FlushStep step = machine.next(); !step.done(); step = machine.next()) {
//     if (step.io) {
//       machine.on_response(table::perform(store, catalog, *step.io));
//     } else {
//       sleep_ms(step.wait_ms);  // or come back then
//     }
//   }
//   lake.on_flush_done(machine.id(), machine.outcome(), now);
//
// The data files of a flush keep their names through every retry, and none is deleted while a
// commit's outcome is unknown.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "evodb/result.h"
#include "lake/flush_job.h"
#include "lake/lake.h"
#include "table/append.h"
#include "table/commit_cache.h"

namespace evodb::lake {

struct EncodedFile {
  std::string bytes;
  table::DataFile metrics;  // location and file_bytes are filled in by the machine
};

// Columns to file bytes. The real one is Parquet (parquet_encoder.h); the simulator may use a
// model.
class FileEncoder {
 public:
  virtual ~FileEncoder() = default;
  virtual Result<std::vector<EncodedFile>> encode(const FlushJob& job,
                                                  std::uint64_t file_bytes_max) = 0;
};

struct FlushOptions {
  std::int64_t retry_ms_min = 100;
  std::int64_t retry_ms_max = 60'000;  // fallback.recovery_interval_ms
  std::uint64_t file_bytes_max = 128u << 20;
  std::uint32_t snapshots_max = 100;       // of a table; see table::AppendRequest
  std::uint32_t metadata_files_max = 100;  // former ones: who holds such a location can still read
  std::uint64_t metadata_cache_bytes_max = 16u << 20;  // of all tables; 0: read back each time
};

struct FlushStep {
  std::optional<table::IoRequest> io;
  std::int64_t wait_ms = 0;
  bool done() const { return !io && wait_ms == 0; }
};

// A call to store or catalog that has not been answered.
struct StoreCall {
  std::string what;  // for people: "put of 3 objects, evodb/t/data/x.parquet the first"
  base::MonotonicMillis since;
};

class FlushMachine {
 public:
  FlushMachine(std::unique_ptr<FlushJob> job, FileEncoder& encoder, const store::ObjectStore& store,
               base::Clock& clock, base::Random& random, const FlushOptions& options,
               std::shared_ptr<table::CommitCache> cache = nullptr);
  ~FlushMachine();
  FlushMachine(FlushMachine&&) noexcept;

  FlushId id() const;
  const std::string& table() const;
  FlushStep next();
  void on_response(table::IoResponse response);
  // What the retries are about; nothing while all is well. Any thread.
  std::optional<Error> last_error() const;
  // The request that was given and not answered yet. Any thread.
  std::optional<StoreCall> call_under_way() const;
  // The store answered again (or seems to): end a wait early. Any thread.
  void hurry();
  // Shutdown: give up waiting; the outcome is kRetry and the journal still holds the data.
  void give_up();
  Result<table::TableState> outcome() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace evodb::lake
