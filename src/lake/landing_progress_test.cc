#include "lake/landing_progress.h"

#include <map>

#include <gtest/gtest.h>

namespace evodb::lake {
namespace {

// Marks by source, as they are reported.
std::map<std::string, std::uint64_t> marks_of(LandingProgress& progress) {
  std::vector<PersistedMark> marks;
  progress.take(&marks);
  std::map<std::string, std::uint64_t> out;
  for (const auto& mark : marks) out[mark.source] = mark.lsn.value;
  return out;
}

LandingProgress::Ticket record(LandingProgress& progress, std::uint64_t at, const char* source,
                               std::uint64_t last) {
  progress.begin(Position(at), source, Epoch(1), Lsn(last));
  const auto ticket = progress.hold();
  progress.end(Position(at + 10));
  return ticket;
}

TEST(LandingProgress, WhatIsSetAsideHoldsUpItsSourceAndNotTheJournal) {
  LandingProgress progress;
  progress.release(record(progress, 0, "a", 5));
  EXPECT_EQ(marks_of(progress), (std::map<std::string, std::uint64_t>{{"a", 5}}));
  const auto waits = record(progress, 10, "a", 8);
  progress.release(record(progress, 20, "b", 3));
  EXPECT_EQ(progress.landed_through(), Position(10));
  progress.set_aside(waits);
  EXPECT_EQ(progress.landed_through(), Position(30));
  EXPECT_EQ(marks_of(progress), (std::map<std::string, std::uint64_t>{{"b", 3}}));
  // However long it goes on.
  for (std::uint64_t i = 0; i < 5; ++i) {
    progress.release(record(progress, 30 + i * 20, "a", 9 + 2 * i));
    progress.set_aside(record(progress, 40 + i * 20, "a", 10 + 2 * i));
  }
  EXPECT_TRUE(marks_of(progress).empty()) << "persisted stays before what waits";
  EXPECT_EQ(progress.incomplete(), 0u);
}

}  // namespace
}  // namespace evodb::lake
