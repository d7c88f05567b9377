// Whatever a server answers: no crash, and what is accepted obeys the page's own rules.
#include "store/s3_xml.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view xml(reinterpret_cast<const char*>(data), size);
  const auto page = evodb::store::parse_list_page(xml);
  if (page) {
    if (page->truncated && page->continuation.empty()) std::abort();
    for (const auto& object : page->objects) {
      if (object.key.empty()) std::abort();
    }
  }
  (void)evodb::store::parse_s3_error(xml);
  (void)evodb::store::parse_iso_time(xml);
  return 0;
}
