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
      unordered_(UnorderedTable::Limits{.gap_bytes_max = options.gap_bytes_max,
                                        .runs_per_source = options.gap_runs_per_source,
                                        .sources_max = options.sources_max}),
      durable_end_(journal.first()) {}

// --- sessions -----------------------------------------------------------------------------------

Session& IngestMachine::open_session(SessionId id, SessionKind kind) {
  Session& s = sessions_.make(id);
  s = Session();
  s.open = true;
  ++open_sessions_;
  if (kind != SessionKind::kOrdered) ensure_air(id, kind);
  return s;
}

InAir& IngestMachine::ensure_air(SessionId id, SessionKind kind) {
  Session& s = session(id);
  if (s.air == Session::none) {
    s.air = airs_.add(id, kind);
    airs_[s.air].granted_bytes = s.granted_steps * grant_step_bytes();
    airs_[s.air].granted_before_bytes = s.granted_before_steps * grant_step_bytes();
  }
  return airs_[s.air];
}

void IngestMachine::release_air(std::uint32_t index) {
  const InAir& air = airs_[index];
  if (air.batches > 0 || (air.attached && air.kind != SessionKind::kOrdered)) return;
  if (air.attached) {
    Session& s = session(air.session);
    // Nothing is in the air, so neither is more than session_credit_bytes; rounded up.
    const std::uint64_t step = grant_step_bytes();
    const auto steps = [&](std::uint64_t bytes) {
      return static_cast<std::uint32_t>(
                 std::min<std::uint64_t>((bytes + step - 1) / step, Session::grant_steps_max)) &
             Session::grant_steps_max;
    };
    s.granted_steps = steps(air.granted_bytes);
    s.granted_before_steps = steps(air.granted_before_bytes);
    s.air = Session::none;
  }
  airs_.remove(index);
}

void IngestMachine::on_disconnect(SessionId id) {
  Session* s = sessions_.find(id);
  if (s == nullptr) return;
  if (s->source != SourceTable::none && sources_.at(s->source).session == id.value) {
    SourceState state = sources_.at(s->source);
    state.session = no_session;
    sources_.put(s->source, state);
  }
  if (s->source != SourceTable::none) lives_.on_gone(sources_.name_of(s->source), s->life);
  table_sets_.release(s->tables);
  if (bytes_in_air(*s) > 0) --busy_sessions_;
  if (const std::uint32_t air = s->air; air != Session::none) {
    airs_[air].attached = false;
    release_air(air);
  }
  *s = Session();
  --open_sessions_;
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

std::optional<std::string> IngestMachine::divergence(const SourceState& state,
                                                     const wire::Hello& hello) const {
  const auto lsn = [](Lsn l) { return std::to_string(l.value); };
  if (state.rebuilt) {
    if (state.persisted > hello.head) {
      return "the lakehouse holds changes up to LSN " + lsn(state.persisted) +
             ", the child's log ends at " + lsn(hello.head) + " (restored from a copy?)";
    }
    if (hello.trimmed.value == 0) return std::nullopt;
    if (hello.wait != WaitLevel::kPersisted) {
      return "the parent lost its journal, and the child had trimmed at level durable up to LSN " +
             lsn(hello.trimmed);
    }
    if (hello.trimmed > state.persisted) {
      return "the child has trimmed up to LSN " + lsn(hello.trimmed) +
             ", the lakehouse holds no more than " + lsn(state.persisted);
    }
    return std::nullopt;
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
  return std::nullopt;
}

// The first hello behind a lost journal may have been one of long ago, said again by who replays a
// session: where that began, and what it sent, says nothing of how far the child is.
bool IngestMachine::landed_before_us(SourceIndex index, const wire::Hello& hello) const {
  const SourceState state = sources_.at(index);
  if (state.rebuilt || hello.trimmed <= state.received) return false;
  const auto landed = landed_.find(index);
  return landed != landed_.end() && hello.wait == WaitLevel::kPersisted &&
         hello.trimmed <= landed->second && landed->second <= hello.head;
}

bool IngestMachine::has_inflight(SourceIndex index) const {
  return std::ranges::any_of(inflight_, [&](const InFlight& b) { return b.source == index; });
}

HelloOutcome IngestMachine::on_hello(SessionId id, const wire::Hello& hello, UnixMillis now) {
  on_disconnect(id);  // a second hello begins the session anew
  if (hello.source.empty() || hello.source.size() > base::source_name_bytes_max) {
    return refuse_hello(
        wire::NackReason::kMalformed,
        "a source's name has 1 to " + std::to_string(base::source_name_bytes_max) + " bytes");
  }
  if (hello.head < hello.trimmed) {
    return refuse_hello(wire::NackReason::kMalformed, "the hello's head lies before its trimmed");
  }
  if (open_sessions_ >= options_.sessions_max) {
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

  std::vector<SessionId> other_lives;
  if (auto told = look_at_life(hello, now, &other_lives)) return *std::move(told);
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
    SourceState fresh = sources_.at(index);
    fresh.chain = hello.trimmed_chain;
    sources_.put(index, fresh);
  } else if (landed_before_us(index, hello)) {
    if (has_inflight(index)) {
      return refuse_hello(wire::NackReason::kUnavailable,
                          "what another session of this source sent is being synced");
    }
    SourceState known = sources_.at(index);
    known.rebuilt = true;  // as if this were the first hello
    sources_.put(index, known);
  } else if (auto why = divergence(sources_.at(index), hello)) {
    const SourceState known = sources_.at(index);
    if (!known.rebuilt && known.received == hello.trimmed) {
      ++stats_.chain_mismatches;  // everything else about the two agrees
    }
    return new_epoch(hello, *std::move(why));
  }
  if (hello.epoch < sources_.newest_epoch(hello.source)) ++stats_.older_epochs;

  SourceState state = sources_.at(index);
  const bool chain_known = !state.rebuilt;
  if (!chain_known) {
    // From where the child still holds changes; emptied filters what its tables have.
    state.rebuilt = false;
    state.received = state.durable = state.persisted = hello.trimmed;
    state.chain = hello.trimmed_chain;
    state.txn = TxnId();
  }
  HelloOutcome outcome;
  if (state.session != no_session) {
    outcome.has_superseded = true;
    outcome.superseded = SessionId(state.session);
    session(outcome.superseded).superseded = true;
    ++stats_.superseded;
  }
  for (const SessionId other : other_lives) {
    if (other.value == state.session || other == id) continue;
    session(other).superseded = true;
    ++stats_.superseded;
    outcome.other_lives.push_back(other);
  }
  Session& opened = open_session(id, SessionKind::kOrdered);
  opened.source = index;
  opened.life = hello.life;
  state.session = id.value;
  sources_.put(index, state);
  outcome.accepted = true;
  outcome.welcome = welcome(id, state, chain_known).welcome;
  return outcome;
}

std::optional<HelloOutcome> IngestMachine::look_at_life(const wire::Hello& hello, UnixMillis now,
                                                        std::vector<SessionId>* other_lives) {
  if (hello.life == 0) return std::nullopt;
  std::uint64_t connected = 0;
  sources_.for_each_epoch(hello.source, [&](SourceIndex index) {
    const std::uint32_t number = sources_.at(index).session;
    if (number == no_session) return;
    const Session& s = session(SessionId(number));
    if (s.superseded || s.life == 0) return;
    connected = s.life;
    if (s.life != hello.life) other_lives->push_back(SessionId(number));
  });
  const auto verdict = lives_.on_hello(hello.source, hello.life, hello.epoch, connected,
                                       sources_.newest_epoch(hello.source), hello.agent, now);
  if (verdict == Lives::Verdict::kGoOn) return std::nullopt;
  if (verdict == Lives::Verdict::kOriginal) {
    HelloOutcome outcome = new_epoch(
        hello,
        "another database came under this name, and this one was known first; it may be a "
        "copy of this one");
    outcome.welcome.epoch_min = lives_.epoch_for(hello.source);
    return outcome;
  }
  ++stats_.copies_told;
  text_ = lives_.why(hello.source);
  HelloOutcome outcome;
  outcome.accepted = true;
  outcome.welcome.verdict = wire::WelcomeVerdict::kCopy;
  outcome.welcome.frame_bytes_max = base::frame_bytes_max;
  outcome.welcome.batch_entries_max = options_.batch_entries_max;
  outcome.welcome.text = text_;
  return outcome;
}

HelloOutcome IngestMachine::welcome(SessionId id, const SourceState& state, bool chain_known) {
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
  w.credit_bytes = grant(id);
  w.frame_bytes_max = base::frame_bytes_max;
  w.batch_entries_max = options_.batch_entries_max;
  return outcome;
}

// --- credit -------------------------------------------------------------------------------------

std::uint64_t IngestMachine::space_bytes() const {
  if (journal_.poisoned()) return 0;
  const std::uint64_t free = journal_.free_bytes();
  const std::uint64_t in_journal = free > reserve_bytes_ ? free - reserve_bytes_ : 0;
  const std::uint64_t in_queue = options_.inflight_bytes_max > inflight_bytes_
                                     ? options_.inflight_bytes_max - inflight_bytes_
                                     : 0;
  return std::min(in_journal, in_queue);
}

std::uint64_t IngestMachine::extra_for(const Session& s) const {
  const std::uint64_t in_air = bytes_in_air(s);
  if (in_air >= options_.session_credit_bytes) return 0;
  const std::uint64_t least = std::min(grant_bytes_min, options_.session_credit_bytes);
  const std::uint64_t space = space_bytes();
  if (space < least) return 0;
  // Never less than `least` while there is space: shares of many sessions may together exceed it,
  // and what does not fit then is refused as over credit. A share of 0 could wait for ever.
  const std::uint64_t share = std::max(least, space / std::max<std::uint64_t>(1, busy_sessions_));
  return std::min(share, options_.session_credit_bytes - in_air);
}

std::uint64_t IngestMachine::grant_step_bytes() const {
  return options_.session_credit_bytes / Session::grant_steps_max + 1;
}

std::uint64_t IngestMachine::grant(SessionId id) {
  Session& s = session(id);
  const std::uint64_t extra = extra_for(s);
  const std::uint64_t granted = bytes_in_air(s) + extra;
  if (s.air != Session::none) {
    InAir& air = airs_[s.air];
    air.granted_before_bytes = air.granted_bytes;
    air.granted_bytes = granted;
  } else {
    const std::uint64_t step = grant_step_bytes();
    s.granted_before_steps = s.granted_steps;
    s.granted_steps =
        static_cast<std::uint32_t>((granted + step - 1) / step) & Session::grant_steps_max;
  }
  if (extra == 0 && bytes_in_air(s) == 0) starve(id);
  return granted;
}

// A session with nothing in the air may always send one batch, however small its credit, as long as
// there is space at all: so one that is larger than any credit does not stop it for ever.
bool IngestMachine::over_credit(const Session& s, std::size_t frame_bytes) const {
  if (space_bytes() < frame_bytes) return true;
  const InAir* air = air_of(s);
  if (air == nullptr || air->bytes == 0) return false;
  // Wire v1 knows no credit: such a session may always use the most that one may have.
  const std::uint64_t allowed = air->kind == SessionKind::kUnorderedV1
                                    ? options_.session_credit_bytes
                                    : std::max(air->granted_bytes, air->granted_before_bytes);
  return air->bytes + frame_bytes > allowed;
}

void IngestMachine::starve(SessionId id) {
  Session& s = session(id);
  if (s.starved || s.source == SourceTable::none) return;
  if (starved_.size() > 64 + 2 * std::size_t{open_sessions_}) {
    // Those that left while there was no space.
    std::erase_if(starved_, [&](SessionId other) { return !session(other).starved; });
  }
  s.starved = true;
  starved_.push_back(id);
}

void IngestMachine::wake_starved(Effects& effects) {
  for (std::size_t left = starved_.size(); left > 0; --left) {
    const SessionId id = starved_.front();
    Session& s = session(id);
    if (s.starved && extra_for(s) == 0) return;  // no space for any of them
    starved_.pop_front();
    if (!s.starved) continue;
    s.starved = false;
    if (!s.superseded) push_ack(id, effects);
  }
}

void IngestMachine::push_ack(SessionId id, Effects& effects) {
  const Session& s = session(id);
  const InAir* air = air_of(s);
  wire::Ack ack;
  if (s.source != SourceTable::none) {
    const SourceState state = sources_.at(s.source);
    ack.durable = state.durable;
    ack.persisted = state.persisted;
  } else {
    ack.durable = air->unordered_durable;
    ack.persisted = air->unordered_persisted;
  }
  ack.credit_bytes = grant(id);
  effects.acks.push_back({id, ack, air == nullptr || air->batches == 0});
}

// --- durable, persisted -------------------------------------------------------------------------

void IngestMachine::on_durable(Position durable_end, Effects& effects) {
  durable_end_ = std::max(durable_end_, durable_end);
  std::vector<SessionId> due;  // each once, however many of its batches are durable now
  std::vector<std::uint32_t> emptied;
  const auto mark_due = [&](SessionId id) {
    Session& s = session(id);
    if (s.ack_due || s.superseded) return;
    s.ack_due = true;
    due.push_back(id);
  };
  while (!inflight_.empty() && inflight_.front().end <= durable_end_) {
    InFlight batch = std::move(inflight_.front());
    inflight_.pop_front();
    inflight_bytes_ -= batch.frame_bytes + sizeof(InFlight);
    InAir& air = airs_[batch.air];
    air.bytes -= batch.frame_bytes;
    if (air.attached && batch.frame_bytes > 0 && air.bytes == 0) --busy_sessions_;
    if (--air.batches == 0) emptied.push_back(batch.air);
    if (batch.source != SourceTable::none) {
      SourceState state = sources_.at(batch.source);
      state.durable = batch.last;
      sources_.put(batch.source, state);
      if (state.session != no_session) mark_due(SessionId(state.session));
      continue;
    }
    if (!batch.runs.empty()) unordered_.make_durable(batch.unordered, batch.runs);
    if (!air.attached || !batch.answers) continue;
    effects.batches.push_back({air.session, batch.token, batch.duplicate});
    if (air.kind == SessionKind::kUnordered) {
      air.unordered_durable = batch.last;
      mark_due(air.session);
    }
  }
  for (const SessionId id : due) {
    session(id).ack_due = false;
    push_ack(id, effects);
  }
  for (const std::uint32_t air : emptied) release_air(air);
  wake_starved(effects);
}

void IngestMachine::on_persisted(std::string_view source, Epoch epoch, Lsn lsn, Effects& effects) {
  const SourceIndex index = sources_.find(source, epoch);
  if (index == SourceTable::none) {
    airs_.for_each([&](InAir& air) {
      if (!air.attached || air.kind != SessionKind::kUnordered) return;
      if (air.unordered_source != source) return;
      air.unordered_persisted = std::max(air.unordered_persisted, lsn);
      push_ack(air.session, effects);
    });
    return;
  }
  SourceState state = sources_.at(index);
  if (state.rebuilt) {
    state.persisted = std::max(state.persisted, lsn);
    sources_.put(index, state);
    return;
  }
  // Never beyond what we know to be durable: a mark that came from elsewhere waits for the child.
  set_persisted(index, state, std::min(lsn, state.durable), effects);
}

void IngestMachine::set_persisted(SourceIndex index, SourceState state, Lsn lsn, Effects& effects) {
  if (lsn <= state.persisted) return;
  state.persisted = lsn;
  sources_.put(index, state);
  if (state.session != no_session) push_ack(SessionId(state.session), effects);
}

void IngestMachine::on_landing_begins() {
  unpersisted_.clear();
  unpersisted_end_ = durable_end_;
  sources_.for_each([&](SourceIndex index) {
    const SourceState state = sources_.at(index);
    if (!state.rebuilt && state.persisted < state.durable) {
      unpersisted_.push_back({index, state.durable});
    }
  });
}

void IngestMachine::on_all_landed(Position landed_through, Effects& effects) {
  if (unpersisted_.empty() || landed_through < unpersisted_end_) return;
  for (const Unpersisted& landed : std::exchange(unpersisted_, {})) {
    set_persisted(landed.source, sources_.at(landed.source), landed.durable, effects);
  }
}

IngestStats IngestMachine::stats() const {
  IngestStats stats = stats_;
  stats.sources = sources_.size() + unordered_.size();
  stats.copies_found = lives_.found();
  stats.sources_with_copies = lives_.sources_with_copies();
  stats.unordered_sources_with_gaps = unordered_.with_gaps();
  stats.unordered_gap_bytes = unordered_.gap_bytes();
  stats.sessions = open_sessions_;
  stats.inflight_bytes = inflight_bytes_;
  return stats;
}

}  // namespace evodb::ingest
