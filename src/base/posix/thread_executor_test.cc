#include "base/posix/thread_executor.h"

#include <chrono>
#include <future>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

namespace evodb::base {
namespace {

TEST(ThreadExecutor, WorkForLaterRunsWhenItIsDueAndNotBeforeWhatIsDueNow) {
  ThreadExecutor executor("test");
  std::vector<int> ran;  // the executor's only, until `done`
  std::promise<void> done;
  const auto begun = std::chrono::steady_clock::now();
  executor.post_after(40, [&] {
    ran.push_back(3);
    done.set_value();
  });
  executor.post_after(20, [&] { ran.push_back(2); });
  executor.post([&] {
    ran.push_back(0);
    executor.post_after(0, [&] { ran.push_back(1); });  // from its own thread
  });
  done.get_future().wait();
  EXPECT_EQ(ran, (std::vector<int>{0, 1, 2, 3}));
  EXPECT_GE(std::chrono::steady_clock::now() - begun, std::chrono::milliseconds(40));
}

TEST(ThreadExecutor, StopFinishesWhatIsPostedAndForgetsWhatIsDueLater) {
  ThreadExecutor executor("test");
  const auto held = std::make_shared<int>(0);
  bool ran = false;
  executor.post_after(3'600'000, [held] { ADD_FAILURE() << "an hour has not passed"; });
  executor.post([&] { ran = true; });
  executor.stop();
  EXPECT_TRUE(ran);
  executor.post_after(0, [held] { ADD_FAILURE() << "it has ended"; });
  executor.post([held] { ADD_FAILURE() << "it has ended"; });
  EXPECT_EQ(held.use_count(), 2) << "the one that is due later, until the executor goes";
}

}  // namespace
}  // namespace evodb::base
