#include "ingest/source_table.h"

#include <map>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "base/limits.h"
#include "sim/seams/seeded_random.h"

namespace evodb::ingest {
namespace {

void expect_same(const SourceState& a, const SourceState& b) {
  EXPECT_EQ(a.epoch, b.epoch);
  EXPECT_EQ(a.received, b.received);
  EXPECT_EQ(a.durable, b.durable);
  EXPECT_EQ(a.persisted, b.persisted);
  EXPECT_EQ(a.chain, b.chain);
  EXPECT_EQ(a.txn, b.txn);
  EXPECT_EQ(a.session, b.session);
  EXPECT_EQ(a.rebuilt, b.rebuilt);
}

// Near each other as in life, or anything.
SourceState random_state(sim::SeededRandom& random, Epoch epoch) {
  SourceState state;
  state.epoch = epoch;
  state.chain = ChainHash(random.next());
  state.session = static_cast<std::uint32_t>(random.next());
  state.rebuilt = random.below(4) == 0;
  if (random.below(3) == 0) {
    state.received = Lsn(random.next());
    state.durable = Lsn(random.next());
    state.persisted = Lsn(random.next());
    state.txn = TxnId(random.next());
  } else {
    state.received = Lsn(1'000'000 + random.below(1'000'000'000'000));
    state.durable = Lsn(state.received.value - random.below(1000));
    state.persisted = Lsn(state.received.value - random.below(1'000'000));
    state.txn = TxnId(state.received.value + random.below(100) - 50);
  }
  return state;
}

TEST(SourceTable, GivesBackEveryMarkOfEverySourceWhateverItWas) {
  sim::SeededRandom random(1);
  SourceTable table;
  std::map<std::pair<std::string, std::uint64_t>, std::pair<SourceIndex, SourceState>> model;
  for (int step = 0; step < 30'000; ++step) {
    std::string name = "source-" + std::to_string(random.below(4'000));
    if (random.below(50) == 0) name.resize(random.below(base::source_name_bytes_max + 1), 'n');
    const Epoch epoch(random.below(8) == 0 ? UINT64_MAX - random.below(3) : 1 + random.below(3));
    auto found = model.find({name, epoch.value});
    const SourceIndex id = table.find(name, epoch);
    ASSERT_EQ(id == SourceTable::none, found == model.end());
    if (found == model.end()) {
      SourceState fresh;
      fresh.epoch = epoch;
      found = model.emplace(std::pair(name, epoch.value), std::pair(table.add(name, epoch), fresh))
                  .first;
      expect_same(table.at(found->second.first), fresh);
    } else {
      ASSERT_EQ(id, found->second.first);
    }
    found->second.second = random_state(random, epoch);
    table.put(found->second.first, found->second.second);
  }
  std::map<std::string, std::uint64_t> newest;
  for (const auto& [key, value] : model) {
    ASSERT_EQ(table.find(key.first, Epoch(key.second)), value.first);
    EXPECT_EQ(table.name_of(value.first), key.first);
    expect_same(table.at(value.first), value.second);
    newest[key.first] = std::max(newest[key.first], key.second);
  }
  for (const auto& [name, epoch] : newest) EXPECT_EQ(table.newest_epoch(name), Epoch(epoch));
  EXPECT_EQ(table.newest_epoch("never seen"), Epoch());
  EXPECT_EQ(table.size(), model.size());
}

TEST(SourceTable, WalksInTheOrderOfAddingThroughAllBlocks) {
  SourceTable table;
  table.reserve(20'000);
  std::vector<SourceIndex> added;
  for (int i = 0; i < 20'000; ++i) added.push_back(table.add(std::to_string(i), Epoch(7)));
  std::vector<SourceIndex> walked;
  table.for_each([&](SourceIndex id) { walked.push_back(id); });
  EXPECT_EQ(walked, added);
}

TEST(SourceTable, ReservingLaterForgetsNothing) {
  SourceTable table;
  for (std::uint64_t i = 0; i < 1'000; ++i) table.add(std::to_string(i % 500), Epoch(1 + i / 500));
  table.reserve(50'000);
  for (std::uint64_t i = 0; i < 1'000; ++i) {
    const SourceIndex id = table.find(std::to_string(i % 500), Epoch(1 + i / 500));
    ASSERT_NE(id, SourceTable::none);
    EXPECT_EQ(table.at(id).epoch, Epoch(1 + i / 500));
  }
}

}  // namespace
}  // namespace evodb::ingest
