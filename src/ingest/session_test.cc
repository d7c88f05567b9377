// What a session keeps while nothing of it is in the air, and what leaves with it.
#include "ingest/session.h"

#include <gtest/gtest.h>

#include "ingest/ingest_world.h"
#include "ingest/table_sets.h"

namespace evodb::ingest {
namespace {

ChildLog log_of(int n, std::string source) {
  ChildLog log(std::move(source), Epoch(1));
  for (int i = 0; i < n; ++i) log.add(1, "row " + std::to_string(i), i % 2);
  return log;
}

TEST(Session, AtRestItStillKnowsItsTables) {
  IngestWorld w;
  const ChildLog log = log_of(6, "shop");
  w.hello(1, log.hello());
  w.send(1, log.body(0, 2));
  w.send(1, log.body(2, 4, false));
  ASSERT_TRUE(w.commit());
  ASSERT_EQ(w.effects.acks.size(), 1u);
  EXPECT_TRUE(w.effects.acks[0].at_rest);
  EXPECT_EQ(w.send(1, log.body(4, 6, false)).verdict, BatchVerdict::kAppended);
  ASSERT_TRUE(w.commit());
  w.land();
  EXPECT_EQ((w.landed[{"shop", Epoch(1)}].size()), 6u);
}

TEST(Session, AnAckSaysWhetherMoreIsInTheAir) {
  IngestWorld w;
  const ChildLog log = log_of(4, "shop");
  w.hello(1, log.hello());
  w.send(1, log.body(0, 2));
  const Position first = *w.journal->commit();
  w.send(1, log.body(2, 4));
  w.ingest->on_durable(first, w.effects);
  ASSERT_EQ(w.effects.acks.size(), 1u);
  EXPECT_FALSE(w.effects.acks[0].at_rest);
  w.effects.clear();
  ASSERT_TRUE(w.commit());
  ASSERT_EQ(w.effects.acks.size(), 1u);
  EXPECT_TRUE(w.effects.acks[0].at_rest);
}

TEST(Session, BatchesOfOneThatLeftDoNotCountForTheNextOfItsId) {
  IngestWorld w;
  const ChildLog first = log_of(4, "first"), second = log_of(4, "second");
  w.hello(7, first.hello());
  w.send(7, first.body(0, 2));
  w.ingest->on_disconnect(SessionId(7));
  EXPECT_EQ(w.ingest->stats().sessions, 0u);
  EXPECT_GT(w.ingest->stats().inflight_bytes, 0u);
  w.hello(7, second.hello());
  w.send(7, second.body(0, 2));
  ASSERT_TRUE(w.commit());
  ASSERT_EQ(w.effects.acks.size(), 1u) << "nobody is told of the first's";
  EXPECT_EQ(w.effects.acks[0].ack.durable, second.changes()[1].lsn);
  EXPECT_EQ(w.ingest->stats().inflight_bytes, 0u);
  // The first's is durable all the same.
  EXPECT_EQ(w.hello(8, first.hello()).welcome.durable, first.changes()[1].lsn);
}

TEST(Session, CreditToldAtRestHoldsWhenItWakes) {
  IngestWorld w;
  w.options.session_credit_bytes = 2'000;
  w.open();
  const ChildLog log = log_of(200, "shop");
  const std::uint64_t credit = w.hello(1, log.hello()).welcome.credit_bytes;
  EXPECT_EQ(credit, 2'000u);
  std::uint64_t sent = 0;
  std::size_t from = 0;
  for (; from < 200; from += 2) {
    const std::string body = log.body(from, from + 2);
    if (sent + body.size() + 16 > credit) break;
    sent += body.size() + 16;
    ASSERT_EQ(w.send(1, body).verdict, BatchVerdict::kAppended) << from;
  }
  EXPECT_GT(from, 4u);
  EXPECT_EQ(w.send(1, log.body(from, from + 2)).nack.reason, wire::NackReason::kOverCredit);
}

TEST(TableSets, TheSameNumberingIsKeptOnceAndGoesWithItsLastUser) {
  TableRegistry registry(1u << 20);
  TableSets sets(registry);
  const TableIndex a = *registry.acquire("definition a", 1);
  const TableIndex b = *registry.acquire("definition b!", 2);
  const TableSets::Handle one = sets.intern({{0, a}, {5, b}});
  EXPECT_EQ(sets.intern({{0, a}, {5, b}}), one);
  const TableSets::Handle other = sets.intern({{0, b}, {5, a}});
  EXPECT_NE(other, one);
  EXPECT_EQ(sets.intern({}), 0u);
  EXPECT_EQ(sets.definition_bytes(one), 25u);
  EXPECT_EQ(sets.find(one, 5)->table, b);
  EXPECT_EQ(sets.find(one, 1), nullptr);
  EXPECT_EQ(sets.find(0, 0), nullptr);

  registry.release(a);
  registry.release(b);
  sets.release(other);
  sets.release(one);
  EXPECT_EQ(registry.at(a).users, 1u) << "one user of the set is left";
  sets.release(one);
  EXPECT_EQ(registry.at(a).users, 0u);
  EXPECT_EQ(registry.at(b).users, 0u);
}

}  // namespace
}  // namespace evodb::ingest
