#include "sim/points/points.h"

namespace evodb::sim {

std::vector<Workload> all_workloads() {
  return {
      {"journal", "append, commit, trim; segments roll and are used again", run_journal},
      {"journal-change-over",
       "other options, spares of another size, marks rewritten at start, later formats refused",
       run_journal_change_over},
  };
}

}  // namespace evodb::sim
