// base64 with padding: RFC 4648, section 4.
#pragma once

#include <string>
#include <string_view>

namespace evodb::base {

// base64_encode("ab") == "YWI="
std::string base64_encode(std::string_view bytes);

}  // namespace evodb::base
