// TableColumns: which columns one lakehouse table has, of which type, under which field ids; how it
// grows when a source brings a new one.
//
//   auto columns = TableColumns::for_changes();
//   const std::uint32_t c = columns.find_or_add(column_def);
//   if (!columns.at(c).typed) columns.resolve(c, value.storage_class);
//   columns.schema();                      // for Parquet and for the commit
//
// A column is known by its exact source name. It gets a type from its declaration, or (none, or one
// that says nothing) from its first value that is not NULL; until then it is not in the schema.
// Types never change. Rules: docs/formats/tables.md.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "evodb/value.h"
#include "table/schema.h"
#include "wire/table_def.h"

namespace evodb::lake {

// What of a RowBuffer a field of the schema shows.
enum class FieldOrigin : std::uint8_t {
  kSource,
  kEpoch,
  kLsn,
  kTxn,
  kOp,
  kCommittedAt,
  kReceivedAt,
  kColumn,  // of the row after the change
  kBefore,  // of the row before it
  kUnfit,
};

struct FieldSource {
  FieldOrigin origin = FieldOrigin::kColumn;
  std::uint32_t column = 0;  // of RowBuffer, for kColumn and kBefore
};

inline constexpr std::uint32_t row_columns_max = 2'000;  // of one table; more land in `_unfit`

class TableColumns {
 public:
  struct Column {
    std::string name;         // in the table
    std::string source_name;  // "" where the catalog gave it to us: see find_or_add
    std::string declared_type;
    table::Type type = table::Type::kString;
    bool typed = false;
    bool writable = true;  // false: somebody else added it, with a type that we do not write
    std::int32_t id = 0;
    // Of the column that holds the values before a change; 0: there is none yet.
    std::int32_t before_id = 0;
    std::string before_name;
  };
  // Number of a column that the table has no room for.
  static constexpr std::uint32_t none = UINT32_MAX;

  static TableColumns for_changes();
  static TableColumns for_rejects();
  // What the catalog has. Nothing: this is not a table of ours (its system columns are missing or
  // others), so no row of ours may go there.
  static std::optional<TableColumns> from_schema(const table::Schema& schema,
                                                 std::int32_t last_column_id, bool rejects);

  std::uint32_t find_or_add(const wire::ColumnDef& def);
  // The system column `_key` of wire v1's row ids; added on first use.
  std::uint32_t key_column();
  const Column& at(std::uint32_t index) const { return columns_[index]; }
  std::uint32_t size() const { return static_cast<std::uint32_t>(columns_.size()); }
  // REQUIRES: !at(index).typed, c is not NULL.
  void resolve(std::uint32_t index, StorageClass c);

  // RowBuffer's column number of a column's values after and before the change.
  static std::uint32_t after_buffer(std::uint32_t index) { return 2 * index; }
  static std::uint32_t before_buffer(std::uint32_t index) { return 2 * index + 1; }

  // The schema of now, and, field by field, where its values are.
  table::Schema schema() const;
  std::vector<FieldSource> sources() const;
  // Field ids that files are sorted by.
  std::vector<std::int32_t> sort_by() const;
  // Ids up to here are taken by somebody else.
  void raise_ids(std::int32_t last_column_id);

 private:
  explicit TableColumns(bool rejects);
  std::string free_name(const std::string& source_name) const;
  std::uint32_t bind(const wire::ColumnDef& def);
  std::uint32_t add(Column column);
  void add_before(Column& column);
  void find_befores(const std::vector<const table::Field*>& befores);
  std::int32_t next_id() { return ++last_id_; }

  bool rejects_ = false;
  std::int32_t schema_id_ = 0;
  std::vector<table::Field> system_;  // the first seven
  std::int32_t unfit_id_ = 0, unfit_key_id_ = 0, unfit_value_id_ = 0;
  std::uint32_t key_column_ = none;
  std::int32_t last_id_ = 0;
  std::vector<Column> columns_;
  std::unordered_map<std::string, std::uint32_t> by_source_name_;
  std::unordered_map<std::string, std::uint32_t> by_name_;  // of those from the catalog
  std::unordered_set<std::string> folded_names_;
};

// The type that a declaration stands for; nothing: the first value decides.
std::optional<table::Type> declared_type(std::string_view declaration);

}  // namespace evodb::lake
