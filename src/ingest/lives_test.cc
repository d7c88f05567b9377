// Databases that are restarted, copied and restored, as the parent sees them: by their hellos.
#include "ingest/lives.h"

#include <gtest/gtest.h>

#include "ingest/checkpoint_format.h"
#include "ingest/ingest_world.h"

namespace evodb::ingest {
namespace {

using Verdict = Lives::Verdict;
using wire::WelcomeVerdict;

class Hellos {
 public:
  Verdict hello(std::uint64_t life, std::uint64_t epoch = 1, std::uint64_t connected = 0) {
    newest = std::max(newest, epoch);
    return lives.on_hello("shop", life, Epoch(epoch), connected, Epoch(newest), "edge on till-7",
                          UnixMillis(now += 1'000));
  }
  Lives lives{{}};
  std::uint64_t newest = 1;
  std::int64_t now = 1'700'000'000'000;
};

TEST(Lives, RestartsAreNotCopiesHoweverMany) {
  Hellos h;
  for (std::uint64_t life = 1; life <= 50; ++life) {
    EXPECT_EQ(h.hello(life, 1, life - 1), Verdict::kGoOn);
    EXPECT_EQ(h.hello(life, 1, life), Verdict::kGoOn) << "the connection was lost";
    h.lives.on_gone("shop", life);
  }
  EXPECT_EQ(h.lives.found(), 0u);
}

TEST(Lives, WithoutALifeNothingIsTold) {
  Hellos h;
  EXPECT_EQ(h.hello(7), Verdict::kGoOn);
  EXPECT_EQ(h.hello(0, 1, 7), Verdict::kGoOn);
  EXPECT_EQ(h.hello(7, 1, 0), Verdict::kGoOn);
}

// The second one's epoch must be the higher one: the first may have begun its own before it hears that
// it is the copy, and whoever folds the changes takes the highest.
TEST(Lives, OfSeveralThatComeBackTheLastAskedGetsTheHighestEpoch) {
  Hellos h;
  h.hello(999);
  h.hello(2, 1, 999);
  h.hello(3, 1, 2);
  EXPECT_EQ(h.hello(999, 1, 3), Verdict::kOriginal);
  const Epoch first = h.lives.epoch_for("shop");
  EXPECT_EQ(h.hello(2, 1, 3), Verdict::kOriginal);
  EXPECT_GT(h.lives.epoch_for("shop"), first);
}

TEST(Lives, WhatComesBackIsTheOriginalAndWhatTookItsPlaceACopy) {
  Hellos h;
  h.hello(1);
  EXPECT_EQ(h.hello(2, 1, 1), Verdict::kGoOn) << "a copy, or a restart";
  EXPECT_EQ(h.hello(1, 1, 2), Verdict::kOriginal);
  const Epoch asked = h.lives.epoch_for("shop");
  EXPECT_GT(asked, Epoch(h.newest + 1));
  EXPECT_EQ(h.hello(2, 1, 2), Verdict::kGoOn) << "before the original has done as it was asked";
  EXPECT_EQ(h.hello(1, 1, 2), Verdict::kOriginal) << "it broke off before";
  EXPECT_EQ(h.lives.epoch_for("shop"), asked);
  EXPECT_EQ(h.lives.found(), 0u);
  // It begins the epoch under a life that is new.
  EXPECT_EQ(h.hello(3, asked.value, 2), Verdict::kGoOn);
  EXPECT_EQ(h.lives.found(), 1u);
  EXPECT_EQ(h.hello(2, 1, 3), Verdict::kCopy);
  EXPECT_NE(h.lives.why("shop").find("edge on till-7"), std::string::npos);
  EXPECT_EQ(h.hello(3, asked.value, 3), Verdict::kGoOn);
  // The original is restarted; the copy is, while it waits.
  EXPECT_EQ(h.hello(4, asked.value, 3), Verdict::kGoOn);
  EXPECT_EQ(h.hello(5, 1, 4), Verdict::kCopy);
  EXPECT_EQ(h.hello(2, 1, 4), Verdict::kCopy);
  EXPECT_EQ(h.lives.found(), 1u);
}

TEST(Lives, ACopyThatBeganEpochsOfItsOwnIsOneCopy) {
  Hellos h;
  h.hello(1);
  h.hello(2, 1, 1);
  h.hello(3, 2, 1);  // its history differs: it was asked for a new epoch
  EXPECT_EQ(h.hello(1, 1, 3), Verdict::kOriginal);
  const Epoch asked = h.lives.epoch_for("shop");
  EXPECT_GT(asked, Epoch(3));
  EXPECT_EQ(h.hello(4, asked.value, 3), Verdict::kGoOn);
  EXPECT_EQ(h.hello(2, 1, 4), Verdict::kCopy);
  EXPECT_EQ(h.hello(3, 2, 4), Verdict::kCopy);
}

TEST(Lives, WhatComesLateIsAskedForAnEpochAndMakesNobodyACopy) {
  Hellos h;
  h.hello(1);
  h.hello(2, 1, 1);
  EXPECT_EQ(h.hello(1, 1, 2), Verdict::kOriginal) << "of a process that is gone, or a backup";
  for (int i = 0; i < 200; ++i) {
    h.now += 30'000;
    EXPECT_EQ(h.hello(2, 1, 2), Verdict::kGoOn);
  }
  EXPECT_EQ(h.lives.found(), 0u);
}

TEST(Lives, AfterAWhileAndBeyondItsMemoryItForgetsWhoWasFirst) {
  Lives lives({.records_max = 2, .remembered_ms = 60'000});
  std::int64_t now = 0;
  const auto hello = [&](const std::string& source, std::uint64_t life, std::uint64_t connected) {
    return lives.on_hello(source, life, Epoch(1), connected, Epoch(1), "", UnixMillis(now));
  };
  for (const char* source : {"a", "b", "c"}) {
    EXPECT_EQ(hello(source, 1, 0), Verdict::kGoOn);
    lives.on_gone(source, 1);
    EXPECT_EQ(hello(source, 2, 0), Verdict::kGoOn);
  }
  EXPECT_EQ(hello("a", 1, 0), Verdict::kGoOn) << "two are remembered";
  EXPECT_EQ(hello("c", 1, 0), Verdict::kOriginal);
  for (int i = 0; i < 4; ++i) hello("c", 0, 0), now += 25'000;
  EXPECT_EQ(hello("c", 1, 0), Verdict::kGoOn);
}

TEST(Lives, CopiesAreRememberedAcrossRestarts) {
  Hellos h;
  h.hello(1);
  h.hello(2, 1, 1);
  h.hello(1, 1, 2);
  h.hello(3, h.lives.epoch_for("shop").value, 2);
  CheckpointWriter writer(journal::JournalId(1), Position(), 0);
  writer.add_unordered(UnorderedTable({}));
  writer.add_copied(h.lives);
  const std::string bytes = writer.finish();
  const auto read = read_checkpoint(bytes);
  ASSERT_TRUE(read) << read.error().text;
  Hellos next;
  for (const auto& copied : read->copied) next.lives.restore(copied);
  EXPECT_EQ(next.hello(2, 1), Verdict::kCopy) << "it comes before the original does";
  EXPECT_EQ(next.hello(3, h.newest), Verdict::kGoOn);
  EXPECT_EQ(next.lives.why("shop"), h.lives.why("shop"));
}

// --- the same through ingest --------------------------------------------------------------------

ChildLog log_of(int n, Epoch epoch = Epoch(1)) {
  ChildLog log("shop", epoch);
  for (int i = 0; i < n; ++i) log.add(1, "r");
  return log;
}

wire::Hello with_life(wire::Hello hello, std::uint64_t life) {
  hello.life = life;
  return hello;
}

TEST(Copies, TheOriginalGetsTheHighestEpochAndTheCopyIsTold) {
  IngestWorld w;
  ChildLog original = log_of(3);
  ASSERT_EQ(w.hello(1, with_life(original.hello(), 11)).welcome.verdict, WelcomeVerdict::kResume);
  w.send(1, original.body(0, 3));
  ASSERT_TRUE(w.commit());
  // A copy of the file: the same log under another life.
  const ChildLog copy = original;
  const auto taken = w.hello(2, with_life(copy.hello(), 22));
  EXPECT_EQ(taken.welcome.verdict, WelcomeVerdict::kResume);
  ASSERT_TRUE(taken.has_superseded);
  EXPECT_EQ(taken.superseded, SessionId(1));
  w.ingest->on_disconnect(SessionId(1));
  const auto back = w.hello(3, with_life(original.hello(), 11));
  EXPECT_EQ(back.welcome.verdict, WelcomeVerdict::kNewEpoch);
  EXPECT_GT(back.welcome.epoch_min, Epoch(1));
  EXPECT_FALSE(back.has_superseded) << "it has not begun one yet";
  const ChildLog anew = log_of(3, back.welcome.epoch_min);
  const auto begun = w.hello(3, with_life(anew.hello(), 33));
  EXPECT_EQ(begun.welcome.verdict, WelcomeVerdict::kResume);
  EXPECT_EQ(begun.other_lives, std::vector<SessionId>{SessionId(2)});
  EXPECT_TRUE(w.send(2, copy.body(0, 3)).close);
  w.ingest->on_disconnect(SessionId(2));
  const auto told = w.hello(4, with_life(copy.hello(), 22));
  ASSERT_TRUE(told.accepted);
  EXPECT_EQ(told.welcome.verdict, WelcomeVerdict::kCopy);
  EXPECT_FALSE(std::string(told.welcome.text).empty());
  EXPECT_EQ(w.send(4, copy.body(0, 3)).verdict, BatchVerdict::kRefused) << "it has no session";
  EXPECT_EQ(w.send(3, anew.body(0, 3)).verdict, BatchVerdict::kAppended);
  // Under a name of its own it is welcome, on the same connection.
  const ChildLog renamed("shop-copy-abcdefgh", Epoch(1));
  EXPECT_EQ(w.hello(4, with_life(renamed.hello(), 44)).welcome.verdict, WelcomeVerdict::kResume);
  const IngestStats stats = w.ingest->stats();
  EXPECT_EQ(stats.copies_found, 1u);
  EXPECT_EQ(stats.copies_told, 1u);
  EXPECT_EQ(stats.sources_with_copies, 1u);
  // A restarted parent knows it still, whoever comes first.
  ASSERT_TRUE(w.commit());
  ASSERT_TRUE(write_checkpoint(w.disk, "j", w.journal->id(), w.ingest->checkpoint()));
  w.crash(sim::CrashModel::kLost);
  EXPECT_EQ(w.hello(1, with_life(copy.hello(), 22)).welcome.verdict, WelcomeVerdict::kCopy);
  EXPECT_EQ(w.hello(2, with_life(anew.hello(), 33)).welcome.verdict, WelcomeVerdict::kResume);
}

TEST(Copies, ACopyUnderAnEpochOfItsOwnDoesNotHideTheOriginal) {
  IngestWorld w;
  ChildLog original = log_of(3);
  w.hello(1, with_life(original.hello(), 11));
  w.send(1, original.body(0, 3));
  ASSERT_TRUE(w.commit());
  const ChildLog copy = log_of(2, Epoch(5));
  const auto taken = w.hello(2, with_life(copy.hello(), 22));
  EXPECT_FALSE(taken.has_superseded) << "another epoch is another session";
  EXPECT_EQ(taken.other_lives, std::vector<SessionId>{SessionId(1)});
  w.ingest->on_disconnect(SessionId(1));
  const auto back = w.hello(3, with_life(original.hello(), 11));
  EXPECT_EQ(back.welcome.verdict, WelcomeVerdict::kNewEpoch);
  EXPECT_GT(back.welcome.epoch_min, Epoch(5));
}

TEST(Copies, ARestartWhoseOldConnectionIsStillOpenIsARestart) {
  IngestWorld w;
  ChildLog log = log_of(3);
  w.hello(1, with_life(log.hello(), 11));
  for (std::uint32_t life = 12; life < 20; ++life) {
    const auto outcome = w.hello(life, with_life(log.hello(), life));
    EXPECT_EQ(outcome.welcome.verdict, WelcomeVerdict::kResume);
    EXPECT_TRUE(outcome.has_superseded);
  }
  EXPECT_EQ(w.ingest->stats().copies_found, 0u);
}

}  // namespace
}  // namespace evodb::ingest
