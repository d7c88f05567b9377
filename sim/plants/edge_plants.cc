// Bugs of an edge's side: its outbox, and what it does with acknowledgements.
#include "sim/plants/plant_list.h"
#include "sim/plants/wraps.h"

namespace evodb::sim {
namespace {

// An outbox that is told to keep changes until they are persisted is trimmed when they are durable.
class TrimsAtDurable final : public Plant {
 public:
  void edge_options(edge::UplinkOptions& options) override { options.wait = WaitLevel::kDurable; }
};

// A plant whose bug is in one call of the outbox.
template <class Wrap>
class OutboxPlant final : public Plant {
 public:
  capture::Outbox& outbox(capture::Outbox& real) override { return wraps_.make(real); }

 private:
  Kept<Wrap> wraps_;
};

// A restored database goes on under the epoch that it had.
struct KeepsEpoch final : OutboxWrap {
  using OutboxWrap::OutboxWrap;
  Result<Epoch> begin_epoch(Epoch) override { return EVODB_TRY(real_.state()).epoch; }
};

// A new epoch's chain goes on from the old one's.
struct KeepsChain final : OutboxWrap {
  using OutboxWrap::OutboxWrap;
  ChainHash old;
  bool epoch_begun = false;
  Result<void> trim(Epoch epoch, Lsn through, ChainHash chain) override {
    old = chain;
    return real_.trim(epoch, through, chain);
  }
  Result<Epoch> begin_epoch(Epoch at_least) override {
    epoch_begun = true;
    return real_.begin_epoch(at_least);
  }
  Result<capture::OutboxState> state() override {
    auto state = real_.state();
    if (state && epoch_begun && state->trimmed_chain.value == 0) state->trimmed_chain = old;
    return state;
  }
};

// After a reconnect, changes that were sent and not acknowledged are not sent again.
struct SkipsUnacknowledged final : OutboxWrap {
  using OutboxWrap::OutboxWrap;
  Lsn given;
  int hellos = 0;
  struct Notes final : capture::ChangeSink {
    Notes(capture::ChangeSink& to_, Lsn& given_) : to(to_), given(given_) {}
    bool take(const capture::OutboxChange& change) override {
      if (!to.take(change)) return false;
      given = std::max(given, change.lsn);
      return true;
    }
    capture::ChangeSink& to;
    Lsn& given;
  };
  Result<capture::OutboxState> state() override {
    ++hellos;
    return real_.state();
  }
  Result<void> read(Lsn after, capture::ChangeSink& sink) override {
    Notes notes(sink, given);
    return real_.read(hellos > 1 ? std::max(after, given) : after, notes);
  }
};

// A partly read transaction is given a new label by each process.
struct Relabels final : OutboxWrap {
  using OutboxWrap::OutboxWrap;
  struct Sink final : capture::ChangeSink {
    explicit Sink(capture::ChangeSink& to_) : to(to_) {}
    bool take(const capture::OutboxChange& change) override {
      capture::OutboxChange other = change;
      other.txn = TxnId(change.lsn.value);
      return to.take(other);
    }
    capture::ChangeSink& to;
  };
  Result<void> read(Lsn after, capture::ChangeSink& sink) override {
    Sink other(sink);
    return real_.read(after, other);
  }
};

// A file that lies there now counts as the one that was known.
class MemoryNotCompared final : public Plant {
 public:
  void sqlite_options(capture::SqliteOutboxOptions& options) override {
    options.memory.reset();
    options.replaced.reset();
  }
};

}  // namespace

std::vector<PlantInfo> edge_plants() {
  return {
      {"outbox-trimmed-at-durable", "persisted was asked for", "disaster",
       make_one<TrimsAtDurable>},
      {"epoch-not-renewed", "after a restore the old epoch goes on", "restores",
       make_one<OutboxPlant<KeepsEpoch>>},
      {"chain-not-restarted", "a new epoch begins with the old one's hash", "restores",
       make_one<OutboxPlant<KeepsChain>>},
      {"unacknowledged-not-resent", "a reconnect goes on behind what was sent", "network",
       make_one<OutboxPlant<SkipsUnacknowledged>>},
      {"transaction-split", "every change is a transaction of its own", "swarm",
       make_one<OutboxPlant<Relabels>>},
      {"memory-not-compared", "a file that was put back goes on as the log that was known",
       "people", make_one<MemoryNotCompared>},
  };
}

}  // namespace evodb::sim
