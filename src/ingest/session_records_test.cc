#include "ingest/session_records.h"

#include <map>

#include <gtest/gtest.h>

#include "ingest/ingest_world.h"

namespace evodb::ingest {
namespace {

TEST(SessionRecords, ComeBackAsTheyWere) {
  SessionRecords records;
  records.definitions = {"one", "", "three"};
  records.sessions = {{.session = 7,
                       .source = "shop",
                       .epoch = Epoch(3),
                       .life = 77,
                       .granted_bytes = 1,
                       .tables = {{0, 2}, {5, 0}}},
                      {.session = 1,
                       .kind = SessionKind::kUnordered,
                       .starved = true,
                       .source = "x",
                       .unordered_durable = Lsn(8),
                       .unordered_persisted = Lsn(2),
                       .tables = {{UINT32_MAX, 1}}},
                      {.session = UINT32_MAX,
                       .kind = SessionKind::kUnorderedV1,
                       .superseded = true,
                       .source = "old"}};
  const std::string bytes = encode_session_records(records);
  const auto read = decode_session_records(bytes);
  ASSERT_TRUE(read) << read.error().text;
  EXPECT_EQ(*read, records);
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_FALSE(decode_session_records(std::string_view(bytes).substr(0, n))) << n;
  }
  EXPECT_FALSE(decode_session_records(bytes + "x"));
}

TEST(SessionRecords, RefuseADefinitionThatIsNotThereAndTablesOutOfOrder) {
  SessionRecords records;
  records.definitions = {"one"};
  records.sessions = {{.session = 7, .source = "shop", .tables = {{0, 1}}}};
  EXPECT_FALSE(decode_session_records(encode_session_records(records)));
  records.sessions[0].tables = {{3, 0}, {3, 0}};
  EXPECT_FALSE(decode_session_records(encode_session_records(records)));
  records.sessions[0].tables = {{3, 0}, {4, 0}};
  EXPECT_TRUE(decode_session_records(encode_session_records(records)));
}

// What HandOver does: everything durable, a checkpoint, the sessions; then another machine, under
// other session numbers.
Result<void> change_hands(IngestWorld& w, std::map<std::uint32_t, std::uint32_t> numbers) {
  EVODB_TRY(write_checkpoint(w.disk, "j", w.journal->id(), w.ingest->checkpoint()));
  const std::string saved = w.ingest->save_sessions();
  w.open();
  return w.ingest->restore_sessions(saved, [&](SessionId old) -> std::optional<SessionId> {
    const auto found = numbers.find(old.value);
    return found == numbers.end() ? std::nullopt : std::optional(SessionId(found->second));
  });
}

TEST(SessionHandOver, ASessionGoesOnWithItsTablesAndCreditUnderAnotherNumber) {
  IngestWorld w;
  ChildLog log("shop", Epoch(1)), silent("silent", Epoch(4));
  for (int i = 0; i < 6; ++i) log.add(1, "v" + std::to_string(i), i % 2);
  ASSERT_TRUE(w.hello(1, log.hello()).accepted);
  ASSERT_TRUE(w.hello(2, silent.hello()).accepted);
  ASSERT_TRUE(w.ingest->on_hello_unordered(SessionId(3), "old"));
  ASSERT_EQ(w.send(1, log.body(0, 2)).verdict, BatchVerdict::kAppended);
  ASSERT_TRUE(w.commit());

  const auto changed = change_hands(w, {{1, 40}, {2, 2}, {3, 1}});
  ASSERT_TRUE(changed) << changed.error().text;
  EXPECT_EQ(w.ingest->stats().sessions, 3u);
  // The definitions came with an earlier batch, in another process.
  ASSERT_EQ(w.send(40, log.body(2, 4, false)).verdict, BatchVerdict::kAppended);
  ASSERT_TRUE(w.commit());
  ASSERT_EQ(w.effects.acks.size(), 1u);
  EXPECT_EQ(w.effects.acks[0].session, SessionId(40));
  EXPECT_EQ(w.effects.acks[0].ack.durable, Lsn(4));
  EXPECT_GT(w.effects.acks[0].ack.credit_bytes, 0u);
  w.land();
  EXPECT_EQ((w.landed[{"shop", Epoch(1)}].size()), 4u);
  // A duplicate of what the other process took is one here too.
  EXPECT_EQ(w.send(40, log.body(0, 2)).verdict, BatchVerdict::kDuplicate);
  silent.add(1, "first");
  EXPECT_EQ(w.send(2, silent.body(0, 1)).verdict, BatchVerdict::kAppended);
  // The session is the source's: a newer connection takes over.
  const auto again = w.hello(41, log.hello());
  EXPECT_TRUE(again.accepted && again.has_superseded);
  EXPECT_EQ(again.superseded, SessionId(40));
}

TEST(SessionHandOver, ASupersededSessionStaysOne) {
  IngestWorld w;
  ChildLog log("shop", Epoch(1));
  log.add(1, "v");
  ASSERT_TRUE(w.hello(1, log.hello()).accepted);
  ASSERT_TRUE(w.hello(2, log.hello()).has_superseded);
  ASSERT_TRUE(change_hands(w, {{1, 1}, {2, 2}}));
  const auto refused = w.send(1, log.body(0, 1));
  EXPECT_TRUE(refused.verdict == BatchVerdict::kRefused && refused.close);
  EXPECT_EQ(w.send(2, log.body(0, 1)).verdict, BatchVerdict::kAppended);
}

TEST(SessionHandOver, SessionsThatDoNotFitAreRefused) {
  IngestWorld w;
  ChildLog log("shop", Epoch(1));
  ASSERT_TRUE(w.hello(1, log.hello()).accepted);
  EXPECT_FALSE(change_hands(w, {})) << "no connection";
  IngestWorld other;
  ASSERT_TRUE(other.hello(1, log.hello()).accepted);
  const std::string saved = other.ingest->save_sessions();
  IngestWorld empty;
  const auto refused = empty.ingest->restore_sessions(saved, [](SessionId s) { return s; });
  ASSERT_FALSE(refused) << "a source that nobody knows";
  EXPECT_EQ(refused.error().kind, ErrorKind::kCorrupt);
}

}  // namespace
}  // namespace evodb::ingest
