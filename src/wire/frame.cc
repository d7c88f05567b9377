#include "wire/frame.h"

#include <array>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/limits.h"
#include "wire/utf8.h"

namespace evodb::wire {
namespace {

constexpr std::size_t checksum_offset = 6;

constexpr std::uint8_t hello_ordered = 1;
constexpr std::uint8_t hello_accepts_zstd = 2;
constexpr std::uint8_t hello_has_life = 4;
constexpr std::uint8_t welcome_chain_known = 1;
constexpr std::uint8_t welcome_accepts_zstd = 2;

std::uint32_t checksum_of(std::string_view frame) {
  static constexpr char zero[4] = {};
  std::uint32_t crc = base::crc32c(frame.substr(0, checksum_offset));
  crc = base::crc32c(std::string_view(zero, sizeof zero), crc);
  return base::crc32c(frame.substr(frame_header_bytes), crc);
}

// Reads a body's fields; remembers the first thing that is wrong with them.
class Fields {
 public:
  Fields(std::string_view body, const char* frame, bool later_minor)
      : in_(body), frame_(frame), later_minor_(later_minor) {}

  bool later_minor() const { return later_minor_; }

  std::uint8_t u8(const char* field) {
    std::uint8_t v = 0;
    if (!in_.u8(&v)) wrong(field, "is cut off");
    return v;
  }
  std::uint64_t u64(const char* field) {
    std::uint64_t v = 0;
    if (!in_.u64(&v)) wrong(field, "is cut off");
    return v;
  }
  std::uint64_t varint(const char* field) {
    std::uint64_t v = 0;
    if (!in_.varint(&v)) wrong(field, "is malformed or cut off");
    return v;
  }
  std::uint32_t varint32(const char* field) {
    const std::uint64_t v = varint(field);
    if (v > std::numeric_limits<std::uint32_t>::max()) wrong(field, "is over 32 bits");
    return static_cast<std::uint32_t>(v);
  }
  std::string_view string(const char* field, std::size_t bytes_max) {
    std::uint64_t n = 0;
    std::string_view v;
    if (!in_.varint(&n)) {
      wrong(field, "is malformed or cut off");
    } else if (n > bytes_max) {
      wrong(field, "has " + std::to_string(n) + " bytes; at most " + std::to_string(bytes_max) +
                       " are taken");
    } else if (!in_.bytes(static_cast<std::size_t>(n), &v)) {
      wrong(field, "is cut off");
    } else if (!is_valid_utf8(v)) {
      wrong(field, "is not UTF-8");
    }
    return v;
  }
  // All that is left.
  std::string_view rest() {
    std::string_view v;
    (void)in_.bytes(in_.remaining(), &v);
    return v;
  }
  // An enumeration of `count` members, or nothing that this version knows.
  std::uint8_t choice(const char* field, std::uint8_t count) {
    const std::uint8_t v = u8(field);
    if (v >= count) wrong(field, "is " + std::to_string(v) + ", which this version does not know");
    return v;
  }
  // The same where a later minor version may bring members for which `otherwise` is close enough.
  std::uint8_t choice(const char* field, std::uint8_t count, std::uint8_t otherwise) {
    if (!later_minor_) return choice(field, count);
    const std::uint8_t v = u8(field);
    return v < count ? v : otherwise;
  }
  std::uint8_t bits(const char* field, std::uint8_t known) {
    const std::uint8_t v = u8(field);
    if ((v & ~known) != 0 && !later_minor_) wrong(field, "has unknown bits");
    return v & known;
  }
  void wrong(const char* field, std::string what) {
    if (!fault_) fault_ = std::string(frame_) + ": " + field + " " + std::move(what);
  }

  // The frame, if its fields were right and nothing of this version's own follows them.
  template <class T>
  Result<Frame> finish(T frame) {
    if (!fault_ && !in_.at_end() && !later_minor_) {
      wrong("the body", "has " + std::to_string(in_.remaining()) + " bytes too many");
    }
    if (fault_) return fail(ErrorKind::kInvalid, "malformed frame, " + *fault_);
    return Frame(frame);
  }

 private:
  base::ByteReader in_;
  const char* frame_;
  bool later_minor_;
  std::optional<std::string> fault_;
};

void put_text(std::string& out, std::string_view text) {
  base::put_string(out, utf8_prefix(text, text_bytes_max));
}

// --- the fields of each frame, in their order ---------------------------------------------------

void read(Fields& in, Hello& hello) {
  hello.token = in.string("token", token_bytes_max);
  hello.source = in.string("source", base::source_name_bytes_max);
  hello.epoch = Epoch(in.varint("epoch"));
  const std::uint8_t bits = in.bits("options", hello_ordered | hello_accepts_zstd | hello_has_life);
  hello.ordered = (bits & hello_ordered) != 0;
  hello.accepts_zstd = (bits & hello_accepts_zstd) != 0;
  hello.wait = static_cast<WaitLevel>(in.choice("wait level", 2));
  hello.trimmed = Lsn(in.varint("trimmed LSN"));
  hello.trimmed_chain = ChainHash(in.u64("trimmed chain"));
  hello.head = Lsn(in.varint("head LSN"));
  hello.frame_bytes_max = in.varint32("frame_bytes_max");
  hello.agent = in.string("agent", agent_bytes_max);
  if ((bits & hello_has_life) != 0) hello.life = in.u64("life");
  if (hello.source.empty()) in.wrong("source", "is empty; name the database");
  if (hello.head < hello.trimmed) in.wrong("head LSN", "lies before the trimmed LSN");
}

void write(std::string& out, const Hello& hello) {
  base::put_string(out, hello.token);
  base::put_string(out, hello.source);
  base::put_varint(out, hello.epoch.value);
  base::put_u8(out, static_cast<std::uint8_t>((hello.ordered ? hello_ordered : 0) |
                                              (hello.accepts_zstd ? hello_accepts_zstd : 0) |
                                              (hello.life != 0 ? hello_has_life : 0)));
  base::put_u8(out, static_cast<std::uint8_t>(hello.wait));
  base::put_varint(out, hello.trimmed.value);
  base::put_u64(out, hello.trimmed_chain.value);
  base::put_varint(out, hello.head.value);
  base::put_varint(out, hello.frame_bytes_max);
  base::put_string(out, utf8_prefix(hello.agent, agent_bytes_max));
  if (hello.life != 0) base::put_u64(out, hello.life);
}

void read(Fields& in, Welcome& welcome) {
  welcome.verdict = static_cast<WelcomeVerdict>(in.choice("verdict", 3));
  const std::uint8_t bits = in.bits("options", welcome_chain_known | welcome_accepts_zstd);
  welcome.chain_known = (bits & welcome_chain_known) != 0;
  welcome.accepts_zstd = (bits & welcome_accepts_zstd) != 0;
  welcome.received = Lsn(in.varint("received LSN"));
  welcome.received_chain = ChainHash(in.u64("received chain"));
  welcome.received_txn = TxnId(in.varint("received transaction"));
  welcome.durable = Lsn(in.varint("durable LSN"));
  welcome.persisted = Lsn(in.varint("persisted LSN"));
  welcome.epoch_min = Epoch(in.varint("epoch_min"));
  welcome.credit_bytes = in.varint("credit");
  welcome.frame_bytes_max = in.varint32("frame_bytes_max");
  welcome.batch_entries_max = in.varint32("batch_entries_max");
  welcome.text = in.string("text", text_bytes_max);
}

void write(std::string& out, const Welcome& welcome) {
  base::put_u8(out, static_cast<std::uint8_t>(welcome.verdict));
  base::put_u8(out, static_cast<std::uint8_t>((welcome.chain_known ? welcome_chain_known : 0) |
                                              (welcome.accepts_zstd ? welcome_accepts_zstd : 0)));
  base::put_varint(out, welcome.received.value);
  base::put_u64(out, welcome.received_chain.value);
  base::put_varint(out, welcome.received_txn.value);
  base::put_varint(out, welcome.durable.value);
  base::put_varint(out, welcome.persisted.value);
  base::put_varint(out, welcome.epoch_min.value);
  base::put_varint(out, welcome.credit_bytes);
  base::put_varint(out, welcome.frame_bytes_max);
  base::put_varint(out, welcome.batch_entries_max);
  put_text(out, welcome.text);
}

void read(Fields& in, Batch& batch) { batch.body = in.rest(); }

void write(std::string& out, const Batch& batch) { out.append(batch.body); }

void read(Fields& in, Ack& ack) {
  ack.durable = Lsn(in.varint("durable LSN"));
  ack.persisted = Lsn(in.varint("persisted LSN"));
  ack.credit_bytes = in.varint("credit");
}

void write(std::string& out, const Ack& ack) {
  base::put_varint(out, ack.durable.value);
  base::put_varint(out, ack.persisted.value);
  base::put_varint(out, ack.credit_bytes);
}

void read(Fields& in, Nack& nack) {
  nack.reason = static_cast<NackReason>(
      in.choice("reason", 8, static_cast<std::uint8_t>(NackReason::kUnavailable)));
  nack.resend_after = Lsn(in.varint("resend_after"));
  nack.retry_after_ms = in.varint32("retry_after_ms");
  nack.text = in.string("text", text_bytes_max);
}

void write(std::string& out, const Nack& nack) {
  base::put_u8(out, static_cast<std::uint8_t>(nack.reason));
  base::put_varint(out, nack.resend_after.value);
  base::put_varint(out, nack.retry_after_ms);
  put_text(out, nack.text);
}

void read(Fields& in, Ping& ping) { ping.opaque = in.u64("opaque"); }

void write(std::string& out, const Ping& ping) { base::put_u64(out, ping.opaque); }

void read(Fields& in, Pong& pong) { pong.opaque = in.u64("opaque"); }

void write(std::string& out, const Pong& pong) { base::put_u64(out, pong.opaque); }

void read(Fields& in, Bye& bye) {
  bye.reason =
      static_cast<ByeReason>(in.choice("reason", 4, static_cast<std::uint8_t>(ByeReason::kError)));
  bye.text = in.string("text", text_bytes_max);
}

void write(std::string& out, const Bye& bye) {
  base::put_u8(out, static_cast<std::uint8_t>(bye.reason));
  put_text(out, bye.text);
}

// --- all frames alike ---------------------------------------------------------------------------

template <class OneFrame>
Result<Frame> decode_as(std::string_view body, bool later_minor) {
  Fields in(body, OneFrame::name, later_minor);
  OneFrame frame;
  read(in, frame);
  return in.finish(frame);
}

using Decoder = Result<Frame> (*)(std::string_view body, bool later_minor);

template <std::size_t... Index>
constexpr std::array<Decoder, 256> make_decoders(std::index_sequence<Index...>) {
  std::array<Decoder, 256> by_type{};
  ((by_type[static_cast<std::uint8_t>(std::variant_alternative_t<Index, Frame>::type)] =
        &decode_as<std::variant_alternative_t<Index, Frame>>),
   ...);
  return by_type;
}

constexpr std::size_t known_frames = std::variant_size_v<Frame> - 1;
static_assert(std::is_same_v<std::variant_alternative_t<known_frames, Frame>, UnknownFrame>);
// By FrameType; null where no frame has it.
constexpr std::array<Decoder, 256> decoders =
    make_decoders(std::make_index_sequence<known_frames>());

struct BodyEncoder {
  std::string& out;

  template <class OneFrame>
  FrameType operator()(const OneFrame& frame) const {
    write(out, frame);
    return OneFrame::type;
  }
  FrameType operator()(const UnknownFrame& unknown) const {
    return static_cast<FrameType>(unknown.type);
  }
};

void put_frame_header(std::string& out, FrameType type, std::uint8_t flags) {
  base::put_u8(out, frame_magic[0]);
  base::put_u8(out, frame_magic[1]);
  base::put_u8(out, wire_major);
  base::put_u8(out, wire_minor);
  base::put_u8(out, static_cast<std::uint8_t>(type));
  base::put_u8(out, flags);
  base::put_u32(out, 0);
}

}  // namespace

bool has_frame_magic(std::string_view bytes) {
  return bytes.size() >= 3 && static_cast<std::uint8_t>(bytes[0]) == frame_magic[0] &&
         static_cast<std::uint8_t>(bytes[1]) == frame_magic[1];
}

Result<FrameEnvelope> open_frame(std::string_view bytes) {
  if (bytes.size() > base::frame_bytes_max) {
    return fail(ErrorKind::kOverLimit, "a frame of " + std::to_string(bytes.size()) +
                                           " bytes; at most " +
                                           std::to_string(base::frame_bytes_max) + " are taken");
  }
  if (bytes.size() < frame_header_bytes) {
    return fail(ErrorKind::kInvalid, "malformed frame: " + std::to_string(bytes.size()) +
                                         " bytes are fewer than its header has");
  }
  if (!has_frame_magic(bytes)) {
    return fail(ErrorKind::kInvalid, "not a frame of the EvoDB wire protocol (wrong magic)");
  }
  FrameEnvelope envelope;
  envelope.major = static_cast<std::uint8_t>(bytes[2]);
  envelope.minor = static_cast<std::uint8_t>(bytes[3]);
  envelope.type = static_cast<std::uint8_t>(bytes[4]);
  envelope.flags = static_cast<std::uint8_t>(bytes[5]);
  if (envelope.major != wire_major) {
    return fail(ErrorKind::kInvalid,
                "the peer speaks wire protocol " + std::to_string(envelope.major) + "." +
                    std::to_string(envelope.minor) + ", this build speaks " +
                    std::to_string(wire_major) + "." + std::to_string(wire_minor) +
                    "; upgrade the older of the two");
  }
  if (base::load_fixed<std::uint32_t>(bytes.data() + checksum_offset) != checksum_of(bytes)) {
    return fail(ErrorKind::kInvalid, "malformed frame: its checksum is wrong");
  }
  envelope.body = bytes.substr(frame_header_bytes);
  return envelope;
}

Result<Frame> decode_body(const FrameEnvelope& envelope, std::string_view body) {
  if (body.size() > base::frame_bytes_max) {
    return fail(ErrorKind::kOverLimit, "a frame's body of " + std::to_string(body.size()) +
                                           " bytes; at most " +
                                           std::to_string(base::frame_bytes_max) + " are taken");
  }
  const bool later_minor = envelope.minor > wire_minor;
  const Decoder decode = decoders[envelope.type];
  if (decode == nullptr) {
    if (later_minor) return Frame(UnknownFrame{envelope.type});
    return fail(ErrorKind::kInvalid, "malformed frame: type " + std::to_string(envelope.type) +
                                         " does not exist in wire protocol " +
                                         std::to_string(wire_major) + "." +
                                         std::to_string(wire_minor));
  }
  const bool is_batch = envelope.type == static_cast<std::uint8_t>(FrameType::kBatch);
  const std::uint8_t allowed = is_batch ? kFlagZstd : 0;
  if ((envelope.flags & ~allowed) != 0) {
    return fail(ErrorKind::kInvalid, "malformed frame: flags " + std::to_string(envelope.flags) +
                                         " are not defined for type " +
                                         std::to_string(envelope.type));
  }
  return decode(body, later_minor);
}

Result<Frame> decode_frame(std::string_view bytes) {
  const FrameEnvelope envelope = EVODB_TRY(open_frame(bytes));
  if (envelope.type == static_cast<std::uint8_t>(FrameType::kBatch) &&
      (envelope.flags & kFlagZstd) != 0) {
    return fail(ErrorKind::kInvalid,
                "a compressed frame, which was not offered; send it without compression");
  }
  return decode_body(envelope, envelope.body);
}

void encode_frame(std::string& out, const Frame& frame) {
  const std::size_t start = out.size();
  put_frame_header(out, FrameType{}, 0);
  const FrameType type = std::visit(BodyEncoder{out}, frame);
  out[start + 4] = static_cast<char>(type);
  end_frame(out, start);
}

std::string encode_frame(const Frame& frame) {
  std::string out;
  encode_frame(out, frame);
  return out;
}

void encode_envelope(std::string& out, FrameType type, std::uint8_t flags, std::string_view body) {
  out.reserve(out.size() + frame_header_bytes + body.size());
  const std::size_t start = begin_frame(out, type, flags);
  out.append(body);
  end_frame(out, start);
}

std::size_t begin_frame(std::string& out, FrameType type, std::uint8_t flags) {
  const std::size_t start = out.size();
  put_frame_header(out, type, flags);
  return start;
}

void end_frame(std::string& out, std::size_t start) {
  base::store_fixed(out.data() + start + checksum_offset,
                    base::crc32c(std::string_view(out).substr(start)));
}

}  // namespace evodb::wire
