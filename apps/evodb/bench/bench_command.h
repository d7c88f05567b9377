// What the benchmarks share: a parent of its own in a scratch directory, the raw disk beside it,
// one JSON object at the end.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "bench/load.h"
#include "bench/raw_disk.h"
#include "evodb/result.h"
#include "server/child_process.h"

namespace evodb::app {

using BenchJson = nlohmann::ordered_json;

struct BenchArguments {
  std::string directory = ".";  // scratch data lives below it: its disk is the one measured
  std::vector<std::string> sets;
  std::uint64_t entries = 0;  // 0: the benchmark's default
  std::uint32_t connections = 32;
  std::uint32_t window = 8;
  std::uint32_t batch_entries = 100;
  std::int64_t freshness_s = 15;
  std::string python = "python3";
  bool full = false;  // growth: the last points too, which take minutes
  std::string versitygw = "versitygw";
  std::int64_t overload_s = 60;
  std::int64_t idle_s = 30;           // of bench idle: how long everyone only pings
  std::uint32_t rounds = 20;          // of bench idle: connect all, close all
  std::uint32_t records = 1'000'000;  // of bench idle: on an in-memory transport; 0: none
  bool json = false;
  bool series = false;
};

// A benchmark's own parent, in a process of its own.
struct BenchParent {
  std::unique_ptr<ScratchDirectory> scratch;
  ParentProcess parent;
  std::string data;
};
Result<BenchParent> start_bench_parent(const BenchArguments& arguments);

// GET /status. Errors: kInternal (no JSON object), or the connection's.
Result<BenchJson> status_of(const ParentProcess& parent);
// POST /flush until everything has landed. Errors: kRetry.
Result<void> land_everything(const ParentProcess& parent, std::int64_t timeout_ms);

void add_raw_disk(BenchJson& metrics, const bench::RawDisk& disk);
// A small load, landed and counted by a reader that shares no state with the parent.
Result<void> check_answer(const BenchParent& parent, bench::RowKind rows);
// Lands everything; then that reader must find exactly what the load's children sent.
Result<void> check_landed(const BenchParent& parent, const bench::LoadOptions& load);

// {"bench", "checked", "settings", "metrics"}, and "curves" for pictures (bench/curves.py); each
// has run to its end, or is an error.
Result<BenchJson> bench_ingest(const BenchArguments& arguments);
Result<BenchJson> bench_land(const BenchArguments& arguments);
Result<BenchJson> bench_growth(const BenchArguments& arguments);
Result<BenchJson> bench_memory(const BenchArguments& arguments);
Result<BenchJson> bench_e2e(const BenchArguments& arguments);
Result<BenchJson> bench_idle(const BenchArguments& arguments);
Result<BenchJson> bench_capture(const BenchArguments& arguments);
Result<BenchJson> bench_polite(const BenchArguments& arguments);
Result<BenchJson> bench_ack(const BenchArguments& arguments);
Result<BenchJson> bench_codec(const BenchArguments& arguments);
Result<BenchJson> bench_dedup(const BenchArguments& arguments);
Result<BenchJson> bench_upgrade(const BenchArguments& arguments);

}  // namespace evodb::app
