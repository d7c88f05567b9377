#include "wire/v1/codec.h"

#include "base/bytes.h"
#include "base/limits.h"
#include "wire/golden_test.h"
#include "wire/v1/text.h"

namespace evodb::wire {
namespace {

// Entries as a description holds them; owns what the views point to.
struct Described {
  explicit Described(const nlohmann::json& d) : json(d) {
    static const std::vector<std::string> ops = {"INSERT", "UPDATE", "DELETE"};
    const auto text = [](const nlohmann::json& j, const char* name) {
      return std::string_view(j.at(name).get_ref<const std::string&>());
    };
    for (const auto& e : json.at("entries")) {
      V1Entry entry;
      entry.sequence = wide(e.at("sequence"));
      entry.timestamp = UnixMillis(static_cast<std::int64_t>(wide(e.at("timestamp"))));
      entry.op = static_cast<Op>(std::find(ops.begin(), ops.end(), e.at("op").get<std::string>()) -
                                 ops.begin());
      entry.table = text(e, "table");
      entry.row_id = text(e, "row_id");
      entry.before = text(e, "before");
      entry.after = text(e, "after");
      entries.push_back(entry);
    }
  }
  const nlohmann::json json;
  std::vector<V1Entry> entries;
};

std::optional<std::string_view> correlation_of(const nlohmann::json& d) {
  if (d.at("correlation_id").is_null()) return std::nullopt;
  return d.at("correlation_id").get_ref<const std::string&>();
}

V1BatchHeader header_of(const nlohmann::json& d) {
  V1BatchHeader header;
  header.timestamp = UnixMillis(d.at("timestamp"));
  header.batch_sequence = wide(d.at("batch_sequence"));
  header.retry = d.at("retry");
  header.source = d.at("source").get_ref<const std::string&>();
  header.correlation_id = correlation_of(d);
  return header;
}

bool same(const V1Entry& a, const V1Entry& b) {
  return a.sequence == b.sequence && a.timestamp == b.timestamp && a.op == b.op &&
         a.table == b.table && a.row_id == b.row_id && a.before == b.before && a.after == b.after;
}

// Whether the message is good to its end.
Result<void> read_all(std::string_view message) {
  const V1Type type = EVODB_TRY(v1_type(message));
  if (type == V1Type::kAck) {
    if (const auto ack = decode_v1_ack(message); !ack) return fail(ack.error());
    return {};
  }
  if (type == V1Type::kNack) {
    if (const auto nack = decode_v1_nack(message); !nack) return fail(nack.error());
    return {};
  }
  V1BatchReader reader(message);
  V1Entry entry;
  while (reader.next(&entry)) {
  }
  reader.checksum_matches();
  return reader.status();
}

TEST(WireV1, ReadsEveryGoldenBatch) {
  for (const Golden& golden : read_goldens("wire-v1")) {
    if (golden.description.at("message") != "batch") continue;
    SCOPED_TRACE(golden.name);
    const Described d(golden.description);
    EXPECT_TRUE(has_v1_magic(golden.bytes));
    V1BatchReader reader(golden.bytes);
    const V1BatchHeader wanted = header_of(d.json);
    EXPECT_EQ(reader.header().timestamp, wanted.timestamp);
    EXPECT_EQ(reader.header().batch_sequence, wanted.batch_sequence);
    EXPECT_EQ(reader.header().retry, wanted.retry);
    EXPECT_EQ(reader.header().source, wanted.source);
    EXPECT_EQ(reader.header().correlation_id, wanted.correlation_id);
    EXPECT_EQ(reader.header().entry_count, d.entries.size());
    V1Entry entry;
    for (const V1Entry& e : d.entries) {
      ASSERT_TRUE(reader.next(&entry));
      EXPECT_TRUE(same(entry, e));
    }
    EXPECT_FALSE(reader.next(&entry));
    EXPECT_TRUE(reader.status());
    EXPECT_EQ(reader.trailing_bytes(), d.json.at("trailing_bytes").get<std::size_t>());
    EXPECT_EQ(reader.checksum_matches(), d.json.at("checksum_matches").get<bool>());
  }
}

TEST(WireV1, WritesEveryGoldenMessageByteForByte) {
  for (const Golden& golden : read_goldens("wire-v1")) {
    const nlohmann::json& d = golden.description;
    if (!d.value("encodes", false)) continue;
    SCOPED_TRACE(golden.name);
    std::string out = "before";
    if (d.at("message") == "batch") {
      const Described described(d);
      encode_v1_batch(out, header_of(d), described.entries);
    } else if (d.at("message") == "ack") {
      encode_v1_ack(out,
                    V1Ack{UnixMillis(d.at("timestamp")), wide(d.at("batch_sequence")),
                          static_cast<V1AckStatus>(d.at("status").get<int>()), correlation_of(d)});
    } else {
      encode_v1_nack(out, V1Nack{UnixMillis(d.at("timestamp")), wide(d.at("batch_sequence")),
                                 static_cast<V1NackReason>(d.at("reason").get<int>()),
                                 d.at("should_retry"), d.at("retry_delay_ms"),
                                 d.at("text").get_ref<const std::string&>(), correlation_of(d)});
    }
    EXPECT_EQ(base::to_hex(out.substr(6)), base::to_hex(golden.bytes));
  }
}

TEST(WireV1, ReadsEveryGoldenAnswer) {
  for (const Golden& golden : read_goldens("wire-v1")) {
    const nlohmann::json& d = golden.description;
    SCOPED_TRACE(golden.name);
    if (d.at("message") == "ack") {
      const Result<V1Ack> ack = decode_v1_ack(golden.bytes);
      ASSERT_TRUE(ack) << ack.error().text;
      EXPECT_EQ(ack->batch_sequence, wide(d.at("batch_sequence")));
      EXPECT_EQ(ack->timestamp.value, d.at("timestamp").get<std::int64_t>());
      EXPECT_EQ(static_cast<int>(ack->status), d.at("status").get<int>());
      EXPECT_EQ(ack->correlation_id, correlation_of(d));
    } else if (d.at("message") == "nack") {
      const Result<V1Nack> nack = decode_v1_nack(golden.bytes);
      ASSERT_TRUE(nack) << nack.error().text;
      EXPECT_EQ(static_cast<int>(nack->reason), d.at("reason").get<int>());
      EXPECT_EQ(nack->should_retry, d.at("should_retry").get<bool>());
      EXPECT_EQ(nack->retry_delay_ms, d.at("retry_delay_ms").get<std::uint32_t>());
      EXPECT_EQ(nack->text, d.at("text").get<std::string>());
      EXPECT_EQ(nack->correlation_id, correlation_of(d));
    }
  }
}

TEST(WireV1, RefusesEveryGoldenFault) {
  int count = 0;
  for (const Golden& golden : read_goldens("wire-v1")) {
    const std::string kind = golden.description.at("message");
    if (kind == "refused") {
      EXPECT_FALSE(read_all(golden.bytes)) << golden.name;
      ++count;
    } else if (kind == "refused-text") {
      const Result<V1TextMessage> read = decode_v1_text(golden.bytes);
      EXPECT_FALSE(read) << golden.name;
      if (!read) {
        EXPECT_FALSE(read.error().text.empty()) << golden.name;
      }
      ++count;
    }
  }
  EXPECT_GE(count, 25);
}

TEST(WireV1, RefusesEveryTruncation) {
  for (const Golden& golden : read_goldens("wire-v1")) {
    const nlohmann::json& d = golden.description;
    const std::string kind = d.at("message");
    std::size_t needed = golden.bytes.size();
    if (golden.name == "ack-trailing") needed -= 1;
    if (kind == "batch" && d.at("trailing_bytes") != 0 && golden.name == "batch-trailing") {
      needed -= d.at("trailing_bytes").get<std::size_t>();
    }
    if (kind != "batch" && kind != "ack" && kind != "nack") continue;
    for (std::size_t n = 0; n < needed; ++n) {
      const std::unique_ptr<char[]> cut(new char[n]);
      std::copy_n(golden.bytes.data(), n, cut.get());
      EXPECT_FALSE(read_all(std::string_view(cut.get(), n))) << golden.name << " at " << n;
    }
  }
}

TEST(WireV1, AMalformedBatchStillNamesItsCorrelationId) {
  std::string message;
  V1Entry entry;
  entry.table = "t";
  encode_v1_batch(message, V1BatchHeader{UnixMillis(1), 7, false, "do-1", "c-7", 0},
                  std::span(&entry, 1));
  message[26] = 9;  // the entry count
  V1BatchReader reader(message);
  EXPECT_FALSE(reader.status());
  EXPECT_EQ(reader.header().correlation_id, "c-7");
  EXPECT_EQ(reader.header().batch_sequence, 7u);
  EXPECT_FALSE(reader.next(&entry));
}

TEST(WireV1, RefusesAMessageOverTheLimit) {
  std::string message;
  encode_v1_ack(message, V1Ack{});
  message.resize(base::frame_bytes_max + 1);
  EXPECT_EQ(v1_type(message).error().kind, ErrorKind::kOverLimit);
}

TEST(WireV1Text, ReadsEveryGoldenMessage) {
  int count = 0;
  for (const Golden& golden : read_goldens("wire-v1")) {
    const nlohmann::json& d = golden.description;
    if (d.at("message") != "text") continue;
    SCOPED_TRACE(golden.name);
    const Result<V1TextMessage> read = decode_v1_text(golden.bytes);
    ASSERT_TRUE(read) << read.error().text;
    const std::string type = d.at("type");
    ++count;
    if (type == "ping") {
      EXPECT_TRUE(std::holds_alternative<V1TextPing>(*read));
    } else if (type == "pong") {
      EXPECT_TRUE(std::holds_alternative<V1TextPong>(*read));
    } else if (type == "connect") {
      const auto& connect = std::get<V1Connect>(*read);
      EXPECT_EQ(connect.source, d.at("source").get<std::string>());
      EXPECT_EQ(connect.shard, d.at("shard").get<std::string>());
      EXPECT_EQ(connect.last_ack_sequence, wide(d.at("last_ack_sequence")));
      EXPECT_EQ(connect.max_message_size, wide(d.at("max_message_size")));
      EXPECT_EQ(connect.binary_protocol, d.at("binary_protocol").get<bool>());
    } else if (type == "heartbeat") {
      const auto& heartbeat = std::get<V1Heartbeat>(*read);
      EXPECT_EQ(heartbeat.source, d.at("source").get<std::string>());
      EXPECT_EQ(heartbeat.last_ack_sequence, wide(d.at("last_ack_sequence")));
      EXPECT_EQ(heartbeat.pending_entries, wide(d.at("pending_entries")));
      EXPECT_EQ(std::to_string(heartbeat.timestamp.value), d.at("timestamp").get<std::string>());
    } else if (type == "flush_request") {
      EXPECT_EQ(std::get<V1FlushRequest>(*read).reason, d.at("reason").get<std::string>());
      EXPECT_EQ(std::to_string(std::get<V1FlushRequest>(*read).timestamp.value),
                d.at("timestamp").get<std::string>());
    } else if (type == "disconnect") {
      EXPECT_EQ(std::get<V1Disconnect>(*read).source, d.at("source").get<std::string>());
    } else {
      const auto& batch = std::get<V1TextBatch>(*read);
      const Described wanted(d);
      EXPECT_EQ(batch.source, d.at("source").get<std::string>());
      EXPECT_EQ(batch.batch_sequence, wide(d.at("batch_sequence")));
      EXPECT_EQ(batch.correlation_id, d.at("correlation_id").get<std::string>());
      EXPECT_EQ(batch.retry, d.at("retry").get<bool>());
      ASSERT_EQ(batch.entries.size(), wanted.entries.size());
      for (std::size_t i = 0; i < batch.entries.size(); ++i) {
        const V1TextEntry& e = batch.entries[i];
        EXPECT_TRUE(
            same(V1Entry{e.sequence, e.timestamp, e.op, e.table, e.row_id, e.before, e.after},
                 wanted.entries[i]))
            << i << e.before << e.after;
      }
    }
  }
  EXPECT_GE(count, 8);
}

TEST(WireV1Text, EveryMessageComesBackAsItWas) {
  V1Connect connect;
  connect.source = "a \"quoted\" source";
  connect.shard = "s";
  connect.batching = true;
  connect.max_batch_size = 12;
  connect.correlation_id = "c";
  V1TextBatch batch;
  batch.source = "s";
  batch.batch_sequence = ~std::uint64_t{0};
  batch.entries = {{1, UnixMillis(2), Op::kDelete, "t", "r", R"({"a":1})", ""},
                   {2, UnixMillis(3), Op::kInsert, "t", "r", "", R"([null])"}};
  V1Status status;
  status.utilization = 0.25;
  status.oldest_batch_time = UnixMillis(5);
  status.next_flush_time = UnixMillis(9);
  for (const V1TextMessage& message : std::vector<V1TextMessage>{
           V1TextPing{}, V1TextPong{}, connect, V1Heartbeat{UnixMillis(1), "s", 2, 3},
           V1FlushRequest{UnixMillis(1), "s", "manual"}, V1Disconnect{UnixMillis(1), "s", "why"},
           batch, status, V1Pong{UnixMillis(-1), UnixMillis(2)},
           V1TextAck{UnixMillis(1), 2, V1AckStatus::kPersisted, "c"},
           V1TextNack{UnixMillis(1), 2, V1NackReason::kInvalidFormat, true, 100, "text", "c"}}) {
    const std::string text = encode_v1_text(message);
    const Result<V1TextMessage> read = decode_v1_text(text);
    ASSERT_TRUE(read) << text << ": " << read.error().text;
    EXPECT_EQ(read->index(), message.index());
    EXPECT_EQ(encode_v1_text(*read), text);
  }
  EXPECT_EQ(encode_v1_text(V1Pong{UnixMillis(1), UnixMillis(2)}),
            R"({"type":"pong","timestamp":1,"serverTime":2})");
}

TEST(WireV1Text, LimitsSizeAndDepth) {
  const std::string large = R"({"type":"connect","x":")" + std::string(v1_text_bytes_max, 'x');
  EXPECT_EQ(decode_v1_text(large).error().kind, ErrorKind::kOverLimit);
  const std::string brackets_in_text =
      R"({"type":"connect","x":"\"[[)" + std::string(1000, '[') + R"("})";
  EXPECT_TRUE(decode_v1_text(brackets_in_text));
  const std::string deep(1'000'000, '[');
  EXPECT_EQ(decode_v1_text(deep).error().kind, ErrorKind::kOverLimit);
}

TEST(WireV1Text, AZeroByteIsNotTheEndOfAMessage) {
  using namespace std::string_view_literals;
  EXPECT_TRUE(decode_v1_text(R"({"type":"pong"})"));
  EXPECT_FALSE(decode_v1_text("{\"type\":\"pong\"}\0"sv));
  EXPECT_FALSE(decode_v1_text("{\"type\":\"pong\"}\0 anything"sv));
}

TEST(WireV1Text, OfABatchEachEntryIsReadByItself) {
  const std::string text = R"( { "entries" : [
    {"sequence":1,"timestamp":5.9,"operation":"INSERT","table":"a","rowId":9,"after":{"b":1.0,"a":"}]"}},
    {"sequence":2,"operation":"UPDATE","table":"a","before":[1,  2],"after":null},
    {"sequence":-3,"operation":"DELETE","table":"a"}, "x", {"a" 1}, [], {},
    {"sequence":4,"operation":"DELETE","tab\u006ce":"esc","timestamp":-1e99,"before":{]}
   ], "type":"cdc_batch", "sourceDoId":"s", "correlationId":"c\u0031", "sequenceNumber": 3.0,
   "isRetry":"whatever" } )";
  const auto read = read_v1_text_batch(text);
  ASSERT_TRUE(read) << read.error().text;
  EXPECT_EQ(read->batch.source, "s");
  EXPECT_EQ(read->batch.correlation_id, "c1");
  EXPECT_EQ(read->batch.batch_sequence, 3u);
  ASSERT_EQ(read->rows.size(), 8u);
  EXPECT_FALSE(read->rows[0].fault) << *read->rows[0].fault;
  EXPECT_EQ(read->rows[0].after, R"({"b":1.0,"a":"}]"})");
  EXPECT_EQ(read->rows[0].entry.row_id, "9");
  EXPECT_EQ(read->rows[0].entry.timestamp, UnixMillis(5));
  EXPECT_FALSE(read->rows[1].fault) << *read->rows[1].fault;
  EXPECT_EQ(read->rows[1].before, "[1,  2]");
  EXPECT_EQ(read->rows[1].after, "");
  for (const std::size_t i : {2, 3, 4, 5, 6}) EXPECT_TRUE(read->rows[i].fault) << i;
  EXPECT_EQ(read->rows[2].entry.table, "a") << "as far as it could be read";
  EXPECT_EQ(read->rows[4].whole, R"({"a" 1})");
  EXPECT_FALSE(read->rows[7].fault) << *read->rows[7].fault;
  EXPECT_EQ(read->rows[7].entry.table, "esc");
  EXPECT_EQ(read->rows[7].entry.timestamp, UnixMillis(INT64_MIN));
  EXPECT_EQ(read->rows[7].before, "{]");
}

TEST(WireV1Text, WhatANackNeedsIsFoundInWhateverCame) {
  const std::string head = R"({"correlationId":"c","type":"cdc_batch","sequenceNumber":7,)";
  for (const std::string& rest :
       {std::string(R"("entries":[{"a)"), std::string("!"), std::string(500'000, '['),
        R"("x":)" + std::string(500'000, '{')}) {
    const V1TextHead found = peek_v1_text(head + rest);
    EXPECT_EQ(found.type, "cdc_batch");
    EXPECT_EQ(found.correlation_id, "c");
    EXPECT_EQ(found.batch_sequence, 7u);
    EXPECT_FALSE(read_v1_text_batch(head + rest));
  }
  EXPECT_EQ(peek_v1_text("ping").type, "");
  EXPECT_EQ(peek_v1_text(R"({"correlationId":5})").correlation_id.value_or(""), "");
  for (const char* broken :
       {"", "{", "[]", "{}", R"({"entries":[],"sequenceNumber":1} x)", R"({"entries":[]})",
        R"({"sequenceNumber":1})", R"({"entries":[],"sequenceNumber":1)",
        R"({"entries":[1,],"sequenceNumber":1})", R"({"entries":[1 2],"sequenceNumber":1})"}) {
    EXPECT_FALSE(read_v1_text_batch(broken)) << broken;
  }
  std::string many = R"({"sequenceNumber":1,"entries":[{})";
  for (std::size_t i = 0; i < v1_entries_max; ++i) many += ",{}";
  EXPECT_EQ(read_v1_text_batch(many + "]}").error().kind, ErrorKind::kOverLimit);
}

TEST(WireV1Text, AnswersWithTextThatIsNotUtf8) {
  const std::string text = encode_v1_text(
      V1TextNack{UnixMillis(1), 2, V1NackReason::kInvalidFormat, false, 0, "bad name \xff", "c"});
  EXPECT_TRUE(decode_v1_text(text));
}

}  // namespace
}  // namespace evodb::wire
