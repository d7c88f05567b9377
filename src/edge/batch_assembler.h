// BatchAssembler: encodes changes, straight from the outbox's views, into the batch to send next,
// and numbers the tables of a session.
//
//   assembler.begin_session();
//   assembler.begin_batch(received, chain);
//   while (assembler.fits(change, limits)) assembler.add(change);
//   std::string frame; assembler.finish(frame);       // the next batch continues this one
//
// A batch that is not sent is thrown away with begin_batch(); the definitions that it was to bring
// count as not sent then.
//
// Memory: one batch's, and 16 bytes a table of the session.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "capture/outbox.h"
#include "evodb/types.h"
#include "wire/change.h"

namespace evodb::edge {

struct BatchLimits {
  std::uint32_t entries = 0;
  std::size_t bytes = 0;  // of the frame; one change may always go alone
};

class BatchAssembler {
 public:
  // Below the parent's own limits (base::table_defs_per_session_max, 8 MiB of definitions).
  static constexpr std::uint32_t tables_max = 9'999;
  static constexpr std::size_t table_bytes_max = 6u << 20;

  void begin_session();
  void begin_batch(Lsn previous, ChainHash chain);
  bool fits(const capture::OutboxChange& change, const BatchLimits& limits) const;
  // False, and not added: the session has no number left for the change's table.
  bool add(const capture::OutboxChange& change);
  // Appends the batch's frame to `out`. REQUIRES: count() > 0.
  void finish(std::string& out);

  std::uint32_t count() const { return writer_.change_count(); }
  std::size_t frame_bytes() const;
  Lsn last_lsn() const { return writer_.last_lsn(); }
  ChainHash chain() const { return writer_.chain(); }

 private:
  static std::size_t encoded_bytes_max(const capture::OutboxChange& change);

  wire::BatchWriter writer_;
  std::unordered_map<std::uint64_t, std::uint32_t> refs_;  // fingerprint to number
  std::size_t table_bytes_ = 0;
  std::uint32_t refs_sent_ = 0;  // numbers below it have left with a batch
  std::size_t table_bytes_sent_ = 0;
};

}  // namespace evodb::edge
