#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <future>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/posix/epoll_loop.h"
#include "edge/edge_runner.h"
#include "edge/fake_parent.h"
#include "evodb/client.h"

namespace evodb::edge {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A strict parent on real sockets, on a thread of its own.
class RealParent {
 public:
  explicit RealParent(const std::string& address = "127.0.0.1:0")
      : loop_(*base::EpollLoop::create()), parent_(*loop_, address) {
    thread_ = std::thread([this] { loop_->run(); });
  }
  ~RealParent() {
    loop_->stop();
    thread_.join();
    EXPECT_THAT(parent_.violations, IsEmpty());
  }
  std::string url() const { return "ws://" + parent_.address(); }
  std::string address() const { return parent_.address(); }
  // On its thread.
  template <class F>
  auto ask(F f) {
    std::promise<decltype(f(parent_))> answer;
    loop_->post([&] { answer.set_value(f(parent_)); });
    return answer.get_future().get();
  }
  std::size_t entries(const std::string& source) {
    return ask([&](FakeParent& p) {
      std::size_t n = 0;
      for (auto& [epoch, life] : p.lives[source]) n += life.entries.size();
      return n;
    });
  }

 private:
  std::unique_ptr<base::EpollLoop> loop_;
  FakeParent parent_;
  std::thread thread_;
};

ClientChange order(std::int64_t id) {
  ClientChange c;
  c.table = "orders";
  c.after = {Value::integer(id), Value::real(static_cast<double>(id) / 2)};
  return c;
}

std::unique_ptr<RpcClient> make(const std::string& url, RpcClientOptions options = {}) {
  options.url = url;
  if (options.child_id.empty()) options.child_id = "shop";
  auto client = create_rpc_client(std::move(options));
  EXPECT_TRUE(client) << client.error().text;
  EXPECT_TRUE((*client)->register_table({"orders", {{"id", "INTEGER", 1}, {"total", "REAL", 0}}}));
  return std::move(*client);
}

TEST(RpcClient, ChangesReachTheParentAndFlushWaitsForThem) {
  RealParent parent;
  auto client = make(parent.url());
  ASSERT_TRUE(client->connect());
  for (int i = 0; i < 1'000; ++i) ASSERT_TRUE(client->send(order(i)));
  const auto flushed = client->flush(10'000);
  ASSERT_TRUE(flushed) << flushed.error().text;
  EXPECT_EQ(parent.entries("shop"), 1'000u);
  const ClientStats stats = client->get_stats();
  EXPECT_TRUE(stats.connected);
  EXPECT_EQ(stats.last_ack_lsn, Lsn(1'000));
  EXPECT_EQ(stats.last_persisted_lsn, Lsn(1'000));
  EXPECT_GE(stats.messages_sent, 10u);
  EXPECT_GT(stats.bytes_sent, 10'000u);
  EXPECT_FALSE(stats.last_error);
}

TEST(RpcClient, ConnectNeedsNoParentAndChangesQueueUntilThereIsOne) {
  std::string address;
  {
    RealParent gone;
    address = gone.address();
  }
  auto client = make("ws://" + address);
  ASSERT_TRUE(client->connect());
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(client->send(order(i)));
  const auto early = client->flush(100);
  ASSERT_FALSE(early);
  EXPECT_EQ(early.error().kind, ErrorKind::kRetry);
  EXPECT_THAT(early.error().text, HasSubstr("changes 1 to 10 are not acknowledged"));
  EXPECT_THAT(text_of(client->get_stats().last_error), HasSubstr("refused"));
  EXPECT_FALSE(client->get_stats().connected);
  RealParent parent(address);
  ASSERT_TRUE(client->flush(15'000));
  EXPECT_EQ(parent.entries("shop"), 10u);
}

TEST(RpcClient, ABatchCompletesAtEachLevelInOrder) {
  for (const WaitLevel wait : {WaitLevel::kDurable, WaitLevel::kPersisted}) {
    RealParent parent;
    auto client = make(parent.url(), {.wait = wait});
    std::mutex mutex;
    std::vector<std::pair<BatchStage, std::uint64_t>> calls;
    ASSERT_TRUE(client->connect());
    for (int i = 0; i < 5; ++i) {
      ASSERT_TRUE(client->send_batch({order(i), order(i + 100)},
                                     [&](BatchStage stage, Lsn last, const Error* error) {
                                       const std::lock_guard lock(mutex);
                                       EXPECT_EQ(error, nullptr);
                                       calls.emplace_back(stage, last.value);
                                     }));
    }
    ASSERT_TRUE(client->flush(10'000));
    client->disconnect();
    for (std::uint64_t last = 2; last <= 10; last += 2) {
      std::vector<BatchStage> stages;
      for (const auto& [stage, lsn] : calls) {
        if (lsn == last) stages.push_back(stage);
      }
      if (wait == WaitLevel::kDurable) {
        EXPECT_THAT(stages, ::testing::ElementsAre(BatchStage::kDurable));
      } else {
        EXPECT_THAT(stages, ::testing::ElementsAre(BatchStage::kDurable, BatchStage::kPersisted));
      }
    }
  }
}

TEST(RpcClient, AFullOutboxIsATypedErrorAndLosesNothing) {
  RealParent parent;
  auto client = make(parent.url(), {.outbox = {.max_bytes = 5'000}});
  int taken = 0;
  for (;; ++taken) {
    const auto sent = client->send(order(taken));
    if (sent) continue;
    EXPECT_EQ(sent.error().kind, ErrorKind::kOverLimit);
    break;
  }
  EXPECT_GT(taken, 20);
  ASSERT_TRUE(client->connect());
  ASSERT_TRUE(client->flush(10'000));
  EXPECT_EQ(parent.entries("shop"), static_cast<std::size_t>(taken));
  // flush() returns with the acknowledgement; its space comes back with the trim just after.
  for (int i = 0; i < 200 && !client->send(order(taken)); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ASSERT_TRUE(client->flush(10'000));
  EXPECT_EQ(parent.entries("shop"), static_cast<std::size_t>(taken) + 1);
}

TEST(RpcClient, AnOutboxFileBringsItsChangesToTheNextProcess) {
  const std::string file = std::filesystem::temp_directory_path() /
                           ("evodb-client-" + std::to_string(getpid()) + ".outbox");
  const auto remove = [&] {
    for (const char* end : {"", "-wal", "-shm"}) std::filesystem::remove(file + end);
  };
  remove();
  RealParent parent;
  for (int life = 0; life < 3; ++life) {
    auto client = make(parent.url(), {.outbox = {.file = file}});
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(client->send(order(life * 100 + i)));
    if (life == 1) {
      ASSERT_TRUE(client->connect());
      ASSERT_TRUE(client->flush(10'000));
    }
  }
  EXPECT_EQ(parent.entries("shop"), 40u);
  auto client = make(parent.url(), {.outbox = {.file = file}});
  ASSERT_TRUE(client->connect());
  ASSERT_TRUE(client->flush(10'000));
  EXPECT_EQ(parent.entries("shop"), 60u);
  EXPECT_EQ(parent.ask([](FakeParent& p) { return p.lives["shop"].size(); }), 1u);  // one epoch
  client.reset();
  remove();
}

TEST(RpcClient, WhatIsNoParentEndsItWithAnErrorUntilConnectIsCalledAgain) {
  RealParent parent;
  parent.ask([](FakeParent& p) {
    p.options.http_answer = "HTTP/1.1 404 Not Found\r\n\r\n";
    return 0;
  });
  auto client = make(parent.url());
  std::atomic<int> failed = 0;
  ASSERT_TRUE(client->send_batch({order(1)}, [&](BatchStage stage, Lsn, const Error* error) {
    if (stage == BatchStage::kFailed && error != nullptr) ++failed;
  }));
  ASSERT_TRUE(client->connect());
  const auto flushed = client->flush(10'000);
  ASSERT_FALSE(flushed);
  EXPECT_EQ(flushed.error().kind, ErrorKind::kInvalid);
  EXPECT_THAT(flushed.error().text, HasSubstr("is not an EvoDB parent"));
  const auto sent = client->send(order(2));
  ASSERT_FALSE(sent);
  EXPECT_THAT(sent.error().text, HasSubstr("is not an EvoDB parent"));
  parent.ask([](FakeParent& p) {
    p.options.http_answer.clear();
    return 0;
  });
  ASSERT_TRUE(client->connect());
  ASSERT_TRUE(client->send(order(2)));
  ASSERT_TRUE(client->flush(10'000));
  EXPECT_EQ(parent.entries("shop"), 2u);
  EXPECT_EQ(failed, 1);
}

TEST(RpcClient, ARepeatedIdIsSentOnce) {
  RealParent parent;
  auto client = make(parent.url(), {.dedup = {.max_entries = 3}});
  ASSERT_TRUE(client->connect());
  const auto with_id = [](const std::string& id) {
    ClientChange c = order(1);
    c.id = id;
    return c;
  };
  for (const char* id : {"a", "b", "a", "b", "c", "a"}) ASSERT_TRUE(client->send(with_id(id)));
  ASSERT_TRUE(client->flush(10'000));
  EXPECT_EQ(parent.entries("shop"), 3u);
  std::atomic<int> done = 0;
  ASSERT_TRUE(client->send_batch({with_id("a"), with_id("a")},
                                 [&](BatchStage, Lsn, const Error*) { ++done; }));
  ASSERT_TRUE(client->send(with_id("d")));  // "a" is the oldest of four now, and forgotten
  ASSERT_TRUE(client->send(with_id("a")));
  ASSERT_TRUE(client->flush(10'000));
  EXPECT_EQ(parent.entries("shop"), 5u);
  EXPECT_GE(done, 1);
}

TEST(RpcClient, WrongChangesAreRefusedOneByOneWithWhatIsWrong) {
  auto client = make("ws://127.0.0.1:1");
  const auto refused = [&](ClientChange c) {
    const auto sent = client->send(c);
    EXPECT_FALSE(sent);
    return sent ? std::string() : sent.error().text;
  };
  ClientChange c = order(1);
  c.table = "nobody";
  EXPECT_THAT(refused(c), HasSubstr("call register_table first"));
  c = order(1);
  c.after.pop_back();
  EXPECT_THAT(refused(c), HasSubstr("after has 1 values, the table has 2 columns"));
  c = order(1);
  c.op = Op::kDelete;
  EXPECT_THAT(refused(c), HasSubstr("a DELETE has no row after"));
  c.after.clear();
  EXPECT_THAT(refused(c), HasSubstr("a DELETE needs the row or its key"));
  c.key = {Value::integer(1), Value::integer(2)};
  EXPECT_THAT(refused(c), HasSubstr("the table's key has 1 columns"));
  c = order(1);
  c.op = Op::kOversize;
  EXPECT_THAT(refused(c), HasSubstr("that applications do not send"));
  c = order(1);
  c.after[1] = Value::blob(std::string(9u << 20, 'b'));
  EXPECT_THAT(refused(c), HasSubstr("at most 8388608 can be sent"));
  EXPECT_FALSE(client->send_batch({}));
  EXPECT_FALSE(client->register_table({"t", {}}));
  EXPECT_FALSE(client->register_table({"t", {{"x", "", 0}, {"x", "", 0}}}));
  EXPECT_FALSE(client->register_table({"t", {{"x", "", 2}}}));
}

TEST(RpcClient, ManyThreadsSendAtOnceAndStatsAreTold) {
  RealParent parent;
  std::atomic<int> told = 0;
  auto client =
      make(parent.url(), {.on_stats = [&](const ClientStats&) { ++told; }, .stats_interval_ms = 5});
  ASSERT_TRUE(client->connect());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) EXPECT_TRUE(client->send(order(t * 1'000 + i)));
    });
  }
  for (std::thread& t : threads) t.join();
  ASSERT_TRUE(client->flush(10'000));
  EXPECT_EQ(parent.entries("shop"), 2'000u);
  EXPECT_GT(told, 0);
}

TEST(RpcClient, DisconnectsAndConnectsAgainWithWhatIsLeft) {
  RealParent parent;
  auto client = make(parent.url());
  for (int round = 0; round < 5; ++round) {
    ASSERT_TRUE(client->connect());
    for (int i = 0; i < 50; ++i) ASSERT_TRUE(client->send(order(i)));
    client->disconnect();
    ASSERT_TRUE(client->send(order(-1)));
  }
  ASSERT_TRUE(client->connect());
  ASSERT_TRUE(client->flush(10'000));
  EXPECT_EQ(parent.entries("shop"), 255u);
}

TEST(ParentUrl, IsTakenApartOrRefusedWithWhatIsWrong) {
  const auto ok = [](const std::string& url) { return *parse_parent_url(url); };
  EXPECT_EQ(ok("ws://h").port, 8787);
  EXPECT_EQ(ok("ws://h:1").host, "h");
  EXPECT_EQ(ok("ws://[::1]:99/x/y?z=1").host, "::1");
  EXPECT_EQ(ok("ws://[::1]:99/x/y?z=1").port, 99);
  EXPECT_EQ(ok("ws://[::1]:99/x/y?z=1").path, "/x/y?z=1");
  for (const char* url : {"", "h:1", "http://h", "wss://h", "ws://", "ws://:1", "ws://h:",
                          "ws://h:0", "ws://h:65536", "ws://h:1x", "ws://h/a b", "ws://u@h",
                          "ws://[::1", "ws://[[]", "ws://h]", "ws://h?x", "ws://h/\r\nX: y"}) {
    const auto parsed = parse_parent_url(url);
    ASSERT_FALSE(parsed) << url;
    EXPECT_THAT(parsed.error().text, HasSubstr("write ws://HOST:PORT"));
  }
}

}  // namespace
}  // namespace evodb::edge
