// evodb-sim: runs histories of the simulated world. docs/TESTING.md says what it proves.
//
//   evodb-sim --seed 7 --trace                    one history, told
//   evodb-sim --histories 10000 --json            many, from a seed that is printed
//   evodb-sim --prove                             the planted bugs, each until it is caught
//
// Exit status: 0 no invariant broken, 1 one broken (or a plant escaped), 2 wrong usage.
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <random>
#include <sstream>
#include <thread>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "base/bytes.h"
#include "sim/cli/prove.h"
#include "sim/cli/shrink.h"
#include "sim/cli/workers.h"
#include "sim/plants/plant.h"

namespace evodb::sim {
namespace {

using Json = nlohmann::json;

constexpr std::size_t shrunk_max = 3;  // failing histories that are made smaller

struct Arguments {
  std::optional<std::uint64_t> seed;
  std::uint64_t histories = 1;
  HistoryOptions options;
  std::string only, corpus;
  unsigned jobs = std::max(1u, std::thread::hardware_concurrency());
  bool trace = false, json = false, list_plants = false, list_profiles = false, proves = false,
       keep_whole = false;
};

int wrong(const std::string& text) {
  std::fprintf(stderr, "evodb-sim: %s\n", text.c_str());
  return 2;
}

// Lines of "seed profile", and what they once found behind a '#'.
std::optional<std::vector<HistoryOptions>> read_corpus(const std::string& path) {
  std::ifstream in(path);
  if (!in) return std::nullopt;
  std::vector<HistoryOptions> histories;
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line.substr(0, line.find('#')));
    HistoryOptions options;
    if (words >> options.seed >> options.profile) histories.push_back(options);
  }
  return histories;
}

// What came of all histories together.
struct Total {
  WorldCounts counts;
  std::uint64_t histories = 0, hash = 0, quiet = 0;  // quiet: nothing was written in them
  std::vector<std::pair<HistoryOptions, HistoryReport>> broken;

  void add(const HistoryOptions& options, const HistoryReport& report) {
    ++histories;
    // Whatever order they end in.
    hash += SeededRandom(report.seed ^ report.trace_hash).next();
    counts.add(report.counts);
    if (report.counts.changes == 0) ++quiet;
    if (!report.findings.empty()) broken.emplace_back(options, report);
  }
};

Json json_of(const Total& total, double seconds) {
  Json faults = Json::object();
  for (std::size_t kind = 0; kind < fault_count; ++kind) {
    const auto found = total.counts.faults.find(static_cast<Fault>(kind));
    faults[std::string(fault_name(static_cast<Fault>(kind)))] =
        found == total.counts.faults.end() ? 0 : found->second;
  }
  Json violations = Json::array();
  for (const auto& [options, report] : total.broken) {
    for (const Finding& f : report.findings) {
      violations.push_back({{"seed", options.seed},
                            {"profile", options.profile},
                            {"invariant", f.invariant},
                            {"step", f.step},
                            {"text", f.text}});
    }
  }
  const WorldCounts& c = total.counts;
  return {{"histories", total.histories},
          {"histories_per_s", static_cast<double>(total.histories) / seconds},
          {"trace_hash", base::hex16(total.hash)},
          {"faults", faults},
          {"coverage_points", c.coverage.size()},
          {"violations", violations},
          {"changes", c.changes},
          {"rows", c.rows},
          {"commits", c.commits},
          {"parent_starts", c.restarts},
          {"new_epochs", c.new_epochs},
          {"rejects", c.rejects},
          {"rot_found", c.rot_found},
          {"starved_steps", c.starved_steps}};
}

void print_text(const Total& total, double seconds) {
  const WorldCounts& c = total.counts;
  std::printf("%" PRIu64 " histories in %.1f s (%.1f a second), trace hash %s\n", total.histories,
              seconds, static_cast<double>(total.histories) / seconds,
              base::hex16(total.hash).c_str());
  std::printf("  %" PRIu64 " changes written, %" PRIu64 " rows landed in %" PRIu64
              " commits; %" PRIu64 " starts of a parent, %" PRIu64 " new epochs\n",
              c.changes, c.rows, c.commits, c.restarts, c.new_epochs);
  std::printf("  faults:");
  for (const auto& [fault, n] : c.faults) {
    std::printf(" %s %" PRIu64, std::string(fault_name(fault)).c_str(), n);
  }
  std::printf("\n  %zu coverage points (each kind of fault at each step of the protocol)\n",
              c.coverage.size());
}

void print_broken(const HistoryOptions& options, const HistoryReport& report) {
  std::printf("seed %" PRIu64 " (%s) breaks %s at %.3f s: %s\n", options.seed,
              options.profile.c_str(), report.findings.front().invariant.c_str(),
              static_cast<double>(report.findings.front().step) / 1'000,
              report.findings.front().text.c_str());
  std::fflush(stdout);
}

int run_many(const Arguments& a, const std::vector<HistoryOptions>& histories) {
  Total total;
  const auto began = std::chrono::steady_clock::now();
  const auto seconds = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  };
  run_side_by_side(histories, a.jobs, [&](const HistoryOptions& options, const HistoryReport& r) {
    total.add(options, r);
    if (!r.findings.empty() && !a.json) print_broken(options, r);
    if (total.histories % 1'000 == 0) {
      std::fprintf(stderr, "%" PRIu64 " histories, %.0f s, %zu broken\n", total.histories,
                   seconds(), total.broken.size());
    }
    return total.broken.size() < 50;
  });
  const double took = std::max(seconds(), 1e-3);
  Json json = json_of(total, took);
  if (!a.json) print_text(total, took);
  for (std::size_t i = 0; i < std::min(shrunk_max, total.broken.size()) && !a.keep_whole; ++i) {
    const auto& [options, report] = total.broken[i];
    const Shrunk shrunk = shrink(options, report);
    const std::string command = command_of(shrunk.options);
    json["shrunk"].push_back(command + " --trace");
    if (a.json) continue;
    std::printf("seed %" PRIu64 ", made smaller in %u runs (%zu faults of %zu): %s --trace\n",
                options.seed, shrunk.runs, shrunk.report.struck.size(), report.struck.size(),
                command.c_str());
  }
  if (a.json)
    std::printf("%s\n", json.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
  return total.broken.empty() ? 0 : 1;
}

int run_prove(const Arguments& a, std::uint64_t seed) {
  const std::uint64_t histories_max = a.histories > 1 ? a.histories : 1000;
  Json json = Json::array();
  std::vector<std::string_view> escaped;  // the last line names them, where logs are cut
  if (!a.json)
    std::printf("| planted bug | caught by | histories | profile |\n|---|---|---|---|\n");
  for (const PlantReport& report : prove(seed, histories_max, a.jobs)) {
    if (!report.caught) escaped.push_back(report.plant);
    json.push_back({{"plant", report.plant},
                    {"caught", report.caught},
                    {"invariant", report.invariant},
                    {"histories", report.histories},
                    {"profile", report.profile},
                    {"text", report.text}});
    if (a.json) continue;
    std::printf("| %s | %s | %" PRIu64 " | %s |\n", std::string(report.plant).c_str(),
                report.caught ? report.invariant.c_str() : "ESCAPED", report.histories,
                std::string(report.profile).c_str());
    std::fflush(stdout);
  }
  if (a.json) {
    std::printf("%s\n", json.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
  } else {
    std::printf("%zu of %zu planted bugs were caught (seeds from %" PRIu64 ", at most %" PRIu64
                " histories each)",
                plants().size() - escaped.size(), plants().size(), seed, histories_max);
    for (const auto name : escaped) std::printf("; ESCAPED: %s", std::string(name).c_str());
    std::printf("\n");
  }
  return escaped.empty() ? 0 : 1;
}

int run(int argc, char** argv) {
  Arguments a;
  CLI::App app(
      "Histories of edges, a parent and a lakehouse in virtual time. One seed is one history.",
      "evodb-sim");
  app.add_option("--seed", a.seed, "The history, or the first of them; else one by chance");
  app.add_option("--histories", a.histories, "How many (with --prove: at most so many a plant)");
  app.add_option("--profile", a.options.profile, "Kind of history; see --list-profiles");
  app.add_option("--plant", a.options.plant, "With this known bug; see --list-plants");
  app.add_flag("--trace", a.trace, "Tell the history in lines (one history)");
  app.add_flag("--json", a.json, "One JSON object on stdout");
  app.add_flag("--list-plants", a.list_plants, "Names of the known bugs, one a line");
  app.add_flag("--list-profiles", a.list_profiles, "Names of the profiles, one a line");
  app.add_flag("--prove", a.proves, "Look for every planted bug until it is caught");
  app.add_option("--corpus", a.corpus,
                 "Run the histories of this file: a line 'seed profile' each");
  app.add_option("--jobs", a.jobs, "Processes side by side")->check(CLI::Range(1, 64));
  app.add_flag("--keep-whole", a.keep_whole, "Do not make failing histories smaller");
  app.add_option("--edges", a.options.edges_max, "At most so many edges");
  app.add_option("--transactions", a.options.transactions_max, "At most so many transactions");
  app.add_option("--faults-ms", a.options.faults_ms_max, "End of faults, virtual milliseconds");
  app.add_option("--only", a.only, "None but these faults: cut#1,parent-kill#0");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (a.list_plants) {
    for (const PlantInfo& info : plants()) std::printf("%s\n", std::string(info.name).c_str());
    return 0;
  }
  if (a.list_profiles) {
    for (const Profile& p : profiles()) std::printf("%s\n", std::string(p.name).c_str());
    return 0;
  }
  if (auto known = draw_course(a.options.profile, 1); !known) return wrong(known.error().text);
  if (!a.options.plant.empty()) {
    if (auto known = find_plant(a.options.plant); !known) return wrong(known.error().text);
  }
  if (!a.only.empty()) {
    a.options.only.emplace();
    std::istringstream names(a.only);
    for (std::string name; std::getline(names, name, ',');) {
      const auto strike = parse_strike(name);
      if (!strike) return wrong("no fault is called '" + name + "'");
      a.options.only->insert(*strike);
    }
  }
  if (a.histories == 0) return wrong("--histories must be at least 1");
  const std::uint64_t seed = a.seed ? *a.seed : std::random_device()() % 1'000'000'000;
  if (!a.seed) std::fprintf(stderr, "seed %" PRIu64 "\n", seed);
  if (a.proves) return run_prove(a, seed);

  std::vector<HistoryOptions> histories;
  if (!a.corpus.empty()) {
    auto corpus = read_corpus(a.corpus);
    if (!corpus) return wrong("cannot read " + a.corpus);
    histories = *std::move(corpus);
    for (const HistoryOptions& h : histories) {
      if (auto known = draw_course(h.profile, 1); !known) return wrong(known.error().text);
    }
  } else {
    for (std::uint64_t i = 0; i < a.histories; ++i) {
      histories.push_back(a.options);
      histories.back().seed = seed + i;
    }
  }
  if (a.trace) {
    if (histories.size() != 1) return wrong("--trace tells one history; leave --histories out");
    const HistoryReport report = run_history(histories[0], [](const std::string& line) {
      std::printf("%s\n", line.c_str());
      std::fflush(stdout);
    });
    std::printf("trace hash %s, %zu violations\n", base::hex16(report.trace_hash).c_str(),
                report.findings.size());
    return report.findings.empty() ? 0 : 1;
  }
  return run_many(a, histories);
}

}  // namespace
}  // namespace evodb::sim

int main(int argc, char** argv) { return evodb::sim::run(argc, argv); }
