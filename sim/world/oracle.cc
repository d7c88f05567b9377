#include "sim/world/oracle.h"

#include <algorithm>
#include <string_view>

#include "base/assert.h"
#include "sim/world/quiet_store.h"

namespace evodb::sim {

namespace {

std::string_view name_of(Op op) {
  return op == Op::kInsert ? "INSERT" : op == Op::kUpdate ? "UPDATE" : "DELETE";
}

std::string landing_table(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(), ::tolower);
  return name + "_changes";
}

// The application's own word about one row of the lakehouse.
bool wrote(const ModelOutbox& history, const std::string& table, const LandedRow& row) {
  if (row.lsn.value == 0 || row.lsn > history.head()) return false;
  const auto& change = history.written()[row.lsn.value - 1];
  return landing_table(change.table) == table && row.op == name_of(change.op) &&
         row.columns == history.columns_of(row.lsn);
}

std::string describe(const LandedRow& row) {
  std::string text = row.source + " epoch " + std::to_string(row.epoch.value) + " LSN " +
                     std::to_string(row.lsn.value) + " txn " + std::to_string(row.txn.value) + " " +
                     row.op;
  for (const auto& [name, value] : row.columns) text += ", " + name + "=" + value;
  return text;
}

}  // namespace

void Oracle::check_watermark(const std::string& name, Table& table, const table::Watermark& now) {
  const auto& before = table.watermark;
  if (before && now.writer < before->writer) {
    violate_(name + ": a parent that was replaced commits after its successor");
  }
  if (before && now.journal == before->journal && now.position <= before->position) {
    violate_(name + ": the watermark goes back from " + std::to_string(before->position.value) +
             " to " + std::to_string(now.position.value));
  }
  table.watermark = now;
}

void Oracle::check_row(const std::string& table, LandedRow row) {
  ++rows_;
  auto& log = landed_[{row.source, row.epoch.value}];
  if (log.contains(row.lsn.value)) return violate_(table + ": twice: " + describe(row));
  const auto histories = histories_(row.source);
  if (std::none_of(histories.begin(), histories.end(), [&](const ModelOutbox* history) {
        return wrote(*history, table, row) && row.txn == history->label(row.lsn);
      })) {
    violate_(table + ": nobody wrote " + describe(row));
  }
  const std::uint64_t lsn = row.lsn.value;
  log[lsn] = {table, std::move(row)};
}

void Oracle::take_file(const std::string& name, Table& table, const std::string& key,
                       std::map<Log, Span>& spans) {
  const auto bytes = store_.peek(key);
  if (!bytes) return violate_(name + ": committed without its file " + key);
  table.files[key] = bytes->size();
  auto rows = read_landed_rows(*bytes);
  if (!rows) return violate_(name + ": " + key + ": " + rows.error().text);
  for (LandedRow& row : *rows) {
    const std::uint64_t lsn = row.lsn.value;
    auto& span = spans.try_emplace({row.source, row.epoch.value}, Span{lsn, lsn}).first->second;
    span = {std::min(span.lowest, lsn), std::max(span.highest, lsn)};
    check_row(name, std::move(row));
  }
}

void Oracle::on_commit(const std::string& name, const std::string& metadata_location) {
  ++commits_;
  QuietStore store(store_);
  Table& table = tables_[name];
  const auto key = store.key_of(metadata_location);
  const auto json = key ? store.get(*key) : Result<std::string>(fail(key.error()));
  if (!json) return violate_(name + ": " + json.error().text);
  const auto state = table::parse_table_state(name, metadata_location, *json, store);
  if (!state) return violate_(state.error().text);
  if (!state->watermark) return violate_(name + ": a commit without a watermark");
  check_watermark(name, table, *state->watermark);

  const auto live = table::list_live_files(store, metadata_location);
  if (!live) return violate_(name + " cannot be read: " + live.error().text);
  std::set<std::string> now;
  std::map<Log, Span> spans;
  for (const auto& file : live->data) {
    const std::string file_key = store_.key_of(file.location).value_or(file.location);
    if (!now.insert(file_key).second) violate_(name + ": lists " + file_key + " twice");
    if (!table.files.contains(file_key)) take_file(name, table, file_key, spans);
  }
  for (const auto& [file_key, bytes] : table.files) {
    if (!now.contains(file_key)) violate_(name + ": lost its file " + file_key);
  }
  // Per-source order, end to end: a reader that follows the commits sees LSNs grow.
  for (const auto& [log, span] : spans) {
    if (span.lowest <= table.last[log]) {
      violate_(name + ": " + log.first + " LSN " + std::to_string(span.lowest) + " lands after " +
               std::to_string(table.last[log]));
    }
    table.last[log] = std::max(table.last[log], span.highest);
  }
}

void Oracle::check_landed(const ModelOutbox& outbox, Lsn lsn, const std::string& why) {
  const Log log(outbox.source(), outbox.epoch().value);
  // Rows never go away, so what was found once need not be looked for again.
  std::uint64_t& through = checked_[log];
  through = std::max(through, outbox.epoch_base().value);
  const auto& landed = landed_[log];
  for (; through < lsn.value; ++through) {
    if (landed.contains(through + 1)) continue;
    violate_(outbox.source() + ": " + why + " up to " + std::to_string(lsn.value) + ", but LSN " +
             std::to_string(through + 1) + " has not landed");
    through = lsn.value;
    return;
  }
}

Lsn Oracle::landed_through(const ModelOutbox& outbox) const {
  std::uint64_t through = outbox.epoch_base().value;
  const auto landed = landed_.find({outbox.source(), outbox.epoch().value});
  if (landed == landed_.end()) return Lsn(through);
  while (landed->second.contains(through + 1)) ++through;
  return Lsn(through);
}

void Oracle::judge(const ModelOutbox& outbox, const std::string& when) {
  std::uint64_t missing = 0;
  for (std::uint64_t lsn = 1; lsn <= outbox.head().value; ++lsn) {
    bool found = false;
    for (std::uint64_t epoch = 1; epoch <= outbox.epoch().value && !found; ++epoch) {
      const auto& log = landed_[{outbox.source(), epoch}];
      const auto row = log.find(lsn);
      found = row != log.end() && wrote(outbox, row->second.table, row->second.row);
    }
    if (!found) ++missing;
  }
  if (missing > 0) {
    violate_(when + ": " + outbox.source() + ": " + std::to_string(missing) + " of " +
             std::to_string(outbox.head().value) + " changes are missing");
  }
}

void Oracle::judge_files(const std::string& when) {
  for (const auto& [name, table] : tables_) {
    for (const auto& [key, bytes] : table.files) {
      const auto found = store_.peek(key);
      if (!found || found->size() != bytes) violate_(when + ": " + name + " lost " + key);
    }
  }
}

}  // namespace evodb::sim
