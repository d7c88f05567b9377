#include "ingest/ingest.h"

#include "ingest/ingest_world.h"

namespace evodb::ingest {
namespace {

using wire::NackReason;
using wire::WelcomeVerdict;

ChildLog log_of(int n, std::string source = "shop", Epoch epoch = Epoch(1)) {
  ChildLog log(std::move(source), epoch);
  for (int i = 0; i < n; ++i) log.add(1 + i % 3, "row " + std::to_string(i), i % 2);
  return log;
}

TEST(Ingest, AnUnknownSourceBeginsAtTheStart) {
  IngestWorld w;
  const ChildLog log = log_of(4);
  const auto hello = w.hello(1, log.hello());
  ASSERT_TRUE(hello.accepted);
  EXPECT_EQ(hello.welcome.verdict, WelcomeVerdict::kResume);
  EXPECT_EQ(hello.welcome.received, Lsn(0));
  EXPECT_GT(hello.welcome.credit_bytes, 0u);
}

TEST(Ingest, NothingIsAcknowledgedBeforeItIsDurable) {
  IngestWorld w;
  const ChildLog log = log_of(4);
  w.hello(1, log.hello());
  EXPECT_EQ(w.send(1, log.body(0, 2)).verdict, BatchVerdict::kAppended);
  EXPECT_TRUE(w.effects.acks.empty());
  // Sent again before the sync: a duplicate, but not a safe one.
  EXPECT_EQ(w.send(1, log.body(0, 2)).verdict, BatchVerdict::kDuplicate);
  EXPECT_TRUE(w.effects.acks.empty());
  ASSERT_TRUE(w.commit());
  ASSERT_EQ(w.effects.acks.size(), 1u);
  EXPECT_EQ(w.effects.acks[0].ack.durable, log.changes()[1].lsn);
  w.effects.clear();
  EXPECT_EQ(w.send(1, log.body(0, 2)).verdict, BatchVerdict::kDuplicate);
  ASSERT_EQ(w.effects.acks.size(), 1u);
  w.effects.clear();
  w.ingest->on_persisted("shop", Epoch(1), log.changes()[1].lsn, w.effects);
  ASSERT_EQ(w.effects.acks.size(), 1u);
  EXPECT_EQ(w.effects.acks[0].ack.persisted, log.changes()[1].lsn);
}

TEST(Ingest, ASyncSpeaksOnlyForWhatWasQueuedBeforeIt) {
  IngestWorld w;
  const ChildLog log = log_of(4);
  w.hello(1, log.hello());
  w.send(1, log.body(0, 2));
  const Position durable = *w.journal->commit();
  w.send(1, log.body(2, 4));
  w.ingest->on_durable(durable, w.effects);
  ASSERT_EQ(w.effects.acks.size(), 1u);
  EXPECT_EQ(w.effects.acks[0].ack.durable, log.changes()[1].lsn);
  EXPECT_GT(w.ingest->stats().inflight_bytes, 0u);
  // A checkpoint of this moment stands for the same.
  const std::string checkpoint = w.ingest->checkpoint();
  EXPECT_EQ(w.ingest->checkpoint_position(), durable);
  auto fresh = Ingest::create(w.options, *w.journal);
  ASSERT_TRUE(fresh->restore_checkpoint(checkpoint));
  EXPECT_EQ(fresh->on_hello(SessionId(1), log.hello(), UnixMillis(5)).welcome.received_chain,
            log.chain_at(log.changes()[1].lsn));
}

TEST(Ingest, AGapIsAnsweredWithWhereToResendFrom) {
  IngestWorld w;
  const ChildLog log = log_of(6);
  w.hello(1, log.hello());
  w.send(1, log.body(0, 2));
  const auto gap = w.send(1, log.body(3, 5));
  EXPECT_EQ(gap.verdict, BatchVerdict::kRefused);
  EXPECT_EQ(gap.nack.reason, NackReason::kGap);
  EXPECT_EQ(gap.nack.resend_after, log.changes()[1].lsn);
  EXPECT_EQ(w.send(1, log.body(2, 6, false)).verdict, BatchVerdict::kAppended)
      << "the refused batch's definitions count";
}

TEST(Ingest, AnOverlapIsLandedOnce) {
  IngestWorld w;
  const ChildLog log = log_of(9);
  w.hello(1, log.hello());
  w.send(1, log.body(0, 4));
  EXPECT_EQ(w.send(1, log.body(2, 7)).verdict, BatchVerdict::kAppended);
  EXPECT_EQ(w.send(1, log.body(6, 9)).verdict, BatchVerdict::kAppended);
  ASSERT_TRUE(w.commit());
  w.land();
  ASSERT_EQ((w.landed[{"shop", Epoch(1)}].size()), 9u);
}

TEST(Ingest, AnotherHistoryUnderTheSameLsnsIsNoticed) {
  IngestWorld w;
  const ChildLog log = log_of(6);
  ChildLog other("shop", Epoch(1));
  for (int i = 0; i < 6; ++i) other.add(1 + i % 3, "other " + std::to_string(i), i % 2);
  w.hello(1, log.hello());
  w.send(1, log.body(0, 3));
  EXPECT_EQ(w.send(1, other.body(3, 5)).nack.reason, NackReason::kChainMismatch);
  EXPECT_EQ(w.send(1, other.body(0, 5)).nack.reason, NackReason::kChainMismatch);
  EXPECT_EQ(w.send(1, other.body(0, 3)).nack.reason, NackReason::kChainMismatch);
  // A log whose changes jump over the mark.
  ChildLog jumping("shop", Epoch(1));
  jumping.add(1, "row 0", 0);
  jumping.add(10, "x");
  EXPECT_EQ(w.send(1, jumping.body(0, 2)).nack.reason, NackReason::kChainMismatch);
  EXPECT_EQ(w.send(1, log.body(3, 6)).verdict, BatchVerdict::kAppended);
  EXPECT_EQ(w.ingest->stats().chain_mismatches, 4u);
}

TEST(Ingest, AHelloThatCannotContinueIsToldToBeginANewEpoch) {
  const ChildLog log = log_of(6);
  const Lsn third = log.changes()[2].lsn, last = log.head();
  struct Case {
    const char* what;
    std::function<void(wire::Hello&)> change;
    bool resumes;
  };
  const Case cases[] = {
      {"as it was", [](wire::Hello&) {}, true},
      {"trimmed below", [&](wire::Hello& h) { h = log.hello(log.changes()[0].lsn); }, true},
      {"trimmed exactly", [&](wire::Hello& h) { h = log.hello(third); }, true},
      {"trimmed exactly, other chain",
       [&](wire::Hello& h) {
         h = log.hello(third);
         h.trimmed_chain.value ^= 1;
       },
       false},
      {"rolled back", [&](wire::Hello& h) { h.head = log.changes()[1].lsn; }, false},
      {"trimmed against another parent", [&](wire::Hello& h) { h = log.hello(last); }, false},
      {"unknown epoch, trimmed",
       [&](wire::Hello& h) {
         h = log.hello(third);
         h.epoch = Epoch(7);
       },
       false},
      {"unknown epoch, whole", [&](wire::Hello& h) { h.epoch = Epoch(7); }, true},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    IngestWorld w;
    w.hello(1, log.hello());
    w.send(1, log.body(0, 3));
    ASSERT_TRUE(w.commit());
    wire::Hello hello = log.hello();
    c.change(hello);
    const auto outcome = w.hello(2, hello);
    ASSERT_TRUE(outcome.accepted);
    EXPECT_EQ(outcome.welcome.verdict == WelcomeVerdict::kResume, c.resumes)
        << outcome.welcome.text;
    if (!c.resumes) {
      EXPECT_GT(outcome.welcome.epoch_min, hello.epoch);
      EXPECT_NE(outcome.welcome.text.find("new epoch"), std::string::npos);
    }
  }
}

TEST(Ingest, MalformedHellosAndBatchesAreRefusedInWords) {
  IngestWorld w;
  const ChildLog log = log_of(3);
  wire::Hello hello = log.hello();
  hello.epoch = Epoch(0);
  EXPECT_FALSE(w.hello(1, hello).accepted);
  hello = log.hello();
  hello.source = "";
  EXPECT_FALSE(w.hello(1, hello).accepted);
  EXPECT_TRUE(w.send(1, log.body(0, 1)).close);  // no hello
  w.hello(1, log.hello());
  EXPECT_EQ(w.send(1, "rubbish").nack.reason, NackReason::kMalformed);
  EXPECT_NE(w.send(1, log.body(0, 1, false)).nack.text.find("has not defined"), std::string::npos);
  EXPECT_EQ(w.ingest->stats().malformed, 5u);
}

TEST(Ingest, AnEpochWithoutANextOneIsRefused) {
  IngestWorld w;
  const ChildLog log = log_of(1);
  wire::Hello hello = log.hello();
  hello.epoch = Epoch(UINT64_MAX);
  EXPECT_EQ(w.hello(1, hello).nack.reason, NackReason::kMalformed);
  // So nobody else of this name is asked for the one after it.
  hello.epoch = Epoch(1);
  hello.trimmed = hello.head = Lsn(5);
  EXPECT_EQ(w.hello(2, hello).welcome.epoch_min, Epoch(2));
}

TEST(Ingest, TheNewerSessionOfASourceTakesOver) {
  IngestWorld w;
  const ChildLog log = log_of(6);
  w.hello(1, log.hello());
  w.send(1, log.body(0, 2));
  const auto second = w.hello(2, log.hello());
  EXPECT_TRUE(second.has_superseded);
  EXPECT_EQ(second.superseded, SessionId(1));
  EXPECT_EQ(second.welcome.received, log.changes()[1].lsn);
  EXPECT_TRUE(w.send(1, log.body(2, 3)).close);
  EXPECT_EQ(w.send(2, log.body(2, 4)).verdict, BatchVerdict::kAppended);
  ASSERT_TRUE(w.commit());
  ASSERT_EQ(w.effects.acks.size(), 1u);
  EXPECT_EQ(w.effects.acks[0].session, SessionId(2));
  w.ingest->on_disconnect(SessionId(1));
  w.effects.clear();
  EXPECT_EQ(w.send(2, log.body(4, 6)).verdict, BatchVerdict::kAppended);
  ASSERT_TRUE(w.commit());
  EXPECT_EQ(w.effects.acks.size(), 1u);
}

TEST(Ingest, CreditEndsBeforeTheJournalDoesAndReturnsWithSpace) {
  IngestWorld w;
  ChildLog log("shop", Epoch(1));
  for (int i = 0; i < 400; ++i) log.add(1, std::string(1500, 'x'));
  w.hello(1, log.hello());
  BatchOutcome outcome;
  std::size_t sent = 0;
  while ((outcome = w.send(1, log.body(sent, sent + 1))).verdict == BatchVerdict::kAppended) {
    ++sent;
    ASSERT_TRUE(w.commit());
  }
  EXPECT_EQ(outcome.nack.reason, NackReason::kOverCredit);
  EXPECT_EQ(outcome.nack.resend_after, log.changes()[sent - 1].lsn);
  EXPECT_EQ(w.effects.acks.back().ack.credit_bytes, 0u);
  EXPECT_GT(w.journal->free_bytes(), 0u);
  w.effects.clear();
  w.ingest->on_space(w.effects);
  EXPECT_TRUE(w.effects.acks.empty()) << "there is none yet";
  ASSERT_TRUE(w.journal->trim(w.journal->durable_end()));
  w.ingest->on_space(w.effects);
  ASSERT_EQ(w.effects.acks.size(), 1u);
  EXPECT_GT(w.effects.acks[0].ack.credit_bytes, 0u);
  EXPECT_EQ(w.send(1, log.body(sent, sent + 1)).verdict, BatchVerdict::kAppended);
}

TEST(Ingest, ASessionMayNotHaveMoreInTheAirThanItWasTold) {
  IngestWorld w;
  w.options.session_credit_bytes = 1000;
  w.open();
  ChildLog log("shop", Epoch(1));
  for (int i = 0; i < 4; ++i) log.add(1, std::string(400, 'x'));
  EXPECT_EQ(w.hello(1, log.hello()).welcome.credit_bytes, 1000u);
  EXPECT_EQ(w.send(1, log.body(0, 1)).verdict, BatchVerdict::kAppended);
  EXPECT_EQ(w.send(1, log.body(1, 2)).verdict, BatchVerdict::kAppended);
  EXPECT_EQ(w.send(1, log.body(2, 3)).nack.reason, NackReason::kOverCredit);
  ASSERT_TRUE(w.commit());
  EXPECT_EQ(w.effects.acks.back().ack.credit_bytes, 1000u);
  EXPECT_EQ(w.ingest->stats().inflight_bytes, 0u);
  EXPECT_EQ(w.send(1, log.body(2, 4)).verdict, BatchVerdict::kAppended);
}

TEST(Ingest, AFailedJournalMakesItUnavailable) {
  IngestWorld w;
  const ChildLog log = log_of(4);
  w.hello(1, log.hello());
  w.send(1, log.body(0, 2));
  w.disk.fail_all_mutations(Error{ErrorKind::kCorrupt, "EIO"});
  EXPECT_FALSE(w.commit());
  EXPECT_EQ(w.send(1, log.body(2, 4)).nack.reason, NackReason::kUnavailable);
  EXPECT_FALSE(w.hello(2, log.hello()).accepted);
  EXPECT_TRUE(w.effects.acks.empty());
}

TEST(Ingest, AfterTheJournalWasLostTheLakehouseDecides) {
  const ChildLog log = log_of(8);
  const Lsn landed = log.changes()[4].lsn;
  struct Case {
    const char* what;
    wire::Hello hello;
    bool resumes;
  };
  wire::Hello rolled_back = log.hello(log.changes()[1].lsn);
  rolled_back.head = log.changes()[3].lsn;
  const Case cases[] = {
      {"holds all", log.hello(), true},
      {"trimmed what landed", log.hello(landed), true},
      {"trimmed less", log.hello(log.changes()[1].lsn), true},
      {"trimmed more than landed", log.hello(log.changes()[5].lsn), false},
      {"waited for durable only", log.hello(log.changes()[1].lsn, WaitLevel::kDurable), false},
      {"rolled back", rolled_back, false},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    IngestWorld w;
    w.ingest->restore_landed({{"shop", Epoch(1), landed}});
    // A crash before anything else must not forget it.
    ASSERT_TRUE(write_checkpoint(w.disk, "j", w.journal->id(), w.ingest->checkpoint()));
    w.crash(sim::CrashModel::kLost);
    const auto outcome = w.hello(1, c.hello);
    ASSERT_TRUE(outcome.accepted);
    ASSERT_EQ(outcome.welcome.verdict == WelcomeVerdict::kResume, c.resumes)
        << outcome.welcome.text;
    if (!c.resumes) continue;
    EXPECT_FALSE(outcome.welcome.chain_known);
    EXPECT_EQ(outcome.welcome.received, c.hello.trimmed);
    std::size_t from = 0;
    while (from < 8 && log.changes()[from].lsn <= c.hello.trimmed) ++from;
    EXPECT_EQ(w.send(1, log.body(from, 8)).verdict, BatchVerdict::kAppended);
    ASSERT_TRUE(w.commit());
    w.crash(sim::CrashModel::kLost);
    EXPECT_EQ(w.hello(1, log.hello(c.hello.trimmed)).welcome.received, log.head());
  }
}

TEST(Ingest, AnOldSessionReplayedBehindALostJournalCostsNoEpoch) {
  const ChildLog log = log_of(8);
  ChildLog old = log;
  old.cut_back(6);
  const auto lsn = [&](std::size_t i) { return log.changes()[i].lsn; };
  IngestWorld w;
  const std::vector<LandedMark> landed = {{"shop", Epoch(1), lsn(5)}};
  w.ingest->restore_landed(landed);
  EXPECT_EQ(w.hello(1, old.hello()).welcome.verdict, WelcomeVerdict::kResume);
  EXPECT_EQ(w.send(1, old.body(0, 2)).verdict, BatchVerdict::kAppended);
  // The child has trimmed more than was replayed: not while that is under way.
  const auto waits = w.hello(2, log.hello(lsn(4)));
  ASSERT_FALSE(waits.accepted);
  EXPECT_EQ(waits.nack.reason, NackReason::kUnavailable);
  ASSERT_TRUE(w.commit());

  ChildLog restored = log;
  restored.cut_back(5);
  for (const auto& refused :
       {log.hello(lsn(4), WaitLevel::kDurable), log.hello(lsn(6)), restored.hello(lsn(4))}) {
    EXPECT_EQ(w.hello(2, refused).welcome.verdict, WelcomeVerdict::kNewEpoch);
  }
  for (int life = 0; life < 2; ++life) {  // a crash before anything else does not change it
    const auto resumed = w.hello(3, log.hello(lsn(4)));
    ASSERT_EQ(resumed.welcome.verdict, WelcomeVerdict::kResume) << resumed.welcome.text;
    EXPECT_EQ(resumed.welcome.received, lsn(4));
    EXPECT_EQ(resumed.welcome.durable, lsn(4));
    EXPECT_FALSE(resumed.welcome.chain_known);
    if (life == 0) {
      w.crash(sim::CrashModel::kLost);
      w.ingest->restore_landed(landed);
    }
  }
  // The replayed one again: it has nothing new, and takes nothing back.
  EXPECT_EQ(w.hello(4, old.hello()).welcome.received, lsn(4));
  EXPECT_EQ(w.send(4, old.body(0, 2)).verdict, BatchVerdict::kDuplicate);
  const auto again = w.hello(5, log.hello(lsn(4)));
  EXPECT_TRUE(again.welcome.chain_known);
  EXPECT_EQ(again.welcome.received_chain, log.chain_at(lsn(4)));
  EXPECT_EQ(w.send(5, log.body(5, 8)).verdict, BatchVerdict::kAppended);
  ASSERT_TRUE(w.commit());
  w.crash(sim::CrashModel::kLost);
  w.ingest->restore_landed(landed);
  const auto last = w.hello(6, log.hello(lsn(4)));
  EXPECT_EQ(last.welcome.received, log.head());
  EXPECT_EQ(last.welcome.received_chain, log.chain_at(log.head()));
}

TEST(Ingest, ACheckpointOfALostJournalCountsForWhatWasPersisted) {
  IngestWorld w;
  const ChildLog log = log_of(6);
  w.hello(1, log.hello());
  w.send(1, log.body(0, 6));
  ASSERT_TRUE(w.commit());
  w.ingest->on_persisted("shop", Epoch(1), log.changes()[3].lsn, w.effects);
  const std::string checkpoint = w.ingest->checkpoint();
  IngestWorld another(2);
  ASSERT_TRUE(another.ingest->restore_checkpoint(checkpoint));
  const auto outcome = another.hello(1, log.hello(log.changes()[3].lsn));
  EXPECT_EQ(outcome.welcome.verdict, WelcomeVerdict::kResume);
  EXPECT_EQ(outcome.welcome.received, log.changes()[3].lsn);
  EXPECT_FALSE(outcome.welcome.chain_known);
}

// evodb-sim, profile other-engines, seeds 960083 and 910060: a source whose newest records were
// trimmed, while an older one was set aside for a table that waited, was never told of them.
TEST(Ingest, WhatIsDurableWhenLandingBeginsIsPersistedOnceAllOfItHasLanded) {
  IngestWorld w;
  const ChildLog shop = log_of(4, "shop"), other = log_of(3, "other");
  w.hello(1, shop.hello());
  w.hello(2, other.hello());
  w.send(1, shop.body(0, 3));
  w.send(2, other.body(0, 3));
  ASSERT_TRUE(w.commit());
  w.ingest->on_persisted("shop", Epoch(1), shop.changes()[1].lsn, w.effects);
  w.ingest->on_persisted("other", Epoch(1), other.head(), w.effects);
  w.ingest->on_landing_begins();
  const Position end = w.ingest->checkpoint_position();
  w.send(1, shop.body(3, 4));
  ASSERT_TRUE(w.commit());
  w.effects.clear();
  w.ingest->on_all_landed(Position(end.value - 1), w.effects);
  EXPECT_TRUE(w.effects.acks.empty());
  w.ingest->on_all_landed(end, w.effects);
  ASSERT_EQ(w.effects.acks.size(), 1u);
  EXPECT_EQ(w.effects.acks[0].session, SessionId(1));
  EXPECT_EQ(w.effects.acks[0].ack.persisted, shop.changes()[2].lsn) << "and not what came later";
  w.effects.clear();
  w.ingest->on_all_landed(end, w.effects);
  EXPECT_TRUE(w.effects.acks.empty()) << "once";
}

// Found by seed 178090415 of the simulator: a source that had nothing new to send was never told
// that its changes were persisted, and so never trimmed them.
TEST(Ingest, BehindAnOlderCheckpointWhatWasTrimmedCountsAsPersisted) {
  IngestWorld w;
  const ChildLog gone = log_of(4, "gone"), half = log_of(4, "half");
  ChildLog filler("filler", Epoch(1));
  for (int i = 0; i < 12; ++i) filler.add(1, std::string(400, 'x'));
  w.hello(1, gone.hello());
  w.hello(2, half.hello());
  w.hello(3, filler.hello());
  w.send(1, gone.body(0, 4));
  w.send(2, half.body(0, 2));
  for (std::size_t i = 0; i < 12; i += 4) {  // more than a segment takes
    ASSERT_EQ(w.send(3, filler.body(i, i + 4)).verdict, BatchVerdict::kAppended);
  }
  const Position segment_end = w.journal->appended_end();
  w.send(2, half.body(2, 4));
  ASSERT_TRUE(w.commit());
  const auto write = [&] {
    return write_checkpoint(w.disk, "j", w.journal->id(), w.ingest->checkpoint());
  };
  ASSERT_TRUE(write());
  // Then all but the last batch lands, and the newest checkpoint knows.
  w.ingest->on_persisted("gone", Epoch(1), gone.head(), w.effects);
  w.ingest->on_persisted("half", Epoch(1), half.changes()[1].lsn, w.effects);
  ASSERT_TRUE(write());
  ASSERT_TRUE(w.journal->trim(segment_end));
  ASSERT_GT(w.journal->first(), Position(0));
  w.disk.flip_bit("j/checkpoint-0000000000000002.ckpt", 300);
  w.crash(sim::CrashModel::kKilled);
  EXPECT_EQ(w.hello(4, gone.hello()).welcome.persisted, gone.head());
  const auto outcome = w.hello(5, half.hello());
  EXPECT_EQ(outcome.welcome.durable, half.head());
  EXPECT_EQ(outcome.welcome.persisted, half.changes()[1].lsn) << "the rest is still to land";
}

TEST(Ingest, ADamagedCheckpointIsRefusedWhicheverBitItIs) {
  IngestWorld w;
  const ChildLog log = log_of(6);
  w.hello(1, log.hello());
  w.send(1, log.body(0, 6));
  ASSERT_TRUE(w.commit());
  const std::string good = w.ingest->checkpoint();
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] ^= static_cast<char>(1 << bit % 8);
    IngestWorld fresh;
    EXPECT_FALSE(fresh.ingest->restore_checkpoint(bad)) << bit;
    EXPECT_FALSE(fresh.ingest->restore_checkpoint(good.substr(0, bit / 8)));
  }
}

TEST(Ingest, EverySegmentHasTheDefinitionsThatItNeeds) {
  IngestWorld w;
  ChildLog log("shop", Epoch(1));
  for (int i = 0; i < 60; ++i) log.add(1, std::string(500, 'x'), i % 3);
  w.hello(1, log.hello());
  w.send(1, log.body(0, 3));
  for (std::size_t i = 3; i < 60; ++i) {
    const auto outcome = w.send(1, log.body(i, i + 1, false));
    ASSERT_EQ(outcome.verdict, BatchVerdict::kAppended) << i << ": " << outcome.nack.text;
    ASSERT_TRUE(w.commit());
  }
  // Land each segment as if the others did not exist.
  w.land();
  for (const std::string& path : w.disk.paths()) {
    if (!path.ends_with(".seg")) continue;
    const Position first(std::stoull(path.substr(2, 16), nullptr, 16));
    w.defs.clear();
    w.landed_to = first;
    w.land();
    if (testing::Test::HasFatalFailure()) FAIL() << path;
  }
}

// --- unordered -----------------------------------------------------------------------------------

TEST(IngestUnordered, EntriesCountByTheirLsnWhateverTheBatch) {
  IngestWorld w;
  const ChildLog log = log_of(10, "v1");
  ASSERT_TRUE(w.ingest->on_hello_unordered(SessionId(1), "v1"));
  const auto send = [&](const std::vector<std::size_t>& which, std::uint64_t token) {
    const std::string body = log.scattered(which);
    const auto outcome = w.ingest->on_batch_unordered(SessionId(1), {&body, 1}, body.size(), token,
                                                      UnixMillis(10), w.effects);
    EXPECT_EQ(outcome.nack.text, "");
    return outcome.verdict;
  };
  EXPECT_EQ(send({5, 7, 9}, 1), BatchVerdict::kAppended);
  EXPECT_EQ(send({5, 7}, 2), BatchVerdict::kDuplicate);
  EXPECT_TRUE(w.effects.batches.empty()) << "a duplicate of what is not safe";
  EXPECT_EQ(send({0, 5, 6, 9}, 3), BatchVerdict::kAppended);
  ASSERT_TRUE(w.commit());
  ASSERT_EQ(w.effects.batches.size(), 3u);
  EXPECT_EQ(w.effects.batches[0].token, 1u);
  EXPECT_FALSE(w.effects.batches[0].duplicate);
  EXPECT_TRUE(w.effects.batches[1].duplicate);
  EXPECT_EQ(w.effects.batches[2].token, 3u);
  w.effects.clear();
  EXPECT_EQ(send({0, 9}, 4), BatchVerdict::kDuplicate);
  ASSERT_EQ(w.effects.batches.size(), 1u);
  w.crash(sim::CrashModel::kLost);
  ASSERT_TRUE(w.ingest->on_hello_unordered(SessionId(1), "v1"));
  EXPECT_EQ(send({0, 5, 6, 7, 9}, 5), BatchVerdict::kDuplicate);
  EXPECT_EQ(send({0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, 6), BatchVerdict::kAppended);
  ASSERT_TRUE(w.commit());
  w.land();
  EXPECT_EQ((w.landed[{"v1", Epoch(0)}].size()), 10u);
}

class Unordered {
 public:
  Unordered() { w.open(); }
  // One LSN each: n-th change of `log`.
  BatchOutcome send(const ChildLog& log, std::uint32_t session, std::size_t i) {
    EXPECT_TRUE(w.ingest->on_hello_unordered(SessionId(session), log.source()));
    const std::string body = log.scattered({i});
    return w.ingest->on_batch_unordered(SessionId(session), {&body, 1}, body.size(), i,
                                        UnixMillis(10), w.effects);
  }
  IngestWorld w;
};

// 1,000 sources, one goes on for longer than any window, then new ones connect: the others' marks
// were forgotten, and what they sent again landed twice.
TEST(IngestUnordered, WhatWasAcknowledgedIsNeverNewAgainHoweverManySourcesCome) {
  Unordered u;
  std::vector<ChildLog> logs;
  for (int i = 0; i < 1'250; ++i) logs.push_back(log_of(4, "v1-" + std::to_string(i)));
  for (const std::size_t change : {0, 1, 3}) {  // with a gap
    for (std::size_t i = 0; i < logs.size(); ++i) {
      const BatchOutcome outcome = u.send(logs[i], 1, change);
      ASSERT_EQ(outcome.verdict, BatchVerdict::kAppended) << i << ": " << outcome.nack.text;
      ASSERT_TRUE(u.w.commit());
      if (i % 250 != 249) continue;
      u.w.land();
      ASSERT_TRUE(write_checkpoint(u.w.disk, "j", u.w.journal->id(), u.w.ingest->checkpoint()));
      ASSERT_TRUE(u.w.journal->trim(u.w.ingest->checkpoint_position()));
    }
  }
  for (int life = 0; life < 2; ++life) {
    for (const ChildLog& log : logs) {
      for (const std::size_t change : {0, 1, 3}) {
        ASSERT_EQ(u.send(log, 1, change).verdict, BatchVerdict::kDuplicate) << log.source();
      }
    }
    if (life == 0) u.w.crash(sim::CrashModel::kLost);
  }
}

TEST(IngestUnordered, WhereMemoryForGapsEndsNewOnesAreRefusedForNow) {
  Unordered u;
  u.w.options.gap_bytes_max = 340;
  u.w.options.gap_runs_per_source = 100;
  u.w.open();
  ChildLog log("v1", Epoch(0));
  for (int i = 0; i < 40; ++i) log.add(2, "r");
  std::size_t taken = 0;
  for (; taken < 40; ++taken) {
    const auto outcome = u.send(log, 1, taken);
    ASSERT_TRUE(u.w.commit());
    if (outcome.verdict == BatchVerdict::kAppended) continue;
    EXPECT_EQ(outcome.nack.reason, NackReason::kOverLimit);
    EXPECT_GT(outcome.nack.retry_after_ms, 0u) << "it may succeed later";
    EXPECT_FALSE(outcome.close);
    break;
  }
  EXPECT_GT(taken, 4u);
  EXPECT_LT(taken, 40u);
  EXPECT_EQ(u.w.ingest->stats().over_gap_limit, 1u);
  for (std::size_t i = 0; i < taken; ++i) {
    EXPECT_EQ(u.send(log, 1, i).verdict, BatchVerdict::kDuplicate);
  }
  // Without gaps everybody goes on.
  ChildLog dense("dense", Epoch(0));
  for (int i = 0; i < 20; ++i) dense.add(1, "r");
  for (std::size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(u.send(dense, 1, i).verdict, BatchVerdict::kAppended);
  }
}

TEST(IngestUnordered, BehindALostJournalWhatTheTablesHaveIsKnown) {
  Unordered u;
  const ChildLog log = log_of(8, "v1");
  const auto at = [&](std::size_t i) { return log.changes()[i].lsn; };
  u.w.ingest->restore_landed(
      {{"v1", Epoch(0), at(4), {{at(0), at(0)}, {at(1), at(1)}, {at(4), at(4)}}}});
  for (const std::size_t i : {0, 1, 4}) {
    EXPECT_EQ(u.send(log, 1, i).verdict, BatchVerdict::kDuplicate);
  }
  for (const std::size_t i : {2, 3, 5}) {
    EXPECT_EQ(u.send(log, 1, i).verdict, BatchVerdict::kAppended);
  }
}

TEST(BatchRecordFormat, RoundTripsAndRefusesWhatIsCut) {
  BatchRecord record;
  record.source = "s";
  record.epoch = Epoch(3);
  record.received_at = UnixMillis(-5);
  record.last_lsn = Lsn(UINT64_MAX);
  record.tables = {{1, 2}, {3, 4}};
  std::string bytes;
  encode_batch_record_prefix(bytes, record);
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_FALSE(decode_batch_record(bytes.substr(0, n))) << n;
  }
  const std::string whole = bytes + "body";
  const auto read = decode_batch_record(whole);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->received_at, UnixMillis(-5));
  EXPECT_EQ(read->tables.size(), 2u);
  EXPECT_EQ(read->body, "body");
}

}  // namespace
}  // namespace evodb::ingest
