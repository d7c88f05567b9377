// Workers: many histories, in a few processes side by side.
//
//   run_side_by_side(histories, 2, [](const HistoryOptions&, const HistoryReport& report) {
//     return report.findings.empty();   // false: no more of them
//   });
//
// A process runs history after history; when one of them ends it (an assertion, a hang), that is
// the finding of this history, and another process takes the rest.
#pragma once

#include <functional>
#include <vector>

#include "sim/cli/history.h"

namespace evodb::sim {

// `on_report` is called once for each of `histories`, in the order in which they end. It returns
// false to run no more.
void run_side_by_side(
    const std::vector<HistoryOptions>& histories, unsigned processes,
    const std::function<bool(const HistoryOptions&, const HistoryReport&)>& on_report);

}  // namespace evodb::sim
