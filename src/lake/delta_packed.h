// Parquet's DELTA_BINARY_PACKED of 64-bit numbers (parquet-format, Encodings.md): differences, each
// block's less its smallest, in as many bits as the widest of a miniblock needs. Byte for byte what
// Arrow's encoder writes, in a third of the time: it packs by whole words.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace evodb::lake {

// Appends to `out`. Pure.
void append_delta_packed(std::string& out, const std::int64_t* values, std::size_t n);

}  // namespace evodb::lake
