// How one value lies in bytes (docs/formats/wire-v2.md, "Values"), for the codecs of this room and
// for ValuesReader.
//
// A tag byte: the storage class in the low 3 bits, a small number in the high 5. For INTEGER that
// number is the zigzag value, for TEXT and BLOB the length, while it is below 31; 31 says that a
// varint of the rest follows. So a value has exactly one encoding, and most cost one byte over
// their content.
#pragma once

#include <cstdint>
#include <cstring>

#include "base/bytes.h"
#include "evodb/value.h"

namespace evodb::wire {

inline constexpr std::uint8_t value_more_follows = 31;

// As base::ByteReader::varint, over two pointers in registers: this is the hottest code of ingest.
// Past the varint at `p`, or nullptr.
inline const char* read_varint(const char* p, const char* end, std::uint64_t* v) {
  if (p != end && static_cast<std::uint8_t>(*p) < 0x80) [[likely]] {
    *v = static_cast<std::uint8_t>(*p);
    return p + 1;
  }
  std::uint64_t result = 0;
  for (int shift = 0; shift < 70; shift += 7) {
    if (p == end) return nullptr;
    const auto byte = static_cast<std::uint8_t>(*p++);
    if (shift == 63 && byte > 1) return nullptr;
    result |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) {
      if (byte == 0) return nullptr;  // overlong; a lone 0 was answered above
      *v = result;
      return p;
    }
  }
  return nullptr;
}

// Past the value at `p`, or nullptr if it is malformed or cut off. TEXT and BLOB point into it.
inline const char* read_value(const char* p, const char* end, ValueView* value) {
  if (p == end) return nullptr;
  const auto tag = static_cast<std::uint8_t>(*p++);
  std::uint64_t n = tag >> 3;
  switch (static_cast<StorageClass>(tag & 7)) {
    case StorageClass::kNull:
      if (n != 0) return nullptr;
      value->storage_class = StorageClass::kNull;
      return p;
    case StorageClass::kInteger:
      if (n == value_more_follows) {
        p = read_varint(p, end, &n);
        if (p == nullptr || n > UINT64_MAX - value_more_follows) return nullptr;
        n += value_more_follows;
      }
      value->storage_class = StorageClass::kInteger;
      value->integer = base::unzigzag(n);
      return p;
    case StorageClass::kReal:
      if (n != 0 || end - p < 8) return nullptr;
      value->storage_class = StorageClass::kReal;
      value->real = base::load_fixed<double>(p);
      return p + 8;
    case StorageClass::kText:
    case StorageClass::kBlob:
      if (n == value_more_follows) {
        p = read_varint(p, end, &n);
        if (p == nullptr || n > UINT64_MAX - value_more_follows) return nullptr;
        n += value_more_follows;
      }
      if (n > static_cast<std::uint64_t>(end - p)) return nullptr;
      value->storage_class = static_cast<StorageClass>(tag & 7);
      value->bytes = std::string_view(p, static_cast<std::size_t>(n));
      return p + n;
    case StorageClass::kBoolean:
      if (n > 1) return nullptr;
      value->storage_class = StorageClass::kBoolean;
      value->boolean = n == 1;
      return p;
  }
  return nullptr;
}

}  // namespace evodb::wire
