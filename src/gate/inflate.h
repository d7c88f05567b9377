// Inflater: zstd frame bodies, inflated within a bound. One for all connections of a loop.
//
//   std::string_view body = EVODB_TRY(inflater.inflate(frame.body, base::frame_bytes_max));
//
// A bomb costs what the bound says and no more: output is made piece by piece and given up at the
// limit, whatever the frame's header claims; the window that a frame may ask for is bounded too.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "evodb/result.h"

struct ZSTD_DCtx_s;

namespace evodb::gate {

// What a frame of so many bytes may inflate to. The cost of a frame then follows from what it cost
// its sender: without a ratio, a few kilobytes buy the work of 16 MiB, again and again
// (docs/formats/wire-v2.md, Frame).
inline constexpr std::size_t inflated_bytes_free = 1u << 20;
inline constexpr std::size_t inflate_ratio_max = 256;
constexpr std::size_t inflated_bytes_max(std::size_t compressed_bytes) {
  return std::max(inflated_bytes_free, compressed_bytes * inflate_ratio_max);
}

class Inflater {
 public:
  Inflater();
  ~Inflater();
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  // Exactly one zstd frame. The view is valid until the next call.
  // Errors: kInvalid (not zstd, damaged, cut off, bytes behind it), kOverLimit (over bytes_max).
  Result<std::string_view> inflate(std::string_view compressed, std::size_t bytes_max);
  // Gives memory back after a large one; call between rounds.
  void shrink();

 private:
  ZSTD_DCtx_s* context_ = nullptr;  // made by the first call: many parents never need it
  std::string out_;
};

}  // namespace evodb::gate
