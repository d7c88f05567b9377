// Wire v1: what clients of the first generation speak. Binary batches, ACKs and NACKs here, their
// JSON text messages in text.h. The specification is docs/formats/wire-v1.md.
//
//   if (EVODB_TRY(v1_type(message)) == V1Type::kBatch) {
//     V1BatchReader reader(message);
//     V1Entry entry;
//     while (reader.next(&entry)) ...
//     if (!reader.status()) ...        // malformed: nothing of it may be used
//   }
//
// Everything that a reader gives borrows from the message.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "evodb/result.h"
#include "evodb/types.h"

namespace evodb::wire {

// Of a source, table, row id or correlation id: the length before it has 16 bits.
inline constexpr std::size_t v1_name_bytes_max = 0xffff;

inline constexpr std::size_t v1_batch_header_bytes = 40;

enum class V1Type : std::uint8_t { kBatch = 1, kAck = 2, kNack = 3 };

enum class V1AckStatus : std::uint8_t {
  kOk = 0,
  kBuffered = 1,
  kPersisted = 2,
  kDuplicate = 3,
  kFallback = 4,
};

enum class V1NackReason : std::uint8_t {
  kBufferFull = 0,
  kRateLimited = 1,
  kInvalidSequence = 2,
  kInvalidFormat = 3,
  kInternalError = 4,
  kShuttingDown = 5,
};

// True if `bytes` begin like a binary message of wire v1; nothing else is checked.
bool has_v1_magic(std::string_view bytes);

// The type of a binary message. Errors: kInvalid (not v1, another version, a type that travels as
// text or does not exist), kOverLimit (longer than any v1 encoder writes).
Result<V1Type> v1_type(std::string_view message);

struct V1BatchHeader {
  UnixMillis timestamp;
  std::uint64_t batch_sequence = 0;  // restarts at 1 with every client: matches ACKs, nothing else
  bool retry = false;
  std::string_view source;
  std::optional<std::string_view> correlation_id;
  std::uint32_t entry_count = 0;
};

struct V1Entry {
  std::uint64_t sequence = 0;  // the LSN; 0 is possible
  UnixMillis timestamp;
  Op op = Op::kInsert;      // kInsert, kUpdate, kDelete
  std::string_view table;   // any bytes, may be empty
  std::string_view row_id;  // any bytes, may be empty
  std::string_view before;  // JSON text as it came, not parsed; empty: absent
  std::string_view after;
};

class V1BatchReader {
 public:
  // `message` outlives the reader and every view that it gives.
  explicit V1BatchReader(std::string_view message);
  // As far as it could be read: even of a malformed batch, what a NACK needs to reach its sender.
  const V1BatchHeader& header() const { return header_; }
  // False at the end or at the first fault.
  bool next(V1Entry* entry);
  // ok, kInvalid or kOverLimit. Meaningful once next() gave false.
  Result<void> status() const;
  // Whether the CRC is what a codec's first message would have. To be counted, never to refuse:
  // deployed encoders compute it over leftovers of the message before. Reads the whole message.
  bool checksum_matches() const;
  // Bytes behind the last entry, which are ignored. Meaningful at the end.
  std::size_t trailing_bytes() const { return in_.remaining() + behind_payload_; }

 private:
  bool set_fault(ErrorKind kind, std::string_view what);

  std::string_view message_;
  base::ByteReader in_;
  V1BatchHeader header_;
  std::uint32_t left_ = 0;
  std::size_t behind_payload_ = 0;
  bool faulty_ = false;
  Error fault_;
};

struct V1Ack {
  UnixMillis timestamp;
  std::uint64_t batch_sequence = 0;
  V1AckStatus status = V1AckStatus::kOk;
  // A client matches an ACK to its batch by this alone. At most 65,535 bytes.
  std::optional<std::string_view> correlation_id;
};

struct V1Nack {
  UnixMillis timestamp;
  std::uint64_t batch_sequence = 0;
  V1NackReason reason = V1NackReason::kInternalError;
  bool should_retry = false;
  std::uint32_t retry_delay_ms = 0;
  std::string_view text;  // cut at 1,024 bytes
  // Always set it where there is one: a client ignores a NACK without.
  std::optional<std::string_view> correlation_id;
};

void encode_v1_ack(std::string& out, const V1Ack& ack);
void encode_v1_nack(std::string& out, const V1Nack& nack);
// REQUIRES: names of at most 65,535 bytes, less than 4 GiB in all. `header.entry_count` is ignored.
void encode_v1_batch(std::string& out, const V1BatchHeader& header,
                     std::span<const V1Entry> entries);

// Errors: kInvalid. Trailing bytes are ignored. An unknown status is kOk and an unknown reason
// kInternalError, as for the old client.
Result<V1Ack> decode_v1_ack(std::string_view message);
Result<V1Nack> decode_v1_nack(std::string_view message);

}  // namespace evodb::wire
