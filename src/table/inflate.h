// Raw DEFLATE (RFC 1951), inflated by zlib within a bound: the "deflate" codec of Avro files that
// other Iceberg writers leave in our tables.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "evodb/result.h"

namespace evodb::table {

// Appends to `out`. Bytes behind the last block are ignored, as all readers of Avro do: PyIceberg
// leaves three of zlib's checksum there. kCorrupt: not DEFLATE, or cut off. kOverLimit: `out` would
// grow beyond `bytes_max`. With an error `out` is as it was.
Result<void> inflate(std::string_view compressed, std::size_t bytes_max, std::string& out);

}  // namespace evodb::table
