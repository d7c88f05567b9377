// Whatever stands in sqlite_schema.sql: no crash, no endless loop, and parts that come from the
// text.
#include "capture/index_sql.h"

#include <cstdint>

#include "base/assert.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view sql(reinterpret_cast<const char*>(data), size);
  std::size_t bytes = 0;
  if (const auto index = evodb::capture::parse_index_sql(sql)) {
    for (const std::string& part : index->parts) bytes += part.size();
    EVODB_ASSERT(bytes + index->where.size() <= size, "a part is cut out of the text");
  }
  if (const auto table = evodb::capture::parse_generated_sql(sql, size % 8)) {
    EVODB_ASSERT(table->size() == size % 8, "one for each column");
  }
  return 0;
}
