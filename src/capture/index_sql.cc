#include "capture/index_sql.h"

#include "capture/sql_tokens.h"

namespace evodb::capture {
namespace {

// Cuts `word` off the end if it stands there by itself.
bool drop_last_word(std::string& text, std::string_view word) {
  if (text.size() <= word.size()) return false;
  if (!is_word_at(text, text.size() - word.size(), word)) return false;
  text.erase(text.size() - word.size());
  trim_spaces(text);
  return true;
}

// The expression behind a column definition's own AS, "" if there is none.
std::string generated_of(std::string_view definition) {
  int depth = 0;
  for (std::size_t at = 0; at < definition.size(); at = skip_token(definition, at)) {
    if (definition[at] == '(') ++depth;
    if (definition[at] == ')') --depth;
    if (depth != 0 || at == 0 || !is_word_at(definition, at, "AS")) continue;
    std::string rest(definition.substr(at + 2));
    trim_spaces(rest);
    if (!rest.starts_with('(')) continue;  // a type that is called so
    int inner = 0;
    std::size_t end = 0;
    do {
      if (rest[end] == '(') ++inner;
      if (rest[end] == ')') --inner;
      end = skip_token(rest, end);
    } while (inner > 0 && end < rest.size());
    return rest.substr(0, end);
  }
  return {};
}

}  // namespace

Result<IndexSql> parse_index_sql(std::string_view sql) {
  const std::string clean = without_comments(sql);
  IndexSql found;
  std::size_t behind = 0;
  if (!split_list(clean, &found.parts, &behind)) {
    return fail(ErrorKind::kInvalid, "an index without a list of columns: " + clean);
  }
  for (std::string& part : found.parts) {
    if (!drop_last_word(part, "ASC")) drop_last_word(part, "DESC");
  }
  std::string rest = clean.substr(behind);
  trim_spaces(rest);
  if (!rest.empty()) {
    constexpr std::size_t where_length = 5;  // "WHERE", the only thing that may follow
    found.where = rest.substr(std::min(where_length, rest.size()));
    trim_spaces(found.where);
  }
  return found;
}

Result<std::vector<std::string>> parse_generated_sql(std::string_view sql, std::size_t count) {
  const std::string clean = without_comments(sql);
  std::vector<std::string> parts;
  std::size_t behind = 0;
  if (!split_list(clean, &parts, &behind) || parts.size() < count) {
    return fail(ErrorKind::kInvalid, "a table whose columns cannot be read: " + clean);
  }
  parts.resize(count);  // constraints follow the columns
  for (std::string& part : parts) part = generated_of(part);
  return parts;
}

}  // namespace evodb::capture
