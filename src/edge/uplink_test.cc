#include "edge/uplink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "edge/fake_parent.h"
#include "edge/memory_outbox.h"

namespace evodb::edge {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

wire::TableDef users() { return {"users", 1, {{"id", "INTEGER", 1}, {"name", "TEXT", 0}}}; }

struct Observer final : UplinkObserver {
  void on_connected() override { ++connected; }
  void on_disconnected(const Error& why) override {
    ++disconnected;
    last = why;
  }
  void on_durable(Lsn lsn) override { durable.push_back(lsn.value); }
  void on_persisted(Lsn lsn) override { persisted.push_back(lsn.value); }
  void on_trimmed(Lsn lsn) override { trimmed.push_back(lsn.value); }
  void on_new_epoch(Epoch epoch, std::optional<std::string_view> why) override {
    epochs.push_back(epoch.value);
    epoch_why = why.value_or("");
  }
  void on_fatal(const Error& error) override { fatal.push_back(error); }

  int connected = 0, disconnected = 0;
  Error last;
  std::vector<std::uint64_t> durable, persisted, trimmed, epochs;
  std::string epoch_why;
  std::vector<Error> fatal;
};

// A child with an outbox in memory, and a parent.
struct World {
  explicit World(std::uint64_t seed = 1, UplinkOptions options = {}) : network(seed) {
    this->options = std::move(options);
    this->options.link.parent.host = "parent";
    start();
  }
  ~World() {
    uplink.reset();
    EXPECT_THAT(parent.violations, IsEmpty());
  }
  void start() {
    uplink.reset();
    uplink = std::make_unique<Uplink>(edge, network.random(), outbox, options, observer);
    uplink->start();
  }
  // Appends a group of changes, and tells.
  Lsn append(std::size_t n = 1, std::size_t text_bytes = 10) {
    const wire::TableDef table = users();
    std::vector<std::string> rows(n);
    std::vector<NewChange> changes;
    for (std::size_t i = 0; i < n; ++i) {
      wire::put_value(rows[i], ValueView::of_integer(static_cast<std::int64_t>(++row)));
      wire::put_value(rows[i], ValueView::of_text(std::string(text_bytes, 'x')));
      changes.push_back({.op = Op::kInsert,
                         .table = &table,
                         .table_fingerprint = table.fingerprint(),
                         .after = {true, 2, rows[i]},
                         .committed_at = edge.clock().wall()});
    }
    const auto last = outbox.append(changes);
    EXPECT_TRUE(last);
    head = last->value;
    if (uplink) uplink->notify();
    return *last;
  }
  bool caught_up(std::int64_t ms_max = 60'000) {
    return network.run_while_not([&] { return uplink->caught_up(Lsn(head)); }, ms_max);
  }
  std::uint64_t epoch() { return outbox.state()->epoch.value; }
  FakeParent::Life& life() { return parent.lives["db1"][epoch()]; }

  sim::FakeNetwork network;
  FakeParent parent{network};
  sim::FakeLoop edge{network, "edge"};
  MemoryOutbox outbox{"db1", Epoch(7)};
  Observer observer;
  UplinkOptions options;
  std::unique_ptr<Uplink> uplink;
  std::uint64_t row = 0, head = 0;
};

TEST(Uplink, SendsWhatIsHeldAndTrimsWhatWasPersisted) {
  World w;
  w.append(250);
  ASSERT_TRUE(w.caught_up());
  EXPECT_EQ(w.life().entries.size(), 250u);
  EXPECT_EQ(w.outbox.state()->trimmed, Lsn(250));
  EXPECT_EQ(w.outbox.state()->trimmed_chain, w.life().chain);
  EXPECT_EQ(w.outbox.state()->held_bytes, 0u);
  EXPECT_EQ(w.observer.persisted.back(), 250u);
  EXPECT_EQ(w.uplink->stats().last_ack_lsn, Lsn(250));
  EXPECT_EQ(w.uplink->stats().messages_sent, w.parent.batches.size());
  EXPECT_EQ(w.uplink->stats().changes_sent, 250u);
}

TEST(Uplink, KeepsChangesUntilTheLevelThatItWaitsFor) {
  for (const WaitLevel wait : {WaitLevel::kDurable, WaitLevel::kPersisted}) {
    World w(1, {.wait = wait});
    w.parent.options.persisted_ms = 5'000;
    w.append(10);
    w.network.run_for(1'000);
    EXPECT_EQ(w.life().durable, Lsn(10));
    EXPECT_EQ(w.uplink->stats().last_ack_lsn, Lsn(10));
    EXPECT_EQ(w.outbox.state()->trimmed, Lsn(wait == WaitLevel::kDurable ? 10 : 0));
    w.network.run_for(6'000);
    EXPECT_EQ(w.outbox.state()->trimmed, Lsn(10));
  }
}

TEST(Uplink, SendsAtOnceWithNothingInFlightAndJoinsWhatComesMeanwhile) {
  World w;
  w.parent.options.durable_ms = 1'000;
  w.parent.options.persisted_ms = 1'000;
  w.network.run_for(100);
  const std::int64_t began = w.network.now().value;
  w.append();
  w.network.run_for(10);
  ASSERT_EQ(w.parent.batches.size(), 1u);
  EXPECT_LE(w.parent.batches[0].at_ms - began, 3);
  for (int i = 0; i < 5; ++i) {
    w.append();
    w.network.run_for(5);
  }
  EXPECT_EQ(w.parent.batches.size(), 1u);  // one is in flight: the rest waits for batch_delay_ms
  w.network.run_for(40);
  ASSERT_EQ(w.parent.batches.size(), 2u);
  EXPECT_EQ(w.parent.batches[1].changes, 5u);
  EXPECT_NEAR(static_cast<double>(w.parent.batches[1].at_ms - began), 60, 5);
}

TEST(Uplink, CutsBatchesAtEntriesAndAtBytes) {
  World w(1, {.batch_entries = 30, .batch_bytes = 5'000});
  w.append(100);
  w.append(40, 1'000);
  w.append(1, 20'000);  // larger than a batch may be: goes alone
  ASSERT_TRUE(w.caught_up());
  bool large = false;
  for (const auto& batch : w.parent.batches) {
    EXPECT_LE(batch.changes, 30u);
    EXPECT_TRUE(batch.changes == 1 || batch.frame_bytes <= 5'000u);
    large |= batch.frame_bytes > 20'000;
  }
  EXPECT_TRUE(large);
  EXPECT_EQ(w.life().entries.size(), 141u);
}

TEST(Uplink, ObeysTheParentsLimitsOfABatch) {
  World w(1, {.batch_entries = 100});
  w.parent.options.batch_entries_max = 7;
  w.parent.options.frame_bytes_max = 900;
  w.append(60, 100);
  ASSERT_TRUE(w.caught_up());
}

TEST(Uplink, AChangeBeyondTheParentsFrameIsAnErrorThatNamesIt) {
  World w;
  w.parent.options.frame_bytes_max = 900;
  w.append(3);
  w.append(1, 2'000);
  w.network.run_for(1'000);
  ASSERT_EQ(w.observer.fatal.size(), 1u);
  EXPECT_EQ(w.observer.fatal[0].kind, ErrorKind::kOverLimit);
  EXPECT_THAT(w.observer.fatal[0].text, HasSubstr("change LSN 4 of table \"users\""));
  EXPECT_FALSE(w.uplink->running());
  EXPECT_EQ(w.outbox.state()->head, Lsn(4));
}

TEST(Uplink, KeepsWithinCreditAndIsNotStoppedByALargeRow) {
  World w(3, {.batch_entries = 10});
  w.parent.options.credit_bytes = 3'000;
  w.parent.options.durable_ms = 20;
  w.append(500, 100);
  w.append(1, 50'000);
  w.append(20);
  ASSERT_TRUE(w.caught_up());
  EXPECT_EQ(w.parent.over_credit, 0u);
  EXPECT_EQ(w.life().entries.size(), 521u);
}

TEST(Uplink, WithoutCreditWaitsAndGoesOnWhenItReturns) {
  World w;
  w.network.run_for(100);
  w.parent.set_credit(0);
  w.network.run_for(100);
  w.append(10);
  w.network.run_for(20'000);
  EXPECT_EQ(w.parent.batches.size(), 0u);
  EXPECT_EQ(w.uplink->stats().credit_bytes, 0u);
  w.parent.set_credit(1 << 20);
  ASSERT_TRUE(w.caught_up(1'000));
}

TEST(Uplink, ACreditThatShrankIsRefusedOnceAndSentAgain) {
  World w(1, {.batch_entries = 10});
  w.parent.options.durable_ms = 200;
  w.parent.options.persisted_ms = 200;
  w.append(100, 100);
  // The uplink does not know of it yet while its batches are under way.
  w.parent.refuse_next({.reason = wire::NackReason::kOverCredit, .retry_after_ms = 300});
  ASSERT_TRUE(w.caught_up());
  EXPECT_EQ(w.life().entries.size(), 100u);
  // Refused: one for credit, then those that were under way for the gap; each sent twice at most.
  EXPECT_LE(w.parent.batches.size(), 20u);
}

TEST(Uplink, ANackPausesForTheTimeThatItNames) {
  World w;
  w.network.run_for(100);
  w.parent.refuse_next({.reason = wire::NackReason::kOverCredit, .retry_after_ms = 700});
  w.append(5);
  const std::int64_t refused = w.network.now().value;
  w.network.run_for(600);
  EXPECT_EQ(w.parent.batches.size(), 1u);
  ASSERT_TRUE(w.caught_up());
  ASSERT_EQ(w.parent.batches.size(), 2u);
  EXPECT_GE(w.parent.batches[1].at_ms - refused, 700);
  EXPECT_EQ(w.observer.disconnected, 0);
}

TEST(Uplink, AGapIsFilledFromTheParentsMark) {
  World w(1, {.batch_entries = 10});
  w.append(30);
  ASSERT_TRUE(w.caught_up());
  w.parent.refuse_next({.reason = wire::NackReason::kGap});
  w.append(200);
  ASSERT_TRUE(w.caught_up());
  EXPECT_EQ(w.life().entries.size(), 230u);
  EXPECT_EQ(w.observer.disconnected, 0);
}

TEST(Uplink, AnUnavailableParentIsDialledAgainAfterTheTimeThatItNames) {
  World w;
  w.network.run_for(100);
  w.parent.refuse_next({.reason = wire::NackReason::kUnavailable, .retry_after_ms = 3'000});
  w.append(5);
  w.network.run_for(2'900);
  EXPECT_EQ(w.observer.connected, 1);
  EXPECT_THAT(text_of(w.uplink->stats().last_error), HasSubstr("cannot take changes now"));
  ASSERT_TRUE(w.caught_up());
  EXPECT_EQ(w.observer.connected, 2);
  EXPECT_FALSE(w.uplink->stats().last_error);
}

TEST(Uplink, WhatIsMalformedForTheParentEndsItAndKeepsTheChanges) {
  World w;
  w.network.run_for(100);
  w.parent.refuse_next({.reason = wire::NackReason::kMalformed, .text = "column 3 is bent"});
  w.append(5);
  w.network.run_for(60'000);
  ASSERT_EQ(w.observer.fatal.size(), 1u);
  EXPECT_EQ(w.observer.fatal[0].kind, ErrorKind::kInvalid);
  EXPECT_THAT(w.observer.fatal[0].text, HasSubstr("column 3 is bent"));
  EXPECT_EQ(w.outbox.state()->trimmed, Lsn(0));
  w.uplink->start();
  ASSERT_TRUE(w.caught_up());
}

TEST(Uplink, ResumesBehindWhatTheParentHasAfterARestartOfEither) {
  World w(5, {.batch_entries = 10});
  w.parent.options.persisted_ms = 3'000;
  w.append(95);
  w.network.run_for(500);
  EXPECT_EQ(w.life().received, Lsn(95));
  const std::size_t before = w.parent.batches.size();
  w.start();  // knows nothing but its outbox
  w.append(5);
  w.network.run_for(500);
  EXPECT_EQ(w.parent.batches.size(), before + 1);
  EXPECT_EQ(w.parent.batches.back().previous, Lsn(95));
  w.parent.crash();
  w.append(5);
  w.network.run_for(3'000);
  EXPECT_EQ(w.parent.batches.back().previous, Lsn(100));
  EXPECT_EQ(w.uplink->stats().reconnects, 1u);
  w.network.run_for(4'000);
  EXPECT_EQ(w.life().entries.size(), 105u);
  EXPECT_THAT(w.observer.epochs, IsEmpty());
}

TEST(Uplink, TrimsOnReconnectWhatWasPersistedMeanwhile) {
  World w(5, {.batch_entries = 10});
  w.parent.options.persisted_ms = 2'000;
  w.append(100);
  w.network.run_for(100);
  w.uplink->stop();
  w.network.run_for(5'000);
  EXPECT_EQ(w.outbox.state()->trimmed, Lsn(0));
  EXPECT_EQ(w.life().persisted, Lsn(100));
  w.start();
  ASSERT_TRUE(w.caught_up(500));
  EXPECT_EQ(w.outbox.state()->trimmed, Lsn(100));
}

TEST(Uplink, TrimsOnlyWhereTheChainHashIsTheParents) {
  World w(9, {.batch_entries = 7});
  for (int i = 0; i < 40; ++i) {
    w.append(1 + i % 13);
    w.network.run_for(30);
    const auto state = *w.outbox.state();
    if (state.trimmed.value == 0) continue;
    const auto& known = w.parent.chains["db1"][7];
    ASSERT_TRUE(known.contains(state.trimmed.value));
    EXPECT_EQ(known.at(state.trimmed.value), state.trimmed_chain);
  }
  ASSERT_TRUE(w.caught_up());
}

// A copied database: the same name, epoch and LSNs, other changes.
TEST(Uplink, AnotherHistoryUnderTheSameNameLeadsToANewEpochAndTrimsNothing) {
  World w;
  w.uplink->stop();
  w.append(50);
  w.network.run_for(100);
  {
    MemoryOutbox copy("db1", Epoch(7));
    const wire::TableDef table = users();
    std::string row;
    wire::put_value(row, ValueView::of_integer(-1));
    wire::put_value(row, ValueView::null());
    std::vector<NewChange> changes(20, {.op = Op::kInsert,
                                        .table = &table,
                                        .table_fingerprint = table.fingerprint(),
                                        .after = {true, 2, row}});
    ASSERT_TRUE(copy.append(changes));
    Observer ignored;
    Uplink other(w.edge, w.network.random(), copy, w.options, ignored);
    other.start();
    ASSERT_TRUE(w.network.run_while_not([&] { return other.caught_up(Lsn(20)); }, 5'000));
  }
  w.network.run_for(100);
  w.uplink->start();
  ASSERT_TRUE(w.caught_up());
  ASSERT_EQ(w.observer.epochs.size(), 1u);
  EXPECT_GT(w.observer.epochs[0], 7u);
  EXPECT_THAT(w.observer.epoch_why, HasSubstr("other changes"));
  EXPECT_EQ(w.parent.lives["db1"][7].entries.size(), 20u);  // the copy's
  EXPECT_EQ(w.life().entries.size(), 50u);                  // all of ours, none was trimmed before
}

// Two processes of one database take turns; what one of them trims is no other history to the other
// (found by evodb-sim, seed 16).
TEST(Uplink, ASecondProcessOfTheSameDatabaseNeedsNoNewEpoch) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    World w(seed, {.batch_entries = 5});
    w.options.reconnect_ms_max = 300;
    Observer observer;
    Uplink other(w.edge, w.network.random(), w.outbox, w.options, observer);
    other.start();
    for (int i = 0; i < 60; ++i) {
      w.append(3);
      w.network.run_for(40);
      if (i % 7 == 3) w.network.cut_all();
    }
    other.stop();
    ASSERT_TRUE(w.caught_up()) << "seed " << seed;
    EXPECT_THAT(w.observer.epochs, IsEmpty()) << "seed " << seed << w.observer.epoch_why;
    EXPECT_THAT(observer.epochs, IsEmpty()) << "seed " << seed << observer.epoch_why;
  }
}

// Under an epoch that another process has begun, what was acknowledged before is not: it stays.
TEST(Uplink, TrimsNothingOnceAnotherProcessHasBegunAnEpoch) {
  World w(1, {.trim_delay_ms = 2'000});
  w.append(10);
  ASSERT_TRUE(w.network.run_while_not([&] { return w.life().persisted >= Lsn(10); }, 5'000));
  w.network.run_for(100);
  ASSERT_EQ(w.outbox.state()->trimmed, Lsn(0));
  ASSERT_TRUE(w.outbox.begin_epoch(Epoch(30)));
  ASSERT_TRUE(w.caught_up());
  EXPECT_EQ(w.parent.lives["db1"][30].entries.size(), 10u);
  EXPECT_EQ(w.observer.epoch_why, "");
}

TEST(Uplink, AChainMismatchInABatchLeadsToANewEpoch) {
  World w;
  w.append(20);
  ASSERT_TRUE(w.caught_up());
  w.parent.refuse_next({.reason = wire::NackReason::kChainMismatch, .text = "differs"});
  w.append(5);
  ASSERT_TRUE(w.caught_up());
  EXPECT_EQ(w.observer.epochs.size(), 1u);
  EXPECT_EQ(w.life().entries.size(), 5u);  // 20 were persisted in the epoch before
}

TEST(Uplink, ARestoredDatabaseBeginsTheEpochThatTheParentNames) {
  World w;
  w.append(30);
  w.parent.lives["db1"][7].received = w.parent.lives["db1"][7].durable = Lsn(100);
  w.parent.lives["db1"][12];
  ASSERT_TRUE(w.caught_up());
  EXPECT_EQ(w.observer.epochs, std::vector<std::uint64_t>{13});
  EXPECT_EQ(w.life().entries.size(), 30u);
}

TEST(Uplink, AParentThatLostItsJournalGetsWhatIsStillHeld) {
  World w(4, {.batch_entries = 10});
  w.parent.options.persisted_ms = 300;
  for (int i = 0; i < 30; ++i) {
    w.append(20);
    w.network.run_for(25);
  }
  ASSERT_GT(w.life().persisted.value, 0u);
  ASSERT_GT(w.life().received, w.life().persisted);
  w.parent.lose_journal();
  ASSERT_TRUE(w.caught_up());
  EXPECT_THAT(w.observer.epochs, IsEmpty());
  EXPECT_EQ(w.life().entries.size(), 600u);
}

TEST(Uplink, AParentThatLostWhatWasTrimmedAtLevelDurableMakesANewEpoch) {
  World w(4, {.wait = WaitLevel::kDurable});
  w.append(20);
  ASSERT_TRUE(w.caught_up());
  w.parent.lose_journal();
  w.append(20);
  ASSERT_TRUE(w.caught_up());
  EXPECT_EQ(w.observer.epochs.size(), 1u);
  EXPECT_EQ(w.life().entries.size(), 20u);
}

TEST(Uplink, EpochsThatBringNothingAreBegunSlowly) {
  World w;
  w.parent.options.credit_bytes = 1 << 20;
  w.append(5);
  for (int i = 0; i < 50; ++i) {
    w.parent.refuse_next({.reason = wire::NackReason::kChainMismatch, .text = "differs"});
  }
  w.network.run_for(60'000);
  EXPECT_LE(w.observer.epochs.size(), 9u);
  EXPECT_GE(w.observer.epochs.size(), 5u);
  EXPECT_EQ(w.outbox.state()->head, Lsn(5));
}

// --- the connection ------------------------------------------------------------------------------

TEST(Uplink, WhatAnswersAndIsNoParentIsATerminalErrorThatSaysSo) {
  struct Case {
    const char *http, *message, *expected;
  };
  for (const Case& c : {
           Case{"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "", "404 Not Found"},
           Case{"HTTP/1.1 200 OK\r\n\r\n<html>", "", "200 OK"},
           Case{"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: no\r\n\r\n", "",
                "handshake is wrong"},
           Case{"SSH-2.0-OpenSSH_9.2\r\n\r\n", "", "does not answer in HTTP"},
           Case{"", "what?", "frames of another protocol"},
       }) {
    World w;
    w.parent.options.http_answer = c.http;
    w.parent.options.first_message = c.message;
    w.network.run_for(60'000);
    ASSERT_EQ(w.observer.fatal.size(), 1u) << c.expected;
    EXPECT_EQ(w.observer.fatal[0].kind, ErrorKind::kInvalid);
    EXPECT_THAT(w.observer.fatal[0].text, HasSubstr("is not an EvoDB parent"));
    EXPECT_THAT(w.observer.fatal[0].text, HasSubstr(c.expected));
  }
}

TEST(Uplink, AParentOfAnotherVersionIsATerminalError) {
  World w;
  w.parent.hello_refusal_text = "this parent speaks wire 9, you speak 2; update evodb";
  w.network.run_for(60'000);
  ASSERT_EQ(w.observer.fatal.size(), 1u);
  EXPECT_THAT(w.observer.fatal[0].text, HasSubstr("wire 9"));

  World v9;
  v9.parent.options.first_message = wire::encode_frame(wire::Ping{1});
  v9.parent.options.first_message[2] = 9;
  v9.network.run_for(60'000);
  ASSERT_EQ(v9.observer.fatal.size(), 1u);
  EXPECT_EQ(v9.observer.fatal[0].kind, ErrorKind::kInvalid);
}

TEST(Uplink, AServerThatIsBusyOrSilentOrAwayIsDialledForEver) {
  World w;
  w.append(3);
  w.parent.options.http_answer = "HTTP/1.1 503 Service Unavailable\r\n\r\n";
  w.network.run_for(30'000);
  EXPECT_THAT(text_of(w.uplink->stats().last_error), HasSubstr("503"));
  w.parent.options.http_answer.clear();
  w.parent.options.say_nothing = true;
  w.network.run_for(60'000);
  EXPECT_THAT(text_of(w.uplink->stats().last_error), HasSubstr("did not answer within"));
  w.parent.options.say_nothing = false;
  EXPECT_TRUE(w.uplink->running());
  ASSERT_TRUE(w.caught_up());
  EXPECT_THAT(w.observer.fatal, IsEmpty());
}

TEST(Uplink, ReconnectsWithJitterBetween100MsAnd10S) {
  World w;
  w.network.partition("edge", "parent");
  w.network.run_for(1);
  w.parent.hello_refusal = wire::NackReason::kUnavailable;
  w.parent.hello_refusal_text = "not now";
  w.network.heal_all();
  w.network.run_for(10'000);
  const std::size_t early = w.parent.hellos.size();
  EXPECT_GE(early, 4u);
  EXPECT_LE(early, 25u);
  w.network.run_for(200'000);
  const std::size_t late = w.parent.hellos.size() - early;
  EXPECT_GE(late, 20u);  // at most 10 s apart
  EXPECT_LE(late, 80u);  // 5 s on average
}

TEST(Uplink, ASupersededOneComesBackOnlyAfterAWhile) {
  World w;
  w.append(3);
  ASSERT_TRUE(w.caught_up());
  w.parent.say_bye(wire::ByeReason::kSuperseded);
  w.network.run_for(9'000);
  EXPECT_EQ(w.observer.connected, 1);
  w.network.run_for(2'000);
  EXPECT_EQ(w.observer.connected, 2);
}

TEST(Uplink, AnIdleConnectionIsPingedAndADeadOneLeft) {
  World w;
  w.network.run_for(100'000);
  EXPECT_GE(w.parent.pings, 2u);
  EXPECT_EQ(w.observer.connected, 1);
  w.network.partition("parent", "edge");
  w.network.partition("edge", "parent");
  w.network.run_for(45'000);
  EXPECT_EQ(w.observer.disconnected, 1);
  EXPECT_THAT(w.observer.last.text, HasSubstr("silent"));
  w.network.heal_all();
  w.append(3);
  ASSERT_TRUE(w.caught_up());
}

TEST(Uplink, CutAtEveryMomentOfAHandshakeItComesBackAndSendsEachChangeOnce) {
  for (int us = 0; us < 4'000; us += 50) {
    World w(static_cast<std::uint64_t>(us) + 1, {.batch_entries = 5});
    w.append(23);
    const std::int64_t until = w.network.now_us() + us;
    while (w.network.now_us() < until && w.network.step()) {
    }
    w.network.cut("edge", "parent");
    ASSERT_TRUE(w.caught_up()) << us;
    EXPECT_EQ(w.life().entries.size(), 23u);
    EXPECT_THAT(w.observer.epochs, IsEmpty());
    EXPECT_THAT(w.observer.fatal, IsEmpty());
  }
}

TEST(Uplink, StoppingSaysByeAndLeavesNoTimer) {
  World w;
  w.append(3);
  w.network.run_for(500);
  w.uplink->stop();
  w.network.run_for(100);
  EXPECT_EQ(w.parent.sessions(), 0u);
  EXPECT_EQ(w.edge.timer_count(), 0u);
  EXPECT_EQ(w.edge.stream_count(), 0u);
}

TEST(Uplink, AnIdleUplinkHasOneTimer) {
  World w;
  w.append(3);
  ASSERT_TRUE(w.caught_up());
  w.network.run_for(1'000);
  EXPECT_EQ(w.edge.timer_count(), 1u);  // keepalive
}

// --- everything at random ------------------------------------------------------------------------

TEST(Uplink, WhateverIsCutCrashedOrDelayedEachLsnArrivesInOrderExactlyOnce) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    sim::SeededRandom dice(seed * 977);
    World w(seed, {.wait = dice.below(2) == 0 ? WaitLevel::kDurable : WaitLevel::kPersisted,
                   .batch_entries = static_cast<std::uint32_t>(1 + dice.below(40)),
                   .batch_bytes = 500 + dice.below(20'000)});
    w.parent.options.durable_ms = static_cast<std::int64_t>(dice.below(60));
    w.parent.options.persisted_ms =
        w.parent.options.durable_ms + static_cast<std::int64_t>(dice.below(500));
    w.network.options().delay_us_max = 500 + static_cast<std::int64_t>(dice.below(50'000));
    for (int step = 0; step < 120; ++step) {
      switch (dice.below(12)) {
        case 0: w.network.cut("edge", "parent"); break;
        case 1: w.parent.crash(); break;
        case 2: w.network.partition("edge", "parent"); break;
        case 3: w.network.heal_all(); break;
        case 4: w.start(); break;
        case 5: w.parent.set_credit(dice.below(3) == 0 ? 0 : dice.below(50'000)); break;
        case 6:
          w.parent.refuse_next({.reason = dice.below(2) == 0 ? wire::NackReason::kGap
                                                             : wire::NackReason::kOverCredit,
                                .retry_after_ms = static_cast<std::uint32_t>(dice.below(300))});
          break;
        case 7:
          if (w.options.wait == WaitLevel::kPersisted) w.parent.lose_journal();
          break;
        default: w.append(1 + dice.below(60), dice.below(200)); break;
      }
      w.network.run_for(static_cast<std::int64_t>(dice.below(400)));
    }
    w.network.heal_all();
    w.parent.set_credit(1 << 20);
    ASSERT_TRUE(w.caught_up(300'000))
        << "seed " << seed << ": " << text_of(w.uplink->stats().last_error);
    EXPECT_THAT(w.observer.epochs, IsEmpty()) << "seed " << seed << w.observer.epoch_why;
    EXPECT_EQ(w.life().entries.size(), w.head) << "seed " << seed;
    EXPECT_EQ(w.life().entries.rbegin()->first, w.head);
    EXPECT_THAT(w.observer.fatal, IsEmpty());
    ASSERT_THAT(w.parent.violations, IsEmpty()) << "seed " << seed;
  }
}

TEST(Uplink, OneSeedIsOneHistory) {
  const auto run = [] {
    World w(42);
    for (int i = 0; i < 20; ++i) {
      w.append(10);
      w.network.run_for(33);
      if (i % 5 == 4) w.network.cut("edge", "parent");
    }
    EXPECT_TRUE(w.caught_up());
    return w.network.trace_hash();
  };
  EXPECT_EQ(run(), run());
}

}  // namespace
}  // namespace evodb::edge
