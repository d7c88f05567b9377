#include "sim/world/model_outbox.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <iterator>
#include <numeric>
#include <utility>

#include "base/assert.h"
#include "base/bytes.h"

namespace evodb::sim {
namespace {

constexpr std::string_view too_large = "the row has more bytes than a change may have";

std::string_view name_of(Op op) {
  switch (op) {
    case Op::kInsert: return "INSERT";
    case Op::kUpdate: return "UPDATE";
    case Op::kDelete: return "DELETE";
    case Op::kSnapshot: return "SNAPSHOT";
    case Op::kOversize: return "OVERSIZE";
    case Op::kReset: return "RESET";
    case Op::kDrop: return "DROP";
  }
  return "";
}

bool is_ascii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

// docs/formats/tables.md, "Values, exactly", for columns declared INTEGER, TEXT, REAL and BLOB. The
// model writes no TEXT that is UTF-8 and not ASCII, and no INTEGER that is not exact as a double.
void show_value(Columns& columns, const std::string& prefix, const wire::ColumnDef& column,
                const ValueView& value) {
  const std::string name = prefix + column.name;
  const std::string unfit = "_unfit:" + name;
  const std::string_view type = column.declared_type;
  switch (value.storage_class) {
    case StorageClass::kNull: return;
    case StorageClass::kInteger: {
      const std::string digits = std::to_string(value.integer);
      if (type == "INTEGER") columns[name] = digits;
      if (type == "REAL") columns[name] = show_real(static_cast<double>(value.integer));
      if (type != "INTEGER") columns[unfit] = "integer:" + digits;
      return;
    }
    case StorageClass::kReal:
      EVODB_ASSERT(type == "REAL", "the model writes REALs only where they fit");
      columns[name] = show_real(value.real);
      return;
    case StorageClass::kText:
      if (type == "TEXT" && is_ascii(value.bytes)) {
        columns[name] = std::string(value.bytes);
      } else if (is_ascii(value.bytes)) {
        columns[unfit] = "text:" + std::string(value.bytes);
      } else {
        columns[unfit] = "text-hex:" + base::to_hex(value.bytes);
      }
      return;
    case StorageClass::kBlob:
      if (type == "BLOB") {
        columns[name] = std::string(value.bytes);
      } else {
        columns[unfit] = "blob:" + base::to_hex(value.bytes);
      }
      return;
    case StorageClass::kBoolean: EVODB_ASSERT(false, "SQLite has no such class");
  }
}

void show_values(Columns& columns, const std::string& prefix, const wire::TableDef& table,
                 const std::string& encoded) {
  wire::ValuesReader values({true, static_cast<std::uint32_t>(table.columns.size()), encoded});
  ValueView value;
  for (std::size_t i = 0; values.next(&value); ++i) {
    show_value(columns, prefix, table.columns[i], value);
  }
}

std::string landing_table(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(), ::tolower);
  return name + "_changes";
}

}  // namespace

ModelOutbox::ModelOutbox(const ModelOptions& options)
    : source_(options.source),
      names_{options.source},
      random_(options.seed),
      first_lsn_(options.first_lsn),
      odd_values_(options.odd_values),
      head_(options.first_lsn),
      trimmed_(options.first_lsn),
      epoch_base_(options.first_lsn) {
  has_lives_ = options.has_lives;
  life_ = options.seed;
  open();
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
  const auto odd = [this] { return odd_values_ && random_.below(6) == 0; };
  if (table == 1) {
    wire::put_value(bytes, odd() ? ValueView::of_text("a text") : ValueView::of_blob(noise));
    return bytes;
  }
  if (!odd()) {
    wire::put_value(bytes, ValueView::of_text(noise));
  } else if (random_.below(2) == 0) {
    wire::put_value(bytes, ValueView::of_text("\xff\xfe no UTF-8"));
  } else {
    wire::put_value(bytes, ValueView::of_integer(static_cast<std::int64_t>(random_.below(100))));
  }
  const auto number = static_cast<std::int64_t>(random_.below(1000));
  if (odd()) {
    wire::put_value(bytes, random_.below(2) == 0 ? ValueView::of_integer(number)
                                                 : ValueView::of_blob("\x01\x02"));
  } else if (random_.below(4) == 0) {
    wire::put_value(bytes, ValueView::null());
  } else {
    wire::put_value(bytes, ValueView::of_real(static_cast<double>(number) + 0.5));
  }
  return bytes;
}

void ModelOutbox::append(Op op, std::size_t table, UnixMillis now, std::string before,
                         std::string after) {
  head_ = Lsn(head_.value + 1);
  written_.push_back(
      {op, table, head_, now, std::string(), std::move(before), std::move(after), std::string()});
}

void ModelOutbox::transact(UnixMillis now) {
  for (std::uint64_t n = 1 + random_.below(5); n > 0; --n) {
    const std::size_t table = random_.below(5) == 0 ? 1 : 0;
    auto& rows = rows_[table];
    const std::uint64_t dice = random_.below(10);
    if (odd_values_ && random_.below(40) == 0) {
      append(Op::kOversize, table, now, "", "");
      wire::put_value(written_.back().key, ValueView::of_integer(id_next_++));
      written_.back().reason = too_large;
    } else if (dice < 5 || rows.empty()) {
      const std::int64_t id = id_next_++;
      const std::string row = encode_row(table, id);
      rows[id] = row;
      append(Op::kInsert, table, now, "", row);
    } else {
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
}

Columns ModelOutbox::columns_of(const Change& change) const {
  const wire::TableDef& table = tables_[change.table];
  Columns columns;
  columns["_committed_at"] = std::to_string(change.committed_at.value * 1000);
  if (change.op == Op::kOversize) {
    columns["table"] = table.name;
    columns["reason"] = change.reason;
    // docs/formats/wire-v2.md, "Changes": presence of key and reason, one value, the reason.
    columns["bytes"] = std::string("\x09\x01", 2) + change.key +
                       std::string(1, static_cast<char>(change.reason.size())) + change.reason;
    return columns;
  }
  if (carries_reason(change.op)) {  // RESET, DROP
    columns["_unfit:_reason"] = "text:" + change.reason;
    return columns;
  }
  show_values(columns, "", table, change.after.empty() ? change.before : change.after);
  if (!change.before.empty()) show_values(columns, "_before.", table, change.before);
  return columns;
}

bool ModelOutbox::wrote(const std::string& table, const LandedRow& row) const {
  if (row.lsn.value <= first_lsn_ || row.lsn > head_) return false;
  const Change& change = written_[row.lsn.value - first_lsn_ - 1];
  const std::string lands_in =
      change.op == Op::kOversize ? "rejects" : landing_table(tables_[change.table].name);
  return lands_in == table && row.op == name_of(change.op) && row.columns == columns_of(change);
}

ChainHash ModelOutbox::chain() const {
  wire::BatchWriter writer;
  writer.reset(epoch_base_, ChainHash());
  for (std::uint64_t lsn = epoch_base_.value + 1; lsn <= head_.value; ++lsn) {
    const Change& change = written_[lsn - first_lsn_ - 1];
    const capture::OutboxChange c = view_of(change);
    writer.add_change(c.op, 0, c.table_fingerprint, c.lsn, TxnId(), c.committed_at, c.key, c.before,
                      c.after, c.reason);
  }
  return writer.chain();
}

TxnId ModelOutbox::label(Lsn lsn) const {
  const auto group = group_ends_.lower_bound(lsn.value);
  return TxnId(group == group_ends_.end() ? 0 : group->second);
}

Result<capture::OutboxState> ModelOutbox::state() {
  capture::OutboxState state;
  state.source = source_;
  state.life = has_lives_ ? life_ : 0;
  state.epoch = epoch_;
  state.trimmed = trimmed_;
  state.trimmed_chain = trimmed_chain_;
  state.head = head_;
  state.held_bytes = (head_.value - trimmed_.value) * 64;
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

capture::OutboxChange ModelOutbox::view_of(const Change& change) const {
  const auto columns = static_cast<std::uint32_t>(tables_[change.table].columns.size());
  capture::OutboxChange out;
  out.op = change.op;
  out.table = &tables_[change.table];
  out.table_fingerprint = fingerprints_[change.table];
  out.lsn = change.lsn;
  out.committed_at = change.committed_at;
  if (!change.key.empty()) out.key = {true, 1, change.key};
  if (!change.before.empty()) out.before = {true, columns, change.before};
  if (!change.after.empty()) out.after = {true, columns, change.after};
  out.reason = change.reason;
  return out;
}

Result<void> ModelOutbox::read(Lsn after, capture::ChangeSink& sink) {
  const Lsn visible = head_;
  const std::uint64_t from = std::max(after, trimmed_).value;
  for (std::uint64_t lsn = from + 1; lsn <= visible.value; ++lsn) {
    capture::OutboxChange out = view_of(written_[lsn - first_lsn_ - 1]);
    out.txn = label_of(out.lsn, visible);
    if (!sink.take(out)) break;
  }
  return {};
}

Result<void> ModelOutbox::trim(Epoch epoch, Lsn through, ChainHash chain_at_through) {
  if (epoch != epoch_) return fail(ErrorKind::kStale, "another epoch has begun");
  EVODB_ASSERT(through <= head_, "nobody can acknowledge what was never written");
  if (through <= trimmed_) return {};
  trimmed_ = through;
  trimmed_chain_ = chain_at_through;
  return {};
}

void ModelOutbox::begin_with_snapshot(Epoch epoch) {
  epoch_ = epoch;
  epoch_base_ = trimmed_;
  trimmed_chain_ = ChainHash(0);
  // In the order of the tables' names, as capture takes them.
  std::vector<std::size_t> order(rows_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [this](std::size_t table) { return tables_[table].name; });
  for (const std::size_t table : order) {
    append(Op::kReset, table, UnixMillis(), "", "");
    written_.back().reason = "a new epoch begins";
  }
  for (const std::size_t table : order) {
    for (const auto& [id, row] : rows_[table]) {
      append(Op::kSnapshot, table, UnixMillis(), "", row);
    }
  }
}

void ModelOutbox::note_captured(const capture::OutboxChange& captured) {
  if (captured.lsn.value <= first_lsn_ || captured.lsn > head_) return;
  Change& change = written_[captured.lsn.value - first_lsn_ - 1];
  // The trigger's clock ticks between the application's statements; a snapshot's time is capture's.
  const std::int64_t late_ms = captured.committed_at.value - change.committed_at.value;
  if ((late_ms >= 0 && late_ms <= 5) || change.op == Op::kSnapshot || change.op == Op::kReset) {
    change.committed_at = captured.committed_at;
  }
  fingerprints_[change.table] = captured.table_fingerprint;
  // A process that begins anew may give another label to what no parent has received yet.
  captured_labels_[captured.lsn.value].insert(captured.txn.value);
}

Result<Epoch> ModelOutbox::begin_epoch(Epoch at_least) {
  begin_with_snapshot(std::max(Epoch(epoch_.value + 1), at_least));
  open();
  return epoch_;
}

Result<Epoch> ModelOutbox::begin_as(const std::string& source, Epoch at_least) {
  source_ = source;
  names_.insert(source);
  return begin_epoch(at_least);
}

std::map<std::string, std::map<std::string, Columns>> ModelOutbox::view() const {
  std::map<std::string, std::map<std::string, Columns>> view;
  for (std::size_t table = 0; table < tables_.size(); ++table) {
    for (const auto& [id, encoded] : rows_[table]) {
      Columns& columns = view[landing_table(tables_[table].name)][std::to_string(id)];
      show_values(columns, "", tables_[table], encoded);
    }
  }
  return view;
}

}  // namespace evodb::sim
