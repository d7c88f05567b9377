#include "wire/frame.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "base/limits.h"
#include "wire/change.h"
#include "wire/golden_test.h"

namespace evodb::wire {
namespace {

// The frame that a description says, with views into the description.
Frame frame_of(const nlohmann::json& d) {
  const auto text = [&d](const char* name) {
    return std::string_view(d.at(name).get_ref<const std::string&>());
  };
  const std::string kind = d.at("frame");
  if (kind == "hello") {
    Hello hello;
    hello.token = text("token");
    hello.source = text("source");
    hello.epoch = Epoch(wide(d.at("epoch")));
    hello.ordered = d.at("ordered");
    hello.wait = static_cast<WaitLevel>(d.at("wait").get<int>());
    hello.trimmed = Lsn(wide(d.at("trimmed")));
    hello.trimmed_chain = ChainHash(hex64(d.at("trimmed_chain")));
    hello.head = Lsn(wide(d.at("head")));
    hello.frame_bytes_max = d.at("frame_bytes_max");
    hello.accepts_zstd = d.at("accepts_zstd");
    hello.agent = text("agent");
    if (d.contains("life")) hello.life = hex64(d.at("life"));
    return hello;
  }
  if (kind == "welcome") {
    Welcome welcome;
    welcome.verdict = static_cast<WelcomeVerdict>(d.at("verdict").get<int>());
    welcome.received = Lsn(wide(d.at("received")));
    welcome.received_chain = ChainHash(hex64(d.at("received_chain")));
    welcome.chain_known = d.at("chain_known");
    welcome.received_txn = TxnId(wide(d.at("received_txn")));
    welcome.durable = Lsn(wide(d.at("durable")));
    welcome.persisted = Lsn(wide(d.at("persisted")));
    welcome.epoch_min = Epoch(wide(d.at("epoch_min")));
    welcome.credit_bytes = wide(d.at("credit_bytes"));
    welcome.frame_bytes_max = d.at("frame_bytes_max");
    welcome.batch_entries_max = d.at("batch_entries_max");
    welcome.accepts_zstd = d.at("accepts_zstd");
    welcome.text = text("text");
    return welcome;
  }
  if (kind == "ack") {
    return Ack{Lsn(wide(d.at("durable"))), Lsn(wide(d.at("persisted"))),
               wide(d.at("credit_bytes"))};
  }
  if (kind == "nack") {
    return Nack{static_cast<NackReason>(d.at("reason").get<int>()), Lsn(wide(d.at("resend_after"))),
                d.at("retry_after_ms"), text("text")};
  }
  if (kind == "ping") return Ping{hex64(d.at("opaque"))};
  if (kind == "pong") return Pong{hex64(d.at("opaque"))};
  if (kind == "bye") return Bye{static_cast<ByeReason>(d.at("reason").get<int>()), text("text")};
  if (kind == "unknown") return UnknownFrame{d.at("type")};
  ADD_FAILURE() << "a description of a " << kind;
  return Ping{};
}

// Reads a frame as a session does: a batch is only good if all of its changes are.
Result<void> read_all(std::string_view bytes) {
  const Frame frame = EVODB_TRY(decode_frame(bytes));
  if (const Batch* batch = std::get_if<Batch>(&frame)) {
    BatchReader reader(batch->body);
    std::uint32_t ref = 0;
    TableDef def;
    ChangeView change;
    while (reader.next_table(&ref, &def)) {
    }
    while (reader.next(&change)) {
    }
    return reader.status();
  }
  return {};
}

TEST(Frame, DecodesEveryGoldenFrame) {
  for (const Golden& golden : read_goldens("wire-v2")) {
    SCOPED_TRACE(golden.name);
    const std::string kind = golden.description.at("frame");
    if (kind == "batch" || kind == "refused") continue;
    const Result<Frame> frame = decode_frame(golden.bytes);
    ASSERT_TRUE(frame) << frame.error().text;
    // Frames have no equality of their own; their canonical bytes have.
    EXPECT_EQ(base::to_hex(encode_frame(*frame)),
              base::to_hex(encode_frame(frame_of(golden.description))));
    EXPECT_EQ(frame->index(), frame_of(golden.description).index());
  }
}

TEST(Frame, EncodesEveryGoldenFrameByteForByte) {
  for (const Golden& golden : read_goldens("wire-v2")) {
    SCOPED_TRACE(golden.name);
    const std::string kind = golden.description.at("frame");
    if (kind == "batch" || !golden.description.value("encodes", false)) continue;
    std::string out = "before";
    encode_frame(out, frame_of(golden.description));
    EXPECT_EQ(base::to_hex(out.substr(6)), base::to_hex(golden.bytes));
  }
}

TEST(Frame, RefusesEveryGoldenFault) {
  int count = 0;
  for (const Golden& golden : read_goldens("wire-v2")) {
    if (golden.description.at("frame") != "refused") continue;
    const Result<void> read = read_all(golden.bytes);
    EXPECT_FALSE(read) << golden.name << ": " << golden.description.at("why");
    if (!read) {
      EXPECT_EQ(read.error().kind, ErrorKind::kInvalid) << golden.name;
      EXPECT_FALSE(read.error().text.empty());
    }
    ++count;
  }
  EXPECT_GE(count, 30);
}

TEST(Frame, RefusesEveryTruncation) {
  for (const Golden& golden : read_goldens("wire-v2")) {
    for (std::size_t n = 0; n < golden.bytes.size(); ++n) {
      // A copy of exactly n bytes: a read past the end is one that ASan sees.
      const std::unique_ptr<char[]> cut(new char[n]);
      std::copy_n(golden.bytes.data(), n, cut.get());
      EXPECT_FALSE(decode_frame(std::string_view(cut.get(), n))) << golden.name << " at " << n;
    }
  }
}

// The checksum stops a truncated frame; this shows that the decoders behind it do so by themselves.
TEST(Frame, RefusesEveryTruncatedBodyEvenWithAGoodChecksum) {
  for (const Golden& golden : read_goldens("wire-v2")) {
    if (golden.description.at("frame") == "refused" || golden.bytes[3] != 0) continue;
    for (std::size_t n = frame_header_bytes; n < golden.bytes.size(); ++n) {
      const std::size_t body = n - frame_header_bytes;
      std::string frame;
      encode_envelope(frame, static_cast<FrameType>(golden.bytes[4]), 0,
                      golden.bytes.substr(frame_header_bytes, body));
      const std::unique_ptr<char[]> cut(new char[frame.size()]);
      std::copy(frame.begin(), frame.end(), cut.get());
      EXPECT_FALSE(read_all(std::string_view(cut.get(), frame.size())))
          << golden.name << " with " << body << " bytes of body";
    }
  }
}

TEST(Frame, RefusesEverySingleBitFlip) {
  for (const Golden& golden : read_goldens("wire-v2")) {
    if (golden.description.at("frame") == "refused") continue;
    std::string bytes = golden.bytes;
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
      EXPECT_FALSE(decode_frame(bytes)) << golden.name << " bit " << bit;
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    }
  }
}

TEST(Frame, SaysWhichVersionsDoNotMeet) {
  std::string frame = encode_frame(Ping{});
  frame[2] = 9;
  EXPECT_TRUE(has_frame_magic(frame));
  const Result<Frame> refused = decode_frame(frame);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().text.find("wire protocol 9.0"), std::string::npos);
  EXPECT_NE(refused.error().text.find("upgrade"), std::string::npos);
}

TEST(Frame, ACompressedBatchIsOpenedByWhoeverInflates) {
  std::string frame;
  encode_envelope(frame, FrameType::kBatch, kFlagZstd, "compressed");
  EXPECT_FALSE(decode_frame(frame));
  const Result<FrameEnvelope> envelope = open_frame(frame);
  ASSERT_TRUE(envelope);
  EXPECT_EQ(envelope->flags, kFlagZstd);
  EXPECT_EQ(envelope->body, "compressed");
  const Result<Frame> batch = decode_body(*envelope, "inflated");
  ASSERT_TRUE(batch);
  EXPECT_EQ(std::get<Batch>(*batch).body, "inflated");
}

TEST(Frame, RefusesAFrameOverTheLimitBeforeReadingIt) {
  const std::string large(base::frame_bytes_max + 1, '\0');
  EXPECT_EQ(open_frame(large).error().kind, ErrorKind::kOverLimit);
  EXPECT_EQ(decode_body(FrameEnvelope{2, 0, 3, 0, {}}, large).error().kind, ErrorKind::kOverLimit);
}

TEST(Frame, RefusesFieldsOverTheirLimits) {
  Hello hello;
  hello.source = "s";
  const std::string long_token(token_bytes_max + 1, 't');
  const std::string long_source(base::source_name_bytes_max + 1, 's');
  EXPECT_TRUE(decode_frame(encode_frame(hello)));
  hello.token = long_token;
  EXPECT_FALSE(decode_frame(encode_frame(hello)));
  hello.token = {};
  hello.source = long_source;
  EXPECT_FALSE(decode_frame(encode_frame(hello)));
  hello.source = "s";
  hello.trimmed = Lsn(2);
  hello.head = Lsn(1);
  EXPECT_FALSE(decode_frame(encode_frame(hello)));
}

TEST(Frame, CutsTextForPeopleAtACharacter) {
  std::string text(text_bytes_max - 1, 'x');
  text += "é and more";
  const std::string frame = encode_frame(Bye{ByeReason::kError, text});
  const Result<Frame> bye = decode_frame(frame);
  ASSERT_TRUE(bye) << bye.error().text;
  EXPECT_EQ(std::get<Bye>(*bye).text, text.substr(0, text_bytes_max - 1));
}

}  // namespace
}  // namespace evodb::wire
