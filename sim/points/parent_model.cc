#include "sim/points/parent_model.h"

#include <algorithm>

#include "wire/change.h"

namespace evodb::sim {
namespace {

std::string key_of(const capture::OutboxChange& change, const wire::ValuesView& row) {
  std::string key;
  wire::ValuesReader values(row);
  ValueView value;
  for (std::size_t i = 0; values.next(&value); ++i) {
    if (change.table->columns[i].key_ordinal != 0) wire::put_value(key, value);
  }
  return key;
}

// Folds what is held up to the parent's mark.
struct Walk final : capture::ChangeSink {
  explicit Walk(Lsn up_to) : to(up_to) {}
  bool take(const capture::OutboxChange& c) override {
    if (c.lsn > to) return false;
    writer.add_change(c.op, 0, c.table_fingerprint, c.lsn, c.txn, c.committed_at, c.key, c.before,
                      c.after, c.reason);
    last = c.lsn;
    return true;
  }
  wire::BatchWriter writer;
  const Lsn to;
  Lsn last;
};

}  // namespace

class ParentSink final : public capture::ChangeSink {
 public:
  explicit ParentSink(ParentModel& parent) : parent_(parent) {
    writer_.reset(parent.received_, parent.chain_);
  }
  bool take(const capture::OutboxChange& c) override {
    if (c.lsn <= parent_.received_) {
      wrong = fail(ErrorKind::kInternal, "LSNs do not grow");
      return false;
    }
    wrong = parent_.apply(c);
    if (!wrong) return false;
    writer_.add_change(c.op, 0, c.table_fingerprint, c.lsn, c.txn, c.committed_at, c.key, c.before,
                       c.after, c.reason);
    parent_.received_ = c.lsn;
    parent_.chain_ = writer_.chain();
    ++parent_.changes_;
    return true;
  }
  Result<void> wrong;

 private:
  ParentModel& parent_;
  wire::BatchWriter writer_;
};

Result<void> ParentModel::diverges(capture::Outbox& outbox, const capture::OutboxState& state,
                                   bool* differs) {
  *differs = true;
  if (state.epoch != epoch_) return {};  // this model keeps one epoch; what it forgot is renewed
  if (received_ > state.head || received_ < state.trimmed) return {};
  Walk walk(received_);
  walk.writer.reset(state.trimmed, state.trimmed_chain);
  EVODB_TRY(outbox.read(state.trimmed, walk));
  const Lsn reached = std::max(walk.last, state.trimmed);
  *differs = reached != received_ || walk.writer.chain() != chain_;
  return {};
}

Result<bool> ParentModel::connect(capture::Outbox& outbox) {
  capture::OutboxState state = EVODB_TRY(outbox.state());
  const bool unknown = newest_epoch_ == Epoch();
  bool renewed = false;
  if (!unknown || state.trimmed.value != 0) {
    // An epoch that the edge began by itself and that starts where we are is no divergence.
    const bool fresh = state.epoch > newest_epoch_ && state.trimmed == received_ &&
                       state.trimmed_chain == ChainHash();
    if (!fresh) EVODB_TRY(diverges(outbox, state, &renewed));
    if (renewed) {
      const Epoch at_least(std::max(newest_epoch_, state.epoch).value + 1);
      const Epoch begun = EVODB_TRY(outbox.begin_epoch(at_least));
      if (begun < at_least) return fail(ErrorKind::kInternal, "a new epoch that is none");
      state = EVODB_TRY(outbox.state());
    }
  }
  if (state.epoch == epoch_) return renewed;
  epoch_ = state.epoch;
  newest_epoch_ = std::max(newest_epoch_, epoch_);
  whole_ = unknown;
  received_ = state.trimmed;
  chain_ = state.trimmed_chain;
  tables_.clear();
  return renewed;
}

Result<void> ParentModel::receive(capture::Outbox& outbox) {
  ParentSink sink(*this);
  EVODB_TRY(outbox.read(received_, sink));
  return sink.wrong;
}

Result<void> ParentModel::apply(const capture::OutboxChange& c) {
  Rows& rows = tables_[c.table->name];
  const auto misfit = [&](const char* what) -> Result<void> {
    // Behind a break only the snapshot makes the tables whole.
    if (!whole_) return {};
    return fail(ErrorKind::kInternal, "LSN " + std::to_string(c.lsn.value) + ": " + what);
  };
  if (carries_reason(c.op)) {
    if (c.op != Op::kOversize) rows.clear();
    return {};
  }
  if (c.before.present) {
    const auto found = rows.find(key_of(c, c.before));
    if (found == rows.end()) {
      EVODB_TRY(misfit("there is no row with this key"));
    } else {
      if (found->second != c.before.bytes) EVODB_TRY(misfit("the row is not what it was"));
      rows.erase(found);
    }
  }
  if (c.after.present) {
    const std::string key = key_of(c, c.after);
    if (c.op == Op::kInsert && rows.contains(key)) EVODB_TRY(misfit("the key is there already"));
    rows[key] = std::string(c.after.bytes);
  }
  return {};
}

}  // namespace evodb::sim
