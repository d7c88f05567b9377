#include "capture/sql_tokens.h"

#include <cctype>

namespace evodb::capture {
namespace {

bool is_comment(std::string_view sql, std::size_t at) {
  const std::string_view rest = sql.substr(at);
  return rest.starts_with("--") || rest.starts_with("/*");
}

}  // namespace

bool is_word_byte(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return std::isalnum(byte) != 0 || c == '_' || c == '$' || byte >= 0x80;
}

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

void trim_spaces(std::string& text) {
  const auto is_space = [](char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; };
  while (!text.empty() && is_space(text.back())) text.pop_back();
  std::size_t begin = 0;
  while (begin < text.size() && is_space(text[begin])) ++begin;
  text.erase(0, begin);
}

bool split_list(std::string_view sql, std::vector<std::string>* parts, std::size_t* behind) {
  std::size_t at = 0;
  while (at < sql.size() && sql[at] != '(') at = skip_token(sql, at);
  if (at >= sql.size()) return false;
  std::size_t begin = ++at;
  int depth = 1;
  for (; at < sql.size() && depth > 0; at = skip_token(sql, at)) {
    if (sql[at] == '(') ++depth;
    if (sql[at] == ')') --depth;
    if (depth == 0 || (depth == 1 && sql[at] == ',')) {
      parts->emplace_back(sql.substr(begin, at - begin));
      trim_spaces(parts->back());
      begin = at + 1;
    }
  }
  *behind = at;
  return depth == 0;
}

bool is_word_at(std::string_view sql, std::size_t at, std::string_view word) {
  if (at + word.size() > sql.size()) return false;
  for (std::size_t i = 0; i < word.size(); ++i) {
    if (std::toupper(static_cast<unsigned char>(sql[at + i])) != word[i]) return false;
  }
  const std::size_t end = at + word.size();
  return (at == 0 || !is_word_byte(sql[at - 1])) && (end == sql.size() || !is_word_byte(sql[end]));
}

}  // namespace evodb::capture
