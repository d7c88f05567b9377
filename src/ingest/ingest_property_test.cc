// Random children, batches, crashes and recoveries; at the end every change has landed once, in
// order, and no acknowledgement was ever taken back.
#include "evodb/dedup.h"
#include "ingest/ingest_world.h"

namespace evodb::ingest {
namespace {

struct Child {
  ChildLog log;
  std::uint32_t session = 0;  // 0: not connected
  Lsn trimmed;                // at what was acknowledged as persisted
  Lsn acked_durable;
  Lsn persisted_before_crash;
};

class Histories {
 public:
  explicit Histories(std::uint64_t seed) : w_(seed), random_(seed * 77 + 1) {
    w_.options.session_credit_bytes = 4096;
    w_.options.inflight_bytes_max = 16 << 10;
    w_.open();
    for (int i = 0; i < 4; ++i) {
      children_.push_back({.log = ChildLog("source-" + std::to_string(i % 3), Epoch(1 + i / 3))});
    }
  }

  void run() {
    for (int step = 0; step < 250 && !testing::Test::HasFatalFailure(); ++step) one_step();
    heal();
  }

 private:
  std::size_t index_after(const Child& c, Lsn lsn) const {
    std::size_t i = 0;
    while (i < c.log.changes().size() && c.log.changes()[i].lsn <= lsn) ++i;
    return i;
  }

  void take_effects() {
    for (const AckEffect& effect : w_.effects.acks) {
      for (Child& c : children_) {
        if (c.session != effect.session.value) continue;
        ASSERT_LE(effect.ack.durable, c.log.head());
        ASSERT_GE(effect.ack.durable, c.acked_durable);
        ASSERT_LE(effect.ack.persisted, effect.ack.durable);
        c.acked_durable = effect.ack.durable;
        c.trimmed = std::max(c.trimmed, effect.ack.persisted);
      }
    }
    w_.effects.clear();
  }

  void connect(Child& c) {
    const std::uint32_t id = static_cast<std::uint32_t>(1 + random_.below(20));
    for (Child& other : children_) {
      if (other.session == id) return;  // taken
    }
    if (c.session != 0 && random_.below(2) == 0) w_.ingest->on_disconnect(SessionId(c.session));
    const auto outcome = w_.hello(id, c.log.hello(c.trimmed));
    ASSERT_TRUE(outcome.accepted);
    ASSERT_EQ(outcome.welcome.verdict, wire::WelcomeVerdict::kResume) << outcome.welcome.text;
    ASSERT_GE(outcome.welcome.received, c.acked_durable) << "an acknowledgement was taken back";
    ASSERT_EQ(outcome.welcome.received_chain, c.log.chain_at(outcome.welcome.received));
    if (outcome.has_superseded) w_.ingest->on_disconnect(outcome.superseded);
    c.session = id;
  }

  void send(Child& c) {
    const std::size_t n = c.log.changes().size();
    const std::size_t held = index_after(c, c.trimmed);
    if (c.session == 0 || held == n) return;
    const std::size_t from = held + random_.below(n - held);
    const std::size_t to = from + 1 + random_.below(std::min<std::size_t>(8, n - from));
    const auto outcome = w_.send(c.session, c.log.body(from, to));
    if (outcome.verdict == BatchVerdict::kRefused) {
      ASSERT_TRUE(outcome.nack.reason == wire::NackReason::kGap ||
                  outcome.nack.reason == wire::NackReason::kOverCredit)
          << outcome.nack.text;
      // What a child does: resend from there.
      const std::size_t again = index_after(c, outcome.nack.resend_after);
      if (again < n) {
        (void)w_.send(c.session, c.log.body(again, std::min(n, again + 5)));
      }
    }
    ASSERT_LE(w_.ingest->stats().inflight_bytes, w_.options.inflight_bytes_max + 4096);
  }

  void land_and_trim() {
    w_.land();
    for (Child& c : children_) {
      const auto& landed = w_.landed[{c.log.source(), c.log.epoch()}];
      if (landed.empty()) continue;
      w_.ingest->on_persisted(c.log.source(), c.log.epoch(), landed.back().lsn, w_.effects);
    }
    if (random_.below(2) == 0) return;
    auto written = write_checkpoint(w_.disk, "j", w_.journal->id(), w_.ingest->checkpoint());
    ASSERT_TRUE(written) << written.error().text;
    ASSERT_TRUE(w_.journal->trim(std::min(w_.landed_to, w_.ingest->checkpoint_position())));
    w_.ingest->on_space(w_.effects);
  }

  void one_step() {
    Child& c = children_[random_.below(children_.size())];
    switch (random_.below(16)) {
      case 0: connect(c); break;
      case 1: land_and_trim(); break;
      case 2:
        if (random_.below(4) == 0) {
          w_.crash(static_cast<sim::CrashModel>(random_.below(4)));
          for (Child& each : children_) each.session = 0;
        }
        break;
      case 3:
        w_.disk.fail_all_mutations(Error{ErrorKind::kNoSpace, "ENOSPC"});
        (void)w_.commit();
        w_.disk.fail_all_mutations(std::nullopt);
        break;
      case 4:
      case 5:
      case 6: (void)w_.commit(); break;
      case 7:
      case 8:
      case 9:
        for (std::uint64_t n = random_.below(6); n > 0; --n) {
          c.log.add(1 + random_.below(4), std::string(random_.below(120), 'r'),
                    static_cast<int>(random_.below(3)));
        }
        break;
      default: send(c);
    }
    take_effects();
  }

  void heal() {
    for (Child& c : children_) {
      for (int attempt = 0; attempt < 50 && c.session == 0; ++attempt) connect(c);
      if (testing::Test::HasFatalFailure()) return;
    }
    for (int round = 0; round < 3000; ++round) {
      bool all = true;
      for (Child& c : children_) {
        const std::size_t n = c.log.changes().size();
        const std::size_t at = index_after(c, c.acked_durable);
        if (at == n) continue;
        all = false;
        const auto outcome = w_.send(c.session, c.log.body(at, std::min(n, at + 4)));
        if (outcome.close) {
          c.session = 0;
          connect(c);
        }
      }
      ASSERT_TRUE(w_.commit());
      land_and_trim();
      take_effects();
      if (testing::Test::HasFatalFailure()) return;
      if (all) break;
    }
    w_.land();
    for (const Child& c : children_) {
      const auto& landed = w_.landed[{c.log.source(), c.log.epoch()}];
      ASSERT_EQ(landed.size(), c.log.changes().size());
      for (std::size_t i = 0; i < landed.size(); ++i) {
        ASSERT_EQ(landed[i].lsn, c.log.changes()[i].lsn);
        ASSERT_EQ(landed[i].values, c.log.changes()[i].values);
      }
    }
  }

  IngestWorld w_;
  sim::SeededRandom random_;
  std::vector<Child> children_;
};

TEST(IngestProperty, EveryChangeLandsOnceAndInOrderWhateverHappens) {
  for (std::uint64_t seed = 1; seed <= 120; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Histories(seed).run();
    if (testing::Test::HasFatalFailure()) return;
  }
}

TEST(IngestProperty, UnorderedChangesLandOnceWhateverHappens) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    IngestWorld w(seed);
    sim::SeededRandom random(seed);
    ChildLog log("v1", Epoch(0));
    for (int i = 0; i < 60; ++i) log.add(1 + random.below(2), "r", i % 2);
    std::map<std::uint64_t, std::vector<std::size_t>> sent;  // by token
    std::set<std::size_t> safe;
    std::uint64_t token = 0;
    const auto take = [&] {
      for (const BatchDurableEffect& e : w.effects.batches) {
        for (const std::size_t i : sent[e.token]) safe.insert(i);
      }
      w.effects.clear();
    };
    ASSERT_TRUE(w.ingest->on_hello_unordered(SessionId(1), "v1"));
    for (int step = 0; step < 200; ++step) {
      const auto what = random.below(12);
      if (what == 0) {
        ASSERT_TRUE(write_checkpoint(w.disk, "j", w.journal->id(), w.ingest->checkpoint()));
        if (random.below(2) == 0) {  // from now on only the checkpoint knows of it
          w.land();
          ASSERT_TRUE(w.journal->trim(std::min(w.landed_to, w.ingest->checkpoint_position())));
        }
      } else if (what == 1) {
        w.crash(static_cast<sim::CrashModel>(random.below(4)));
        ASSERT_TRUE(w.ingest->on_hello_unordered(SessionId(1), "v1"));
      } else if (what < 5) {
        ASSERT_TRUE(w.commit());
      } else {
        std::set<std::size_t> pick;
        const bool all = step > 190;
        for (std::size_t i = 0; i < 60; ++i) {
          if (all || random.below(8) == 0) pick.insert(i);
        }
        if (pick.empty()) continue;
        const std::vector<std::size_t> indices(pick.begin(), pick.end());
        sent[++token] = indices;
        const std::string body = log.scattered(indices);
        const auto outcome = w.ingest->on_batch_unordered(SessionId(1), {&body, 1}, body.size(),
                                                          token, UnixMillis(step), w.effects);
        ASSERT_NE(outcome.verdict, BatchVerdict::kRefused) << outcome.nack.text;
      }
      take();
    }
    ASSERT_TRUE(w.commit());
    take();
    w.land();
    std::multiset<std::uint64_t> landed;
    for (const auto& l : w.landed[{"v1", Epoch(0)}]) landed.insert(l.lsn.value);
    for (std::size_t i = 0; i < 60; ++i) {
      const auto count = landed.count(log.changes()[i].lsn.value);
      ASSERT_LE(count, 1u) << "landed twice";
      ASSERT_TRUE(count == 1 || !safe.contains(i)) << "acknowledged and lost";
    }
  }
}

// The tracker against a set that never forgets.
TEST(Dedup, NeverCallsSomethingADuplicateThatIsNot) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    sim::SeededRandom random(seed);
    DeduplicationTracker tracker(
        {.window_ms = 1000, .max_entries_per_source = 20, .max_sources = 3});
    std::map<std::string, std::set<std::uint64_t>> durable, received;
    std::map<std::pair<std::string, std::uint64_t>, std::int64_t> when;
    std::int64_t now = 0;
    for (int step = 0; step < 2000; ++step) {
      now += static_cast<std::int64_t>(random.below(20));
      const std::string source(1, static_cast<char>('a' + random.below(5)));
      const std::uint64_t lsn = random.below(120);
      const auto known = tracker.look(source, Lsn(lsn));
      if (known == DeduplicationTracker::Known::kDurable) {
        ASSERT_TRUE(durable[source].contains(lsn));
      } else if (known == DeduplicationTracker::Known::kReceived) {
        ASSERT_TRUE(received[source].contains(lsn));
      } else {
        ASSERT_FALSE(received[source].contains(lsn));
        if (durable[source].contains(lsn)) {
          ASSERT_GT(now - when[std::make_pair(source, lsn)], 1000) << "forgot within the window";
          durable[source].erase(lsn);
        }
        const DeduplicationTracker::Run run{Lsn(lsn), Lsn(lsn)};
        if (tracker.receive(source, {&run, 1}, UnixMillis(now))) {
          if (random.below(5) == 0) {
            tracker.take_back(source, {&run, 1});
          } else {
            received[source].insert(lsn);
            when[{source, lsn}] = now;
          }
        }
      }
      ASSERT_LE(tracker.entry_count(source), 21u);
      if (random.below(3) == 0) {
        for (auto& [name, lsns] : received) {
          for (const std::uint64_t l : lsns) {
            const DeduplicationTracker::Run run{Lsn(l), Lsn(l)};
            tracker.make_durable(name, {&run, 1});
            durable[name].insert(l);
          }
          lsns.clear();
        }
      }
    }
    // What is durable survives a checkpoint, and nothing else does.
    DeduplicationTracker restored;
    tracker.for_each_durable([&](const std::string& name, const auto& runs) {
      ASSERT_TRUE(restored.restore(name, runs));
    });
    for (char c = 'a'; c < 'f'; ++c) {
      const std::string source(1, c);
      for (std::uint64_t lsn = 0; lsn < 120; ++lsn) {
        ASSERT_EQ(restored.look(source, Lsn(lsn)) == DeduplicationTracker::Known::kDurable,
                  tracker.look(source, Lsn(lsn)) == DeduplicationTracker::Known::kDurable);
      }
    }
  }
}

TEST(Dedup, ARunWithoutGapsIsOneEntryHoweverLong) {
  DeduplicationTracker tracker({.max_entries_per_source = 2});
  for (std::uint64_t lsn = 1; lsn <= 50'000; ++lsn) {
    const DeduplicationTracker::Run run{Lsn(lsn), Lsn(lsn)};
    ASSERT_TRUE(tracker.receive("s", {&run, 1}, UnixMillis(0)));
    tracker.make_durable("s", {&run, 1});
  }
  EXPECT_EQ(tracker.entry_count("s"), 1u);
  const DeduplicationTracker::Run ends[] = {{Lsn(0), Lsn(0)}, {Lsn(UINT64_MAX), Lsn(UINT64_MAX)}};
  ASSERT_TRUE(tracker.receive("s", ends, UnixMillis(0)));
  EXPECT_EQ(tracker.entry_count("s"), 2u);
  EXPECT_EQ(tracker.look("s", Lsn(UINT64_MAX)), DeduplicationTracker::Known::kReceived);
  EXPECT_EQ(tracker.look("s", Lsn(50'001)), DeduplicationTracker::Known::kNew);
}

}  // namespace
}  // namespace evodb::ingest
