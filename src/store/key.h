// What a key of the warehouse may look like: the part of S3's rules and of a file system's that
// both can hold, so that a warehouse can be copied from one to the other.
#pragma once

#include <string>
#include <string_view>

#include "evodb/result.h"

namespace evodb::store {

inline constexpr std::size_t key_bytes_max = 1024;           // S3's
inline constexpr std::size_t key_component_bytes_max = 255;  // Linux file systems'

// kInvalid with the reason: empty, too long, a leading or doubled slash, "." or "..", a control
// character, or the local store's own folder.
Result<void> check_key(std::string_view key);

// The local store's folder for files that are being written; never listed, never a key.
inline constexpr std::string_view temporary_folder = ".evodb-tmp";

}  // namespace evodb::store
