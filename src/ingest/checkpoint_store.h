// Checkpoints on disk: the bytes of Ingest::checkpoint(), whole or not at all. Written before the
// journal is trimmed, so that the marks of trimmed batches are never lost.
//
//   EVODB_TRY(write_checkpoint(disk, directory, journal.id(), ingest.checkpoint()));
//   EVODB_TRY(journal.trim(position));
//
// The two newest are kept. Format: docs/formats/journal.md, Checkpoints. Threads: the journal's
// executor; not two at once.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/disk.h"
#include "evodb/result.h"
#include "journal/journal.h"

namespace evodb::ingest {

// Durable when it returns; then removes all but the newest two. Errors: the disk's; the checkpoints
// before stay.
Result<void> write_checkpoint(base::Disk& disk, const std::string& directory,
                              journal::JournalId journal, std::string_view bytes);

struct LoadedCheckpoint {
  std::string bytes;
  bool older = false;  // a newer one is damaged: Ingest::restore_persisted() makes up for it
};

// The newest one of this journal whose checksum holds; nullopt if there is none. Those of other
// journals (lost since) are passed over. Errors: kCorrupt if there are some of which none holds, or
// the disk's.
Result<std::optional<LoadedCheckpoint>> load_checkpoint(base::Disk& disk,
                                                        const std::string& directory,
                                                        journal::JournalId journal);

}  // namespace evodb::ingest
