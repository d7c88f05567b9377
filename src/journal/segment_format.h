// The bytes of a segment: its header and its records' headers. docs/formats/journal.md is the law.
//
//   std::string page = encode_segment_header(header);
//   store_record_header(at, record);                      // 40 bytes
//   if (load_record_header(at, salt, position, &record))  // false: no record of this segment here
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
