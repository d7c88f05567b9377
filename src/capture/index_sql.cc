#include "capture/index_sql.h"

#include <cctype>

namespace evodb::capture {
namespace {

// One step over a string, a quoted name, a comment or a single character.
std::size_t skip_token(std::string_view sql, std::size_t at) {
  const char c = sql[at];
  if (c == '\'' || c == '"' || c == '`') {
    for (std::size_t i = at + 1; i < sql.size(); ++i) {
      if (sql[i] != c) continue;
      if (i + 1 < sql.size() && sql[i + 1] == c) {
        ++i;  // doubled: part of the name
      } else {
        return i + 1;
      }
    }
    return sql.size();
  }
  if (c == '[') {
    const std::size_t end = sql.find(']', at);
    return end == std::string_view::npos ? sql.size() : end + 1;
  }
  if (sql.substr(at).starts_with("--")) {
    const std::size_t end = sql.find('\n', at);
    return end == std::string_view::npos ? sql.size() : end + 1;
  }
  if (sql.substr(at).starts_with("/*")) {
    const std::size_t end = sql.find("*/", at + 2);
    return end == std::string_view::npos ? sql.size() : end + 2;
  }
  return at + 1;
}

bool is_comment(std::string_view sql, std::size_t at) {
  const std::string_view rest = sql.substr(at);
  return rest.starts_with("--") || rest.starts_with("/*");
}

// Without comments, which would otherwise swallow what is put behind the text.
std::string without_comments(std::string_view sql) {
  std::string out;
  for (std::size_t at = 0; at < sql.size();) {
    const std::size_t next = skip_token(sql, at);
    if (is_comment(sql, at)) {
      out += ' ';
    } else {
      out.append(sql.substr(at, next - at));
    }
    at = next;
  }
  return out;
}

void trim(std::string& text) {
  const auto is_space = [](char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; };
  while (!text.empty() && is_space(text.back())) text.pop_back();
  std::size_t begin = 0;
  while (begin < text.size() && is_space(text[begin])) ++begin;
  text.erase(0, begin);
}

// Cuts `word` off the end if it stands there by itself.
bool drop_last_word(std::string& text, std::string_view word) {
  if (text.size() <= word.size()) return false;
  const std::size_t at = text.size() - word.size();
  for (std::size_t i = 0; i < word.size(); ++i) {
    if (std::toupper(static_cast<unsigned char>(text[at + i])) != word[i]) return false;
  }
  const auto before = static_cast<unsigned char>(text[at - 1]);
  if (std::isalnum(before) != 0 || before == '_' || before == '$' || before >= 0x80) return false;
  text.erase(at);
  trim(text);
  return true;
}

std::string part_of(std::string text) {
  trim(text);
  if (!drop_last_word(text, "ASC")) drop_last_word(text, "DESC");
  return text;
}

}  // namespace

Result<IndexSql> parse_index_sql(std::string_view sql) {
  const std::string clean = without_comments(sql);
  const std::string_view text = clean;
  std::size_t at = 0;
  while (at < text.size() && text[at] != '(') at = skip_token(text, at);
  if (at >= text.size()) {
    return fail(ErrorKind::kInvalid, "an index without a list of columns: " + clean);
  }

  IndexSql found;
  std::size_t begin = ++at;
  int depth = 1;
  for (; at < text.size() && depth > 0; at = skip_token(text, at)) {
    if (text[at] == '(') ++depth;
    if (text[at] == ')') --depth;
    if (depth == 0 || (depth == 1 && text[at] == ',')) {
      found.parts.push_back(part_of(std::string(text.substr(begin, at - begin))));
      begin = at + 1;
    }
  }
  if (depth != 0) return fail(ErrorKind::kInvalid, "an index whose list does not end: " + clean);

  std::string rest(text.substr(at));
  trim(rest);
  if (!rest.empty()) {
    constexpr std::size_t where_length = 5;  // "WHERE", the only thing that may follow
    found.where = rest.substr(std::min(where_length, rest.size()));
    trim(found.where);
  }
  return found;
}

}  // namespace evodb::capture
