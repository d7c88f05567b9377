// Little-endian integers and varints in byte strings: the alphabet of wire and journal.
//
//   std::string out;
//   put_varint(out, 300);
//   ByteReader in(out);
//   std::uint64_t n;
//   if (!in.varint(&n)) ...            // false: truncated or overlong; the reader stays failed
//
// Bytes are std::string (owned) and std::string_view (borrowed) everywhere in EvoDB: the text and
// blob types of SQLite, Arrow and the sockets, without a cast between them.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace evodb::base {

static_assert(std::endian::native == std::endian::little,
              "the fixed-width readers below assume a little-endian machine");

template <class Int>
void put_fixed(std::string& out, Int v) {
  char raw[sizeof v];
  std::memcpy(raw, &v, sizeof v);
  out.append(raw, sizeof v);
}
inline void put_u8(std::string& out, std::uint8_t v) { out.push_back(static_cast<char>(v)); }
inline void put_u16(std::string& out, std::uint16_t v) { put_fixed(out, v); }
inline void put_u32(std::string& out, std::uint32_t v) { put_fixed(out, v); }
inline void put_u64(std::string& out, std::uint64_t v) { put_fixed(out, v); }

template <class Int>
Int load_fixed(const char* p) {
  Int v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
template <class Int>
void store_fixed(char* p, Int v) {
  std::memcpy(p, &v, sizeof v);
}

// LEB128.
inline constexpr std::size_t varint_bytes_max = 10;
// Past what was stored at `p`, which has space for varint_bytes_max.
inline char* store_varint(char* p, std::uint64_t v) {
  while (v >= 0x80) {
    *p++ = static_cast<char>(v | 0x80);
    v >>= 7;
  }
  *p++ = static_cast<char>(v);
  return p;
}
inline void put_varint(std::string& out, std::uint64_t v) {
  char raw[varint_bytes_max];
  out.append(raw, static_cast<std::size_t>(store_varint(raw, v) - raw));
}

constexpr std::uint64_t zigzag(std::int64_t v) {
  return (static_cast<std::uint64_t>(v) << 1) ^ static_cast<std::uint64_t>(v >> 63);
}
constexpr std::int64_t unzigzag(std::uint64_t v) {
  return static_cast<std::int64_t>(v >> 1) ^ -static_cast<std::int64_t>(v & 1);
}
inline void put_zigzag(std::string& out, std::int64_t v) { put_varint(out, zigzag(v)); }

// A varint length, then the bytes.
inline void put_string(std::string& out, std::string_view s) {
  put_varint(out, s.size());
  out.append(s);
}

// Reads what the functions above wrote. Every method returns false once anything was missing or
// malformed, and leaves its output untouched then; a caller may check once at the end with ok().
// Borrows its input; views that it gives point into it.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes)
      : begin_(bytes.data()), p_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  bool ok() const { return ok_; }
  std::size_t remaining() const { return static_cast<std::size_t>(end_ - p_); }
  std::size_t consumed() const { return static_cast<std::size_t>(p_ - begin_); }
  bool at_end() const { return p_ == end_; }
  const char* here() const { return p_; }

  template <class Int>
  bool fixed(Int* v) {
    if (!ok_ || remaining() < sizeof *v) return fail();
    std::memcpy(v, p_, sizeof *v);
    p_ += sizeof *v;
    return true;
  }
  bool u8(std::uint8_t* v) { return fixed(v); }
  bool u16(std::uint16_t* v) { return fixed(v); }
  bool u32(std::uint32_t* v) { return fixed(v); }
  bool u64(std::uint64_t* v) { return fixed(v); }

  bool varint(std::uint64_t* v) {
    if (!ok_) return false;
    if (p_ != end_ && static_cast<std::uint8_t>(*p_) < 0x80) {  // one byte: nearly always
      *v = static_cast<std::uint8_t>(*p_++);
      return true;
    }
    std::uint64_t result = 0;
    for (int shift = 0; shift < 70; shift += 7) {
      if (p_ == end_) return fail();
      const auto byte = static_cast<std::uint8_t>(*p_++);
      if (shift == 63 && byte > 1) return fail();  // past 64 bits
      result |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) {
        if (byte == 0 && shift != 0) return fail();  // overlong: one number, one encoding
        *v = result;
        return true;
      }
    }
    return fail();
  }
  bool zigzag(std::int64_t* v) {
    std::uint64_t raw;
    if (!varint(&raw)) return false;
    *v = unzigzag(raw);
    return true;
  }
  bool bytes(std::size_t n, std::string_view* v) {
    if (!ok_ || remaining() < n) return fail();
    *v = std::string_view(p_, n);
    p_ += n;
    return true;
  }
  // A varint length, then that many bytes. A length over `max` fails.
  bool string(std::string_view* v, std::size_t max = SIZE_MAX) {
    std::uint64_t n;
    if (!varint(&n)) return false;
    if (n > max || n > remaining()) return fail();
    return bytes(static_cast<std::size_t>(n), v);
  }
  bool skip(std::size_t n) {
    std::string_view ignored;
    return bytes(n, &ignored);
  }

 private:
  bool fail() {
    ok_ = false;
    return false;
  }
  const char* begin_;
  const char* p_;
  const char* end_;
  bool ok_ = true;
};

// Lower-case hexadecimal: two digits a byte.
std::string to_hex(std::string_view bytes);
// Of digits in either case. Nothing, unless they are pairs of hexadecimal digits.
std::optional<std::string> from_hex(std::string_view digits);
// A number in 16 digits, so that names of files and objects sort as their numbers do.
std::string hex16(std::uint64_t value);
// False unless `hex` is exactly what hex16 gives of some number.
bool parse_hex16(std::string_view hex, std::uint64_t* value);
// Appends code point `c` as UTF-8; a surrogate becomes its three bytes. REQUIRES: c <= 0x10ffff.
void put_utf8(std::string& out, std::uint32_t c);

}  // namespace evodb::base
