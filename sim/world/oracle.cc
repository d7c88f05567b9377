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

constexpr std::array<std::string_view, 21> invariant_names = {"nothing-lost",
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
  if (before && now.journal == before->journal && now.position <= before->position) {
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

void Oracle::take_file(const std::string& name, Table& table, const std::string& key,
                       std::map<Log, Span>& spans) {
  const auto bytes = store_.peek(key);
  if (!bytes) return violate_(Invariant::kFilesStay, name + ": committed without its file " + key);
  table.files[key] = bytes->size();
  auto rows = read_landed_rows(*bytes);
  if (!rows) return violate_(Invariant::kReadable, name + ": " + key + ": " + rows.error().text);
  for (LandedRow& row : *rows) {
    const std::uint64_t lsn = row.lsn.value;
    auto& span = spans.try_emplace({row.source, row.epoch.value}, Span{lsn, lsn}).first->second;
    span = {std::min(span.lowest, lsn), std::max(span.highest, lsn)};
    check_row(name, std::move(row));
  }
}

void Oracle::on_commit(const std::string& name, const std::string& metadata_location) {
  ++commits_;
  locations_[name] = metadata_location;
  QuietStore store(store_);
  Table& table = tables_[name];
  const auto key = store.key_of(metadata_location);
  const auto json = key ? store.get(*key) : Result<std::string>(fail(key.error()));
  if (!json) return violate_(Invariant::kReadable, name + ": " + json.error().text);
  const auto state = table::parse_table_state(name, metadata_location, *json, store);
  if (!state) return violate_(Invariant::kReadable, state.error().text);
  if (!state->watermark) {
    return violate_(Invariant::kWatermark, name + ": a commit without a watermark");
  }
  check_watermark(name, table, *state->watermark);

  const auto live = table::list_live_files(store, metadata_location);
  if (!live) {
    return violate_(Invariant::kReadable, name + " cannot be read: " + live.error().text);
  }
  std::set<std::string> now;
  std::map<Log, Span> spans;
  for (const auto& file : live->data) {
    const std::string file_key = store_.key_of(file.location).value_or(file.location);
    if (!now.insert(file_key).second) {
      violate_(Invariant::kNothingTwice, name + ": lists " + file_key + " twice");
    }
    if (!table.files.contains(file_key)) take_file(name, table, file_key, spans);
  }
  for (const auto& [file_key, bytes] : table.files) {
    if (!now.contains(file_key)) {
      violate_(Invariant::kFilesStay, name + ": lost its file " + file_key);
    }
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

void Oracle::check_landed(const ModelOutbox& outbox, Lsn lsn, Invariant invariant,
                          const std::string& why) {
  const Log log(outbox.source(), outbox.epoch().value);
  // Rows never go away, so what was found once need not be looked for again.
  std::uint64_t& through = checked_[log];
  through = std::max(through, outbox.epoch_base().value);
  const auto& landed = landed_[log];
  for (; through < lsn.value; ++through) {
    if (landed.contains(through + 1)) continue;
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
    for (auto log = landed_.lower_bound({outbox.source(), 0});
         log != landed_.end() && log->first.first == outbox.source() && !found; ++log) {
      const auto row = log->second.find(lsn);
      found = row != log->second.end() && outbox.wrote(row->second.table, row->second.row);
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
    for (const auto& [key, bytes] : table.files) {
      const auto found = store_.peek(key);
      if (!found || found->size() != bytes)
        violate_(Invariant::kFilesStay, when + ": " + name + " lost " + key);
    }
  }
}

}  // namespace evodb::sim
