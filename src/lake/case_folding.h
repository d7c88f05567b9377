// Case folding: which names are the same to somebody who does not tell upper from lower case.
//
//   fold_case("ŐR") == fold_case("őr")      fold_case("Straße") == fold_case("STRASSE")
//   lower_case("ŐR")                        "őr"; "Straße" becomes "straße"
//
// Unicode's full case folding, and I with and without a dot as one letter: what engines do that
// compare names character by character, or look for them in lower case. The table, its source and
// its Unicode version: case_folding_table.h, made by scripts/case-folding.
//
// Bytes that are no UTF-8 stay as they are.
#pragma once

#include <string>
#include <string_view>

namespace evodb::lake {

// Equal for names that differ only in case, for comparing. Folding twice changes nothing.
std::string fold_case(std::string_view utf8);
// Folds only characters that have a lower case, for showing.
std::string lower_case(std::string_view utf8);

}  // namespace evodb::lake
