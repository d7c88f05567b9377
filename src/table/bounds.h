// Bounds of a column in one file, in Iceberg's single-value serialization ("Appendix D" of the
// spec): little-endian numbers, raw UTF-8 and bytes.
//
//   file.lower_bounds[id] = bound_of_long(min);
//   if (auto upper = upper_bound_of_text(max)) file.upper_bounds[id] = *upper;
//
// Text and bytes are cut at 64 characters: enough to tell ids with a long common prefix apart. A
// lower bound that is cut stays a lower bound; an upper one is incremented, or left out where no
// greater value of that length exists.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace evodb::table {

inline constexpr std::size_t bound_characters_max = 64;

std::string bound_of_boolean(bool v);
std::string bound_of_int(std::int32_t v);
std::string bound_of_long(std::int64_t v);  // also timestamptz in microseconds

// A zero's sign is unknown to statistics, so a lower zero is -0.0 and an upper one +0.0.
// REQUIRES: not NaN; NaN counts in nan_counts only.
std::string lower_bound_of_double(double v);
std::string upper_bound_of_double(double v);

// Nothing where the text is no UTF-8: it has no bound that a reader could compare.
std::optional<std::string> lower_bound_of_text(std::string_view v,
                                               std::size_t characters_max = bound_characters_max);
std::optional<std::string> upper_bound_of_text(std::string_view v,
                                               std::size_t characters_max = bound_characters_max);
std::string lower_bound_of_bytes(std::string_view v, std::size_t bytes_max = bound_characters_max);
std::optional<std::string> upper_bound_of_bytes(std::string_view v,
                                                std::size_t bytes_max = bound_characters_max);

}  // namespace evodb::table
