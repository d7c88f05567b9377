// evodb-crash-points: stops the machine at every call and fails every call of small workloads.
//
//   evodb-crash-points                        all of them
//   evodb-crash-points --workload journal     one; may be repeated
//   evodb-crash-points --stride 10            every 10th point only, to look at something quickly
//   evodb-crash-points --list                 their names, one a line
//   evodb-crash-points --json                 one object on stdout
//
// Exit status: 0 all recovered to a right state, 1 one did not, 2 wrong usage.
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "sim/points/points.h"

namespace {

using evodb::sim::Report;
using evodb::sim::Workload;

struct Asked {
  std::vector<Workload> workloads;
  bool json = false;
  evodb::sim::Extent extent;
};

int usage(const std::string& wrong) {
  std::fprintf(
      stderr, "%s\nusage: evodb-crash-points [--list] [--json] [--stride N] [--workload NAME]...\n",
      wrong.c_str());
  return 2;
}

nlohmann::json to_json(const Report& report, double seconds) {
  return {{"workload", report.workload},
          {"calls", report.calls},
          {"crashes", report.crashes},
          {"second_crashes", report.second_crashes},
          {"failures", report.failures},
          {"flips", report.flips},
          {"flips_refused", report.flips_refused},
          {"flips_unseen", report.flips_unseen},
          {"points", report.points()},
          {"cpu_seconds", seconds},
          {"notes", report.notes},
          {"violation_count", report.violation_count},
          {"violations", report.violations}};
}

void print(const Report& report, double seconds) {
  const auto number = [](std::uint64_t n) { return static_cast<unsigned long long>(n); };
  std::printf("%-20s %8llu points in %5.1f s of CPU", report.workload.c_str(),
              number(report.points()), seconds);
  if (report.flips == 0) {
    std::printf(": %llu calls, %llu crashes, %llu second crashes, %llu failures\n",
                number(report.calls), number(report.crashes), number(report.second_crashes),
                number(report.failures));
  } else {
    std::printf(": %llu flips, %llu refused, %llu harmless, %llu unseen\n", number(report.flips),
                number(report.flips_refused),
                number(report.flips - report.flips_refused - report.flips_unseen),
                number(report.flips_unseen));
  }
  for (const std::string& note : report.notes) std::printf("  %s\n", note.c_str());
  for (const std::string& violation : report.violations) {
    std::printf("  VIOLATION: %s\n", violation.c_str());
  }
  if (report.violation_count > report.violations.size()) {
    std::printf("  ... %llu violations in all\n", number(report.violation_count));
  }
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<Workload> known = evodb::sim::all_workloads();
  Asked asked;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--list") {
      for (const Workload& w : known) std::printf("%s\n", std::string(w.name).c_str());
      return 0;
    }
    if (argument == "--json") {
      asked.json = true;
      continue;
    }
    if (argument == "--stride" && i + 1 < argc) {
      asked.extent.stride = std::strtoull(argv[++i], nullptr, 10);
      if (asked.extent.stride == 0) return usage("--stride wants a number from 1 on");
      continue;
    }
    if (argument != "--workload") return usage("what is '" + argument + "'?");
    if (++i == argc) return usage("--workload wants a name");
    const std::size_t before = asked.workloads.size();
    for (const Workload& w : known) {
      if (w.name == argv[i]) asked.workloads.push_back(w);
    }
    if (asked.workloads.size() == before) {
      return usage("there is no workload '" + std::string(argv[i]) + "'; see --list");
    }
  }
  if (asked.workloads.empty()) asked.workloads = known;

  nlohmann::json reports = nlohmann::json::array();
  std::uint64_t points = 0, violations = 0;
  double all_seconds = 0;
  for (const Workload& workload : asked.workloads) {
    Report report{std::string(workload.name)};
    const std::clock_t begin = std::clock();
    workload.run(asked.extent, report);
    const double seconds =  // of this process: others may keep the machine busy
        static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    points += report.points();
    violations += report.violation_count;
    all_seconds += seconds;
    if (asked.json) {
      reports.push_back(to_json(report, seconds));
    } else {
      print(report, seconds);
    }
  }
  if (asked.json) {
    const nlohmann::json all = {{"workloads", reports},
                                {"points", points},
                                {"violations", violations},
                                {"cpu_seconds", all_seconds}};
    std::printf("%s\n", all.dump(2).c_str());
  } else {
    std::printf("%llu points in %.1f s of CPU, %llu violations\n",
                static_cast<unsigned long long>(points), all_seconds,
                static_cast<unsigned long long>(violations));
  }
  return violations == 0 ? 0 : 1;
}
