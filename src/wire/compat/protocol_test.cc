#include "evodb/protocol.h"

#include "base/bytes.h"
#include "base/limits.h"
#include "wire/golden_test.h"

namespace evodb {
namespace {

WalEntry entry(std::uint64_t lsn, Op op, std::optional<Row> before, std::optional<Row> after) {
  WalEntry e;
  e.lsn = Lsn(lsn);
  e.timestamp = UnixMillis(1'700'000'000'000);
  e.op = op;
  e.table = "users";
  e.txn = TxnId(lsn);
  e.before = std::move(before);
  e.after = std::move(after);
  return e;
}

Row user(std::int64_t id, std::string name) {
  return {{"id", Value::integer(id)}, {"name", Value::text(std::move(name))}};
}

CdcBatchMessage two_users() {
  CdcBatchMessage batch;
  batch.entries = {entry(1, Op::kInsert, std::nullopt, user(7, "Ada")),
                   entry(2, Op::kUpdate, user(7, "Ada"), user(7, "Grace"))};
  return batch;
}

TEST(Protocol, DecodesAndEncodesEveryGoldenMessageByteForByte) {
  for (const std::string folder : {"wire-v2", "wire-v1"}) {
    for (const wire::Golden& golden : wire::read_goldens(folder)) {
      const auto& d = golden.description;
      SCOPED_TRACE(golden.name);
      const std::string kind = d.value("frame", d.value("message", ""));
      const bool needs_session = !d.value("known_tables", nlohmann::json::array()).empty();
      const Result<Message> message = decode_message(golden.bytes);
      if (kind == "refused" || kind == "refused-text" || needs_session) {
        EXPECT_FALSE(message);
        continue;
      }
      ASSERT_TRUE(message) << message.error().text;
      if (!d.value("encodes", false)) continue;
      if (kind == "batch" && folder == "wire-v2") {
        Message again = *message;
        std::get<CdcBatchMessage>(again).chain_before =
            ChainHash(wire::hex64(d.at("chain_before")));
        const Result<std::string> bytes = encode_message(again);
        ASSERT_TRUE(bytes) << bytes.error().text;
        const Result<Message> second = decode_message(*bytes);
        ASSERT_TRUE(second);
        EXPECT_EQ(std::get<CdcBatchMessage>(*second).chain_after.value,
                  wire::hex64(d.at("chain_after")));
        EXPECT_EQ(std::get<CdcBatchMessage>(*second).entries,
                  std::get<CdcBatchMessage>(*message).entries);
        continue;
      }
      const Result<std::string> bytes =
          encode_message(*message, folder == "wire-v2" ? WireVersion::kV2 : WireVersion::kV1);
      ASSERT_TRUE(bytes) << bytes.error().text;
      EXPECT_EQ(base::to_hex(*bytes), base::to_hex(golden.bytes));
    }
  }
}

TEST(Protocol, ABatchExplainsItself) {
  const Result<std::string> bytes = encode_message(two_users());
  ASSERT_TRUE(bytes) << bytes.error().text;
  EXPECT_FALSE(is_text_message(*bytes));
  const Result<Message> message = decode_message(*bytes);
  ASSERT_TRUE(message) << message.error().text;
  const auto& batch = std::get<CdcBatchMessage>(*message);
  EXPECT_EQ(batch.entries, two_users().entries);
  ASSERT_EQ(batch.tables.size(), 1u);
  EXPECT_EQ(batch.tables[0].name, "users");
  EXPECT_NE(batch.chain_after, ChainHash(0));
}

TEST(Protocol, ASessionSendsDefinitionsOnce) {
  WireSession child, parent;
  CdcBatchMessage batch = two_users();
  batch.tables = {{"users", 3, {{"id", "INTEGER", 1}, {"name", "TEXT", 0}}}};
  const Result<std::string> first = encode_message(batch, WireVersion::kV2, &child);
  ASSERT_TRUE(first);
  ASSERT_TRUE(decode_message(*first, &parent));
  EXPECT_EQ(parent.tables.at(0), batch.tables[0]);
  EXPECT_EQ(parent.chain, child.chain);

  batch.previous_lsn = Lsn(2);
  batch.chain_before = child.chain;
  batch.entries = {entry(3, Op::kDelete, user(7, "Grace"), std::nullopt)};
  WalEntry oversize = entry(4, Op::kOversize, std::nullopt, std::nullopt);
  oversize.key = {{{"id", Value::integer(8)}}};
  oversize.reason = "too large";
  batch.entries.push_back(oversize);
  const Result<std::string> second = encode_message(batch, WireVersion::kV2, &child);
  ASSERT_TRUE(second) << second.error().text;
  EXPECT_LT(second->size(), first->size());
  EXPECT_FALSE(decode_message(*second)) << "the definition came earlier";
  const Result<Message> decoded = decode_message(*second, &parent);
  ASSERT_TRUE(decoded) << decoded.error().text;
  EXPECT_EQ(std::get<CdcBatchMessage>(*decoded).entries, batch.entries);
  EXPECT_EQ(parent.chain, child.chain);
}

TEST(Protocol, RefusesToEncodeWhatCannotBeDecoded) {
  const auto refused = [](CdcBatchMessage batch) { return !encode_message(batch); };
  EXPECT_FALSE(refused(two_users()));
  EXPECT_TRUE(refused(CdcBatchMessage{}));
  CdcBatchMessage batch = two_users();
  batch.entries[1].lsn = Lsn(1);
  EXPECT_TRUE(refused(batch)) << "the LSN does not grow";
  batch = two_users();
  batch.entries[1].before = user(7, "x");
  batch.entries[1].before->pop_back();
  EXPECT_TRUE(refused(batch)) << "other columns before than after";
  batch = two_users();
  batch.entries[0].after_json = "{}";
  EXPECT_TRUE(refused(batch)) << "JSON in wire v2";
  batch = two_users();
  batch.entries[0].table = std::string(base::table_name_bytes_max + 1, 't');
  EXPECT_TRUE(refused(batch)) << "a name over the limit";
  batch = two_users();
  batch.entries[0].reason = "why";
  EXPECT_TRUE(refused(batch)) << "a reason on an insert";
  EXPECT_FALSE(encode_message(HelloMessage{})) << "no source";
  EXPECT_FALSE(encode_message(HeartbeatMessage{})) << "v1 only";
  EXPECT_FALSE(encode_message(WelcomeMessage{}, WireVersion::kV1)) << "v2 only";
  EXPECT_FALSE(encode_message(two_users(), WireVersion::kV1)) << "typed columns in v1";
}

TEST(Protocol, SpeaksTheTextOfWireV1) {
  HelloMessage hello;
  hello.source = "do-1";
  hello.trimmed = Lsn(4);
  const Result<std::string> text = encode_message(hello, WireVersion::kV1);
  ASSERT_TRUE(text);
  EXPECT_TRUE(is_text_message(*text));
  const Result<Message> back = decode_message(*text);
  ASSERT_TRUE(back);
  EXPECT_EQ(std::get<HelloMessage>(*back).source, "do-1");
  EXPECT_EQ(std::get<HelloMessage>(*back).trimmed, Lsn(4));
  EXPECT_EQ(*encode_message(PingMessage{}, WireVersion::kV1), "ping");

  CdcBatchMessage batch;
  batch.source = "do-1";
  batch.json = true;
  batch.correlation_id = "c";
  batch.entries.emplace_back();
  batch.entries[0].lsn = Lsn(9);
  batch.entries[0].table = "t";
  batch.entries[0].row_id = "r";
  batch.entries[0].after_json = R"({"a":1})";
  const Result<Message> again = decode_message(*encode_message(batch, WireVersion::kV1));
  ASSERT_TRUE(again);
  EXPECT_EQ(std::get<CdcBatchMessage>(*again).entries, batch.entries);
  EXPECT_FALSE(decode_message("neither"));
  EXPECT_FALSE(decode_message(""));
}

}  // namespace
}  // namespace evodb
