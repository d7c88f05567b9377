// LandingProgress: which journal records have landed in full, and so how far the journal may be
// trimmed and what each source may be told.
//
//   progress.begin(position, source, epoch, last_lsn);
//   const auto ticket = progress.hold();        // once for each table that buffers a part of it
//   progress.end(end_of_record);
//   ...
//   progress.release(ticket);                   // that table's flush is committed
//   progress.take(&marks);
//
// A source is not held up by another source's table: its mark follows its own first record that has
// not landed. Costs memory only for records that have not landed, and for sources that have some.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "evodb/types.h"
#include "lake/lake.h"

namespace evodb::lake {

class LandingProgress {
 public:
  using Ticket = std::uint32_t;

  // Records come in position order; begin and end enclose the holds of one.
  void begin(Position position, std::string_view source, Epoch epoch, Lsn last_lsn);
  Ticket hold();
  void end(Position end);
  // A record without changes (a table definition) ends here.
  void skip_to(Position end) { read_through_ = end; }
  void release(Ticket ticket);
  // Released, for the journal need not keep the record; but it has not landed, so its source's mark
  // stays before it. REQUIRES: the record has ended.
  void set_aside(Ticket ticket);

  Position read_through() const { return read_through_; }
  Position landed_through() const {
    return incomplete_.empty() ? read_through_ : Position(incomplete_.begin()->first);
  }
  std::size_t incomplete() const { return incomplete_.size(); }
  // Marks that moved since the last call.
  void take(std::vector<PersistedMark>* marks);

 private:
  struct Source {
    std::string key;  // of index_
    Epoch epoch;
    Lsn last;  // of the newest record
    Lsn reported;
    bool moved = false;
    std::uint32_t incomplete = 0;
    std::optional<Lsn> aside;  // the mark never comes beyond it
  };
  struct Record {
    std::uint64_t position = 0;
    std::uint32_t source = 0;
    std::uint32_t holds = 0;
    Lsn before;  // the source's last LSN before this record
  };

  std::uint32_t source_of(std::string_view source, Epoch epoch);
  void complete(const Record& record);
  void note_moved(std::uint32_t source);

  Position read_through_;
  std::unordered_map<std::string, std::uint32_t> index_;  // epoch (8 bytes), then the name
  std::vector<Source> sources_;
  std::vector<std::uint32_t> free_sources_, moved_;
  std::vector<Record> records_;
  std::vector<Ticket> free_records_;
  std::map<std::uint64_t, Ticket> incomplete_;                           // by position
  std::map<std::pair<std::uint32_t, std::uint64_t>, Ticket> by_source_;  // the same
  Ticket current_ = 0;
  bool open_ = false;
};

}  // namespace evodb::lake
