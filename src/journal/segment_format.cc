#include "journal/segment_format.h"

#include <cstring>

#include "base/bytes.h"
#include "base/hash.h"

namespace evodb::journal {
namespace {

constexpr std::string_view magic = "EVODBJNL";
static_assert(magic.size() == SegmentField::version - SegmentField::magic);

std::uint32_t segment_header_crc(std::string_view bytes) {
  std::string counted(bytes.substr(0, SegmentField::end));
  base::store_fixed<std::uint32_t>(counted.data() + SegmentField::crc, 0);
  return base::crc32c(counted);
}

}  // namespace

std::size_t Journal::record_bytes(std::size_t payload_bytes) {
  return record_header_bytes + padded(payload_bytes);
}

std::string encode_segment_header(const SegmentHeader& header) {
  std::string out(segment_header_bytes, '\0');
  char* const at = out.data();
  std::memcpy(at + SegmentField::magic, magic.data(), magic.size());
  base::store_fixed(at + SegmentField::version, format_version);
  base::store_fixed(at + SegmentField::journal, header.journal.value);
  base::store_fixed(at + SegmentField::ordinal, header.ordinal);
  base::store_fixed(at + SegmentField::first, header.first.value);
  base::store_fixed(at + SegmentField::salt, header.salt);
  base::store_fixed(at + SegmentField::segment_bytes, header.segment_bytes);
  base::store_fixed(at + SegmentField::crc, segment_header_crc(out));
  return out;
}

Result<SegmentHeader> decode_segment_header(std::string_view bytes) {
  if (bytes.size() < segment_header_bytes) {
    return fail(ErrorKind::kCorrupt, "it is shorter than a segment header");
  }
  if (!bytes.starts_with(magic)) {
    return fail(ErrorKind::kCorrupt, "it does not begin with EVODBJNL");
  }
  const char* const at = bytes.data();
  if (base::load_fixed<std::uint32_t>(at + SegmentField::crc) != segment_header_crc(bytes)) {
    return fail(ErrorKind::kCorrupt, "its header's checksum does not hold");
  }
  const auto version = base::load_fixed<std::uint32_t>(at + SegmentField::version);
  if (version != format_version) {
    return fail(ErrorKind::kInvalid, "it has journal format " + std::to_string(version) +
                                         ", this program knows " + std::to_string(format_version) +
                                         "; use the version that wrote it");
  }
  SegmentHeader header;
  header.journal = JournalId(base::load_fixed<std::uint64_t>(at + SegmentField::journal));
  header.ordinal = base::load_fixed<std::uint64_t>(at + SegmentField::ordinal);
  header.first = Position(base::load_fixed<std::uint64_t>(at + SegmentField::first));
  header.salt = base::load_fixed<std::uint64_t>(at + SegmentField::salt);
  header.segment_bytes = base::load_fixed<std::uint64_t>(at + SegmentField::segment_bytes);
  if (header.segment_bytes <= segment_header_bytes || header.segment_bytes % page_bytes != 0 ||
      header.segment_bytes > (1ull << 40) || header.first.value % record_alignment != 0 ||
      header.first.value > (1ull << 62)) {
    return fail(ErrorKind::kCorrupt, "its header's fields make no sense");
  }
  return header;
}

namespace {

std::uint32_t record_header_crc(const char* at) {
  return base::crc32c({at + RecordField::payload_crc, RecordField::end - RecordField::payload_crc});
}

}  // namespace

void store_record_shape(char* at, std::uint32_t length, RecordType type) {
  base::store_fixed(at + RecordField::length, length);
  std::memset(at + RecordField::type, 0, RecordField::end - RecordField::type);
  at[RecordField::type] = static_cast<char>(type);
}

RecordHeader load_record_shape(const char* at) {
  RecordHeader header;
  header.length = base::load_fixed<std::uint32_t>(at + RecordField::length);
  header.type = static_cast<RecordType>(at[RecordField::type]);
  return header;
}

void store_record_header(char* at, const RecordHeader& header) {
  base::store_fixed(at + RecordField::payload_crc, header.payload_crc);
  base::store_fixed(at + RecordField::salt, header.salt);
  base::store_fixed(at + RecordField::position, header.position.value);
  base::store_fixed(at + RecordField::synced_through, header.synced_through.value);
  store_record_shape(at, header.length, header.type);
  base::store_fixed(at + RecordField::header_crc, record_header_crc(at));
}

bool load_record_header(const char* at, std::uint64_t salt, Position position,
                        RecordHeader* header) {
  // Salt and position first: they differ nearly everywhere that a search looks.
  if (base::load_fixed<std::uint64_t>(at + RecordField::position) != position.value) return false;
  if (base::load_fixed<std::uint64_t>(at + RecordField::salt) != salt) return false;
  if (base::load_fixed<std::uint32_t>(at + RecordField::header_crc) != record_header_crc(at)) {
    return false;
  }
  *header = load_record_shape(at);
  header->payload_crc = base::load_fixed<std::uint32_t>(at + RecordField::payload_crc);
  header->salt = salt;
  header->position = position;
  header->synced_through =
      Position(base::load_fixed<std::uint64_t>(at + RecordField::synced_through));
  return true;
}

std::uint32_t payload_checksum(std::string_view payload) { return base::crc32c(payload); }

std::string segment_name(Position first) { return base::hex16(first.value) + ".seg"; }

bool parse_segment_name(std::string_view name, Position* first) {
  if (name.size() != 20 || name.substr(16) != ".seg") return false;
  return base::parse_hex16(name.substr(0, 16), &first->value);
}

}  // namespace evodb::journal
