#include "sim/cli/shrink.h"

#include <algorithm>
#include <vector>

namespace evodb::sim {
namespace {

class Shrinker {
 public:
  Shrinker(const HistoryOptions& options, const HistoryReport& first, unsigned runs_max)
      : best_{options, first, 0},
        invariant_(first.findings.front().invariant),
        runs_max_(runs_max) {}

  Shrunk run() {
    cut_time();
    while (fewer_edges()) {
    }
    keep_faults();
    halve_transactions();
    cut_time();
    return best_;
  }

 private:
  // Whether a smaller history breaks the same; then it is the best so far.
  bool still(const HistoryOptions& smaller) {
    if (best_.runs >= runs_max_) return false;
    ++best_.runs;
    HistoryReport report = run_history_apart(smaller);
    if (std::ranges::none_of(report.findings,
                             [&](const Finding& f) { return f.invariant == invariant_; })) {
      return false;
    }
    best_.options = smaller;
    best_.report = std::move(report);
    return true;
  }

  // Faults after the violation is no part of it; often less than that is needed.
  void cut_time() {
    const std::int64_t end = best_.report.findings.front().step;
    std::int64_t faults_ms = std::min<std::int64_t>(best_.options.faults_ms_max, 15'000);
    for (const std::int64_t ms : {end / 4, end / 2, end, faults_ms / 4, faults_ms / 2}) {
      if (ms <= 0 || ms >= faults_ms) continue;
      HistoryOptions smaller = best_.options;
      smaller.faults_ms_max = ms;
      if (still(smaller)) return;
    }
  }

  bool fewer_edges() {
    const std::uint32_t edges = std::min(best_.options.edges_max, best_.report.edges);
    if (edges <= 1) return false;
    for (const std::uint32_t n : {1u, edges / 2, edges - 1}) {
      HistoryOptions smaller = best_.options;
      smaller.edges_max = std::max(1u, n);
      if (smaller.edges_max < edges && still(smaller)) return true;
    }
    return false;
  }

  // Delta debugging (Zeller, 1999) over the faults that struck.
  void keep_faults() {
    std::vector<StrikeName> kept(best_.report.struck);
    if (kept.empty()) return;
    for (std::size_t chunk = kept.size(); chunk >= 1;) {
      bool removed = false;
      for (std::size_t from = 0; from < kept.size();) {
        std::vector<StrikeName> fewer(kept);
        const auto begin = fewer.begin() + static_cast<std::ptrdiff_t>(from);
        fewer.erase(begin,
                    begin + static_cast<std::ptrdiff_t>(std::min(chunk, kept.size() - from)));
        HistoryOptions smaller = best_.options;
        smaller.only.emplace(fewer.begin(), fewer.end());
        if (still(smaller)) {
          kept = std::move(fewer);
          removed = true;
        } else {
          from += chunk;
        }
        if (best_.runs >= runs_max_) return;
      }
      if (!removed) chunk /= 2;
      chunk = std::min(chunk, kept.size());
      if (chunk == 0) return;
    }
  }

  void halve_transactions() {
    for (std::uint64_t n = best_.report.counts.transactions / 2; n > 0; n /= 2) {
      HistoryOptions smaller = best_.options;
      smaller.transactions_max = n;
      if (!still(smaller)) return;
    }
  }

  Shrunk best_;
  const std::string invariant_;
  const unsigned runs_max_;
};

}  // namespace

Shrunk shrink(const HistoryOptions& options, const HistoryReport& first, unsigned runs_max) {
  return Shrinker(options, first, runs_max).run();
}

}  // namespace evodb::sim
