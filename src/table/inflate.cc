#include "table/inflate.h"

#include <algorithm>
#include <limits>
#include <memory>

#include <zlib.h>

namespace evodb::table {
namespace {

constexpr int raw_deflate = -MAX_WBITS;  // without zlib's header and checksum
constexpr std::size_t first_bytes = 4096;

struct EndInflate {
  void operator()(z_stream* stream) const { ::inflateEnd(stream); }
};

std::unexpected<Error> over_limit(std::size_t bytes_max) {
  return fail(ErrorKind::kOverLimit,
              "deflated bytes inflate to more than " + std::to_string(bytes_max));
}

}  // namespace

Result<void> inflate(std::string_view compressed, std::size_t bytes_max, std::string& out) {
  const std::size_t before = out.size();
  if (before > bytes_max || compressed.size() > std::numeric_limits<uInt>::max()) {
    return over_limit(bytes_max);
  }
  z_stream stream{};
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(compressed.data()));
  stream.avail_in = static_cast<uInt>(compressed.size());
  if (::inflateInit2(&stream, raw_deflate) != Z_OK) {
    return fail(ErrorKind::kInternal, "zlib has no memory left");
  }
  const std::unique_ptr<z_stream, EndInflate> end(&stream);
  std::size_t room = std::max(first_bytes, compressed.size() * 2);
  for (;;) {
    // One more than the bound: whether there is such a byte is the question.
    const std::size_t at = before + stream.total_out;
    out.resize(std::min(at + room, bytes_max + 1));
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + at);
    stream.avail_out =
        static_cast<uInt>(std::min<std::size_t>(out.size() - at, std::numeric_limits<uInt>::max()));
    const int state = ::inflate(&stream, Z_NO_FLUSH);
    out.resize(before + stream.total_out);
    if (out.size() > bytes_max) {
      out.resize(before);
      return over_limit(bytes_max);
    }
    if (state == Z_STREAM_END) return {};
    if (state != Z_OK || stream.avail_out > 0) {  // there was room, and nothing more came
      out.resize(before);
      return fail(ErrorKind::kCorrupt, "deflated bytes are damaged or cut off");
    }
    room *= 2;
  }
}

}  // namespace evodb::table
