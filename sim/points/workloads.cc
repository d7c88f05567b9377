#include "sim/points/points.h"

namespace evodb::sim {

std::vector<Workload> all_workloads() {
  return {
      {"journal", "append, commit, trim; segments roll and are used again", run_journal},
      {"journal-change-over",
       "other options, spares of another size, marks rewritten at start, later formats refused",
       run_journal_change_over},
      {"flush", "lake, FlushMachine, AppendCommit; every call of store and catalog", run_flush},
      {"catalog", "the catalog's SQLite file", run_catalog},
      {"edge-sqlite", "an application writes; SqliteOutbox reads, trims, begins an epoch",
       run_edge_sqlite},
      {"edge-file", "FileOutbox appends, trims, begins an epoch", run_edge_file},
      {"disaster", "a parent loses its disk, its successor has the lakehouse alone", run_disaster},
      {"bit-flips-journal", "every bit of a journal and its checkpoints", run_bit_flips_journal},
      {"bit-flips-outbox", "every bit of a FileOutbox and of a SqliteOutbox", run_bit_flips_outbox},
  };
}

}  // namespace evodb::sim
