#include "wire/v1/codec.h"

#include <algorithm>
#include <array>

#include "base/assert.h"
#include "base/limits.h"
#include "wire/utf8.h"

namespace evodb::wire {
namespace {

constexpr std::uint16_t magic = 0xcdc2;
constexpr std::uint8_t version = 1;
constexpr std::uint8_t flag_compressed = 1;
constexpr std::uint8_t flag_correlation_id = 2;
constexpr std::uint8_t flag_retry = 4;
constexpr std::size_t crc_offset = 36;
constexpr std::size_t entry_bytes_min = 29;
constexpr std::size_t nack_text_bytes_max = 1024;

// IEEE 802.3, reflected, polynomial 0x04C11DB7: the CRC of zip and PNG.
std::uint32_t crc32_add(std::uint32_t crc, std::string_view bytes) {
  static constexpr auto table = [] {
    std::array<std::uint32_t, 256> t{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t c = i;
      for (int bit = 0; bit < 8; ++bit) c = (c & 1) != 0 ? (c >> 1) ^ 0xedb88320u : c >> 1;
      t[i] = c;
    }
    return t;
  }();
  for (const char c : bytes) {
    crc = table[(crc ^ static_cast<std::uint8_t>(c)) & 0xff] ^ (crc >> 8);
  }
  return crc;
}

// REQUIRES: a batch header's bytes.
std::uint32_t crc_of(std::string_view message) {
  static constexpr char zero[4] = {};
  std::uint32_t crc = crc32_add(0xffffffffu, message.substr(0, crc_offset));
  crc = crc32_add(crc, std::string_view(zero, sizeof zero));
  return ~crc32_add(crc, message.substr(v1_batch_header_bytes));
}

// Bytes 0 to 23, which all types share.
struct Head {
  std::uint8_t flags = 0;
  UnixMillis timestamp;
  std::uint64_t batch_sequence = 0;
};

void put_head(std::string& out, V1Type type, std::uint8_t flags, UnixMillis timestamp,
              std::uint64_t batch_sequence) {
  base::put_u16(out, magic);
  base::put_u8(out, version);
  base::put_u8(out, static_cast<std::uint8_t>(type));
  base::put_u8(out, flags);
  out.append(3, '\0');
  base::put_fixed(out, timestamp.value);
  base::put_u64(out, batch_sequence);
}

// REQUIRES: v1_type() liked the message.
bool read_head(base::ByteReader& in, Head* head) {
  std::uint64_t time = 0;
  if (!in.skip(4) || !in.u8(&head->flags) || !in.skip(3) || !in.u64(&time) ||
      !in.u64(&head->batch_sequence)) {
    return false;
  }
  head->timestamp = UnixMillis(static_cast<std::int64_t>(time));
  return true;
}

bool read_correlation_id(base::ByteReader& in, std::optional<std::string_view>* id) {
  std::uint16_t n = 0;
  std::string_view bytes;
  if (!in.u16(&n) || !in.bytes(n, &bytes)) return false;
  *id = bytes;
  return true;
}

void put_correlation_id(std::string& out, const std::optional<std::string_view>& id) {
  if (!id) return;
  base::put_u16(out, static_cast<std::uint16_t>(id->size()));
  out.append(*id);
}

std::uint8_t correlation_flag(const std::optional<std::string_view>& id) {
  EVODB_ASSERT(!id || id->size() <= v1_name_bytes_max, "a correlation id over 65,535 bytes");
  return id ? flag_correlation_id : 0;
}

Result<void> require_type(std::string_view message, V1Type wanted) {
  const V1Type type = EVODB_TRY(v1_type(message));
  if (type != wanted) {
    return fail(ErrorKind::kInvalid, "wire v1: a message of another type than was asked for");
  }
  return {};
}

}  // namespace

bool has_v1_magic(std::string_view bytes) {
  return bytes.size() >= 2 && base::load_fixed<std::uint16_t>(bytes.data()) == magic;
}

Result<V1Type> v1_type(std::string_view message) {
  if (!has_v1_magic(message)) {
    return fail(ErrorKind::kInvalid, "not a message of wire protocol v1 (wrong magic)");
  }
  if (message.size() > base::frame_bytes_max) {
    return fail(ErrorKind::kOverLimit, "wire v1: a message of " + std::to_string(message.size()) +
                                           " bytes; at most " +
                                           std::to_string(base::frame_bytes_max) + " are taken");
  }
  if (message.size() < 4) return fail(ErrorKind::kInvalid, "wire v1: the message is cut off");
  const auto found = static_cast<std::uint8_t>(message[2]);
  if (found != version) {
    return fail(ErrorKind::kInvalid,
                "wire v1: version " + std::to_string(found) + " is not known; upgrade the parent");
  }
  const auto type = static_cast<std::uint8_t>(message[3]);
  if (type < 1 || type > 3) {
    return fail(ErrorKind::kInvalid,
                "wire v1: type " + std::to_string(type) + " has no binary form; send it as JSON");
  }
  return static_cast<V1Type>(type);
}

V1BatchReader::V1BatchReader(std::string_view message) : message_(message), in_(message) {
  const Result<V1Type> type = v1_type(message);
  if (!type) {
    set_fault(type.error().kind, type.error().text);
    return;
  }
  Head head;
  std::uint16_t source_bytes = 0, correlation_bytes = 0;
  std::uint32_t count = 0, payload_bytes = 0, checksum = 0;
  if (*type != V1Type::kBatch || !read_head(in_, &head) || !in_.u16(&source_bytes) ||
      !in_.u32(&count) || !in_.u32(&payload_bytes) || !in_.u16(&correlation_bytes) ||
      !in_.u32(&checksum)) {
    set_fault(ErrorKind::kInvalid, "it is not a batch, or ends within its header");
    return;
  }
  header_.timestamp = head.timestamp;
  header_.batch_sequence = head.batch_sequence;
  header_.retry = (head.flags & flag_retry) != 0;
  // Like the old decoder: without the flag there is no id, whatever its length says.
  const bool has_correlation_id = (head.flags & flag_correlation_id) != 0;
  std::string_view id;
  if (!in_.bytes(source_bytes, &header_.source) ||
      (has_correlation_id && !in_.bytes(correlation_bytes, &id))) {
    set_fault(ErrorKind::kInvalid, "it ends within the source or correlation id");
    return;
  }
  if (has_correlation_id) header_.correlation_id = id;
  if ((head.flags & flag_compressed) != 0) {
    set_fault(ErrorKind::kInvalid, "it says that it is compressed, which v1 never was");
    return;
  }
  if (payload_bytes > in_.remaining()) {
    set_fault(ErrorKind::kInvalid, "it ends before its payload does");
    return;
  }
  std::string_view payload;
  behind_payload_ = in_.remaining() - payload_bytes;
  in_.bytes(payload_bytes, &payload);
  in_ = base::ByteReader(payload);
  std::uint32_t inner = 0;
  if (!in_.u32(&inner) || inner != count || count > in_.remaining() / entry_bytes_min) {
    set_fault(ErrorKind::kInvalid, "its entry counts differ, or exceed what it can hold");
    return;
  }
  header_.entry_count = count;
  left_ = count;
}

bool V1BatchReader::next(V1Entry* entry) {
  if (left_ == 0 || faulty_) return false;
  std::uint64_t sequence = 0, timestamp = 0;
  std::uint8_t op = 0;
  std::uint16_t table_bytes = 0, row_id_bytes = 0;
  std::uint32_t before_bytes = 0, after_bytes = 0;
  V1Entry read;
  if (!in_.u64(&sequence) || !in_.u64(&timestamp) || !in_.u8(&op) || !in_.u16(&table_bytes) ||
      !in_.u16(&row_id_bytes) || !in_.u32(&before_bytes) || !in_.u32(&after_bytes) ||
      !in_.bytes(table_bytes, &read.table) || !in_.bytes(row_id_bytes, &read.row_id) ||
      !in_.bytes(before_bytes, &read.before) || !in_.bytes(after_bytes, &read.after)) {
    return set_fault(ErrorKind::kInvalid, "an entry is cut off");
  }
  if (op > static_cast<std::uint8_t>(Op::kDelete)) {
    return set_fault(ErrorKind::kInvalid, "an entry with an unknown operation");
  }
  read.sequence = sequence;
  read.timestamp = UnixMillis(static_cast<std::int64_t>(timestamp));
  read.op = static_cast<Op>(op);
  *entry = read;
  --left_;
  return true;
}

bool V1BatchReader::set_fault(ErrorKind kind, std::string_view what) {
  faulty_ = true;
  fault_ = Error{kind, "malformed v1 batch: " + std::string(what)};
  if (left_ != 0) {
    fault_.text += " (entry " + std::to_string(header_.entry_count - left_ + 1) + " of " +
                   std::to_string(header_.entry_count) + ")";
  }
  return false;
}

Result<void> V1BatchReader::status() const {
  if (faulty_) return fail(fault_);
  return {};
}

bool V1BatchReader::checksum_matches() const {
  return message_.size() >= v1_batch_header_bytes &&
         base::load_fixed<std::uint32_t>(message_.data() + crc_offset) == crc_of(message_);
}

void encode_v1_ack(std::string& out, const V1Ack& ack) {
  put_head(out, V1Type::kAck, correlation_flag(ack.correlation_id), ack.timestamp,
           ack.batch_sequence);
  base::put_u8(out, static_cast<std::uint8_t>(ack.status));
  put_correlation_id(out, ack.correlation_id);
}

void encode_v1_nack(std::string& out, const V1Nack& nack) {
  const std::string_view text = utf8_prefix(nack.text, nack_text_bytes_max);
  put_head(out, V1Type::kNack, correlation_flag(nack.correlation_id), nack.timestamp,
           nack.batch_sequence);
  base::put_u8(out, static_cast<std::uint8_t>(nack.reason));
  base::put_u8(out, nack.should_retry ? 1 : 0);
  base::put_u32(out, nack.retry_delay_ms);
  base::put_u16(out, static_cast<std::uint16_t>(text.size()));
  out.append(text);
  put_correlation_id(out, nack.correlation_id);
}

void encode_v1_batch(std::string& out, const V1BatchHeader& header,
                     std::span<const V1Entry> entries) {
  const std::size_t start = out.size();
  EVODB_ASSERT(header.source.size() <= v1_name_bytes_max, "a source id over 65,535 bytes");
  put_head(out, V1Type::kBatch,
           static_cast<std::uint8_t>(correlation_flag(header.correlation_id) |
                                     (header.retry ? flag_retry : 0)),
           header.timestamp, header.batch_sequence);
  base::put_u16(out, static_cast<std::uint16_t>(header.source.size()));
  base::put_u32(out, static_cast<std::uint32_t>(entries.size()));
  const std::size_t payload_length = out.size();
  base::put_u32(out, 0);
  base::put_u16(
      out, static_cast<std::uint16_t>(header.correlation_id ? header.correlation_id->size() : 0));
  base::put_u32(out, 0);
  out.append(header.source);
  if (header.correlation_id) out.append(*header.correlation_id);
  const std::size_t payload = out.size();
  base::put_u32(out, static_cast<std::uint32_t>(entries.size()));
  for (const V1Entry& entry : entries) {
    EVODB_ASSERT(
        entry.table.size() <= v1_name_bytes_max && entry.row_id.size() <= v1_name_bytes_max,
        "a table name or row id over 65,535 bytes");
    base::put_u64(out, entry.sequence);
    base::put_fixed(out, entry.timestamp.value);
    base::put_u8(out, static_cast<std::uint8_t>(entry.op));
    base::put_u16(out, static_cast<std::uint16_t>(entry.table.size()));
    base::put_u16(out, static_cast<std::uint16_t>(entry.row_id.size()));
    base::put_u32(out, static_cast<std::uint32_t>(entry.before.size()));
    base::put_u32(out, static_cast<std::uint32_t>(entry.after.size()));
    out.append(entry.table).append(entry.row_id).append(entry.before).append(entry.after);
  }
  base::store_fixed(out.data() + payload_length, static_cast<std::uint32_t>(out.size() - payload));
  const std::string_view message = std::string_view(out).substr(start);
  base::store_fixed(out.data() + start + crc_offset, crc_of(message));
}

Result<V1Ack> decode_v1_ack(std::string_view message) {
  EVODB_TRY(require_type(message, V1Type::kAck));
  base::ByteReader in(message);
  Head head;
  V1Ack ack;
  std::uint8_t status = 0;
  if (!read_head(in, &head) || !in.u8(&status) ||
      ((head.flags & flag_correlation_id) != 0 && !read_correlation_id(in, &ack.correlation_id))) {
    return fail(ErrorKind::kInvalid, "malformed v1 ACK: it is cut off");
  }
  ack.timestamp = head.timestamp;
  ack.batch_sequence = head.batch_sequence;
  ack.status = status <= static_cast<std::uint8_t>(V1AckStatus::kFallback)
                   ? static_cast<V1AckStatus>(status)
                   : V1AckStatus::kOk;
  return ack;
}

Result<V1Nack> decode_v1_nack(std::string_view message) {
  EVODB_TRY(require_type(message, V1Type::kNack));
  base::ByteReader in(message);
  Head head;
  V1Nack nack;
  std::uint8_t reason = 0, should_retry = 0;
  std::uint16_t text_bytes = 0;
  if (!read_head(in, &head) || !in.u8(&reason) || !in.u8(&should_retry) ||
      !in.u32(&nack.retry_delay_ms) || !in.u16(&text_bytes) || !in.bytes(text_bytes, &nack.text) ||
      ((head.flags & flag_correlation_id) != 0 && !read_correlation_id(in, &nack.correlation_id))) {
    return fail(ErrorKind::kInvalid, "malformed v1 NACK: it is cut off");
  }
  nack.timestamp = head.timestamp;
  nack.batch_sequence = head.batch_sequence;
  nack.should_retry = should_retry != 0;
  nack.reason = reason <= static_cast<std::uint8_t>(V1NackReason::kShuttingDown)
                    ? static_cast<V1NackReason>(reason)
                    : V1NackReason::kInternalError;
  return nack;
}

}  // namespace evodb::wire
