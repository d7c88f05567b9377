// Deflated bytes from anybody: refused or inflated, within the bound.
#include "table/inflate.h"

#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t bytes_max = 1 << 20;
  std::string out = "before";
  const auto done =
      evodb::table::inflate({reinterpret_cast<const char*>(data), size}, bytes_max, out);
  if (out.size() > bytes_max || !out.starts_with("before")) std::abort();
  (void)done;
  return 0;
}
