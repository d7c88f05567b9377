// Damage that recovery must name: each was found by a history of evodb-sim.
#include "parent/recovery.h"

#include <gtest/gtest.h>

namespace evodb::sim {
namespace {

// evodb-sim, profile store, seed 147: positions were used again, and changes landed twice.
TEST(Recovery, RefusesAJournalThatEndsBeforeWhatATableHoldsOfIt) {
  table::TableState state;
  state.name = "items_changes";
  const auto check = [&](std::uint64_t journal, std::uint64_t position) {
    state.watermark = table::Watermark{.journal = journal, .position = Position(position)};
    return parent::check_watermarks({journal::JournalId(7), Position(100)}, {state});
  };
  EXPECT_TRUE(check(7, 100));
  EXPECT_TRUE(check(8, 101));  // another journal's
  const auto ahead = check(7, 101);
  ASSERT_FALSE(ahead);
  EXPECT_EQ(ahead.error().kind, ErrorKind::kCorrupt);
  EXPECT_NE(ahead.error().text.find("items_changes"), std::string::npos);
}

}  // namespace
}  // namespace evodb::sim
