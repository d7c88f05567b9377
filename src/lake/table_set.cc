#include "lake/table_set.h"

#include <utility>

#include "lake/naming.h"

namespace evodb::lake {

bool TableSet::is_rejects_location(const std::string& location) const {
  const std::string ours = own_location_key(rejects_name_);
  return location == ours || location.starts_with(ours + "..2");
}

void TableSet::add(table::TableState state) {
  const bool is_rejects = is_rejects_location(state.location_key);
  auto columns = state.watermark
                     ? TableColumns::from_schema(state.schema, state.last_column_id, is_rejects)
                     : std::nullopt;
  if (!columns && state.watermark && !state.schema.fields.empty()) {
    return add_waiting(
        state.name, state.location_key,
        {ErrorKind::kInvalid,
         "another engine has renamed or dropped columns that every table of ours has "
         "(_source, _epoch, _lsn, _txn, _op, _committed_at, _received_at), or changed "
         "their types: give them their names back"});
  }
  if (!columns) {
    // Without a watermark, or with other system columns: no row of ours may go there.
    folded_names_.insert(fold_case(state.name));
    foreign_locations_.insert(state.location_key);
    return;
  }
  LakeTable& table = keep(std::make_unique<LakeTable>(std::move(state), *std::move(columns)));
  if (is_rejects) rejects_ = &table;
}

void TableSet::add_waiting(const std::string& name, const std::string& location, const Error& why) {
  LakeTable& table = keep(std::make_unique<LakeTable>(name, location, why));
  if (is_rejects_location(location)) rejects_ = &table;
}

LakeTable& TableSet::keep(std::unique_ptr<LakeTable> table) {
  LakeTable& kept = *table;
  by_location_.emplace(kept.location_key(), &kept);
  folded_names_.insert(fold_case(kept.name()));
  tables_.emplace(kept.name(), std::move(table));
  return kept;
}

// Nor would a location be shared with somebody else's table: what one calls an orphan there is the
// other's data.
LakeTable* TableSet::find(std::string* location) {
  for (;;) {
    if (const auto it = by_location_.find(*location); it != by_location_.end()) return it->second;
    if (!foreign_locations_.contains(*location)) return nullptr;
    *location += "..2";
  }
}

LakeTable& TableSet::of(const std::string& source_table) {
  std::string location = location_key_of(source_table);
  if (LakeTable* table = find(&location)) return *table;
  const std::string plain = table_name_of(source_table, 0);
  std::string name = plain;
  for (int attempt = 1; is_taken(name) && attempt < table_name_attempts; ++attempt) {
    name = table_name_of(source_table, attempt);
  }
  while (is_taken(name)) name += "_2";
  LakeTable& table = keep(std::make_unique<LakeTable>(name, location, TableColumns::for_changes()));
  if (name != plain) {
    table.set_note(
        "the source table '" + source_table + "' lands here, because '" + plain +
        "' belongs to another one, whose name differs only in case, or to somebody else");
  }
  return table;
}

LakeTable& TableSet::rejects() {
  if (rejects_ == nullptr) {
    std::string name = rejects_name_;
    while (is_taken(name)) name += "_evodb";
    std::string location = own_location_key(rejects_name_);
    find(&location);
    rejects_ = &keep(std::make_unique<LakeTable>(name, location, TableColumns::for_rejects()));
  }
  return *rejects_;
}

}  // namespace evodb::lake
