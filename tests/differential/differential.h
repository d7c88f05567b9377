// The commands of evodb_differential, and how they read their cases: u32 length, bytes.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace evodb::differential {

int wire_v1();
int hashes();
int manifests(const char* directory);
int landing(const char* directory);

// The next case of standard input; false at its end.
inline bool next_case(std::string* bytes) {
  std::uint32_t n = 0;
  if (std::fread(&n, 1, sizeof n, stdin) != sizeof n) return false;
  bytes->resize(n);
  return std::fread(bytes->data(), 1, n, stdin) == n;
}

inline std::string hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    out.push_back("0123456789abcdef"[static_cast<unsigned char>(c) >> 4]);
    out.push_back("0123456789abcdef"[c & 15]);
  }
  return out;
}

}  // namespace evodb::differential
