// Just enough of SQL's tokens to cut apart statements that SQLite has accepted. Internal to
// capture.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace evodb::capture {

// One step over a string, a quoted name, a comment or a single character; where it ends.
std::size_t skip_token(std::string_view sql, std::size_t at);

// Without comments, which would otherwise swallow what is put behind the text.
std::string without_comments(std::string_view sql);

// What lies between the first '(' and its ')', cut at its own commas and trimmed; `behind` is where
// the text goes on. False if there is no such list.
bool split_list(std::string_view sql, std::vector<std::string>* parts, std::size_t* behind);

// Without white space at both ends.
void trim_spaces(std::string& text);

// Of a name that is not quoted, as SQLite reads it.
bool is_word_byte(char c);

// Whether `word`, in capitals, stands at `at` by itself.
bool is_word_at(std::string_view sql, std::size_t at, std::string_view word);

}  // namespace evodb::capture
