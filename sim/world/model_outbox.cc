#include "sim/world/model_outbox.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/assert.h"

namespace evodb::sim {

ModelOutbox::ModelOutbox(std::string source, base::Random& random)
    : source_(std::move(source)), random_(random) {
  // Every source has both tables; the second is written less often, so that tables move apart.
  tables_.resize(2);
  tables_[0].name = "items";
  tables_[0].columns = {{"id", "INTEGER", 1}, {"body", "TEXT", 0}, {"price", "REAL", 0}};
  tables_[1].name = "Notes";
  tables_[1].columns = {{"id", "INTEGER", 1}, {"data", "BLOB", 0}};
  for (const auto& table : tables_) fingerprints_.push_back(table.fingerprint());
  rows_.resize(tables_.size());
}

std::string ModelOutbox::encode_row(std::size_t table, std::int64_t id) {
  std::string bytes;
  wire::put_value(bytes, ValueView::of_integer(id));
  const std::string noise(random_.below(60), static_cast<char>('a' + random_.below(26)));
  if (table == 0) {
    wire::put_value(bytes, ValueView::of_text(noise));
    wire::put_value(bytes, random_.below(4) == 0
                               ? ValueView::null()
                               : ValueView::of_real(static_cast<double>(random_.below(1000))));
  } else {
    wire::put_value(bytes, ValueView::of_blob(noise));
  }
  return bytes;
}

void ModelOutbox::append(Op op, std::size_t table, UnixMillis now, std::string before,
                         std::string after) {
  head_ = Lsn(head_.value + 1);
  written_.push_back({op, tables_[table].name, now, before, after});
  held_.push_back({op, table, head_, now, std::move(before), std::move(after)});
}

void ModelOutbox::transact(UnixMillis now) {
  for (std::uint64_t n = 1 + random_.below(5); n > 0; --n) {
    const std::size_t table = random_.below(5) == 0 ? 1 : 0;
    auto& rows = rows_[table];
    const std::uint64_t dice = random_.below(10);
    if (dice < 5 || rows.empty()) {
      const std::int64_t id = id_next_++;
      const std::string row = encode_row(table, id);
      rows[id] = row;
      append(Op::kInsert, table, now, "", row);
      continue;
    }
    auto chosen = rows.begin();
    std::advance(chosen, static_cast<std::ptrdiff_t>(random_.below(rows.size())));
    if (dice < 8) {
      const std::string row = encode_row(table, chosen->first);
      append(Op::kUpdate, table, now, chosen->second, row);
      chosen->second = row;
    } else {
      append(Op::kDelete, table, now, chosen->second, "");
      rows.erase(chosen);
    }
  }
}

Columns ModelOutbox::columns_of(Lsn lsn) const {
  const Written& change = written_[lsn.value - 1];
  const auto table = std::find_if(tables_.begin(), tables_.end(),
                                  [&](const auto& t) { return t.name == change.table; });
  Columns columns;
  const auto add = [&](const std::string& encoded, const std::string& prefix) {
    wire::ValuesReader values({true, static_cast<std::uint32_t>(table->columns.size()), encoded});
    ValueView value;
    for (std::size_t i = 0; values.next(&value); ++i) {
      const std::string name = prefix + table->columns[i].name;
      switch (value.storage_class) {
        case StorageClass::kNull: break;
        case StorageClass::kInteger: columns[name] = std::to_string(value.integer); break;
        case StorageClass::kReal: columns[name] = show_real(value.real); break;
        default: columns[name] = std::string(value.bytes);
      }
    }
  };
  add(change.after.empty() ? change.before : change.after, "");
  if (!change.before.empty()) add(change.before, "_before.");
  columns["_committed_at"] = std::to_string(change.committed_at.value * 1000);
  return columns;
}

TxnId ModelOutbox::label(Lsn lsn) const {
  const auto group = group_ends_.lower_bound(lsn.value);
  return TxnId(group == group_ends_.end() ? 0 : group->second);
}

Result<capture::OutboxState> ModelOutbox::state() {
  capture::OutboxState state;
  state.source = source_;
  state.epoch = epoch_;
  state.trimmed = trimmed_;
  state.trimmed_chain = trimmed_chain_;
  state.head = head_;
  for (const auto& change : held_) state.held_bytes += change.before.size() + change.after.size();
  return state;
}

// A change keeps the label with which it was first read.
TxnId ModelOutbox::label_of(Lsn lsn, Lsn visible) {
  auto group = group_ends_.lower_bound(lsn.value);
  if (group == group_ends_.end()) {
    group = group_ends_.emplace(visible.value, visible.value).first;
  }
  return TxnId(group->second);
}

Result<void> ModelOutbox::read(Lsn after, capture::ChangeSink& sink) {
  const Lsn visible = head_;
  for (const auto& change : held_) {
    if (change.lsn <= after) continue;
    const auto columns = static_cast<std::uint32_t>(tables_[change.table].columns.size());
    capture::OutboxChange out;
    out.op = change.op;
    out.table = &tables_[change.table];
    out.table_fingerprint = fingerprints_[change.table];
    out.lsn = change.lsn;
    out.txn = label_of(change.lsn, visible);
    out.committed_at = change.committed_at;
    if (!change.before.empty()) out.before = {true, columns, change.before};
    if (!change.after.empty()) out.after = {true, columns, change.after};
    if (!sink.take(out)) break;
  }
  return {};
}

Result<void> ModelOutbox::trim(Lsn through, ChainHash chain_at_through) {
  EVODB_ASSERT(through <= head_, "nobody can acknowledge what was never written");
  if (through <= trimmed_) return {};
  while (!held_.empty() && held_.front().lsn <= through) held_.pop_front();
  trimmed_ = through;
  trimmed_chain_ = chain_at_through;
  return {};
}

Result<Epoch> ModelOutbox::begin_epoch(Epoch at_least) {
  epoch_ = std::max(Epoch(epoch_.value + 1), at_least);
  epoch_base_ = trimmed_;
  trimmed_chain_ = ChainHash(0);
  return epoch_;
}

}  // namespace evodb::sim
