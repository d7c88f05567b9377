#include "parent/store_health.h"

#include <gtest/gtest.h>

#include "parent/landing.h"
#include "sim/seams/fake_loop.h"
#include "sim/seams/fake_network.h"
#include "sim/seams/fake_store.h"
#include "sim/seams/seeded_random.h"

namespace evodb::parent {
namespace {

// Work with the store takes a while, or for ever.
class SlowRunner final : public StoreRunner {
 public:
  SlowRunner(sim::FakeLoop& loop, sim::FakeStore& store) : loop_(loop), store_(store) {}
  void flush(std::shared_ptr<lake::FlushMachine>, std::function<void()>) override {}
  void run(std::function<void(store::ObjectStore&, table::Catalog&)> work) override {
    ++runs;
    if (hangs) return;
    loop_.after(20, [this, work] { work(store_, *catalog_); });
  }
  const store::ObjectStore& naming() const override { return store_; }
  bool hangs = false;
  int runs = 0;

 private:
  sim::FakeLoop& loop_;
  sim::FakeStore& store_;
  std::unique_ptr<table::Catalog> catalog_ =
      table::open_sqlite_catalog(":memory:", "evodb", "evodb").value();
};

class StoreHealthTest : public testing::Test {
 protected:
  std::vector<Error> reasons() { return health_->reasons(landing_); }
  std::string said_reason() { return reasons().empty() ? "" : reasons().front().text; }

  sim::FakeNetwork network_{1};
  sim::FakeLoop loop_{network_, "parent"};
  sim::FakeStore store_{loop_.clock()};
  sim::SeededRandom random_{1};
  SlowRunner runner_{loop_, store_};
  std::vector<std::string> said_;
  LandingStats landing_;
  std::shared_ptr<StoreHealth> health_ = std::make_shared<StoreHealth>(
      StoreHealth::Seams{loop_, runner_, loop_.clock(), random_},
      StoreHealthOptions{.call_ms_max = 1'000, .unlanded_ms_max = 5'000},
      [this](const std::string& line) { said_.push_back(line); });
};

TEST_F(StoreHealthTest, NothingIsReadyBeforeTheFirstProbeIsPassed) {
  EXPECT_EQ(reasons().size(), 1u);
  health_->probe();
  EXPECT_EQ(reasons().front().kind, ErrorKind::kRetry);
  network_.run_for(100);
  EXPECT_TRUE(health_->passed());
  EXPECT_TRUE(reasons().empty());
  EXPECT_TRUE(said_.empty()) << "what is as it should be is not news";
  network_.run_for(600'000);
  EXPECT_EQ(runner_.runs, 1) << "and it is quiet";
}

TEST_F(StoreHealthTest, ARefusalIsNamedAndTriedAgainLessAndLessOften) {
  store_.fail_if([](const sim::FakeStore::Call&) { return sim::FakeStore::Fault::kInvalid; });
  health_->probe();
  network_.run_for(100);
  ASSERT_EQ(reasons().size(), 1u);
  EXPECT_EQ(reasons().front().kind, ErrorKind::kInvalid);
  network_.run_for(600'000);
  EXPECT_GE(runner_.runs, 10);
  EXPECT_LE(runner_.runs, 20);
  EXPECT_EQ(said_.size(), 1u) << "the same is said once";
  store_.clear_faults();
  network_.run_for(61'000);
  EXPECT_TRUE(reasons().empty());
  EXPECT_EQ(said_.size(), 2u);
}

TEST_F(StoreHealthTest, AProbeThatHangsSaysForHowLong) {
  runner_.hangs = true;
  health_->probe();
  network_.run_for(500);
  EXPECT_EQ(said_reason(), "the store is being probed");
  network_.run_for(2'600);
  EXPECT_EQ(said_reason(), "the store has not answered its probe for 3 s");
}

TEST_F(StoreHealthTest, AHungCallAndChangesThatDoNotLandAreReasons) {
  health_->probe();
  network_.run_for(100);
  landing_.oldest_call = lake::StoreCall{"put of 3 objects", loop_.clock().monotonic()};
  landing_.lake.buffers.oldest_entry_age_ms = 5'000;
  EXPECT_TRUE(reasons().empty());
  network_.run_for(2'000);
  landing_.lake.buffers.oldest_entry_age_ms = 7'000;
  ASSERT_EQ(reasons().size(), 2u);
  EXPECT_EQ(reasons()[0].text, "a call has not been answered for 2 s: put of 3 objects");
  EXPECT_EQ(reasons()[1].text, "a change that came 7 s ago has not landed");
}

TEST_F(StoreHealthTest, OneThatHasStoppedProbesAndSaysNothingMore) {
  store_.set_away(true);
  health_->probe();
  health_->stop();
  network_.run_for(100'000);
  EXPECT_EQ(runner_.runs, 1);
  EXPECT_TRUE(said_.empty());
}

}  // namespace
}  // namespace evodb::parent
