// shrink: from a history that breaks an invariant to a smaller one that breaks the same: fewer
// edges, less time, fewer transactions, fewer faults. Greedy, by running again; at most `runs_max`
// times.
#pragma once

#include <functional>
#include <string>

#include "sim/cli/history.h"

namespace evodb::sim {

struct Shrunk {
  HistoryOptions options;
  HistoryReport report;
  unsigned runs = 0;
};

// `broken`: by the history of `options`, whose report is `first`.
Shrunk shrink(const HistoryOptions& options, const HistoryReport& first, unsigned runs_max = 150);

}  // namespace evodb::sim
