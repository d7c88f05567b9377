// Which row stands in a new row's way, and whether two rows are the same one, as SQL conditions for
// triggers. Internal to capture; used by triggers.cc.
//
//   for (const Conflict& c : conflicts_of(shape, false)) {
//     std::string sql = "SELECT 1 FROM t WHERE " + c.row;
//   }
//   std::string same = RowIdentity(shape).same("evodb_victims", "OLD");
//
// Example: for t(id INTEGER PRIMARY KEY, mail UNIQUE) the first gives two conditions, "there is a
// row with NEW's rowid" and "there is one with NEW's mail"; the second "the noted row has OLD's
// rowid".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "capture/table_shape.h"

namespace evodb::capture {

// A unique key that the row NEW may violate.
struct Conflict {
  std::string row;      // over the table's columns and NEW: this row is in the way
  std::string only_if;  // over OLD and NEW, cheap: otherwise there is no conflict; "" if not known
};

// The rowid's first, then the unique keys'. `update`: OLD exists.
std::vector<Conflict> conflicts_of(const TableShape& shape, bool update);

// " OF a,b" for BEFORE UPDATE: the columns without which no conflict can arise. "" where that
// cannot be said: expressions, partial indexes and generated columns depend on others.
std::string of_unique_columns(const TableShape& shape);

// By rowid, or by the primary key of a WITHOUT ROWID table.
class RowIdentity {
 public:
  explicit RowIdentity(const TableShape& shape);
  // Prefixes: "NEW", "OLD", the table's quoted name, or "evodb_victims" (first only).
  std::string same(std::string_view a, std::string_view b) const;
  // Of two rows of evodb_victims, under these names.
  std::string same_note(std::string_view a, std::string_view b) const;

 private:
  struct Part {
    std::string victim_column;
    std::string table_column;
    std::string collation;  // "" for numbers
  };
  std::vector<Part> parts_;
};

}  // namespace evodb::capture
