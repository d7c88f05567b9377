// Codecs alone, in memory: wire v2 both ways, v1's binary and JSON one way, and memcpy of the same
// bytes beside them. One pass encodes or decodes so many frames; passes of all kinds take turns,
// and a figure is the median of its passes.
#pragma once

#include <cstdint>

#include "bench/rows.h"
#include "evodb/result.h"

namespace evodb::bench {

struct CodecOptions {
  RowKind rows = RowKind::kPayload200;
  std::uint32_t batch_entries = 100;
  std::uint32_t frames = 64;   // a pass
  std::uint32_t passes = 200;  // of each kind
};

// Nanoseconds an entry.
struct CodecFigures {
  double frame_bytes_per_entry = 0;
  double memcpy_ns = 0;
  double encode_ns = 0;     // values ▶ frame, with chain and checksum
  double decode_ns = 0;     // frame ▶ values, checksum and chain checked
  double views_ns = 0;      // the same without checksum and chain
  double v1_binary_ns = 0;  // entries, their rows still JSON text
  double v1_json_ns = 0;    // the same from a text message
  double v1_to_v2_ns = 0;   // rows of such entries ▶ a body of v2, as the gate does
};

// Checks every codec against what was put in before it times. Errors: kInternal if one is wrong.
Result<CodecFigures> measure_codecs(const CodecOptions& options);

}  // namespace evodb::bench
