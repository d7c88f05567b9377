#include "capture/trigger_reach.h"

#include <algorithm>
#include <set>

#include "capture/sql_tokens.h"
#include "capture/table_shape.h"

namespace evodb::capture {
namespace {

// What stands behind the first BEGIN.
std::string body_of(std::string_view trigger_sql) {
  const std::string sql = without_comments(trigger_sql);
  for (std::size_t at = 0; at < sql.size(); at = skip_token(sql, at)) {
    if (is_word_at(sql, at, "BEGIN")) return fold_name(std::string_view(sql).substr(at));
  }
  return fold_name(sql);
}

// `text` and `name` are folded. Quoted or not: a string that reads so counts, too.
bool mentions(std::string_view text, std::string_view name) {
  if (name.empty()) return true;
  // A quote in a name is doubled where it stands quoted: not looked for, but assumed.
  if (name.find_first_of("\"`'") != std::string_view::npos) return true;
  for (std::size_t at = text.find(name); at != std::string_view::npos;
       at = text.find(name, at + 1)) {
    const std::size_t end = at + name.size();
    const bool begins = at == 0 || !is_word_byte(text[at - 1]) || !is_word_byte(name.front());
    const bool ends = end == text.size() || !is_word_byte(text[end]) || !is_word_byte(name.back());
    if (begins && ends) return true;
  }
  return false;
}

}  // namespace

bool names(std::string_view trigger_sql, std::string_view table) {
  return mentions(body_of(trigger_sql), fold_name(table));
}

bool may_change(const SchemaText& schema, std::string_view trigger_sql, std::string_view table) {
  const std::string wanted = fold_name(table);
  std::vector<std::string> bodies = {body_of(trigger_sql)};
  std::set<std::string> reached;
  while (!bodies.empty()) {
    const std::string body = std::move(bodies.back());
    bodies.pop_back();
    for (const SchemaText::Object& object : schema.tables) {
      const std::string name = fold_name(object.table);
      if (!mentions(body, name) || !reached.insert(name).second) continue;
      for (const SchemaText::Object& trigger : schema.triggers) {
        if (fold_name(trigger.table) == name) bodies.push_back(body_of(trigger.sql));
      }
      for (const SchemaText::Object& child : schema.tables) {
        // Read as if the child were named in a body: its own name is what it changes.
        const std::string sql = fold_name(child.sql);
        if (mentions(sql, "references") && mentions(sql, name)) {
          bodies.push_back(fold_name(child.table));
        }
      }
    }
    if (reached.contains(wanted)) return true;
  }
  return false;
}

}  // namespace evodb::capture
