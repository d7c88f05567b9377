#include "edge/change_encoder.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/limits.h"

namespace evodb::edge {
namespace {

wire::ValuesView view_of(const std::vector<Value>& values, std::string_view bytes) {
  if (values.empty()) return {};
  return {true, static_cast<std::uint32_t>(values.size()), bytes};
}

}  // namespace

Result<void> ChangeEncoder::register_table(const ClientTable& table) {
  auto made = std::make_unique<Table>();
  made->def.name = table.name;
  for (const ClientColumn& c : table.columns) {
    made->def.columns.push_back({c.name, c.declared_type, c.key_ordinal});
  }
  auto& versions = tables_[table.name];
  if (!versions.empty()) {
    if (versions.back()->def.columns == made->def.columns) return {};
    made->def.schema_version = versions.back()->def.schema_version + 1;
  }
  if (table.columns.empty()) {
    return fail(ErrorKind::kInvalid, "table '" + table.name + "' needs at least one column");
  }
  if (versions_ >= base::table_defs_per_session_max) {
    return fail(ErrorKind::kOverLimit, "too many tables: at most " +
                                           std::to_string(base::table_defs_per_session_max) +
                                           ", versions counted");
  }
  // The decoder has all the rules.
  std::string encoded;
  wire::encode_table_def(encoded, made->def);
  base::ByteReader in(encoded);
  if (auto decoded = wire::decode_table_def(in); !decoded) return fail(decoded.error());
  made->fingerprint = made->def.fingerprint();
  made->key_columns = made->def.key_columns();
  versions.push_back(std::move(made));
  ++versions_;
  return {};
}

Result<void> ChangeEncoder::check(const ClientChange& c, const Table& table) const {
  const auto wrong = [&](const std::string& what) {
    return fail(ErrorKind::kInvalid, "a change of table '" + c.table + "': " + what);
  };
  const std::size_t columns = table.def.columns.size();
  const auto counts = [&](const std::vector<Value>& row, const char* name) -> Result<void> {
    if (row.empty() || row.size() == columns) return {};
    return wrong(std::string(name) + " has " + std::to_string(row.size()) +
                 " values, the table has " + std::to_string(columns) + " columns");
  };
  EVODB_TRY(counts(c.before, "before"));
  EVODB_TRY(counts(c.after, "after"));
  if (!c.key.empty() && c.key.size() != table.key_columns) {
    return wrong("key has " + std::to_string(c.key.size()) + " values, the table's key has " +
                 std::to_string(table.key_columns) + " columns");
  }
  switch (c.op) {
    case Op::kInsert:
    case Op::kSnapshot:
      if (c.after.empty()) return wrong("an INSERT or SNAPSHOT needs the row (after)");
      if (!c.before.empty()) return wrong("an INSERT or SNAPSHOT has no row before");
      return {};
    case Op::kUpdate:
      if (c.after.empty()) return wrong("an UPDATE needs the row as it is now (after)");
      return {};
    case Op::kDelete:
      if (!c.after.empty()) return wrong("a DELETE has no row after");
      if (c.before.empty() && c.key.empty()) return wrong("a DELETE needs the row or its key");
      return {};
    case Op::kOversize:
    case Op::kReset:
    case Op::kDrop: break;
  }
  return wrong("an operation that applications do not send");
}

Result<std::span<const NewChange>> ChangeEncoder::encode(std::span<const ClientChange> given,
                                                         UnixMillis now) {
  bytes_.clear();
  pieces_.clear();
  changes_.clear();
  new_ids_.clear();
  std::vector<const ClientChange*> sources;
  for (const ClientChange& c : given) {
    const auto found = tables_.find(c.table);
    if (found == tables_.end() || found->second.empty()) {
      return fail(ErrorKind::kInvalid,
                  "table '" + c.table + "' is not known; call register_table first");
    }
    const Table& table = *found->second.back();
    EVODB_TRY(check(c, table));
    if (!c.id.empty() && ids_max_ > 0) {
      if (ids_.contains(c.id) || std::ranges::find(new_ids_, c.id) != new_ids_.end()) continue;
      new_ids_.push_back(c.id);
    }
    Pieces p{.begin = bytes_.size()};
    for (const auto& [values, bytes] : {std::pair(&c.key, &p.key), std::pair(&c.before, &p.before),
                                        std::pair(&c.after, &p.after)}) {
      const std::size_t begin = bytes_.size();
      for (const Value& v : *values) wire::put_value(bytes_, v);
      *bytes = bytes_.size() - begin;
    }
    if (bytes_.size() - p.begin > base::row_bytes_max) {
      return fail(ErrorKind::kOverLimit, "a change of table '" + c.table + "' has " +
                                             std::to_string(bytes_.size() - p.begin) +
                                             " bytes; at most " +
                                             std::to_string(base::row_bytes_max) + " can be sent");
    }
    pieces_.push_back(p);
    sources.push_back(&c);
    changes_.push_back({.op = c.op,
                        .table = &table.def,
                        .table_fingerprint = table.fingerprint,
                        .committed_at = c.committed_at.value_or(now)});
  }
  // Only now do the bytes stay where they are.
  for (std::size_t i = 0; i < changes_.size(); ++i) {
    const Pieces& p = pieces_[i];
    const std::string_view all = std::string_view(bytes_).substr(p.begin);
    changes_[i].key = view_of(sources[i]->key, all.substr(0, p.key));
    changes_[i].before = view_of(sources[i]->before, all.substr(p.key, p.before));
    changes_[i].after = view_of(sources[i]->after, all.substr(p.key + p.before, p.after));
  }
  return std::span<const NewChange>(changes_);
}

void ChangeEncoder::taken() {
  for (std::string& id : new_ids_) {
    if (!ids_.insert(id).second) continue;
    ids_in_order_.push_back(std::move(id));
    if (ids_in_order_.size() > ids_max_) {
      ids_.erase(ids_in_order_.front());
      ids_in_order_.pop_front();
    }
  }
  new_ids_.clear();
  if (bytes_.capacity() > (4u << 20)) bytes_ = {};
}

}  // namespace evodb::edge
