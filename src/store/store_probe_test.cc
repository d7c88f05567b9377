#include "store/store_probe.h"

#include <gtest/gtest.h>

#include "sim/seams/fake_clock.h"
#include "sim/seams/fake_store.h"

namespace evodb::store {
namespace {

using sim::FakeStore;

// A store that breaks one promise.
struct Broken : FakeStore {
  using FakeStore::FakeStore;
  bool ignores_condition = false, forgets = false, replaces_anyway = false, keeps_removed = false,
       never_replaces = false;
  Result<void> put(const std::string& key, std::string_view bytes, PutMode mode) override {
    if (forgets) return {};
    if (never_replaces && mode == PutMode::kOverwrite) return {};
    if (ignores_condition) mode = PutMode::kOverwrite;
    if (replaces_anyway && peek(key)) set_object(key, std::string(bytes));
    return FakeStore::put(key, bytes, mode);
  }
  Result<void> remove(const std::string& key) override {
    return keeps_removed ? Result<void>() : FakeStore::remove(key);
  }
};

class StoreProbeTest : public testing::Test {
 protected:
  Error refused() {
    const auto kept = probe_store(store_, ++nonce_);
    EXPECT_FALSE(kept);
    return kept ? Error{} : kept.error();
  }
  sim::FakeClock clock_;
  Broken store_{clock_};
  std::uint64_t nonce_ = 100;
};

TEST_F(StoreProbeTest, AStoreThatKeepsItsPromisesPassesAndIsLeftAsItWas) {
  store_.set_object("evodb/t/data/x", "bytes");
  EXPECT_TRUE(probe_store(store_, 7));
  EXPECT_TRUE(probe_store(store_, 7)) << "nothing is left that would be in its way";
  EXPECT_EQ(store_.objects().size(), 1u);
}

TEST_F(StoreProbeTest, APutConditionThatIsNotHonouredIsNamed) {
  store_.ignores_condition = true;
  const Error error = refused();
  EXPECT_EQ(error.kind, ErrorKind::kInvalid);
  EXPECT_NE(error.text.find("If-None-Match"), std::string::npos) << error.text;
  EXPECT_TRUE(store_.objects().empty());
}

TEST_F(StoreProbeTest, EveryOtherBrokenPromiseIsFinal) {
  for (bool Broken::* const promise : {&Broken::forgets, &Broken::replaces_anyway,
                                       &Broken::keeps_removed, &Broken::never_replaces}) {
    store_.*promise = true;
    EXPECT_EQ(refused().kind, ErrorKind::kInvalid);
    store_.*promise = false;
    EXPECT_TRUE(probe_store(store_, ++nonce_));
  }
}

TEST_F(StoreProbeTest, WhicheverCallFailsItSaysSoAndTheNextProbePasses) {
  const std::uint64_t before = store_.calls();
  ASSERT_TRUE(probe_store(store_, 1));
  const std::uint64_t calls = store_.calls() - before;
  ASSERT_GE(calls, 9u);
  std::uint64_t passed = 0;
  for (std::uint64_t n = 1; n <= calls; ++n) {
    for (const auto fault :
         {FakeStore::Fault::kRetry, FakeStore::Fault::kInvalid, FakeStore::Fault::kUnknownAfter}) {
      store_.fail_call(n, fault);
      const auto kept = probe_store(store_, ++nonce_);
      const bool refusal = fault == FakeStore::Fault::kInvalid;
      if (kept) {
        ++passed;
      } else {
        EXPECT_EQ(kept.error().kind, refusal ? ErrorKind::kInvalid : ErrorKind::kRetry)
            << n << ": " << kept.error().text;
      }
      EXPECT_TRUE(probe_store(store_, ++nonce_)) << n;
    }
  }
  EXPECT_EQ(passed, 1u) << "the second conditional put is refused, whatever becomes of its answer";
}

}  // namespace
}  // namespace evodb::store
