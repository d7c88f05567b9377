#include "sim/cli/history.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include <nlohmann/json.hpp>

#include "base/assert.h"

namespace evodb::sim {
namespace {

using Json = nlohmann::json;

// Everything of a process' pipe, to its end.
std::string read_all(int fd) {
  std::string text;
  char buffer[65536];
  for (;;) {
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n <= 0) return text;
    text.append(buffer, static_cast<std::size_t>(n));
  }
}

}  // namespace

std::string command_of(const HistoryOptions& options) {
  std::string command = "evodb-sim --seed " + std::to_string(options.seed);
  if (options.profile != "swarm") command += " --profile " + options.profile;
  if (!options.plant.empty()) command += " --plant " + options.plant;
  if (options.edges_max != UINT32_MAX) command += " --edges " + std::to_string(options.edges_max);
  if (options.transactions_max != UINT64_MAX) {
    command += " --transactions " + std::to_string(options.transactions_max);
  }
  if (options.faults_ms_max != INT64_MAX) {
    command += " --faults-ms " + std::to_string(options.faults_ms_max);
  }
  if (options.only) {
    std::string list;
    for (const StrikeName& name : *options.only)
      list += (list.empty() ? "" : ",") + to_string(name);
    command += " --only '" + list + "'";
  }
  return command;
}

HistoryReport run_history(const HistoryOptions& options,
                          std::function<void(const std::string&)> story) {
  std::unique_ptr<Plant> plant;
  if (!options.plant.empty()) {
    const auto info = find_plant(options.plant);
    EVODB_ASSERT(info.has_value(), "the plant exists");
    plant = (*info)->make();
  }
  World world({.seed = options.seed,
               .profile = options.profile,
               .plant = plant.get(),
               .edges_max = options.edges_max,
               .transactions_max = options.transactions_max,
               .faults_ms_max = options.faults_ms_max,
               .only = options.only,
               .story = std::move(story)});
  world.run();
  HistoryReport report;
  report.seed = options.seed;
  report.trace_hash = world.trace_hash();
  report.counts = world.counts();
  report.struck = world.struck();
  report.edges = world.course().edges;
  for (const Violation& violation : world.violations()) {
    report.findings.push_back(
        {std::string(invariant_name(violation.invariant)), violation.text, violation.at_ms});
  }
  return report;
}

Finding finding_of_death(int wait_status) {
  if (WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGALRM) {
    return {std::string(invariant_name(Invariant::kLiveness)), "the history does not end", 0};
  }
  return {std::string(invariant_name(Invariant::kAssertion)),
          WIFSIGNALED(wait_status)
              ? "ended by signal " + std::to_string(WTERMSIG(wait_status))
              : "ended with status " + std::to_string(WEXITSTATUS(wait_status)),
          0};
}

HistoryReport run_history_apart(const HistoryOptions& options) {
  int ends[2];
  EVODB_ASSERT(::pipe(ends) == 0, "a pipe can be had");
  const pid_t child = ::fork();
  EVODB_ASSERT(child >= 0, "a process can be had");
  if (child == 0) {
    ::close(ends[0]);
    ::alarm(history_seconds_max);
    // A plant may make the product assert: that is one way of being caught, and no news.
    if (!options.plant.empty()) (void)!std::freopen("/dev/null", "w", stderr);
    const std::string text = encode_report(run_history(options));
    for (std::size_t sent = 0; sent < text.size();) {
      const ssize_t n = ::write(ends[1], text.data() + sent, text.size() - sent);
      if (n <= 0) ::_exit(3);
      sent += static_cast<std::size_t>(n);
    }
    ::_exit(0);
  }
  ::close(ends[1]);
  const std::string text = read_all(ends[0]);
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (status == 0) return decode_report(text);
  HistoryReport report;
  report.seed = options.seed;
  report.findings.push_back(finding_of_death(status));
  return report;
}

std::string encode_report(const HistoryReport& report) {
  const WorldCounts& c = report.counts;
  Json json = {{"seed", report.seed},
               {"hash", report.trace_hash},
               {"edges", report.edges},
               {"counts",
                {c.changes, c.transactions, c.commits, c.rows, c.new_epochs, c.trims,
                 c.failed_starts, c.starved_steps, c.events, c.restarts, c.rot_found, c.rejects}},
               {"coverage", c.coverage}};
  json["findings"] = Json::array();
  for (const Finding& f : report.findings) {
    // Rows may hold bytes that are no UTF-8.
    json["findings"].push_back({f.invariant, f.text, f.step});
  }
  json["faults"] = Json::array();
  for (const auto& [fault, n] : c.faults) json["faults"].push_back({static_cast<int>(fault), n});
  json["struck"] = Json::array();
  for (const StrikeName& name : report.struck) {
    json["struck"].push_back({static_cast<int>(name.kind), name.number});
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

HistoryReport decode_report(const std::string& text) {
  const Json json = Json::parse(text);
  HistoryReport report;
  report.seed = json["seed"];
  report.trace_hash = json["hash"];
  report.edges = json["edges"];
  WorldCounts& c = report.counts;
  std::size_t i = 0;
  for (std::uint64_t* n :
       {&c.changes, &c.transactions, &c.commits, &c.rows, &c.new_epochs, &c.trims, &c.failed_starts,
        &c.starved_steps, &c.events, &c.restarts, &c.rot_found, &c.rejects}) {
    *n = json["counts"][i++];
  }
  c.coverage = json["coverage"].get<std::set<std::string>>();
  for (const Json& f : json["findings"]) report.findings.push_back({f[0], f[1], f[2]});
  for (const Json& f : json["faults"]) c.faults[static_cast<Fault>(f[0].get<int>())] = f[1];
  for (const Json& s : json["struck"]) {
    report.struck.push_back({static_cast<Fault>(s[0].get<int>()), s[1]});
  }
  return report;
}

}  // namespace evodb::sim
