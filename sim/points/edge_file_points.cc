// The client library's own outbox in a file: what append() acknowledged is there, in order, whole
// groups only, under its epoch; the trim mark and its chain stay together.
#include <utility>

#include "edge/file_outbox.h"
#include "sim/points/points.h"
#include "sim/seams/fake_clock.h"
#include "sim/seams/seeded_random.h"
#include "sim/seams/sqlite_disk.h"

namespace evodb::sim {
namespace {

constexpr char path[] = "edge/changes.outbox";

std::unexpected<Error> wrong(std::string what) {
  return fail(ErrorKind::kInternal, std::move(what));
}

// The row of one LSN: whoever holds it can say whether it is right.
std::string row_of(std::uint64_t lsn, std::uint64_t nonce) {
  std::string text = std::to_string(lsn) + "/" + std::to_string(nonce) + ":";
  text.resize(text.size() + (lsn % 7 == 3 ? 5'000 : lsn * 37 % 600),
              static_cast<char>('a' + lsn % 26));
  std::string row;
  wire::put_value(row, ValueView::of_text(text));
  return row;
}

const wire::TableDef& table_of(std::uint64_t lsn) {
  static const wire::TableDef even{"even", 1, {{"id", "INTEGER", 1}}};
  static const wire::TableDef odd{"odd", 1, {{"id", "INTEGER", 1}, {"x", "", 0}}};
  return lsn % 2 == 0 ? even : odd;
}

struct Seen {
  Lsn lsn;
  TxnId txn;
  std::string row;
  friend bool operator==(const Seen&, const Seen&) = default;
};

struct Collect final : capture::ChangeSink {
  bool take(const capture::OutboxChange& c) override {
    seen.push_back({c.lsn, c.txn, std::string(c.after.bytes)});
    fits = fits && c.op == Op::kInsert && c.table->name == table_of(c.lsn.value).name &&
           c.committed_at == UnixMillis(77) && c.after.count == 1 && !c.before.present;
    return true;
  }
  std::vector<Seen> seen;
  bool fits = true;
};

class FileOutboxWorld final : public DiskWorld {
 public:
  FileOutboxWorld() : sqlite_(disk_, clock_, random_) { (void)disk_.make_directories("edge"); }

  FakeDisk& disk() override { return disk_; }

  Result<void> work() override {
    for (int i = 0; i < 22; ++i) {
      if (i == 7 || i == 15) {
        EVODB_TRY(step([&] { return trim(Lsn(rows_.size() - static_cast<std::size_t>(i) / 7)); }));
      } else if (i == 11) {
        EVODB_TRY(step([&] { return begin_epoch(); }));
      } else if (i == 9) {
        outbox_.reset();  // closed in peace
      } else if (i == 13) {
        kill();
      } else {
        EVODB_TRY(step([&] { return append(1 + static_cast<std::size_t>(i) % 3); }));
      }
    }
    EVODB_TRY(step([&] { return compare(); }));
    return {};
  }

  void forget() override {
    outbox_.reset();
    sqlite_.forget();
  }

  Result<void> recover() override {
    EVODB_TRY(open());
    return compare();
  }
  Result<void> go_on() override {
    EVODB_TRY(append(2));
    EVODB_TRY(trim(Lsn(rows_.size() - 1)));
    EVODB_TRY(compare());
    outbox_.reset();
    EVODB_TRY(open());
    return compare();
  }

 private:
  void kill() {
    const bool was_off = disk_.crashed();
    disk_.crash();
    forget();
    if (!was_off) disk_.resume();
  }

  Result<void> open() {
    if (outbox_) return {};
    outbox_ = EVODB_TRY(edge::FileOutbox::open(path, "shop", Epoch(1), {.vfs = sqlite_.name()}));
    return {};
  }

  // Errors are met as an application would: once more; then with the file opened anew; then the
  // process is killed and started anew.
  template <class Step>
  Result<void> step(Step what) {
    Result<void> done;
    for (int tries = 0; tries < 5; ++tries) {
      done = open();
      if (done && fresh_start_) {
        fresh_start_ = false;
        done = compare();
      }
      if (done) done = what();
      if (done || disk_.crashed()) return done;
      if (done.error().kind == ErrorKind::kInternal) return done;
      if (tries == 1) outbox_.reset();
      if (tries == 2) kill();
      if (tries >= 1) fresh_start_ = true;
    }
    return done;
  }

  Result<void> append(std::size_t n) {
    std::vector<std::string> rows;
    std::vector<edge::NewChange> changes;
    for (std::size_t i = 1; i <= n; ++i) rows.push_back(row_of(rows_.size() + i, nonce_));
    for (std::size_t i = 0; i < n; ++i) {
      const wire::TableDef& table = table_of(rows_.size() + i + 1);
      changes.push_back({.op = Op::kInsert,
                         .table = &table,
                         .table_fingerprint = table.fingerprint(),
                         .after = {true, 1, rows[i]},
                         .committed_at = UnixMillis(77)});
    }
    const auto last = outbox_->append(changes);
    if (!last) {
      // Where the machine stopped nobody heard what it said.
      maybe_ = {.rows = rows, .kind = disk_.crashed() ? ErrorKind::kInternal : last.error().kind};
      return fail(last.error());
    }
    // While this process lives a group that failed is written over by the next one.
    if (last->value != rows_.size() + n) return wrong("append gives another LSN");
    take(std::move(rows));
    return {};
  }
  void take(std::vector<std::string> rows) {
    const TxnId txn(rows_.size() + rows.size());
    for (std::string& row : rows) rows_.push_back({Lsn(rows_.size() + 1), txn, std::move(row)});
    maybe_ = {};
    ++nonce_;  // what is tried again is the same; what comes after it is not
  }

  Result<void> trim(Lsn through) {
    const ChainHash chain(through.value * 1'000 + 7);
    next_mark_ = {through, chain};
    EVODB_TRY(outbox_->trim(EVODB_TRY(outbox_->state()).epoch, through, chain));
    if (through > mark_.lsn) mark_ = next_mark_;
    return {};
  }
  Result<void> begin_epoch() {
    maybe_epoch_ = true;
    const Epoch begun = EVODB_TRY(outbox_->begin_epoch(Epoch()));
    if (begun <= epoch_) return wrong("a new epoch that is none");
    epoch_ = begun;
    mark_.chain = ChainHash();
    maybe_epoch_ = false;
    return {};
  }

  Result<void> compare() {
    const auto state = EVODB_TRY(outbox_->state());
    if (state.source != "shop") return wrong("the source is '" + state.source + "'");
    if (maybe_epoch_ && state.epoch > epoch_) {
      epoch_ = state.epoch;
      mark_.chain = ChainHash();
    }
    maybe_epoch_ = false;
    if (state.epoch != epoch_) return wrong("epoch " + std::to_string(state.epoch.value));
    const Mark mark{state.trimmed, state.trimmed_chain};
    if (mark == next_mark_ && mark.lsn > mark_.lsn) mark_ = mark;
    if (mark != mark_) return wrong("trimmed at " + std::to_string(mark.lsn.value));
    Collect got;
    EVODB_TRY(outbox_->read(Lsn(), got));
    if (!got.fits) return wrong("a change of another kind than was appended");
    const std::size_t end = mark_.lsn.value + got.seen.size();
    if (end < rows_.size()) return wrong("acknowledged changes are lost");
    if (end > rows_.size()) {
      if (end != rows_.size() + maybe_.rows.size()) return wrong("half a group");
      if (maybe_.kind != ErrorKind::kOutcomeUnknown && maybe_.kind != ErrorKind::kInternal) {
        return wrong("append said " + std::string(error_kind_name(maybe_.kind)) +
                     ", and yet the changes are there");
      }
      take(std::move(maybe_.rows));
    }
    maybe_ = {};
    for (std::size_t i = 0; i < got.seen.size(); ++i) {
      if (got.seen[i] != rows_[mark_.lsn.value + i]) {
        return wrong("another change than was appended at LSN " +
                     std::to_string(got.seen[i].lsn.value));
      }
    }
    if (state.head.value != rows_.size()) return wrong("head " + std::to_string(state.head.value));
    return {};
  }

  struct Group {
    std::vector<std::string> rows;
    ErrorKind kind = ErrorKind::kInternal;  // kInternal: the machine stopped during it
  };
  struct Mark {
    Lsn lsn;
    ChainHash chain;
    friend bool operator==(const Mark&, const Mark&) = default;
  };

  FakeDisk disk_;
  FakeClock clock_;
  SeededRandom random_{5};
  SqliteDisk sqlite_;
  std::unique_ptr<edge::FileOutbox> outbox_;
  bool fresh_start_ = false;

  std::vector<Seen> rows_;  // acknowledged; LSN i + 1
  Group maybe_;             // failed: it may be found by a later process
  Mark mark_, next_mark_;
  Epoch epoch_{1};
  bool maybe_epoch_ = false;
  std::uint64_t nonce_ = 0;
};

}  // namespace

void run_edge_file(const Extent& extent, Report& report) {
  enumerate_disk([] { return std::make_unique<FileOutboxWorld>(); }, extent, report,
                 {.through_sqlite = true});
}

}  // namespace evodb::sim
