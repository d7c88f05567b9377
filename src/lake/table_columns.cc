#include "lake/table_columns.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "base/assert.h"
#include "lake/case_folding.h"
#include "lake/naming.h"

namespace evodb::lake {
namespace {

using table::Field;
using table::Type;

struct SystemField {
  std::string_view in_changes, in_rejects;
  Type type;
  bool required;
  FieldOrigin origin;
};

// Field ids 1 to 7, in this order, in every table that we create. By the first three a row is known,
// and after the loss of a journal they are looked for by their ids.
constexpr std::int32_t identity_fields = 3;
constexpr std::array<SystemField, 7> system_fields = {{
    {"_source", "source", Type::kString, true, FieldOrigin::kSource},
    {"_epoch", "epoch", Type::kLong, true, FieldOrigin::kEpoch},
    {"_lsn", "lsn", Type::kLong, true, FieldOrigin::kLsn},
    {"_txn", "txn", Type::kLong, true, FieldOrigin::kTxn},
    {"_op", "op", Type::kString, true, FieldOrigin::kOp},
    {"_committed_at", "committed_at", Type::kTimestampTz, false, FieldOrigin::kCommittedAt},
    {"_received_at", "received_at", Type::kTimestampTz, false, FieldOrigin::kReceivedAt},
}};

std::string name_of(const SystemField& field, bool rejects) {
  return std::string(rejects ? field.in_rejects : field.in_changes);
}

const Field* find_field(const std::vector<Field>& fields, std::string_view name) {
  const auto it = std::ranges::find(fields, name, &Field::name);
  return it == fields.end() ? nullptr : &*it;
}

bool is_system_name(std::string_view name, bool rejects) {
  return std::ranges::any_of(system_fields, [&](const SystemField& f) {
    return name == (rejects ? f.in_rejects : f.in_changes);
  });
}

// Of these kInt is never ours, but another engine's.
bool is_written(Type type) {
  return type == Type::kBoolean || type == Type::kInt || type == Type::kLong ||
         type == Type::kDouble || type == Type::kString || type == Type::kBinary;
}

bool contains(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::ranges::any_of(
      words, [&](std::string_view word) { return text.find(word) != std::string_view::npos; });
}

std::string upper_ascii(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 0x20);
  }
  return out;
}

Type type_of_value(StorageClass c) {
  switch (c) {
    case StorageClass::kNull:
    case StorageClass::kText: return Type::kString;
    case StorageClass::kInteger: return Type::kLong;
    case StorageClass::kReal: return Type::kDouble;
    case StorageClass::kBlob: return Type::kBinary;
    case StorageClass::kBoolean: return Type::kBoolean;
  }
  return Type::kString;
}

}  // namespace

std::optional<Type> declared_type(std::string_view declaration) {
  // The order is SQLite's ("Determination Of Column Affinity"), then what has NUMERIC affinity.
  const std::string text = upper_ascii(declaration);
  if (contains(text, {"INT"})) return Type::kLong;
  if (contains(text, {"CHAR", "CLOB", "TEXT"})) return Type::kString;
  if (contains(text, {"BLOB"})) return Type::kBinary;
  if (contains(text, {"REAL", "FLOA", "DOUB"})) return Type::kDouble;
  if (contains(text, {"DATE", "TIME"})) return Type::kString;
  if (contains(text, {"NUM", "DEC"})) return Type::kDouble;
  return std::nullopt;
}

TableColumns::TableColumns(bool rejects) : rejects_(rejects) {
  folded_names_.insert({"_key", "_before", "_unfit"});
}

TableColumns TableColumns::for_changes() {
  TableColumns columns(false);
  for (const SystemField& f : system_fields) {
    columns.system_.push_back({.id = columns.next_id(),
                               .name = name_of(f, false),
                               .type = f.type,
                               .required = f.required});
  }
  columns.unfit_id_ = columns.next_id();
  columns.unfit_key_id_ = columns.next_id();
  columns.unfit_value_id_ = columns.next_id();
  return columns;
}

TableColumns TableColumns::for_rejects() {
  TableColumns columns(true);
  for (const SystemField& f : system_fields) {
    columns.system_.push_back({.id = columns.next_id(),
                               .name = name_of(f, true),
                               .type = f.type,
                               .required = f.required});
  }
  for (const auto& [name, type] :
       {std::pair{"table", Type::kString}, {"reason", Type::kString}, {"bytes", Type::kBinary}}) {
    columns.add(
        {.name = name, .source_name = name, .type = type, .typed = true, .id = columns.next_id()});
  }
  return columns;
}

std::optional<TableColumns> TableColumns::from_schema(const table::Schema& schema,
                                                      std::int32_t last_column_id, bool rejects) {
  TableColumns columns(rejects);
  columns.schema_id_ = schema.schema_id;
  columns.last_id_ = std::max(last_column_id, schema.last_column_id());
  for (const SystemField& f : system_fields) {
    const Field* field = find_field(schema.fields, name_of(f, rejects));
    if (field == nullptr || field->type != f.type) return std::nullopt;
    // Dropped and added again: what identifies the rows that are there is gone from view.
    const auto id = static_cast<std::int32_t>(columns.system_.size()) + 1;
    if (id <= identity_fields && field->id != id) return std::nullopt;
    columns.system_.push_back(*field);
  }
  // Tables of the first version have a struct of the rows before, with a child for each column. It
  // stays as it is, and gets no more values.
  const Field* nested = find_field(schema.fields, "_before");
  std::vector<const Field*> befores;
  if (const Field* unfit = find_field(schema.fields, "_unfit");
      unfit != nullptr && unfit->type == Type::kMapStringString) {
    columns.unfit_id_ = unfit->id;
    columns.unfit_key_id_ = unfit->key_id;
    columns.unfit_value_id_ = unfit->value_id;
  } else if (!rejects) {
    columns.unfit_id_ = columns.next_id();
    columns.unfit_key_id_ = columns.next_id();
    columns.unfit_value_id_ = columns.next_id();
  }
  for (const Field& field : schema.fields) {
    if (is_system_name(field.name, rejects)) continue;
    if (!rejects && (field.name == "_before" || field.name == "_unfit")) continue;
    // Those of the first version that are called so are columns of sources.
    if (!rejects && is_before_name(field.name) &&
        (nested == nullptr || find_field(nested->children, field.name) == nullptr)) {
      columns.folded_names_.insert(fold_case(field.name));
      befores.push_back(&field);
      continue;
    }
    Column column{.name = field.name,
                  .type = field.type,
                  .typed = true,
                  .writable = is_written(field.type),
                  .id = field.id};
    const bool is_key = !rejects && field.name == "_key";
    if (rejects) column.source_name = column.name;
    if (is_key && field.type != Type::kString) column.writable = false;
    const std::uint32_t index = columns.add(std::move(column));
    if (is_key) columns.key_column_ = index;
  }
  for (const std::string& name : schema.other_names) columns.folded_names_.insert(fold_case(name));
  columns.find_befores(befores);
  if (rejects) {
    for (const auto& [name, type] :
         {std::pair{"table", Type::kString}, {"reason", Type::kString}, {"bytes", Type::kBinary}}) {
      const Field* field = find_field(schema.fields, name);
      if (field == nullptr || field->type != type) return std::nullopt;
    }
  }
  return columns;
}

std::uint32_t TableColumns::add(Column column) {
  const auto index = static_cast<std::uint32_t>(columns_.size());
  if (!column.source_name.empty()) by_source_name_.emplace(column.source_name, index);
  by_name_.emplace(column.name, index);
  folded_names_.insert(fold_case(column.name));
  columns_.push_back(std::move(column));
  return index;
}

void TableColumns::add_before(Column& column) {
  for (const int digits : {0, 8, 16}) {
    column.before_name = before_name_of(column.name, digits);
    if (!folded_names_.contains(fold_case(column.before_name))) break;
  }
  // Another engine has dropped its column more often than that.
  for (int n = 2; folded_names_.contains(fold_case(column.before_name)); ++n) {
    column.before_name = before_name_of(column.name, 16) + "_" + std::to_string(n);
  }
  folded_names_.insert(fold_case(column.before_name));
  column.before_id = next_id();
}

void TableColumns::find_befores(const std::vector<const Field*>& befores) {
  std::unordered_map<std::string_view, const Field*> by_name;
  for (const Field* field : befores) by_name.emplace(field->name, field);
  for (Column& column : columns_) {
    for (const int digits : {0, 8, 16}) {
      const auto it = by_name.find(before_name_of(column.name, digits));
      // One of another type is somebody else's doing: this one gets a column of another name.
      if (it == by_name.end() || it->second->type != column.type) continue;
      column.before_id = it->second->id;
      column.before_name = it->second->name;
      break;
    }
  }
}

// A column that came from the catalog does not say what its source called it; its name does.
std::uint32_t TableColumns::bind(const wire::ColumnDef& def) {
  const std::array<std::string, 5> names = {had_to_rename(def.name) ? std::string() : def.name,
                                            renamed(def.name, 8), renamed(def.name, 16),
                                            was_renamed(def.name, 8), was_renamed(def.name, 16)};
  for (const std::string& name : names) {
    const auto it = name.empty() ? by_name_.end() : by_name_.find(name);
    if (it == by_name_.end() || !columns_[it->second].source_name.empty()) continue;
    Column& column = columns_[it->second];
    if (!column.writable) continue;  // its values land beside it
    column.source_name = def.name;
    column.declared_type = def.declared_type;
    by_source_name_.emplace(def.name, it->second);
    if (column.before_id == 0) add_before(column);
    return it->second;
  }
  return none;
}

std::string TableColumns::free_name(const std::string& source_name) const {
  if (!must_rename(source_name) && !folded_names_.contains(fold_case(source_name))) {
    return source_name;
  }
  std::string name = renamed(source_name, 8);
  if (folded_names_.contains(fold_case(name))) name = renamed(source_name, 16);
  return name;
}

std::uint32_t TableColumns::find_or_add(const wire::ColumnDef& def) {
  if (const auto it = by_source_name_.find(def.name); it != by_source_name_.end()) {
    return it->second;
  }
  if (const std::uint32_t bound = bind(def); bound != none) return bound;
  const std::string name = free_name(def.name);
  if (columns_.size() >= row_columns_max || by_name_.contains(name)) return none;
  const std::uint32_t index =
      add({.name = name, .source_name = def.name, .declared_type = def.declared_type});
  // An empty source name is a name like others here, though not in by_source_name_.
  by_source_name_.emplace(def.name, index);
  if (const auto type = declared_type(def.declared_type)) {
    resolve(index, StorageClass::kNull);
    columns_[index].type = *type;
  }
  return index;
}

std::uint32_t TableColumns::key_column() {
  if (key_column_ == none) {
    // Without a source name: no column of a source is ever bound to it.
    key_column_ = add({.name = "_key", .type = Type::kString, .typed = true, .id = next_id()});
  }
  return key_column_;
}

void TableColumns::resolve(std::uint32_t index, StorageClass c) {
  Column& column = columns_[index];
  EVODB_ASSERT(!column.typed, "a column's type is decided once");
  const bool number = c == StorageClass::kInteger || c == StorageClass::kReal;
  column.type = type_of_value(c);
  if (contains(upper_ascii(column.declared_type), {"BOOL"})) {
    if (c != StorageClass::kBoolean) column.type = Type::kLong;
  } else if (number && !column.declared_type.empty()) {
    column.type = Type::kDouble;  // NUMERIC affinity: integers and reals, as they come
  }
  column.typed = true;
  column.id = next_id();
  add_before(column);
}

table::Schema TableColumns::schema() const {
  table::Schema schema;
  schema.schema_id = schema_id_;
  schema.fields = system_;
  std::vector<Field> befores;
  if (key_column_ != none && columns_[key_column_].writable) {
    schema.fields.push_back(
        {.id = columns_[key_column_].id, .name = "_key", .type = Type::kString});
  }
  for (std::uint32_t i = 0; i < columns_.size(); ++i) {
    const Column& column = columns_[i];
    if (i == key_column_ || !column.typed || !column.writable) continue;
    schema.fields.push_back({.id = column.id, .name = column.name, .type = column.type});
    if (column.before_id == 0) continue;
    befores.push_back({.id = column.before_id, .name = column.before_name, .type = column.type});
  }
  std::ranges::move(befores, std::back_inserter(schema.fields));
  if (!rejects_) {
    schema.fields.push_back({.id = unfit_id_,
                             .name = "_unfit",
                             .type = Type::kMapStringString,
                             .key_id = unfit_key_id_,
                             .value_id = unfit_value_id_});
  }
  return schema;
}

std::vector<FieldSource> TableColumns::sources() const {
  std::vector<FieldSource> sources;
  for (const SystemField& f : system_fields) sources.push_back({f.origin, 0});
  std::vector<FieldSource> befores;
  if (key_column_ != none && columns_[key_column_].writable) {
    sources.push_back({FieldOrigin::kColumn, after_buffer(key_column_)});
  }
  for (std::uint32_t i = 0; i < columns_.size(); ++i) {
    const Column& column = columns_[i];
    if (i == key_column_ || !column.typed || !column.writable) continue;
    sources.push_back({FieldOrigin::kColumn, after_buffer(i)});
    if (column.before_id != 0) befores.push_back({FieldOrigin::kBefore, before_buffer(i)});
  }
  std::ranges::copy(befores, std::back_inserter(sources));
  if (!rejects_) sources.push_back({FieldOrigin::kUnfit, 0});
  return sources;
}

std::vector<std::int32_t> TableColumns::sort_by() const {
  return {system_[0].id, system_[1].id, system_[2].id};
}

void TableColumns::raise_ids(std::int32_t last_column_id) {
  last_id_ = std::max(last_id_, last_column_id);
}

}  // namespace evodb::lake
