#include "journal/segment_format.h"

#include <cstring>

#include "base/bytes.h"
#include "base/hash.h"

namespace evodb::journal {
namespace {

constexpr char magic[] = "EVODBJNL";
constexpr std::size_t counted_bytes = 64;  // of the segment header; the rest of the page is unused
constexpr std::size_t crc_offset = 12;

std::uint32_t segment_header_crc(std::string_view bytes) {
  std::string counted(bytes.substr(0, counted_bytes));
  base::store_fixed<std::uint32_t>(counted.data() + crc_offset, 0);
  return base::crc32c(counted);
}

}  // namespace

std::size_t Journal::record_bytes(std::size_t payload_bytes) {
  return record_header_bytes + padded(payload_bytes);
}

std::string encode_segment_header(const SegmentHeader& header) {
  std::string out(magic, 8);
  base::put_u32(out, format_version);
  base::put_u32(out, 0);
  base::put_u64(out, header.journal.value);
  base::put_u64(out, header.ordinal);
  base::put_u64(out, header.first.value);
  base::put_u64(out, header.salt);
  base::put_u64(out, header.segment_bytes);
  base::put_u64(out, 0);
  base::store_fixed(out.data() + crc_offset, segment_header_crc(out));
  out.resize(segment_header_bytes, '\0');
  return out;
}

Result<SegmentHeader> decode_segment_header(std::string_view bytes) {
  if (bytes.size() < segment_header_bytes) {
    return fail(ErrorKind::kCorrupt, "it is shorter than a segment header");
  }
  if (bytes.substr(0, 8) != std::string_view(magic, 8)) {
    return fail(ErrorKind::kCorrupt, "it does not begin with EVODBJNL");
  }
  if (base::load_fixed<std::uint32_t>(bytes.data() + crc_offset) != segment_header_crc(bytes)) {
    return fail(ErrorKind::kCorrupt, "its header's checksum does not hold");
  }
  const auto version = base::load_fixed<std::uint32_t>(bytes.data() + 8);
  if (version != format_version) {
    return fail(ErrorKind::kInvalid, "it has journal format " + std::to_string(version) +
                                         ", this program knows " + std::to_string(format_version) +
                                         "; use the version that wrote it");
  }
  SegmentHeader header;
  header.journal = JournalId(base::load_fixed<std::uint64_t>(bytes.data() + 16));
  header.ordinal = base::load_fixed<std::uint64_t>(bytes.data() + 24);
  header.first = Position(base::load_fixed<std::uint64_t>(bytes.data() + 32));
  header.salt = base::load_fixed<std::uint64_t>(bytes.data() + 40);
  header.segment_bytes = base::load_fixed<std::uint64_t>(bytes.data() + 48);
  if (header.segment_bytes <= segment_header_bytes || header.segment_bytes % page_bytes != 0 ||
      header.segment_bytes > (1ull << 40) || header.first.value % record_alignment != 0 ||
      header.first.value > (1ull << 62)) {
    return fail(ErrorKind::kCorrupt, "its header's fields make no sense");
  }
  return header;
}

void store_record_header(char* at, const RecordHeader& header) {
  base::store_fixed(at + 4, header.payload_crc);
  base::store_fixed(at + 8, header.salt);
  base::store_fixed(at + 16, header.position.value);
  base::store_fixed(at + 24, header.synced_through.value);
  base::store_fixed(at + 32, header.length);
  std::memset(at + 36, 0, 4);
  at[36] = static_cast<char>(header.type);
  base::store_fixed(at, base::crc32c(std::string_view(at + 4, record_header_bytes - 4)));
}

bool load_record_header(const char* at, std::uint64_t salt, Position position,
                        RecordHeader* header) {
  // Salt and position first: they differ nearly everywhere that a search looks.
  if (base::load_fixed<std::uint64_t>(at + 16) != position.value) return false;
  if (base::load_fixed<std::uint64_t>(at + 8) != salt) return false;
  if (base::load_fixed<std::uint32_t>(at) !=
      base::crc32c(std::string_view(at + 4, record_header_bytes - 4))) {
    return false;
  }
  header->payload_crc = base::load_fixed<std::uint32_t>(at + 4);
  header->salt = salt;
  header->position = position;
  header->synced_through = Position(base::load_fixed<std::uint64_t>(at + 24));
  header->length = base::load_fixed<std::uint32_t>(at + 32);
  header->type = static_cast<RecordType>(at[36]);
  return true;
}

std::uint32_t payload_checksum(std::string_view payload) { return base::crc32c(payload); }

std::string segment_name(Position first) { return base::hex16(first.value) + ".seg"; }

bool parse_segment_name(std::string_view name, Position* first) {
  if (name.size() != 20 || name.substr(16) != ".seg") return false;
  return base::parse_hex16(name.substr(0, 16), &first->value);
}

}  // namespace evodb::journal
