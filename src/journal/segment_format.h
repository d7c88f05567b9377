// The bytes of a segment: its header and its records' headers. The specification is
// docs/formats/journal.md.
//
//   std::string page = encode_segment_header(header);
//   store_record_header(at, record);                      // 40 bytes
//   if (load_record_header(at, salt, position, &record)) ...   // else it is none of this segment
//
// No I/O here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "evodb/result.h"
#include "evodb/types.h"
#include "journal/journal.h"

namespace evodb::journal {

inline constexpr std::size_t segment_header_bytes = 4096;
inline constexpr std::size_t record_header_bytes = 40;
inline constexpr std::size_t record_alignment = 8;
inline constexpr std::size_t page_bytes = 4096;
inline constexpr std::uint32_t format_version = 1;

// Where the fields of a segment's header lie; the rest of its page is unused.
struct SegmentField {
  static constexpr std::size_t magic = 0;                     // 8 characters
  static constexpr std::size_t version = 8;                   // u32
  static constexpr std::size_t crc = version + 4;             // u32, over all with zero here
  static constexpr std::size_t journal = crc + 4;             // u64
  static constexpr std::size_t ordinal = journal + 8;         // u64
  static constexpr std::size_t first = ordinal + 8;           // u64
  static constexpr std::size_t salt = first + 8;              // u64
  static constexpr std::size_t segment_bytes = salt + 8;      // u64
  static constexpr std::size_t reserved = segment_bytes + 8;  // u64, 0
  static constexpr std::size_t end = reserved + 8;
};
static_assert(SegmentField::end == 64 && SegmentField::end <= segment_header_bytes);

// Where the fields of a record's header lie.
struct RecordField {
  static constexpr std::size_t header_crc = 0;                 // u32, over what follows it
  static constexpr std::size_t payload_crc = header_crc + 4;   // u32
  static constexpr std::size_t salt = payload_crc + 4;         // u64
  static constexpr std::size_t position = salt + 8;            // u64
  static constexpr std::size_t synced_through = position + 8;  // u64
  static constexpr std::size_t length = synced_through + 8;    // u32
  static constexpr std::size_t type = length + 4;              // u8
  static constexpr std::size_t reserved = type + 1;            // 3 bytes, 0
  static constexpr std::size_t end = reserved + 3;
};
static_assert(RecordField::length == 32 && RecordField::end == record_header_bytes);

// Not part of the log: "everything before me is synced". Never served.
inline constexpr RecordType durable_mark = static_cast<RecordType>(3);

struct SegmentHeader {
  JournalId journal;
  std::uint64_t ordinal = 0;
  Position first;
  std::uint64_t salt = 0;
  std::uint64_t segment_bytes = 0;

  friend bool operator==(const SegmentHeader&, const SegmentHeader&) = default;
};

struct RecordHeader {
  std::uint32_t payload_crc = 0;
  std::uint64_t salt = 0;
  Position position;
  Position synced_through;
  std::uint32_t length = 0;
  RecordType type = RecordType::kBatch;

  friend bool operator==(const RecordHeader&, const RecordHeader&) = default;
};

constexpr std::size_t round_up(std::size_t n, std::size_t step) {
  return (n + step - 1) / step * step;
}

// What a payload occupies, padding included and header not.
constexpr std::size_t padded(std::size_t payload_bytes) {
  return round_up(payload_bytes, record_alignment);
}

std::string encode_segment_header(const SegmentHeader& header);
// Errors: kCorrupt, with what is wrong; kInvalid for a later format version.
Result<SegmentHeader> decode_segment_header(std::string_view bytes);

// A record's header is stored in two steps: its length and type when it is queued, all of it once
// the segment that it lies in is known.
void store_record_shape(char* at, std::uint32_t length, RecordType type);
// A header that has length and type only.
RecordHeader load_record_shape(const char* at);
void store_record_header(char* at, const RecordHeader& header);
// False unless the checksum holds and salt and position are these.
bool load_record_header(const char* at, std::uint64_t salt, Position position,
                        RecordHeader* header);
// Over the payload and its padding: `payload` is padded() long.
std::uint32_t payload_checksum(std::string_view payload);

// "00000000000a1000.seg"
std::string segment_name(Position first);
// False if `name` is no segment's.
bool parse_segment_name(std::string_view name, Position* first);

}  // namespace evodb::journal
