#include "sim/world/oracle.h"

#include <algorithm>
#include <array>

#include "base/assert.h"
#include "sim/world/quiet_store.h"

namespace evodb::sim {

namespace {

std::string describe(const LandedRow& row) {
  std::string text = row.source + " epoch " + std::to_string(row.epoch.value) + " LSN " +
                     std::to_string(row.lsn.value) + " txn " + std::to_string(row.txn.value) + " " +
                     row.op;
  for (const auto& [name, value] : row.columns) text += ", " + name + "=" + value;
  return text;
}

// "evodb/Notes_changes" -> "notes_changes"
std::string folder_name(std::string location_key) {
  location_key.erase(0, location_key.rfind('/') + 1);
  for (char& c : location_key) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 0x20) : c;
  return location_key;
}

constexpr std::array<std::string_view, 22> invariant_names = {"nothing-lost",
                                                              "nothing-twice",
                                                              "order",
                                                              "right-value",
                                                              "durable-after-sync",
                                                              "persisted-after-commit",
                                                              "trim-after-ack",
                                                              "durable-survives",
                                                              "watermark",
                                                              "fencing",
                                                              "files-stay",
                                                              "readable",
                                                              "bounds",
                                                              "chain",
                                                              "epochs",
                                                              "starts",
                                                              "liveness",
                                                              "timers",
                                                              "stop-lands",
                                                              "reads-little",
                                                              "view",
                                                              "assertion"};

}  // namespace

std::string_view invariant_name(Invariant invariant) {
  return invariant_names[static_cast<std::size_t>(invariant)];
}

void Oracle::check_watermark(const std::string& name, Table& table, const table::Watermark& now) {
  const auto& before = table.watermark;
  if (before && now.writer < before->writer) {
    violate_(Invariant::kFencing,
             name + ": a parent that was replaced commits after its successor");
  }
  const bool same_journal = before && now.journal == before->journal &&
                            (!journal_went_back_ || now.writer == before->writer);
  if (same_journal && now.position <= before->position) {
    violate_(Invariant::kWatermark, name + ": the watermark goes back from " +
                                        std::to_string(before->position.value) + " to " +
                                        std::to_string(now.position.value));
  }
  table.watermark = now;
}

void Oracle::check_row(const std::string& table, LandedRow row) {
  ++rows_;
  auto& log = landed_[{row.source, row.epoch.value}];
  if (log.contains(row.lsn.value)) {
    return violate_(Invariant::kNothingTwice, table + ": twice: " + describe(row));
  }
  if (std::ranges::none_of(applications_(row.source), [&](const Application* application) {
        return application->wrote(table, row) && application->labelled(row);
      })) {
    violate_(Invariant::kRightValue, table + ": nobody wrote " + describe(row));
  }
  const std::uint64_t lsn = row.lsn.value;
  log[lsn] = {table, std::move(row)};
}

Oracle::Table* Oracle::find(const std::string& in_catalog) {
  for (auto& [name, table] : tables_) {
    if (table.in_catalog == in_catalog) return &table;
  }
  return nullptr;
}

bool Oracle::is_unsettled(const std::string& in_catalog) const {
  return std::ranges::any_of(tables_, [&](const auto& table) {
    return table.second.in_catalog == in_catalog && table.second.unsettled;
  });
}

std::map<std::string, std::string> Oracle::locations() const {
  std::map<std::string, std::string> all;
  for (const auto& [name, table] : tables_) all[table.in_catalog] = table.location;
  return all;
}

void Oracle::on_renamed(const std::string& from, const std::string& to) {
  if (Table* table = find(from)) table->in_catalog = to;
}

void Oracle::on_dropped(const std::string& name) {
  catalog_changed_ = true;
  if (Table* table = find(name)) table->unsettled = true;
}

void Oracle::on_catalog_changed() {
  catalog_changed_ = true;
  for (auto& [name, table] : tables_) table.unsettled = true;
}

void Oracle::settle(
    const std::function<std::optional<std::string>(const std::string& table)>& load) {
  for (const auto& [name, location] : locations()) {
    const auto now = load(name);
    if (!now) {
      violate_(Invariant::kFilesStay, "the catalog has no table " + name + " any more");
    } else if (is_unsettled(name)) {
      on_commit(name, *now);
    } else if (*now != location) {
      violate_(Invariant::kFilesStay,
               name + " is at " + *now + " in the catalog, it was at " + location);
    }
  }
  for (const Later& later : later_) {
    const auto& landed = landed_[later.log];
    for (std::uint64_t lsn = later.from + 1; lsn <= later.through; ++lsn) {
      if (landed.contains(lsn)) continue;
      violate_(later.invariant, later.log.first + ": " + later.why + " up to " +
                                    std::to_string(later.through) + ", but LSN " +
                                    std::to_string(lsn) + " has not landed");
      break;
    }
  }
  later_.clear();
}

// A table's columns get ids that no column of it ever had, and what another engine has dropped does
// not come back.
void Oracle::check_columns(const std::string& name, Table& table, const table::TableState& now) {
  std::set<std::int32_t> present;
  for (const table::Field& field : now.schema.fields) {
    for (const std::int32_t id : {field.id, field.key_id, field.value_id}) {
      if (id == 0) continue;
      present.insert(id);
      const bool is_new = table.column_ids.insert(id).second;
      if (is_new ? id > table.last_column_id : table.present_ids.contains(id)) continue;
      violate_(Invariant::kReadable, name + ": the column " + field.name + " has the id " +
                                         std::to_string(id) + " of one that is gone");
    }
  }
  table.present_ids = std::move(present);
  table.last_column_id = std::max(table.last_column_id, now.last_column_id);
}

void Oracle::on_foreign_commit(const std::string& name, const std::string& metadata_location) {
  Table* table = find(name);
  if (table == nullptr) return;
  table->location = metadata_location;
  QuietStore store(store_);
  const auto key = store.key_of(metadata_location);
  const auto json = key ? store.get(*key) : Result<std::string>(fail(key.error()));
  const auto state = json ? table::parse_table_state(name, metadata_location, *json, store)
                          : Result<table::TableState>(fail(json.error()));
  if (!state || table->unsettled) return;
  check_columns(name, *table, *state);
  // It did not know those of types that we do not write.
  table->last_column_id = state->last_column_id;
}

// It is not in the table any more, since the catalog is another one.
void Oracle::forget_file(const std::string& name, Table& table, const std::string& key) {
  const auto file = table.files.extract(key);
  for (const auto& [log, lsn] : file.mapped().rows) {
    landed_[log].erase(lsn);
    checked_.erase(log);
    if (lsn <= persisted_[log]) {
      violate_(Invariant::kNothingLost, name + ": " + log.first + " LSN " + std::to_string(lsn) +
                                            " was called persisted, and is gone with " + key);
    }
  }
}

void Oracle::take_file(const std::string& name, Table& table, const std::string& key,
                       const table::Schema& schema, std::map<Log, Span>& spans) {
  const auto bytes = store_.peek(key);
  if (!bytes) return violate_(Invariant::kFilesStay, name + ": committed without its file " + key);
  File& file = table.files[key];
  file.bytes = bytes->size();
  auto rows = read_landed_rows(*bytes, schema);
  if (!rows) return violate_(Invariant::kReadable, name + ": " + key + ": " + rows.error().text);
  for (LandedRow& row : *rows) {
    const std::uint64_t lsn = row.lsn.value;
    const Log log(row.source, row.epoch.value);
    file.rows.emplace_back(log, lsn);
    auto& span = spans.try_emplace(log, Span{lsn, lsn}).first->second;
    span = {std::min(span.lowest, lsn), std::max(span.highest, lsn)};
    check_row(name, std::move(row));
  }
}

void Oracle::on_commit(const std::string& in_catalog, const std::string& metadata_location) {
  ++commits_;
  QuietStore store(store_);
  const auto key = store.key_of(metadata_location);
  const auto json = key ? store.get(*key) : Result<std::string>(fail(key.error()));
  if (!json) return violate_(Invariant::kReadable, in_catalog + ": " + json.error().text);
  const auto state = table::parse_table_state(in_catalog, metadata_location, *json, store);
  if (!state) return violate_(Invariant::kReadable, state.error().text);
  const std::string name = folder_name(state->location_key);
  Table& table = tables_[name];
  table.in_catalog = in_catalog;
  table.location = metadata_location;
  if (!state->watermark) {
    return violate_(Invariant::kWatermark, name + ": a commit without a watermark");
  }
  if (table.unsettled) {
    table.watermark.reset();
    table.column_ids.clear();
    table.present_ids.clear();
    table.last_column_id = 0;
  }
  check_watermark(name, table, *state->watermark);
  check_columns(name, table, *state);

  const auto live = table::list_live_files(store, metadata_location);
  if (!live) {
    return violate_(Invariant::kReadable, name + " cannot be read: " + live.error().text);
  }
  std::set<std::string> now;
  for (const auto& file : live->data) {
    const std::string file_key = store_.key_of(file.location).value_or(file.location);
    if (!now.insert(file_key).second) {
      violate_(Invariant::kNothingTwice, name + ": lists " + file_key + " twice");
    }
  }
  std::vector<std::string> gone;
  for (const auto& [file_key, file] : table.files) {
    if (!now.contains(file_key)) gone.push_back(file_key);
  }
  for (const std::string& file_key : gone) {
    if (table.unsettled) {
      forget_file(name, table, file_key);
    } else {
      violate_(Invariant::kFilesStay, name + ": lost its file " + file_key);
    }
  }
  if (table.unsettled) {
    table.last.clear();
    for (const auto& [file_key, file] : table.files) {
      for (const auto& [log, lsn] : file.rows) table.last[log] = std::max(table.last[log], lsn);
    }
    table.unsettled = false;
  }
  std::map<Log, Span> spans;
  for (const std::string& file_key : now) {
    if (!table.files.contains(file_key)) take_file(name, table, file_key, state->schema, spans);
  }
  // Per-source order, end to end: a reader that follows the commits sees LSNs grow.
  for (const auto& [log, span] : spans) {
    if (log.second == 0) continue;  // clients of the first generation send in any order
    if (span.lowest <= table.last[log]) {
      violate_(Invariant::kOrder, name + ": " + log.first + " LSN " + std::to_string(span.lowest) +
                                      " lands after " + std::to_string(table.last[log]));
    }
    table.last[log] = std::max(table.last[log], span.highest);
  }
}

Oracle::View Oracle::view(const std::string& source) const {
  std::uint64_t newest = 0;
  for (auto log = landed_.lower_bound({source, 0});
       log != landed_.end() && log->first.first == source; ++log) {
    if (!log->second.empty()) newest = log->first.second;
  }
  View view;
  const auto log = landed_.find({source, newest});
  if (log == landed_.end()) return view;
  for (const auto& [lsn, landed] : log->second) {
    if (landed.table == "rejects") continue;
    auto& rows = view[landed.table];
    const auto key_of = [&](const std::string& prefix) {
      const Columns& columns = landed.row.columns;
      const auto found = columns.find(prefix + "id");
      if (found != columns.end()) return found->second;
      const auto unfit = columns.find("_unfit:" + prefix + "id");
      return unfit == columns.end() ? std::string("NULL") : unfit->second;
    };
    const std::string& op = landed.row.op;
    if (op == "RESET" || op == "DROP") {
      rows.clear();
      continue;
    }
    if (op == "UPDATE") rows.erase(key_of("_before."));
    if (op == "DELETE") {
      rows.erase(key_of(""));
      continue;
    }
    Columns& row = rows[key_of("")];
    row.clear();
    for (const auto& [name, value] : landed.row.columns) {
      if (name.starts_with("_before.") || name.starts_with("_unfit:_before.")) continue;
      if (name != "_committed_at" && name != "_key") row[name] = value;
    }
  }
  std::erase_if(view, [](const auto& table) { return table.second.empty(); });
  return view;
}

void Oracle::check_landed(const ModelOutbox& outbox, Lsn lsn, Invariant invariant,
                          const std::string& why) {
  const Log log(outbox.source(), outbox.epoch().value);
  // Rows never go away, so what was found once need not be looked for again.
  if (invariant == Invariant::kPersistedAfterCommit) {
    persisted_[log] = std::max(persisted_[log], lsn.value);
  }
  std::uint64_t& through = checked_[log];
  through = std::max(through, outbox.epoch_base().value);
  const auto& landed = landed_[log];
  for (; through < lsn.value; ++through) {
    if (landed.contains(through + 1)) continue;
    // A commit that the catalog has lost counts if whoever goes on with the store takes it over.
    if (catalog_changed_) {
      later_.push_back({log, through, lsn.value, invariant, why});
      return;
    }
    violate_(invariant, outbox.source() + ": " + why + " up to " + std::to_string(lsn.value) +
                            ", but LSN " + std::to_string(through + 1) + " has not landed");
    through = lsn.value;
    return;
  }
}

bool Oracle::has_landed(const std::string& source, Epoch epoch, Lsn lsn) const {
  const auto log = landed_.find({source, epoch.value});
  return log != landed_.end() && log->second.contains(lsn.value);
}

Lsn Oracle::landed_through(const ModelOutbox& outbox) const {
  std::uint64_t through = outbox.epoch_base().value;
  const auto landed = landed_.find({outbox.source(), outbox.epoch().value});
  if (landed == landed_.end()) return Lsn(through);
  while (landed->second.contains(through + 1)) ++through;
  return Lsn(through);
}

void Oracle::judge(const ModelOutbox& outbox, const std::string& when) {
  std::uint64_t missing = 0, first_missing = 0;
  for (std::uint64_t lsn = outbox.first().value; lsn <= outbox.head().value; ++lsn) {
    bool found = false;
    for (const std::string& name : outbox.names()) {
      for (auto log = landed_.lower_bound({name, 0});
           log != landed_.end() && log->first.first == name && !found; ++log) {
        const auto row = log->second.find(lsn);
        found = row != log->second.end() && outbox.wrote(row->second.table, row->second.row);
      }
    }
    if (found) continue;
    if (missing++ == 0) first_missing = lsn;
  }
  if (missing > 0) {
    violate_(Invariant::kNothingLost,
             when + ": " + outbox.source() + ": " + std::to_string(missing) + " of " +
                 std::to_string(outbox.changes()) + " changes are missing, the first is LSN " +
                 std::to_string(first_missing));
  }
}

void Oracle::judge_files(const std::string& when) {
  for (const auto& [name, table] : tables_) {
    for (const auto& [key, file] : table.files) {
      const auto found = store_.peek(key);
      if (!found || found->size() != file.bytes)
        violate_(Invariant::kFilesStay, when + ": " + name + " lost " + key);
    }
  }
}

}  // namespace evodb::sim
