#include "gate/inflate.h"

#include <algorithm>

#include <zstd.h>

#include "base/assert.h"

namespace evodb::gate {
namespace {

constexpr int window_log_max = 24;                // 16 MiB: no frame of ours inflates to more
constexpr std::size_t kept_bytes_max = 2u << 20;  // most frames, and most bombs, fit
constexpr std::size_t first_bytes = 64u << 10;

std::unexpected<Error> over(std::size_t bytes_max) {
  return fail(ErrorKind::kOverLimit, "the frame inflates to more than " +
                                         std::to_string(bytes_max) +
                                         " bytes; send it as it is, or smaller");
}

}  // namespace

Inflater::Inflater() = default;
Inflater::~Inflater() { ZSTD_freeDCtx(context_); }

Result<std::string_view> Inflater::inflate(std::string_view compressed, std::size_t bytes_max) {
  if (context_ == nullptr) {
    context_ = ZSTD_createDCtx();
    EVODB_ASSERT(context_ != nullptr, "memory for one decompressor");
    ZSTD_DCtx_setParameter(context_, ZSTD_d_windowLogMax, window_log_max);
  }
  ZSTD_DCtx_reset(context_, ZSTD_reset_session_only);
  // A frame that says how large it is, is believed where that refuses it.
  const unsigned long long said = ZSTD_getFrameContentSize(compressed.data(), compressed.size());
  const bool says = said != ZSTD_CONTENTSIZE_UNKNOWN && said != ZSTD_CONTENTSIZE_ERROR;
  if (says && said > bytes_max) return over(bytes_max);
  ZSTD_inBuffer in{compressed.data(), compressed.size(), 0};
  std::size_t size = 0;
  while (true) {
    if (size == out_.size()) {
      // One byte over the limit is enough to see that it is passed.
      const std::size_t wanted = std::max(first_bytes, out_.size() * 2);
      out_.resize(std::min(wanted, bytes_max + 1));
    }
    ZSTD_outBuffer out{out_.data(), out_.size(), size};
    const std::size_t before = in.pos;
    const std::size_t left = ZSTD_decompressStream(context_, &out, &in);
    if (ZSTD_isError(left)) {
      return fail(ErrorKind::kInvalid,
                  std::string("the frame's zstd body is damaged: ") + ZSTD_getErrorName(left));
    }
    if (out.pos > bytes_max) return over(bytes_max);
    const bool stuck = out.pos == size && in.pos == before;
    size = out.pos;
    if (left == 0) break;
    if (in.pos == in.size && size < out_.size() && stuck) {
      return fail(ErrorKind::kInvalid, "the frame's zstd body is cut off");
    }
  }
  if (in.pos != in.size) {
    return fail(ErrorKind::kInvalid, "the frame has bytes behind its zstd body");
  }
  return std::string_view(out_).substr(0, size);
}

void Inflater::shrink() {
  if (out_.capacity() <= kept_bytes_max) return;
  std::string().swap(out_);
}

}  // namespace evodb::gate
