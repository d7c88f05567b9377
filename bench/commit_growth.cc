#include "bench/commit_growth.h"

#include <time.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <set>
#include <variant>

#include "base/posix/system_clock.h"
#include "bench/quantile.h"
#include "store/store.h"
#include "table/append.h"
#include "table/catalog.h"
#include "table/commit_cache.h"

namespace evodb::bench {

namespace {

constexpr std::int64_t rows_a_file = 10'000;

double thread_cpu_us() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

struct Counts {
  double cpu_us = 0, ms = 0;
  std::uint64_t put_bytes = 0, puts = 0, gets = 0;
};

table::Schema two_columns() {
  table::Schema schema;
  schema.fields = {{.id = 1, .name = "id", .type = table::Type::kLong, .required = true},
                   {.id = 2, .name = "name", .type = table::Type::kString}};
  return schema;
}

std::string long_bytes(std::uint64_t v) {
  std::string out(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) out[i] = static_cast<char>(v >> (8 * i));
  return out;
}

table::DataFile data_file(const store::ObjectStore& store, std::uint64_t n) {
  table::DataFile file;
  file.location = store.location("bench/data/" + std::to_string(n) + ".parquet");
  file.record_count = rows_a_file;
  file.file_bytes = 500'000;
  file.column_bytes = {{1, 30'000}, {2, 470'000}};
  file.value_counts = {{1, rows_a_file}, {2, rows_a_file}};
  file.null_counts = {{1, 0}, {2, 0}};
  file.lower_bounds[1] = long_bytes(n * rows_a_file);
  file.upper_bounds[1] = long_bytes((n + 1) * rows_a_file);
  return file;
}

table::Watermark watermark_at(table::WriterEpoch writer, std::uint64_t position) {
  return {"bench", writer, 1, Position(position)};
}

Result<Counts> commit_one(store::ObjectStore& store, table::Catalog& catalog,
                          const std::shared_ptr<table::CommitCache>& cache,
                          table::WriterEpoch writer, base::Random& random, std::uint64_t n) {
  table::AppendRequest request;
  request.table = "bench";
  request.create = n == 0;
  request.location_key = "bench";
  request.schema = two_columns();
  request.sort_by = {1};
  request.files = {data_file(store, n)};
  if (n > 0) request.expected = watermark_at(writer, n);
  request.watermark = watermark_at(writer, n + 1);
  request.now = base::SystemClock().wall();
  request.metadata_log_max = 100;  // as the parent's default

  Counts counts;
  const double cpu_before = thread_cpu_us();
  const auto begun = std::chrono::steady_clock::now();
  table::AppendCommit commit(std::move(request), store, random, cache);
  while (auto io = commit.next()) {
    if (const auto* put = std::get_if<table::PutObjects>(&*io)) {
      counts.puts += put->objects.size();
      for (const auto& object : put->objects) counts.put_bytes += object.bytes->size();
    }
    counts.gets += std::holds_alternative<table::GetObject>(*io) ? 1 : 0;
    commit.on_response(table::perform(store, catalog, *io));
  }
  (void)EVODB_TRY(commit.outcome());
  counts.ms =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun).count();
  counts.cpu_us = thread_cpu_us() - cpu_before;
  return counts;
}

CommitCost cost_of(std::uint64_t commits, const std::vector<Counts>& last) {
  CommitCost cost{.commits = commits};
  const auto n = static_cast<double>(last.size());
  std::vector<double> ms;
  for (const Counts& one : last) {
    ms.push_back(one.ms);
    cost.cpu_us += one.cpu_us / n;
    cost.put_bytes += static_cast<double>(one.put_bytes) / n;
    cost.puts += static_cast<double>(one.puts) / n;
    cost.gets += static_cast<double>(one.gets) / n;
  }
  cost.ms_p50 = quantile(ms, 0.5);
  return cost;
}

}  // namespace

Result<std::vector<CommitCost>> measure_commits(const std::string& directory,
                                                const std::vector<std::uint64_t>& points,
                                                std::uint64_t window) {
  const auto store = EVODB_TRY(store::open_store({.url = "file:" + directory + "/commits"}));
  const auto catalog =
      EVODB_TRY(table::open_sqlite_catalog(directory + "/commits.db", "evodb", "evodb"));
  const auto writer = EVODB_TRY(catalog->claim());
  base::SystemRandom random;
  const auto cache = std::make_shared<table::CommitCache>(16u << 20);  // as the parent's default
  std::vector<CommitCost> costs;
  std::vector<Counts> all;
  for (const std::uint64_t point : points) {
    while (all.size() < point) {
      all.push_back(EVODB_TRY(commit_one(*store, *catalog, cache, writer, random, all.size())));
    }
    const std::size_t from = all.size() - std::min<std::size_t>(window, all.size());
    costs.push_back(cost_of(
        point, std::vector<Counts>(all.begin() + static_cast<std::ptrdiff_t>(from), all.end())));
  }
  const auto location = EVODB_TRY(catalog->load("bench"));
  if (!location) return fail(ErrorKind::kCorrupt, "the table is not in the catalog");
  std::set<std::string> listed;
  const auto live = EVODB_TRY(table::list_live_files(*store, *location));
  for (const auto& file : live.data) listed.insert(file.location);
  if (live.data.size() != all.size() || listed.size() != all.size()) {
    return fail(ErrorKind::kCorrupt, "the table lists " + std::to_string(live.data.size()) +
                                         " files after " + std::to_string(all.size()) +
                                         " commits of one each");
  }
  return costs;
}

}  // namespace evodb::bench
