#include "lake/unfit.h"

#include <array>
#include <charconv>

#include "base/bytes.h"
#include "wire/utf8.h"

namespace evodb::lake {
namespace {

template <class Number>
void put_number(std::string* out, Number v) {
  std::array<char, 32> text;
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), v);
  out->append(text.data(), error == std::errc() ? end : text.data());
}

}  // namespace

void render_unfit(ValueView value, std::string* out) {
  out->clear();
  switch (value.storage_class) {
    case StorageClass::kNull: return;
    case StorageClass::kInteger:
      *out = "integer:";
      put_number(out, value.integer);
      return;
    case StorageClass::kReal:
      *out = "real:";
      put_number(out, value.real);
      return;
    case StorageClass::kBoolean: *out = value.boolean ? "boolean:true" : "boolean:false"; return;
    case StorageClass::kText:
      if (wire::is_valid_utf8(value.bytes)) {
        *out = "text:";
        *out += value.bytes;
      } else {
        *out = "text-hex:" + base::to_hex(value.bytes);
      }
      return;
    case StorageClass::kBlob: *out = "blob:" + base::to_hex(value.bytes); return;
  }
}

}  // namespace evodb::lake
