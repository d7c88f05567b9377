// Names of tables and columns from tenants: whatever they are called, keys of objects stay plain
// and tell exact names apart, and names can be used by a reader.
//
// Input: two names, divided by the first zero byte.
#include "lake/naming.h"

#include <cstdint>
#include <string>

#include "base/assert.h"
#include "lake/case_folding.h"

namespace {

using namespace evodb::lake;  // NOLINT(google-build-using-namespace)

bool has_control(std::string_view name) {
  for (const char c : name) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return true;
  }
  return false;
}

void check(std::string_view name) {
  const std::string key = location_key_of(name);
  EVODB_ASSERT(key.starts_with("evodb/") && key.size() <= 256, "a key of ours, and no long one");
  EVODB_ASSERT(key.find('/', 6) == std::string::npos, "a name steers the key");
  for (const char c : key.substr(6)) {
    EVODB_ASSERT((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '_' || c == '-' || c == '.',
                 "a character that needs care in a key");
  }
  const std::string_view last = std::string_view(key).substr(6);
  EVODB_ASSERT(last != "." && last != "..", "a step up");
  for (int attempt = 0; attempt < table_name_attempts; ++attempt) {
    const std::string table = table_name_of(name, attempt);
    EVODB_ASSERT(!table.empty() && table.size() <= 256 && !has_control(table), "a table's name");
    EVODB_ASSERT(table.find_first_of("$@") == std::string::npos, "a name that Trino cannot find");
    EVODB_ASSERT(lower_case(table) == table, "a name that is looked for in lower case");
  }
  for (const int digits : {8, 16}) {
    const std::string column = renamed(name, digits);
    EVODB_ASSERT(!must_rename(column), "the new name must be changed again");
  }
  EVODB_ASSERT(must_rename(name) || !has_control(name), "a control character stays");
  EVODB_ASSERT(fold_case(fold_case(name)) == fold_case(name), "folding twice");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t cut = input.find('\0');
  const std::string_view a = input.substr(0, cut);
  const std::string_view b = cut == std::string_view::npos ? a : input.substr(cut + 1);
  check(a);
  check(b);
  if (a != b) EVODB_ASSERT(location_key_of(a) != location_key_of(b), "two tables at one place");
  return 0;
}
