#include "parent/hand_over_format.h"

#include "base/bytes.h"
#include "base/hash.h"

namespace evodb::parent {
namespace {

constexpr char hand_over_magic[] = "EVODBHOV";
constexpr std::size_t hand_over_header_bytes = 16;  // magic, version, CRC32C of what follows

}  // namespace

std::string encode_hand_over(const HandOverContents& contents) {
  std::string out(hand_over_magic, 8);
  base::put_u32(out, hand_over_version);
  base::put_u32(out, 0);
  base::put_u64(out, contents.journal_id);
  base::put_u64(out, contents.journal_end.value);
  base::put_varint(out, contents.streams.size());
  std::uint32_t previous = 0;
  for (const std::uint32_t stream : contents.streams) {
    base::put_varint(out, stream - previous);
    previous = stream;
  }
  base::put_string(out, contents.connections);
  base::put_string(out, contents.sessions);
  base::store_fixed(out.data() + 12,
                    base::crc32c(std::string_view(out).substr(hand_over_header_bytes)));
  return out;
}

Result<HandOverContents> decode_hand_over(std::string_view bytes) {
  const auto damaged = [](const char* what) {
    return fail(ErrorKind::kInvalid, std::string("what was handed over is damaged: ") + what);
  };
  if (bytes.size() < hand_over_header_bytes || !bytes.starts_with(hand_over_magic))
    return damaged("no header");
  if (const auto version = base::load_fixed<std::uint32_t>(bytes.data() + 8);
      version != hand_over_version) {
    return fail(ErrorKind::kInvalid, "it was handed over in version " + std::to_string(version) +
                                         ", this binary reads version " +
                                         std::to_string(hand_over_version));
  }
  if (base::load_fixed<std::uint32_t>(bytes.data() + 12) !=
      base::crc32c(bytes.substr(hand_over_header_bytes))) {
    return damaged("the checksum does not hold");
  }
  HandOverContents contents;
  base::ByteReader in(bytes.substr(hand_over_header_bytes));
  std::uint64_t count = 0;
  if (!in.u64(&contents.journal_id) || !in.u64(&contents.journal_end.value) || !in.varint(&count) ||
      count > in.remaining()) {
    return damaged("it is cut off");
  }
  contents.streams.reserve(static_cast<std::size_t>(count));
  std::uint64_t stream = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    std::uint64_t gap = 0;
    if (!in.varint(&gap) || (i > 0 && gap == 0) || gap > UINT32_MAX || stream + gap > UINT32_MAX) {
      return damaged("a connection's number");
    }
    stream += gap;
    contents.streams.push_back(static_cast<std::uint32_t>(stream));
  }
  std::string_view connections, sessions;
  if (!in.string(&connections) || !in.string(&sessions) || !in.at_end()) {
    return damaged("it is cut off");
  }
  contents.connections = std::string(connections);
  contents.sessions = std::string(sessions);
  return contents;
}

}  // namespace evodb::parent
