// What a session costs: 24 bytes while nothing of it is in the air, an InAir beside it otherwise.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/assert.h"
#include "base/chunked_slab.h"
#include "ingest/ingest.h"
#include "ingest/source_table.h"
#include "ingest/table_sets.h"

namespace evodb::ingest {

enum class SessionKind : std::uint8_t { kOrdered, kUnordered, kUnorderedV1 };

// Exists while batches of a session are not yet durable, and for as long as an unordered session
// lives. It outlives a session that closes before its batches are durable.
struct InAir {
  SessionId session;
  SessionKind kind = SessionKind::kOrdered;
  bool attached = true;       // its session lives
  std::uint32_t batches = 0;  // in IngestMachine::inflight_
  std::uint64_t bytes = 0;    // of these
  // Told last, and before: a batch may have been sent while the larger one still held.
  std::uint64_t granted_bytes = 0, granted_before_bytes = 0;
  std::string unordered_source;
  Lsn unordered_durable, unordered_persisted;
};

struct Session {
  static constexpr std::uint32_t none = UINT32_MAX;
  static constexpr std::uint32_t grant_steps_max = (1u << 14) - 1;

  SourceIndex source = SourceTable::none;  // none: unordered
  std::uint32_t air = none;                // its InAir
  TableSets::Handle tables = 0;
  // While there is no InAir: its granted_bytes, in steps of session_credit_bytes / grant_steps_max.
  std::uint32_t granted_steps : 14 = 0;
  std::uint32_t granted_before_steps : 14 = 0;
  std::uint32_t open : 1 = 0;
  std::uint32_t superseded : 1 = 0;
  std::uint32_t starved : 1 = 0;  // was told 0 with nothing in the air: only we can wake it
  std::uint32_t ack_due : 1 = 0;  // within one call
  std::uint64_t life = 0;         // of the hello; 0: it said none
};
static_assert(sizeof(Session) == 24);

class SessionSlab {
 public:
  // Makes the record if it is not there.
  Session& make(SessionId id) { return sessions_.make(id.value); }
  Session& operator[](SessionId id) { return sessions_[id.value]; }
  // nullptr: it is not open.
  Session* find(SessionId id) {
    if (id.value >= end()) return nullptr;
    Session& s = sessions_[id.value];
    return s.open ? &s : nullptr;
  }
  // Ids beyond it are not open.
  std::uint32_t end() const { return sessions_.end(); }

 private:
  base::ChunkedSlab<Session> sessions_;
};

// The InAirs. Memory follows their number down to nothing when nobody has any.
class InAirTable {
 public:
  std::uint32_t add(SessionId session, SessionKind kind) {
    std::uint32_t index;
    if (free_.empty()) {
      index = static_cast<std::uint32_t>(all_.size());
      all_.emplace_back();
    } else {
      index = free_.back();
      free_.pop_back();
    }
    all_[index] = std::make_unique<InAir>();
    all_[index]->session = session;
    all_[index]->kind = kind;
    return index;
  }
  void remove(std::uint32_t index) {
    EVODB_ASSERT(all_[index] != nullptr, "removed once");
    all_[index].reset();
    free_.push_back(index);
    if (free_.size() < all_.size() || all_.size() <= kept_slots) return;
    all_.clear();
    all_.shrink_to_fit();
    free_.clear();
    free_.shrink_to_fit();
  }
  InAir& operator[](std::uint32_t index) { return *all_[index]; }
  const InAir& operator[](std::uint32_t index) const { return *all_[index]; }
  template <class Visit>
  void for_each(Visit visit) {
    for (const auto& air : all_) {
      if (air != nullptr) visit(*air);
    }
  }

 private:
  static constexpr std::size_t kept_slots = 1024;
  std::vector<std::unique_ptr<InAir>> all_;
  std::vector<std::uint32_t> free_;
};

}  // namespace evodb::ingest
