// Whether what a trigger does may change the rows of a table, judged by the names in its text.
//
//   if (may_change(schema, trigger.sql, "inbox")) {
//     ...
//   }
//
// A name that stands anywhere in the trigger's body counts as a table that it changes; from there
// it goes on through that table's own triggers and through foreign keys that refer to it. So it
// errs on one side only: it may say yes where the answer is no. Internal to capture.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace evodb::capture {

struct SchemaText {
  struct Object {
    std::string table;  // itself, or what a trigger is on
    std::string sql;
  };
  std::vector<Object> tables;    // and views
  std::vector<Object> triggers;  // the application's
};

// Whether a trigger's body names a table.
bool names(std::string_view trigger_sql, std::string_view table);

bool may_change(const SchemaText& schema, std::string_view trigger_sql, std::string_view table);

}  // namespace evodb::capture
