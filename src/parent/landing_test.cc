#include "parent/landing.h"

#include <gtest/gtest.h>

#include "ingest/batch_record.h"
#include "lake/flush_job.h"
#include "sim/seams/fake_disk.h"
#include "sim/seams/fake_loop.h"
#include "sim/seams/fake_network.h"
#include "sim/seams/fake_store.h"
#include "sim/seams/seeded_random.h"
#include "wire/change.h"

namespace evodb::parent {
namespace {

class LoopExecutor final : public base::Executor {
 public:
  explicit LoopExecutor(sim::FakeLoop& loop) : loop_(loop) {}
  void post(std::function<void()> work) override { loop_.post(std::move(work)); }
  void post_after(std::int64_t delay_ms, std::function<void()> work) override {
    loop_.after(delay_ms, std::move(work));
  }

 private:
  sim::FakeLoop& loop_;
};

class LoopRunner final : public StoreRunner {
 public:
  LoopRunner(sim::FakeLoop& loop, sim::FakeStore& store) : loop_(loop), store_(store) {}
  void flush(std::shared_ptr<lake::FlushMachine> machine, std::function<void()> done) override {
    const lake::FlushStep step = machine->next();
    if (step.done()) return done();
    if (step.io) machine->on_response(table::perform(store_, *catalog, *step.io));
    // A wait may be ended early by another thread.
    loop_.after(std::min<std::int64_t>(step.wait_ms + 1, 50),
                [this, machine, done = std::move(done)] { flush(machine, done); });
  }
  void run(std::function<void(store::ObjectStore&, table::Catalog&)> work) override {
    work(store_, *catalog);
  }
  const store::ObjectStore& naming() const override { return store_; }

  std::unique_ptr<table::Catalog> catalog =
      table::open_sqlite_catalog(":memory:", "evodb", "evodb").value();

 private:
  sim::FakeLoop& loop_;
  sim::FakeStore& store_;
};

class OneFile final : public lake::FileEncoder {
 public:
  Result<std::vector<lake::EncodedFile>> encode(const lake::FlushJob&, std::uint64_t) override {
    std::vector<lake::EncodedFile> files(1);
    files[0].bytes = "rows";
    files[0].metrics.record_count = 1;
    return files;
  }
};

class Heard final : public Landing::Events {
 public:
  void on_persisted(std::vector<lake::PersistedMark>) override {}
  void on_landed(Position through, bool) override { landed = through; }
  void on_stale(std::string table, Error why) override { stale.emplace_back(table, why); }
  void on_refused(std::string table, Error why) override { refused.emplace_back(table, why); }
  void on_well(std::string) override {}
  std::vector<std::pair<std::string, Error>> stale, refused;
  Position landed;
};

// Tables "ill" and "well"; the store fails puts for one of them, or all.
class LandingTest : public testing::Test {
 protected:
  LandingTest() {
    EXPECT_TRUE(disk_.make_directories("j"));
    journal::JournalOptions options;
    options.segment_bytes = 1u << 20;
    options.max_bytes = 8u << 20;
    journal::RecoveryReport report;
    journal_ = journal::Journal::open(disk_, "j", options, random_, &report).value();
    const table::WriterEpoch writer = runner_.catalog->claim().value();
    landing_ = std::make_unique<Landing>(
        Landing::Seams{executor_, runner_, loop_.clock(), random_, encoder_}, *journal_,
        SetAside::open(disk_, "j", journal_->id(), 1u << 20).value(), lake::FlushOptions{}, heard_);
    landing_->start(lake::Lake::create({}, {"parent", writer, journal_->id()}));
  }

  void append(const std::string& table) {
    const wire::TableDef def{.name = table, .columns = {{.name = "id", .key_ordinal = 1}}};
    std::string definition;
    wire::encode_table_def(definition, def);
    const std::string_view definition_part = definition;
    ASSERT_TRUE(journal_->append(journal::RecordType::kTableDef, {&definition_part, 1}));
    const Lsn lsn(++lsn_);
    std::string row;
    wire::put_value(row, ValueView::of_integer(static_cast<std::int64_t>(lsn.value)));
    wire::BatchWriter writer;
    writer.reset(Lsn(lsn.value - 1), ChainHash());
    writer.add_change(Op::kInsert, 0, def.fingerprint(), lsn, TxnId(lsn.value), UnixMillis(9), {},
                      {}, {true, 1, row});
    const std::string body = writer.finish();
    std::string prefix;
    ingest::encode_batch_record_prefix(prefix, {.source = "shop",
                                                .epoch = Epoch(1),
                                                .received_at = UnixMillis(10),
                                                .last_lsn = lsn,
                                                .last_txn = TxnId(lsn.value),
                                                .change_count = 1,
                                                .tables = {{0, def.fingerprint()}}});
    const std::string_view parts[] = {prefix, body};
    ASSERT_TRUE(journal_->append(journal::RecordType::kBatch, parts));
    ASSERT_TRUE(journal_->commit());
    landing_->wake();
  }
  // Every put whose key has `part` in it.
  void fail_puts(const std::string& part, sim::FakeStore::Fault fault) {
    store_.fail_if([=](const sim::FakeStore::Call& call) {
      const bool hit = call.kind == sim::FakeStore::Kind::kPut && call.key.contains(part);
      return hit ? std::optional(fault) : std::nullopt;
    });
  }
  // One change of "well" every five seconds.
  void go_on_for(int seconds) {
    for (int s = 0; s < seconds && heard_.refused.empty(); s += 5) {
      append("well");
      network_.run_for(5'000);
    }
  }
  bool has_landed(const std::string& table) {
    return runner_.catalog->load(table).value().has_value();
  }
  std::int64_t now() { return loop_.clock().monotonic().value; }

  sim::FakeNetwork network_{1};
  sim::FakeLoop loop_{network_, "parent"};
  sim::FakeStore store_{loop_.clock()};
  sim::FakeDisk disk_;
  sim::SeededRandom random_{3};
  LoopExecutor executor_{loop_};
  LoopRunner runner_{loop_, store_};
  OneFile encoder_;
  Heard heard_;
  std::unique_ptr<journal::Journal> journal_;
  std::unique_ptr<Landing> landing_;
  std::uint64_t lsn_ = 0;
};

TEST_F(LandingTest, ATableThatIsRefusedWhileOthersCommitIsSaid) {
  for (const auto fault : {sim::FakeStore::Fault::kInvalid, sim::FakeStore::Fault::kRetry}) {
    heard_.refused.clear();
    fail_puts("ill_changes/", fault);
    const std::int64_t began = now();
    append("ill");
    go_on_for(300);
    ASSERT_EQ(heard_.refused.size(), 1u);
    EXPECT_EQ(heard_.refused[0].first, "ill_changes");
    EXPECT_GE(now() - began, Landing::refused_after_ms);
    EXPECT_LE(now() - began, 3 * Landing::refused_after_ms) << "a retry takes up to a minute";
    EXPECT_TRUE(has_landed("well_changes"));
    EXPECT_FALSE(has_landed("ill_changes"));
    EXPECT_TRUE(heard_.stale.empty());
  }
}

// evodb-sim, profile other-engines, seeds 950129 and 950193: a full journal waited for that word.
TEST_F(LandingTest, ALakeThatIsBegunAnewSaysAgainWhatHasLanded) {
  append("well");
  network_.run_for(5'000);
  const Position landed = heard_.landed;
  EXPECT_GT(landed, Position());
  bool stopped = false;
  landing_->stop([&] { stopped = true; });
  network_.run_for(1'000);
  ASSERT_TRUE(stopped);
  heard_.landed = Position();
  auto lake = lake::Lake::create({}, {"parent", table::WriterEpoch(1), journal_->id()});
  const auto location = runner_.catalog->load("well_changes").value().value();
  const auto json = store_.get(store_.key_of(location).value()).value();
  lake->add_table(table::parse_table_state("well_changes", location, json, store_).value());
  landing_->start(std::move(lake));
  network_.run_for(1'000);
  EXPECT_EQ(heard_.landed, landed);
}

TEST_F(LandingTest, AStoreThatWasAwayRefusesNoTable) {
  fail_puts("", sim::FakeStore::Fault::kRetry);
  append("ill");
  go_on_for(300);
  EXPECT_FALSE(has_landed("well_changes"));
  store_.clear_faults();
  go_on_for(300);
  EXPECT_TRUE(heard_.refused.empty());
  EXPECT_TRUE(has_landed("well_changes"));
  EXPECT_TRUE(has_landed("ill_changes"));
}

}  // namespace
}  // namespace evodb::parent
