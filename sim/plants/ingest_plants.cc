// Bugs of deduplication, acknowledgements and credit.
#include <algorithm>
#include <map>
#include <set>

#include "ingest/checkpoint_format.h"
#include "sim/plants/plant_list.h"
#include "sim/plants/wraps.h"
#include "wire/change.h"

namespace evodb::sim {
namespace {

template <class Wrap>
class IngestPlant final : public Plant {
 public:
  std::unique_ptr<ingest::Ingest> ingest(std::unique_ptr<ingest::Ingest> real) override {
    return std::make_unique<Wrap>(std::move(real));
  }
};

// Who speaks for what: the interface tells it at hello only.
struct KnowsSessions : IngestWrap {
  using IngestWrap::IngestWrap;
  struct Log {
    std::string source;
    Epoch epoch;
  };
  std::map<std::uint32_t, Log> sessions;

  ingest::HelloOutcome on_hello(ingest::SessionId session, const wire::Hello& hello,
                                UnixMillis now) override {
    sessions[session.value] = {std::string(hello.source), hello.epoch};
    return real_->on_hello(session, hello, now);
  }
  ingest::SourceMark mark_of(ingest::SessionId session) const {
    ingest::SourceMark found;
    const auto log = sessions.find(session.value);
    if (log == sessions.end()) return found;
    real_->for_each_source([&](const ingest::SourceMark& mark) {
      if (mark.source == log->second.source && mark.epoch == log->second.epoch) found = mark;
    });
    return found;
  }
};

// "Durable" for what was only received.
struct AcksReceived final : KnowsSessions {
  using KnowsSessions::KnowsSessions;
  ingest::BatchOutcome on_batch(ingest::SessionId session, std::string_view body,
                                std::size_t frame_bytes, UnixMillis now,
                                ingest::Effects& effects) override {
    auto outcome = real_->on_batch(session, body, frame_bytes, now, effects);
    if (outcome.verdict == ingest::BatchVerdict::kAppended) {
      const auto mark = mark_of(session);
      effects.acks.push_back({session, {mark.received, mark.persisted, 1u << 20}});
    }
    return outcome;
  }
};

// A resent batch is answered "duplicate" before what it repeats is synced; so is a hello.
struct DuplicateBeforeDurable final : KnowsSessions {
  using KnowsSessions::KnowsSessions;
  ingest::HelloOutcome on_hello(ingest::SessionId session, const wire::Hello& hello,
                                UnixMillis now) override {
    auto outcome = KnowsSessions::on_hello(session, hello, now);
    outcome.welcome.durable = outcome.welcome.received;
    return outcome;
  }
};

// What the journal holds behind the checkpoint does not become marks again.
struct ForgetsAtRestart final : IngestWrap {
  using IngestWrap::IngestWrap;
  Result<void> replay(const journal::Record&) override { return {}; }
};

// The window of unordered sources forgets its oldest entries, and then calls them duplicates.
struct WindowLies final : IngestWrap {
  using IngestWrap::IngestWrap;
  static constexpr std::uint64_t window = 12;  // LSNs
  std::map<std::uint32_t, std::string> sources;
  std::map<std::string, std::uint64_t> newest;
  Result<void> on_hello_unordered(ingest::SessionId session, std::string_view source) override {
    sources[session.value] = std::string(source);
    return real_->on_hello_unordered(session, source);
  }
  ingest::BatchOutcome on_batch_unordered(ingest::SessionId session,
                                          std::span<const std::string> bodies,
                                          std::size_t frame_bytes, std::uint64_t token,
                                          UnixMillis now, ingest::Effects& effects) override {
    std::uint64_t& top = newest[sources[session.value]];
    const wire::BatchReader reader(bodies.back());
    const std::uint64_t last = reader.header().last_lsn.value;
    if (last + window < top) {
      effects.batches.push_back({session, token, true});
      return {.verdict = ingest::BatchVerdict::kDuplicate};
    }
    auto outcome = real_->on_batch_unordered(session, bodies, frame_bytes, token, now, effects);
    if (outcome.verdict == ingest::BatchVerdict::kAppended) top = std::max(top, last);
    return outcome;
  }
};

// What unordered sources were acknowledged is not in the checkpoint: a restart forgets it.
struct WindowForgets final : IngestWrap {
  using IngestWrap::IngestWrap;
  Result<Position> restore_checkpoint(std::string_view bytes) override {
    const auto contents = EVODB_TRY(ingest::read_checkpoint(bytes));
    ingest::CheckpointWriter writer(contents.journal, contents.position, contents.marks.size());
    for (const ingest::CheckpointMark& mark : contents.marks) writer.add_mark(mark);
    writer.add_unordered(ingest::UnorderedTable({}));
    writer.add_copied(ingest::Lives({}));
    const std::string less = writer.finish();
    return real_->restore_checkpoint(less);
  }
};

// An entry of wire v1 that is no row takes its batch along.
struct OneWrongRefusesAll final : IngestWrap {
  using IngestWrap::IngestWrap;
  ingest::BatchOutcome on_batch_unordered(ingest::SessionId session,
                                          std::span<const std::string> bodies,
                                          std::size_t frame_bytes, std::uint64_t token,
                                          UnixMillis now, ingest::Effects& effects) override {
    for (const std::string& body : bodies) {
      wire::BatchReader reader(body);
      std::uint32_t ref = 0;
      for (wire::TableDef def; reader.next_table(&ref, &def);) {
      }
      for (wire::ChangeView change; reader.next(&change);) {
        if (change.op != Op::kOversize) continue;
        return {.verdict = ingest::BatchVerdict::kRefused,
                .nack = {.reason = wire::NackReason::kOverLimit, .text = "an entry is wrong"}};
      }
    }
    return real_->on_batch_unordered(session, bodies, frame_bytes, token, now, effects);
  }
};

// At connect the child's history is not compared with ours.
struct ChainUnchecked final : KnowsSessions {
  using KnowsSessions::KnowsSessions;
  ingest::HelloOutcome on_hello(ingest::SessionId session, const wire::Hello& hello,
                                UnixMillis now) override {
    wire::Hello trusted = hello;
    real_->for_each_source([&](const ingest::SourceMark& mark) {
      if (mark.source != hello.source || mark.epoch != hello.epoch) return;
      trusted.head = std::max(trusted.head, mark.received);
      if (mark.received == hello.trimmed) trusted.trimmed_chain = mark.received_chain;
    });
    auto outcome = KnowsSessions::on_hello(session, trusted, now);
    outcome.welcome.chain_known = false;
    outcome.welcome.received = std::min(outcome.welcome.received, hello.head);
    outcome.welcome.durable = std::min(outcome.welcome.durable, hello.head);
    outcome.welcome.persisted = std::min(outcome.welcome.persisted, hello.head);
    return outcome;
  }
};

// Sequence numbers are compared in 32 bits.
struct ShortLsns final : KnowsSessions {
  using KnowsSessions::KnowsSessions;
  ingest::BatchOutcome on_batch(ingest::SessionId session, std::string_view body,
                                std::size_t frame_bytes, UnixMillis now,
                                ingest::Effects& effects) override {
    const auto mark = mark_of(session);
    const wire::BatchReader reader(body);
    const Lsn last = reader.header().last_lsn;
    if (static_cast<std::uint32_t>(last.value) <= static_cast<std::uint32_t>(mark.durable.value) &&
        mark.durable.value != 0) {
      effects.acks.push_back({session, {last, mark.persisted, 1u << 20}});
      return {.verdict = ingest::BatchVerdict::kDuplicate};
    }
    return real_->on_batch(session, body, frame_bytes, now, effects);
  }
};

// What a batch costs is taken from the credit when it comes and again when it is durable.
struct CreditTwice final : IngestWrap {
  using IngestWrap::IngestWrap;
  std::map<std::uint32_t, std::uint64_t> taken;
  ingest::BatchOutcome on_batch(ingest::SessionId session, std::string_view body,
                                std::size_t frame_bytes, UnixMillis now,
                                ingest::Effects& effects) override {
    auto outcome = real_->on_batch(session, body, frame_bytes, now, effects);
    if (outcome.verdict == ingest::BatchVerdict::kAppended) taken[session.value] += frame_bytes;
    return outcome;
  }
  void on_durable(Position durable_end, ingest::Effects& effects) override {
    real_->on_durable(durable_end, effects);
    for (auto& ack : effects.acks) {
      const std::uint64_t spent = taken[ack.session.value];
      ack.ack.credit_bytes = ack.ack.credit_bytes > spent ? ack.ack.credit_bytes - spent : 0;
    }
  }
  void on_space(ingest::Effects&) override {}
};

// A child that was told to stop is not told that there is room again.
struct NeverWakes final : IngestWrap {
  using IngestWrap::IngestWrap;
  std::set<std::uint32_t> starved;
  void keep_starved(ingest::Effects& effects) {
    for (auto& ack : effects.acks) {
      if (ack.ack.credit_bytes == 0) starved.insert(ack.session.value);
      if (starved.contains(ack.session.value)) ack.ack.credit_bytes = 0;
    }
  }
  ingest::HelloOutcome on_hello(ingest::SessionId session, const wire::Hello& hello,
                                UnixMillis now) override {
    starved.erase(session.value);
    return real_->on_hello(session, hello, now);
  }
  void on_space(ingest::Effects& effects) override {
    real_->on_space(effects);
    keep_starved(effects);
  }
  void on_persisted(std::string_view source, Epoch epoch, Lsn lsn,
                    ingest::Effects& effects) override {
    real_->on_persisted(source, epoch, lsn, effects);
    keep_starved(effects);
  }
  void on_durable(Position durable_end, ingest::Effects& effects) override {
    real_->on_durable(durable_end, effects);
    keep_starved(effects);
  }
};

// An acknowledgement goes to the session that has the next number.
struct WrongSession final : IngestWrap {
  using IngestWrap::IngestWrap;
  void on_durable(Position durable_end, ingest::Effects& effects) override {
    real_->on_durable(durable_end, effects);
    if (effects.acks.size() < 2) return;
    const auto first = effects.acks.front().session;
    for (std::size_t i = 0; i + 1 < effects.acks.size(); ++i) {
      effects.acks[i].session = effects.acks[i + 1].session;
    }
    effects.acks.back().session = first;
  }
};

// "Persisted" for what is durable.
struct PersistedAtDurable final : IngestWrap {
  using IngestWrap::IngestWrap;
  void on_durable(Position durable_end, ingest::Effects& effects) override {
    real_->on_durable(durable_end, effects);
    for (auto& ack : effects.acks) ack.ack.persisted = ack.ack.durable;
  }
};

// Lives are not compared: two databases that stream under one name go on so.
struct CopyUnnoticed final : IngestWrap {
  using IngestWrap::IngestWrap;
  ingest::HelloOutcome on_hello(ingest::SessionId session, const wire::Hello& hello,
                                UnixMillis now) override {
    wire::Hello without = hello;
    without.life = 0;
    return real_->on_hello(session, without, now);
  }
};

// Of two, the one that was there first is told to take another name. (It is asked for an epoch above
// all that the other one may have used, which nobody else is.)
struct OriginalGivesWay final : IngestWrap {
  using IngestWrap::IngestWrap;
  ingest::HelloOutcome on_hello(ingest::SessionId session, const wire::Hello& hello,
                                UnixMillis now) override {
    auto outcome = real_->on_hello(session, hello, now);
    if (outcome.accepted && outcome.welcome.verdict == wire::WelcomeVerdict::kNewEpoch &&
        outcome.welcome.epoch_min.value > hello.epoch.value + 1) {
      outcome.welcome.verdict = wire::WelcomeVerdict::kCopy;
    }
    return outcome;
  }
};

// --- sessions of the first generation

// Text NACKs, as they leave, byte for byte of the same length.
template <void Spoil(std::string& text, std::size_t from, std::size_t to)>
class NackPlant final : public Plant {
 public:
  base::Loop& loop(base::Loop& real) override { return loops_.make(real); }

 private:
  struct Wrap final : LoopWrap {
    using LoopWrap::LoopWrap;
    std::size_t write(base::StreamId stream, std::string_view bytes) override {
      std::size_t at = bytes.find("\"type\":\"nack\"");
      if (at == std::string_view::npos) return real_.write(stream, bytes);
      std::string spoilt(bytes);
      for (; at != std::string::npos; at = spoilt.find("\"type\":\"nack\"", at + 1)) {
        const std::size_t from = spoilt.rfind('{', at);
        if (from == std::string::npos) continue;
        Spoil(spoilt, from, std::min(spoilt.find('{', at), spoilt.size()));
      }
      return real_.write(stream, spoilt);
    }
  };
  Kept<Wrap> loops_;
};

void without_correlation_id(std::string& text, std::size_t from, std::size_t to) {
  const std::size_t at = text.find("\"correlationId\"", from);
  if (at < to) text[at + 1] = 'x';
}

void with_another_sequence(std::string& text, std::size_t from, std::size_t to) {
  constexpr std::string_view name = "\"sequenceNumber\":";
  std::size_t at = text.find(name, from);
  if (at >= to) return;
  for (at += name.size(); at < to && text[at] >= '0' && text[at] <= '9'; ++at) {
    text[at] = text[at] == '9' ? '1' : static_cast<char>(text[at] + 1);
  }
}

// Recovery ends one record early.
struct StopsBeforeLast final : IngestWrap {
  using IngestWrap::IngestWrap;
  Result<void> replay(const journal::Record& record) override {
    if (held_) EVODB_TRY(real_->replay(*held_));
    bytes_ = std::string(record.payload);
    held_ = record;
    held_->payload = bytes_;
    return {};
  }
  std::optional<journal::Record> held_;  // the newest is never replayed
  std::string bytes_;
};

}  // namespace

std::vector<PlantInfo> ingest_plants() {
  return {
      {"dedup-mark-before-durable", "a batch is called durable when it is received", "overload",
       make_one<IngestPlant<AcksReceived>>},
      {"duplicate-before-durable", "a reconnecting child is told that what it sent is durable",
       "network", make_one<IngestPlant<DuplicateBeforeDurable>>},
      {"dedup-mark-not-restored", "marks behind the checkpoint are forgotten by a crash", "kills",
       make_one<IngestPlant<ForgetsAtRestart>>},
      {"newest-mark-not-restored", "the journal's last record is not replayed", "kills",
       make_one<IngestPlant<StopsBeforeLast>>},
      {"window-evicts-then-duplicate", "what the window forgot is answered as duplicate", "v1",
       make_one<IngestPlant<WindowLies>>},
      {"window-forgets", "what unordered sources were acknowledged is new again behind a restart",
       "v1-crowd", make_one<IngestPlant<WindowForgets>>},
      {"wrong-entry-refuses-batch", "an entry that is no row takes its batch along", "v1-crowd",
       make_one<IngestPlant<OneWrongRefusesAll>>},
      {"chain-not-checked", "a restored database is welcomed as the old one", "restores",
       make_one<IngestPlant<ChainUnchecked>>},
      {"lsn-in-32-bits", "sequence numbers are compared in 32 bits", "upgrades",
       make_one<IngestPlant<ShortLsns>>},
      {"nack-without-id", "a refusal does not say which batch it is of", "v1-crowd",
       make_one<NackPlant<without_correlation_id>>},
      {"nack-of-another-batch", "a refusal has another batch's sequence", "v1-crowd",
       make_one<NackPlant<with_another_sequence>>},
      {"copy-not-noticed", "two databases go on under one name", "copies",
       make_one<IngestPlant<CopyUnnoticed>>},
      {"copy-called-original", "the original is told to take another name", "copies",
       make_one<IngestPlant<OriginalGivesWay>>},
      {"credit-counted-twice", "a batch is taken from the credit twice", "overload",
       make_one<IngestPlant<CreditTwice>>},
      {"starved-not-woken", "credit that came back is told to nobody", "full-journal",
       make_one<IngestPlant<NeverWakes>>},
      {"ack-to-another", "acknowledgements go to other sessions", "swarm",
       make_one<IngestPlant<WrongSession>>},
      {"persisted-at-durable", "persisted is said with durable", "swarm",
       make_one<IngestPlant<PersistedAtDurable>>},
  };
}

}  // namespace evodb::sim
