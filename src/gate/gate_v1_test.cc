// Conversations of wire v1, with bytes written by hand from the layout's tables: no encoder of ours
// takes part in what a client sends or in how its answers are read.
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "gate/gate_test_world.h"
#include "wire/change.h"

namespace evodb::gate {
namespace {

using wire::WsOpcode;

std::string le(std::uint64_t v, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(v >> (8 * i)));
  return out;
}

std::uint64_t read_le(const std::string& s, std::size_t at, int bytes) {
  std::uint64_t v = 0;
  for (int i = 0; i < bytes; ++i) {
    v |= static_cast<std::uint64_t>(static_cast<unsigned char>(s.at(at + i))) << (8 * i);
  }
  return v;
}

struct Entry {
  std::uint64_t sequence;
  int op;
  std::string table, row_id, before, after;
};

std::string entry_bytes(const Entry& e) {
  return le(e.sequence, 8) + le(1'700'000'000'123, 8) + le(e.op, 1) + le(e.table.size(), 2) +
         le(e.row_id.size(), 2) + le(e.before.size(), 4) + le(e.after.size(), 4) + e.table +
         e.row_id + e.before + e.after;
}

std::string batch(const std::vector<Entry>& entries, std::uint64_t sequence = 1,
                  const std::string& correlation = "c-1", const std::string& source = "do-1") {
  std::string payload = le(entries.size(), 4);
  for (const Entry& e : entries) payload += entry_bytes(e);
  const int flags = correlation.empty() ? 0 : 2;
  return "\xc2\xcd" + le(1, 1) + le(1, 1) + le(flags, 1) + le(0, 3) + le(1'700'000'000'456, 8) +
         le(sequence, 8) + le(source.size(), 2) + le(entries.size(), 4) + le(payload.size(), 4) +
         le(correlation.size(), 2) + le(0xdeadbeef, 4) + source + correlation + payload;
}

Entry insert(std::uint64_t sequence) {
  return {sequence, 0, "users", "row-" + std::to_string(sequence), "", R"({"name":"Ann","n":1})"};
}

struct V1World : GateWorld {
  using GateWorld::GateWorld;
  void durable(std::size_t batch, bool duplicate = false) {
    ingest::Effects effects;
    effects.batches.push_back(
        {ingest.batches[batch].session, ingest.batches[batch].token, duplicate});
    gate->deliver(effects);
    network.run_for(20);
  }
};

// The fields of an ACK or NACK, by offset.
struct Answer {
  int type, status, reason, should_retry;
  std::uint64_t sequence, retry_ms;
  std::string correlation, text;
  std::size_t size;
};
Answer read(const TestClient::Message& m) {
  Answer a{};
  EXPECT_EQ(m.opcode, WsOpcode::kBinary);
  const std::string& b = m.payload;
  if (b.size() < 25) {
    ADD_FAILURE() << "no v1 answer";
    return a;
  }
  a.size = b.size();
  EXPECT_EQ(b.substr(0, 3), "\xc2\xcd\x01");
  a.type = static_cast<int>(read_le(b, 3, 1));
  a.sequence = read_le(b, 16, 8);
  const bool correlated = read_le(b, 4, 1) & 2;
  if (a.type == 2) {
    a.status = static_cast<int>(read_le(b, 24, 1));
    if (correlated) a.correlation = b.substr(27, read_le(b, 25, 2));
  } else {
    a.reason = static_cast<int>(read_le(b, 24, 1));
    a.should_retry = static_cast<int>(read_le(b, 25, 1));
    a.retry_ms = read_le(b, 26, 4);
    const std::size_t n = read_le(b, 30, 2);
    a.text = b.substr(32, n);
    if (correlated) a.correlation = b.substr(34 + n, read_le(b, 32 + n, 2));
  }
  return a;
}

TEST(GateV1, ABatchIsAcknowledgedOnlyWhenItIsDurable) {
  V1World w;
  auto c = w.websocket();
  c->binary(batch({insert(5), insert(4)}, 77, "corr"));
  ASSERT_EQ(w.ingest.batches.size(), 1u);
  EXPECT_EQ(w.ingest.hellos, (std::vector<std::string>{"do-1"}));
  EXPECT_TRUE(w.ingest.batches[0].unordered);
  EXPECT_EQ(w.handlers.appended, 1);
  w.network.run_for(1000);
  EXPECT_EQ(c->received, "");
  w.durable(0);
  const Answer ack = read(c->next());
  EXPECT_EQ(ack.type, 2);
  EXPECT_EQ(ack.status, 0);
  EXPECT_EQ(ack.sequence, 77u);
  EXPECT_EQ(ack.correlation, "corr");
  EXPECT_EQ(ack.size, 27u + 4);
  EXPECT_EQ(w.gate->stats().v1_crc_mismatches, 1u);  // counted, not refused

  wire::BatchReader reader(w.ingest.batches[0].body);
  std::uint32_t ref;
  wire::TableDef def;
  ASSERT_TRUE(reader.next_table(&ref, &def));
  EXPECT_EQ(def.name, "users");
  EXPECT_FALSE(reader.next_table(&ref, &def));
  wire::ChangeView change;
  ASSERT_TRUE(reader.next(&change));
  EXPECT_EQ(change.lsn, Lsn(4));
  EXPECT_EQ(change.committed_at, UnixMillis(1'700'000'000'123));
  ASSERT_TRUE(reader.next(&change));
  EXPECT_EQ(change.lsn, Lsn(5));
}

TEST(GateV1, WithoutACorrelationIdAnAckHas25Bytes) {
  V1World w;
  auto c = w.websocket();
  c->binary(batch({insert(1)}, 2, ""));
  w.durable(0);
  EXPECT_EQ(read(c->next()).size, 25u);
}

TEST(GateV1, DuplicatesAreAnsweredThree) {
  V1World w;
  auto c = w.websocket();
  c->binary(batch({insert(1)}));
  w.durable(0, true);
  EXPECT_EQ(read(c->next()).status, 3);
  w.ingest.duplicate_at_once = true;
  w.ingest.next_batch.verdict = ingest::BatchVerdict::kDuplicate;
  c->binary(batch({insert(1)}, 9, "again"));
  const Answer ack = read(c->next());
  EXPECT_EQ(ack.status, 3);
  EXPECT_EQ(ack.sequence, 9u);
  EXPECT_EQ(ack.correlation, "again");
}

TEST(GateV1, RefusalsOfIngestBecomeNacks) {
  V1World w;
  auto c = w.websocket();
  w.ingest.next_batch = {.nack = {.reason = wire::NackReason::kOverCredit,
                                  .retry_after_ms = 1500,
                                  .text = "the queue is full"}};
  c->binary(batch({insert(1)}, 3, "x"));
  const Answer nack = read(c->next());
  EXPECT_EQ(nack.type, 3);
  EXPECT_EQ(nack.reason, 0);
  EXPECT_EQ(nack.should_retry, 1);
  EXPECT_EQ(nack.retry_ms, 1500u);
  EXPECT_EQ(nack.text, "the queue is full");
  EXPECT_EQ(nack.correlation, "x");
  EXPECT_EQ(nack.sequence, 3u);
  EXPECT_FALSE(c->closed());
  c->binary(batch({insert(1)}, 4, "y"));
  w.durable(1);
  EXPECT_EQ(read(c->next()).correlation, "y");
}

// A wrong entry took its batch along, which the client then sent again for ever.
TEST(GateV1, AWrongEntryIsRejectedByItselfAndTheOthersLand) {
  V1World w;
  auto c = w.websocket();
  Entry bad = insert(2);
  bad.after = "{nonsense";
  c->binary(batch({insert(1), bad, insert(0)}, 3, "x"));
  ASSERT_EQ(w.ingest.batches.size(), 1u);
  wire::BatchReader reader(w.ingest.batches[0].body);
  std::uint32_t ref;
  wire::TableDef def;
  while (reader.next_table(&ref, &def)) {
  }
  wire::ChangeView change;
  std::vector<Op> ops;
  std::string reasons;
  while (reader.next(&change)) {
    ops.push_back(change.op);
    reasons += std::string(change.reason) + "\n";
  }
  EXPECT_EQ(ops, (std::vector<Op>{Op::kInsert, Op::kOversize, Op::kOversize}));
  EXPECT_NE(reasons.find("entry 2 (sequence 2): its after row is not JSON"), std::string::npos);
  EXPECT_NE(reasons.find("entry 3 (sequence 0): sequences begin at 1"), std::string::npos);
  w.durable(0);
  const Answer ack = read(c->next());
  EXPECT_EQ(ack.type, 2);
  EXPECT_EQ(ack.correlation, "x");
  EXPECT_EQ(w.gate->stats().v1_rejected_entries, 2u);
}

TEST(GateV1, AWrongEntryOfAJsonBatchIsRejectedByItself) {
  V1World w;
  auto c = w.websocket();
  c->text(R"({"type":"cdc_batch","timestamp":2,"sourceDoId":"do-9","sequenceNumber":12,
    "correlationId":"j1","entries":[
    {"sequence":1,"timestamp":3,"operation":"INSERT","table":"t","rowId":"r","after":{"z":20.0,"a":1}},
    {"sequence":"two","timestamp":3,"operation":"INSERT","table":"t","rowId":"r","after":{}},
    {"sequence":3,"timestamp":1e300,"operation":"UPDATE","table":"t","rowId":7,"before":null,
     "after":{"n":123456789012345678901234567890}},
    {"sequence":4,"timestamp":3,"operation":"UPSERT","table":"t","rowId":"r","after":{}},
    {"sequence":5,"timestamp":3,"operation":"DELETE","table":"t","rowId":"r","before":{bad}},
    7, {"sequence":6,"timestamp":"now","operation":"DELETE","table":"t"},
    {"sequence":7,"operation":"DELETE","rowId":"x"}]})");
  ASSERT_EQ(w.ingest.batches.size(), 1u);
  wire::BatchReader reader(w.ingest.batches[0].body);
  std::map<std::uint32_t, wire::TableDef> tables;
  std::uint32_t ref;
  wire::TableDef def;
  while (reader.next_table(&ref, &def)) tables[ref] = def;
  wire::ChangeView change;
  std::map<std::uint64_t, std::pair<Op, std::string>> got;
  int own = 0;
  while (reader.next(&change)) {
    if (change.lsn.value >= std::uint64_t{1} << 62) {
      ++own;
      continue;
    }
    got[change.lsn.value] = {change.op, std::string(change.reason)};
    if (change.lsn == Lsn(1)) {
      EXPECT_EQ(tables.at(change.table_ref).columns[0].name, "z") << "in the order of the row";
      wire::ValuesReader values(change.after);
      ValueView v;
      ASSERT_TRUE(values.next(&v));
      EXPECT_EQ(Value(v), Value::real(20)) << "as it was written";
    }
    if (change.lsn == Lsn(3)) {
      EXPECT_EQ(change.committed_at, UnixMillis(INT64_MAX));
      wire::ValuesReader values(change.after);
      ValueView v;
      ASSERT_TRUE(values.next(&v));
      EXPECT_EQ(Value(v), Value::text("123456789012345678901234567890"));
    }
  }
  EXPECT_EQ(own, 2) << "\"two\" and 7";
  ASSERT_EQ(got.size(), 6u);
  EXPECT_EQ(got[1].first, Op::kInsert);
  EXPECT_EQ(got[3].first, Op::kUpdate);
  EXPECT_NE(got[4].second.find("UPSERT"), std::string::npos) << got[4].second;
  EXPECT_NE(got[5].second.find("its before row"), std::string::npos) << got[5].second;
  EXPECT_NE(got[6].second.find("timestamp"), std::string::npos) << got[6].second;
  EXPECT_NE(got[7].second.find("table"), std::string::npos) << got[7].second;
  w.durable(0);
  EXPECT_NE(c->next().payload.find("\"correlationId\":\"j1\""), std::string::npos);
}

// Without its correlation id a client ignores a NACK and waits for 30 s.
TEST(GateV1, ARefusalCarriesTheIdAndTheSequenceThatCouldBeRead) {
  V1World w;
  auto c = w.websocket();
  const std::string head =
      R"({"type":"cdc_batch","sourceDoId":"do-9","sequenceNumber":12,"correlationId":"j1",)";
  for (const std::string& text :
       {head + "\"entries\":7}", head + "\"entries\":[{},", head + "\"entries\":[]} trailing",
        std::string(R"({"type":"nonsense","sequenceNumber":12,"correlationId":"j1"})"),
        std::string(
            R"({"sequenceNumber":12,"correlationId":"j1","type":"connect","sourceDoId":5})"),
        R"({"correlationId":"j1","sequenceNumber":12,"type":"status","x":)" +
            std::string(1'000, '[')}) {
    c->text(text);
    const auto m = c->next();
    EXPECT_NE(m.payload.find("\"nack\""), std::string::npos) << m.payload;
    EXPECT_NE(m.payload.find("\"correlationId\":\"j1\""), std::string::npos) << m.payload;
    EXPECT_NE(m.payload.find("\"sequenceNumber\":12"), std::string::npos) << m.payload;
  }
  std::string unknown_op = batch({insert(1)}, 8, "b1");
  unknown_op[40 + 4 + 3 + 4 + 16] = 9;
  const std::string whole = batch({insert(1)}, 8, "b1");
  for (const std::string& bytes : {unknown_op, whole.substr(0, whole.size() - 3)}) {
    c->binary(bytes);
    const Answer nack = read(c->next());
    EXPECT_EQ(nack.type, 3);
    EXPECT_EQ(nack.reason, 3);
    EXPECT_EQ(nack.should_retry, 0);
    EXPECT_EQ(nack.sequence, 8u);
    EXPECT_EQ(nack.correlation, "b1");
  }
}

// Over 10,000 entries was refused for good.
TEST(GateV1, ALargeBatchIsSplitAndAcknowledgedOnce) {
  V1World w;
  auto c = w.websocket();
  c->binary(batch({insert(30'001)}, 1, "first"));
  std::vector<Entry> entries;
  for (std::uint64_t i = 1; i <= 25'000; ++i) entries.push_back({i, 0, "t", "r", "", "{}"});
  c->binary(batch(entries, 2, "large"));
  ASSERT_EQ(w.ingest.batches.size(), 4u);
  w.durable(0);
  EXPECT_EQ(read(c->next()).correlation, "first");
  w.durable(3);
  const Answer ack = read(c->next());
  EXPECT_EQ(ack.correlation, "large");
  EXPECT_EQ(ack.status, 0);
  EXPECT_EQ(c->received, "");
}

TEST(GateV1, AnythingElseIsNackedWithSequenceZero) {
  V1World w;
  auto c = w.websocket();
  std::string cut = batch({insert(1)}, 8);
  const std::vector<std::string> cases = {"x",
                                          "",
                                          std::string("\xc2\xcd\x01\x07", 4),
                                          std::string("\xc2\xcd\x02\x01", 4),
                                          std::string(100, 'z'),
                                          std::string("\xc2\xcd\x01\x02", 4) + std::string(30, 0)};
  for (const std::string& bytes : cases) {
    c->binary(bytes);
    const Answer nack = read(c->next());
    EXPECT_EQ(nack.type, 3);
    EXPECT_EQ(nack.reason, 3);
    EXPECT_EQ(nack.sequence, 0u);
    EXPECT_FALSE(nack.text.empty());
  }
  c->binary(cut.substr(0, cut.size() - 3));
  EXPECT_EQ(read(c->next()).reason, 3);
  for (const char* text : {"hello", "{}", "{\"type\":\"nonsense\"}", "[1]", "ping "}) {
    c->text(text);
    const auto m = c->next();
    EXPECT_EQ(m.opcode, WsOpcode::kText);
    EXPECT_NE(m.payload.find("\"nack\""), std::string::npos) << m.payload;
    EXPECT_NE(m.payload.find("invalid_format"), std::string::npos) << m.payload;
  }
  EXPECT_FALSE(c->closed());
  EXPECT_TRUE(w.ingest.hellos.empty());
}

TEST(GateV1, EveryCutOfABatchIsRefusedAndNothingIsKept) {
  V1World w;
  auto c = w.websocket();
  const std::string whole = batch({insert(1), insert(2)});
  for (std::size_t n = 0; n < whole.size(); ++n) {
    c->binary(whole.substr(0, n));
    EXPECT_EQ(read(c->next()).type, 3) << n;
  }
  EXPECT_TRUE(w.ingest.batches.empty());
}

TEST(GateV1, ASourceIsBoundByTheFirstMessage) {
  V1World w;
  auto c = w.websocket();
  c->binary(batch({insert(1)}, 1, "a", "do-1"));
  c->binary(batch({insert(1)}, 2, "b", "do-2"));
  const Answer nack = read(c->next());
  EXPECT_EQ(nack.correlation, "b");
  EXPECT_EQ(nack.reason, 3);
  EXPECT_NE(nack.text.find("do-1"), std::string::npos);
  EXPECT_EQ(w.ingest.batches.size(), 1u);
  auto empty = w.websocket();
  empty->binary(batch({insert(1)}, 1, "a", ""));
  EXPECT_EQ(read(empty->next()).type, 3);
}

TEST(GateV1, AnEmptyBatchIsAcknowledged) {
  V1World w;
  auto c = w.websocket();
  c->binary(batch({}, 6, "e"));
  EXPECT_EQ(read(c->next()).status, 0);
  EXPECT_TRUE(w.ingest.batches.empty());
}

TEST(GateV1, JsonConversation) {
  V1World w;
  auto c = w.websocket();
  c->text(R"({"type":"connect","timestamp":1,"sourceDoId":"do-9","lastAckSequence":0,
    "protocolVersion":1,"capabilities":{"binaryProtocol":true,"compression":false,"batching":true,
    "maxBatchSize":1000,"maxMessageSize":4194304}})");
  auto m = c->next();
  EXPECT_EQ(m.opcode, WsOpcode::kText);
  EXPECT_NE(m.payload.find("\"type\":\"status\""), std::string::npos) << m.payload;
  EXPECT_NE(m.payload.find("\"connectedChildren\":1"), std::string::npos) << m.payload;

  c->text(R"({"type":"heartbeat","timestamp":42,"sourceDoId":"do-9","lastAckSequence":0,)"
          R"("pendingEntries":0})");
  m = c->next();
  EXPECT_NE(m.payload.find("\"type\":\"pong\""), std::string::npos) << m.payload;
  EXPECT_NE(m.payload.find("\"timestamp\":42"), std::string::npos) << m.payload;
  EXPECT_NE(m.payload.find("\"serverTime\":17"), std::string::npos) << m.payload;

  c->text(R"({"type":"cdc_batch","timestamp":2,"sourceDoId":"do-9","sequenceNumber":12,
    "correlationId":"j1","entries":[{"sequence":1,"timestamp":3,"operation":"INSERT",
    "table":"t","rowId":"r","after":{"a":1,"b":[1,2]}}]})");
  ASSERT_EQ(w.ingest.batches.size(), 1u);
  EXPECT_EQ(c->received, "");
  w.durable(0);
  m = c->next();
  EXPECT_EQ(m.opcode, WsOpcode::kText);
  EXPECT_NE(m.payload.find("\"type\":\"ack\""), std::string::npos) << m.payload;
  EXPECT_NE(m.payload.find("\"sequenceNumber\":12"), std::string::npos) << m.payload;
  EXPECT_NE(m.payload.find("\"status\":\"ok\""), std::string::npos) << m.payload;
  EXPECT_NE(m.payload.find("\"correlationId\":\"j1\""), std::string::npos) << m.payload;

  c->text(R"({"type":"flush_request","timestamp":4,"sourceDoId":"do-9","reason":"manual"})");
  EXPECT_EQ(w.handlers.flushes, 1);
  c->text("ping");
  EXPECT_EQ(c->next().payload, "pong");
}

TEST(GateV1, DisconnectWaitsForTheAcksThatAreDue) {
  V1World w;
  auto c = w.websocket();
  c->binary(batch({insert(1)}));
  c->text(R"({"type":"disconnect","timestamp":4,"sourceDoId":"do-1","reason":"done"})");
  EXPECT_FALSE(c->closed());
  w.durable(0);
  EXPECT_EQ(read(c->next()).status, 0);
  EXPECT_EQ(c->next().close_code(), 1000);
  EXPECT_TRUE(c->closed());
  EXPECT_EQ(w.gate->stats().children, 0u);
}

TEST(GateV1, TooManySourcesIsARetry) {
  V1World w;
  auto c = w.websocket();
  w.ingest.next_unordered_error = Error{ErrorKind::kOverLimit, "1,000 sources are remembered"};
  c->binary(batch({insert(1)}));
  const Answer nack = read(c->next());
  EXPECT_EQ(nack.reason, 1);
  EXPECT_EQ(nack.should_retry, 1);
}

TEST(GateV1, WhileDrainingLaterBatchesAreToldAndEarlierOnesAcknowledged) {
  V1World w;
  auto c = w.websocket();
  c->binary(batch({insert(1)}, 1, "early"));
  w.gate->drain("the parent is shutting down");
  c->binary(batch({insert(2)}, 2, "late"));
  const Answer nack = read(c->next());
  EXPECT_EQ(nack.reason, 5);
  EXPECT_EQ(nack.should_retry, 1);
  EXPECT_EQ(nack.correlation, "late");
  EXPECT_FALSE(w.gate->drained());
  w.durable(0);
  EXPECT_EQ(read(c->next()).correlation, "early");
  EXPECT_EQ(c->next().close_code(), 1001);
  w.network.run_for(50);
  EXPECT_TRUE(w.gate->drained());
}

TEST(GateV1, AnAckNeverGoesToTheNextOwnerOfAConnectionsNumber) {
  V1World w;
  auto first = w.websocket();
  first->binary(batch({insert(1)}, 1, "first"));
  first->leave();
  auto second = w.websocket();
  second->binary(batch({insert(2)}, 1, "second"));
  ASSERT_EQ(w.ingest.batches[0].session, w.ingest.batches[1].session);
  w.durable(0);
  EXPECT_EQ(second->received, "");
  w.durable(1);
  EXPECT_EQ(read(second->next()).correlation, "second");
}

TEST(GateV1, WaitingBatchesAreBounded) {
  V1World w;
  auto c = w.websocket();
  int refused = 0;
  for (std::uint64_t i = 1; i <= 40 && refused == 0; ++i) {
    c->binary(batch({insert(i)}, i, std::string(60'000, 'c')));
    if (const auto m = c->next(); m.opcode == WsOpcode::kBinary) {
      EXPECT_EQ(read(m).reason, 0);
      ++refused;
    }
  }
  EXPECT_EQ(refused, 1);
}

TEST(GateV1, AV2FrameOnAV1ConnectionIsNacked) {
  V1World w;
  auto c = w.websocket();
  c->binary(batch({insert(1)}));
  c->frame(wire::Ping{1});
  EXPECT_EQ(read(c->next()).type, 3);
}

}  // namespace
}  // namespace evodb::gate
