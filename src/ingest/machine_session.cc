// Hellos, credit and acknowledgements.
#include <algorithm>

#include "base/assert.h"
#include "base/limits.h"
#include "ingest/machine.h"

namespace evodb::ingest {
namespace {

// Less is not worth a frame.
constexpr std::uint64_t grant_bytes_min = 64u << 10;

std::string quoted(std::string_view source, Epoch epoch) {
  return "source '" + std::string(source) + "' epoch " + std::to_string(epoch.value);
}

}  // namespace

std::unique_ptr<Ingest> Ingest::create(const IngestOptions& options, journal::Journal& journal) {
  return std::make_unique<IngestMachine>(options, journal);
}

IngestMachine::IngestMachine(const IngestOptions& options, journal::Journal& journal)
    : options_(options),
      journal_(journal),
      // A small journal keeps a small reserve: credit must not be 0 for ever.
      reserve_bytes_(std::min(options.journal_reserve_bytes,
                              (journal.free_bytes() + journal.held_bytes()) / 8)),
      tables_(options.table_bytes_max),
      unordered_(DeduplicationOptions{.window_ms = options.window_ms,
                                      .max_entries_per_source = options.max_entries_per_source,
                                      .max_sources = options.max_sources}),
      durable_end_(journal.first()) {}

// --- sessions -----------------------------------------------------------------------------------

IngestMachine::Session* IngestMachine::find_session(SessionId id) {
  const auto found = slots_.find(id.value);
  return found == slots_.end() ? nullptr : &sessions_[found->second];
}

IngestMachine::Session* IngestMachine::session_of(const InFlight& batch) {
  if (batch.slot == no_slot) return nullptr;
  Session& s = sessions_[batch.slot];
  return s.kind != Kind::kFree && s.life == batch.life ? &s : nullptr;
}

IngestMachine::Session& IngestMachine::open_session(SessionId id, Kind kind) {
  std::uint32_t slot;
  if (free_slots_.empty()) {
    slot = static_cast<std::uint32_t>(sessions_.size());
    sessions_.emplace_back();
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
  }
  Session& s = sessions_[slot];
  const std::uint32_t life = s.life + 1;
  s = Session();
  s.life = life;
  s.id = id;
  s.kind = kind;
  slots_[id.value] = slot;
  return s;
}

void IngestMachine::close_session(std::uint32_t slot) {
  Session& s = sessions_[slot];
  slots_.erase(s.id.value);
  if (s.source != SourceTable::none && sources_.at(s.source).session == slot) {
    sources_.at(s.source).session = no_slot;
  }
  for (const TableBinding& binding : s.tables) tables_.release(binding.table);
  if (s.inflight_bytes > 0) --busy_sessions_;
  const std::uint32_t life = s.life;
  s = Session();
  s.life = life;
  free_slots_.push_back(slot);
}

void IngestMachine::on_disconnect(SessionId id) {
  if (Session* s = find_session(id)) close_session(slot_of(*s));
}

// --- hello --------------------------------------------------------------------------------------

HelloOutcome IngestMachine::refuse_hello(wire::NackReason reason, std::string text) {
  text_ = std::move(text);
  HelloOutcome outcome;
  outcome.nack = {.reason = reason, .text = text_};
  if (reason == wire::NackReason::kUnavailable) outcome.nack.retry_after_ms = 5'000;
  if (reason == wire::NackReason::kMalformed) ++stats_.malformed;
  return outcome;
}

HelloOutcome IngestMachine::new_epoch(const wire::Hello& hello, std::string text) {
  ++stats_.new_epochs;
  text_ = quoted(hello.source, hello.epoch) + ": " + text + "; a new epoch is needed";
  HelloOutcome outcome;
  outcome.accepted = true;
  outcome.welcome.verdict = wire::WelcomeVerdict::kNewEpoch;
  outcome.welcome.epoch_min =
      Epoch(std::max(sources_.newest_epoch(hello.source), hello.epoch).value + 1);
  outcome.welcome.frame_bytes_max = base::frame_bytes_max;
  outcome.welcome.batch_entries_max = options_.batch_entries_max;
  outcome.welcome.text = text_;
  return outcome;
}

std::string IngestMachine::divergence(const SourceState& state, const wire::Hello& hello) const {
  const auto lsn = [](Lsn l) { return std::to_string(l.value); };
  if ((state.flags & SourceState::rebuilt) != 0) {
    if (state.persisted > hello.head) {
      return "the lakehouse holds changes up to LSN " + lsn(state.persisted) +
             ", the child's log ends at " + lsn(hello.head) + " (restored from a copy?)";
    }
    if (hello.trimmed.value == 0) return "";
    if (hello.wait != WaitLevel::kPersisted) {
      return "the parent lost its journal, and the child had trimmed at level durable up to LSN " +
             lsn(hello.trimmed);
    }
    if (hello.trimmed > state.persisted) {
      return "the child has trimmed up to LSN " + lsn(hello.trimmed) +
             ", the lakehouse holds no more than " + lsn(state.persisted);
    }
    return "";
  }
  if (state.received > hello.head) {
    return "the parent has changes up to LSN " + lsn(state.received) +
           ", the child's log ends at " + lsn(hello.head) + " (restored from a copy?)";
  }
  if (state.received < hello.trimmed) {
    return "the child has trimmed up to LSN " + lsn(hello.trimmed) +
           ", the parent knows nothing behind " + lsn(state.received) + " (another parent's?)";
  }
  if (state.received == hello.trimmed && state.chain != hello.trimmed_chain) {
    return "parent and child hold different changes up to LSN " + lsn(hello.trimmed);
  }
  return "";
}

HelloOutcome IngestMachine::on_hello(SessionId id, const wire::Hello& hello, UnixMillis now) {
  unordered_.advance(now);
  on_disconnect(id);  // a second hello begins the session anew
  if (hello.source.empty() || hello.source.size() > base::source_name_bytes_max) {
    return refuse_hello(
        wire::NackReason::kMalformed,
        "a source's name has 1 to " + std::to_string(base::source_name_bytes_max) + " bytes");
  }
  if (hello.head < hello.trimmed) {
    return refuse_hello(wire::NackReason::kMalformed, "the hello's head lies before its trimmed");
  }
  if (slots_.size() >= options_.sessions_max) {
    return refuse_hello(wire::NackReason::kOverLimit, "too many sessions; try again later");
  }
  if (journal_.poisoned()) {
    return refuse_hello(wire::NackReason::kUnavailable,
                        "the parent's journal has failed; it must be restarted");
  }
  if (!hello.ordered) return hello_unordered(id, hello);
  if (hello.epoch.value == 0) {
    return refuse_hello(wire::NackReason::kMalformed, "epoch 0 is wire v1's; begin with 1");
  }
  // There would be no next one to ask for, and every later child of this name would be asked for
  // it.
  if (hello.epoch.value > base::epoch_max) {
    return refuse_hello(wire::NackReason::kMalformed,
                        "epoch " + std::to_string(hello.epoch.value) +
                            " is beyond what a log can have; begin with the time in milliseconds");
  }

  SourceIndex index = sources_.find(hello.source, hello.epoch);
  if (index == SourceTable::none) {
    if (hello.trimmed.value != 0) {
      return new_epoch(hello, "the child has trimmed up to LSN " +
                                  std::to_string(hello.trimmed.value) +
                                  ", and this parent has never seen it");
    }
    if (sources_.size() >= options_.sources_max) {
      return refuse_hello(wire::NackReason::kOverLimit,
                          "this parent holds as many sources as it may (sources_max)");
    }
    index = sources_.add(hello.source, hello.epoch);
    sources_.at(index).chain = hello.trimmed_chain;
  } else if (std::string why = divergence(sources_.at(index), hello); !why.empty()) {
    const SourceState& known = sources_.at(index);
    if ((known.flags & SourceState::rebuilt) == 0 && known.received == hello.trimmed) {
      ++stats_.chain_mismatches;  // everything else about the two agrees
    }
    return new_epoch(hello, std::move(why));
  }
  if (hello.epoch < sources_.newest_epoch(hello.source)) ++stats_.older_epochs;

  SourceState& state = sources_.at(index);
  const bool chain_known = (state.flags & SourceState::rebuilt) == 0;
  if (!chain_known) {
    // From where the child still holds changes; landing filters what its tables have.
    state.flags = 0;
    state.received = state.durable = state.persisted = hello.trimmed;
    state.chain = hello.trimmed_chain;
  }
  HelloOutcome outcome;
  if (state.session != no_slot) {
    Session& older = sessions_[state.session];
    older.superseded = true;
    outcome.has_superseded = true;
    outcome.superseded = older.id;
    ++stats_.superseded;
  }
  Session& s = open_session(id, Kind::kOrdered);
  s.source = index;
  state.session = slot_of(s);
  outcome.accepted = true;
  outcome.welcome = welcome(s, state, chain_known).welcome;
  return outcome;
}

HelloOutcome IngestMachine::welcome(Session& s, const SourceState& state, bool chain_known) {
  HelloOutcome outcome;
  outcome.accepted = true;
  wire::Welcome& w = outcome.welcome;
  w.verdict = wire::WelcomeVerdict::kResume;
  w.received = state.received;
  w.received_chain = state.chain;
  w.chain_known = chain_known;
  w.received_txn = state.txn;
  w.durable = state.durable;
  w.persisted = state.persisted;
  w.credit_bytes = grant(s);
  w.frame_bytes_max = base::frame_bytes_max;
  w.batch_entries_max = options_.batch_entries_max;
  return outcome;
}

// --- credit -------------------------------------------------------------------------------------

std::uint64_t IngestMachine::room_bytes() const {
  if (journal_.poisoned()) return 0;
  const std::uint64_t free = journal_.free_bytes();
  const std::uint64_t in_journal = free > reserve_bytes_ ? free - reserve_bytes_ : 0;
  const std::uint64_t in_queue = options_.inflight_bytes_max > inflight_bytes_
                                     ? options_.inflight_bytes_max - inflight_bytes_
                                     : 0;
  return std::min(in_journal, in_queue);
}

std::uint64_t IngestMachine::extra_for(const Session& s) const {
  if (s.inflight_bytes >= options_.session_credit_bytes) return 0;
  const std::uint64_t least = std::min(grant_bytes_min, options_.session_credit_bytes);
  const std::uint64_t room = room_bytes();
  if (room < least) return 0;
  // Never less than `least` while there is room: shares of many sessions may together exceed it,
  // and what does not fit then is refused as over credit. A share of 0 could wait for ever.
  const std::uint64_t share = std::max(least, room / std::max<std::uint64_t>(1, busy_sessions_));
  return std::min(share, options_.session_credit_bytes - s.inflight_bytes);
}

std::uint64_t IngestMachine::grant(Session& s) {
  const std::uint64_t extra = extra_for(s);
  s.granted_before_bytes = s.granted_bytes;
  s.granted_bytes = s.inflight_bytes + extra;
  if (extra == 0 && s.inflight_bytes == 0) starve(s);
  return s.granted_bytes;
}

// A session with nothing in the air may always send one batch, however small its credit, as long as
// there is room at all: so one that is larger than any credit does not stop it for ever.
bool IngestMachine::over_credit(const Session& s, std::size_t frame_bytes) const {
  if (room_bytes() < frame_bytes) return true;
  // Wire v1 knows no credit: such a session may always use the most that one may have.
  const std::uint64_t allowed = s.kind == Kind::kUnorderedV1
                                    ? options_.session_credit_bytes
                                    : std::max(s.granted_bytes, s.granted_before_bytes);
  return s.inflight_bytes > 0 && s.inflight_bytes + frame_bytes > allowed;
}

void IngestMachine::starve(Session& s) {
  if (s.starved || s.kind != Kind::kOrdered) return;
  if (starved_.size() > 64 + 2 * sessions_.size()) {
    // Slots whose sessions left while there was no room.
    std::erase_if(starved_, [&](std::uint32_t slot) { return !sessions_[slot].starved; });
  }
  s.starved = true;
  starved_.push_back(slot_of(s));
}

void IngestMachine::wake_starved(Effects& effects) {
  for (std::size_t left = starved_.size(); left > 0; --left) {
    Session& s = sessions_[starved_.front()];
    if (s.starved && extra_for(s) == 0) return;  // no room for any of them
    starved_.pop_front();
    if (!s.starved) continue;
    s.starved = false;
    if (!s.superseded) push_ack(s, effects);
  }
}

void IngestMachine::push_ack(Session& s, Effects& effects) {
  wire::Ack ack;
  if (s.kind == Kind::kOrdered) {
    const SourceState& state = sources_.at(s.source);
    ack.durable = state.durable;
    ack.persisted = state.persisted;
  } else {
    ack.durable = s.unordered_durable;
    ack.persisted = s.unordered_persisted;
  }
  ack.credit_bytes = grant(s);
  effects.acks.push_back({s.id, ack});
}

// --- durable, persisted -------------------------------------------------------------------------

void IngestMachine::on_durable(Position durable_end, Effects& effects) {
  durable_end_ = std::max(durable_end_, durable_end);
  std::vector<std::uint32_t> due;  // each session once, however many of its batches are durable now
  const auto mark_due = [&](std::uint32_t slot) {
    Session& s = sessions_[slot];
    if (s.ack_due || s.superseded) return;
    s.ack_due = true;
    due.push_back(slot);
  };
  while (!inflight_.empty() && inflight_.front().end <= durable_end_) {
    InFlight batch = std::move(inflight_.front());
    inflight_.pop_front();
    inflight_bytes_ -= batch.frame_bytes + sizeof(InFlight);
    if (Session* s = session_of(batch)) {
      s->inflight_bytes -= batch.frame_bytes;
      if (batch.frame_bytes > 0 && s->inflight_bytes == 0) --busy_sessions_;
    }
    if (batch.source != SourceTable::none) {
      SourceState& state = sources_.at(batch.source);
      state.durable = batch.last;
      if (state.session != no_slot) mark_due(state.session);
      continue;
    }
    if (!batch.runs.empty()) unordered_.make_durable(batch.unordered_source, batch.runs);
    if (Session* s = session_of(batch)) {
      effects.batches.push_back({s->id, batch.token, batch.runs.empty()});
      if (s->kind == Kind::kUnordered) {
        s->unordered_durable = batch.last;
        mark_due(batch.slot);
      }
    }
  }
  for (const std::uint32_t slot : due) {
    sessions_[slot].ack_due = false;
    push_ack(sessions_[slot], effects);
  }
  wake_starved(effects);
}

void IngestMachine::on_persisted(std::string_view source, Epoch epoch, Lsn lsn, Effects& effects) {
  const SourceIndex index = sources_.find(source, epoch);
  if (index == SourceTable::none) {
    for (Session& s : sessions_) {
      if (s.kind != Kind::kUnordered || s.unordered_source != source) continue;
      s.unordered_persisted = std::max(s.unordered_persisted, lsn);
      push_ack(s, effects);
    }
    return;
  }
  SourceState& state = sources_.at(index);
  if ((state.flags & SourceState::rebuilt) != 0) {
    state.persisted = std::max(state.persisted, lsn);
    return;
  }
  // Never beyond what we know to be durable: a mark that came from elsewhere waits for the child.
  lsn = std::min(lsn, state.durable);
  if (lsn <= state.persisted) return;
  state.persisted = lsn;
  if (state.session != no_slot) push_ack(sessions_[state.session], effects);
}

IngestStats IngestMachine::stats() const {
  IngestStats stats = stats_;
  stats.sources = sources_.size() + unordered_.source_count();
  stats.sessions = slots_.size();
  stats.inflight_bytes = inflight_bytes_;
  return stats;
}

}  // namespace evodb::ingest
