#include "store/key.h"

#include <algorithm>

namespace evodb::store {
namespace {

std::unexpected<Error> refuse(std::string_view key, std::string_view why) {
  return fail(ErrorKind::kInvalid, "the object key '" + std::string(key) + "' " + std::string(why));
}

}  // namespace

Result<void> check_key(std::string_view key) {
  if (key.empty()) return refuse(key, "is empty");
  if (key.size() > key_bytes_max) {
    return refuse(key.substr(0, 64), "... is longer than 1024 bytes: shorten the table's name");
  }
  const bool control = std::any_of(key.begin(), key.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
  if (control) return refuse(key, "has a control character: XML listings cannot carry it");
  std::string_view rest = key;
  while (true) {
    const std::size_t slash = rest.find('/');
    const std::string_view part = rest.substr(0, slash);
    if (part.empty()) return refuse(key, "begins or ends with a slash, or has two in a row");
    if (part == "." || part == "..") return refuse(key, "has '.' or '..' between slashes");
    if (part == temporary_folder) return refuse(key, "is inside the store's own temporary folder");
    if (part.size() > key_component_bytes_max) {
      return refuse(key.substr(0, 64), "... has a part over 255 bytes: shorten the table's name");
    }
    if (slash == std::string_view::npos) return {};
    rest.remove_prefix(slash + 1);
  }
}

}  // namespace evodb::store
