#include "gate/v1_rows.h"

#include <algorithm>
#include <optional>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "base/limits.h"
#include "gate/v1_json.h"
#include "wire/websocket.h"

namespace evodb::gate {
namespace {

constexpr std::size_t few_columns = 24;  // so many are searched one by one
// Bodies are cut when they have so many bytes, though more are taken: a journal record is written
// and synced as a whole.
constexpr std::size_t body_bytes_aimed_at = 4u << 20;
constexpr std::size_t change_overhead_bytes = 96;  // beside its values and reason
constexpr std::size_t column_overhead_bytes = 16;  // of a definition, beside its name
// Of a row that is rejected for what it is called, or for what it is.
constexpr std::string_view no_table = "(no name)";

std::string place(const V1RowEntry& entry) {
  return "entry " + std::to_string(entry.number) + " (sequence " + std::to_string(entry.sequence) +
         "): ";
}

std::string_view name_of(Op op) {
  return op == Op::kInsert ? "INSERT" : op == Op::kUpdate ? "UPDATE" : "DELETE";
}

bool same_content(const V1RowEntry& a, const V1RowEntry& b) {
  return a.op == b.op && a.timestamp == b.timestamp && a.table == b.table && a.row_id == b.row_id &&
         a.before == b.before && a.after == b.after;
}

// Positions of names in a list that grows, without a search through all for each.
class NameIndex {
 public:
  void clear() {
    names_.clear();
    map_.clear();
  }
  const std::vector<std::string_view>& names() const { return names_; }
  std::size_t find(std::string_view name) const {
    if (names_.size() <= few_columns) {
      return static_cast<std::size_t>(std::ranges::find(names_, name) - names_.begin());
    }
    const auto it = map_.find(name);
    return it == map_.end() ? names_.size() : it->second;
  }
  void add(std::string_view name) {
    names_.push_back(name);
    if (names_.size() == few_columns + 1) {
      for (std::size_t i = 0; i < names_.size(); ++i) map_.emplace(names_[i], i);
    } else if (names_.size() > few_columns) {
      map_.emplace(name, names_.size() - 1);
    }
  }

 private:
  std::vector<std::string_view> names_;
  std::unordered_map<std::string_view, std::size_t> map_;
};

}  // namespace

std::size_t V1Tables::name_bytes(std::string_view table,
                                 const std::vector<std::string_view>& columns) {
  std::size_t bytes = table.size() + base::varint_bytes_max;
  for (const std::string_view column : columns) bytes += column.size() + base::varint_bytes_max;
  return bytes;
}

V1Tables::Known* V1Tables::find_or_add(std::string_view table,
                                       const std::vector<std::string_view>& columns) {
  signature_.clear();
  base::put_string(signature_, table);
  for (const std::string_view column : columns) base::put_string(signature_, column);
  if (const auto it = by_signature_.find(signature_); it != by_signature_.end()) {
    entries_.splice(entries_.begin(), entries_, it->second);
    it->second->body = body_;
    return &it->second->known;
  }
  while (entries_.size() >= v1_tables_max ||
         (!entries_.empty() && bytes_ + signature_.size() > v1_table_bytes_max)) {
    const Entry& oldest = entries_.back();
    if (oldest.body == body_) return nullptr;
    bytes_ -= oldest.signature.size();
    free_refs_.push_back(oldest.known.ref);
    by_signature_.erase(oldest.signature);
    entries_.pop_back();
  }
  wire::TableDef def;
  def.name = std::string(table);
  for (const std::string_view column : columns) {
    def.columns.push_back({.name = std::string(column)});
  }
  Entry& entry = entries_.emplace_front();
  entry.signature = signature_;
  entry.body = body_;
  entry.known.fingerprint = def.fingerprint();
  if (free_refs_.empty()) {
    entry.known.ref = refs_++;
  } else {
    entry.known.ref = free_refs_.back();
    free_refs_.pop_back();
  }
  bytes_ += signature_.size();
  by_signature_.emplace(entry.signature, entries_.begin());
  return &entry.known;
}

void V1Tables::forget_sent() {
  for (Entry& entry : entries_) entry.known.sent = false;
}

// One row: its members in order, values encoded.
struct V1RowTranslator::Row {
  struct Cell {
    std::size_t offset = 0, size = 0;
  };
  V1JsonParser parser;
  NameIndex columns;
  std::vector<Cell> cells;
  std::string values;

  Result<void> parse(std::string_view json) {
    columns.clear();
    cells.clear();
    values.clear();
    return parser.row(json, [this](std::string_view name, ValueView value) {
      const Cell cell{values.size(), 0};
      wire::put_value(values, value);
      const std::size_t at = columns.find(name);
      if (at == cells.size()) {
        columns.add(name);
        cells.push_back(cell);
      } else {
        cells[at] = cell;
      }
      cells[at].size = values.size() - cell.offset;
    });
  }
  void put(std::string& out, std::size_t at) const {
    if (at >= cells.size()) return wire::put_value(out, ValueView::null());
    out.append(values, cells[at].offset, cells[at].size);
  }
};

// What one translate() works on.
struct V1RowTranslator::Scratch {
  Row before, after;
  wire::BatchWriter writer;
  std::vector<std::string_view> names;
  std::string key, before_values, after_values;

  V1Tables* tables = nullptr;
  V1BodyLimits limits;
  V1Batch* batch = nullptr;
  std::uint32_t changes = 0;  // in the body at hand

  void begin(V1Tables& of_session, const V1BodyLimits& at_most, V1Batch& out) {
    tables = &of_session;
    limits = at_most;
    batch = &out;
    changes = 0;
    writer.reset(Lsn(0), ChainHash(0));
    tables->begin_body();
  }
  void end_body() {
    if (changes == 0) return;
    batch->bodies.push_back(writer.finish());
    changes = 0;
    writer.reset(Lsn(0), ChainHash(0));
    tables->begin_body();
  }
  // With the table's definition, if ingest has it not, in this body or in the next.
  void add(Op op, std::string_view table, const V1RowEntry& entry, const wire::ValuesView& key_view,
           const wire::ValuesView& before_view, const wire::ValuesView& after_view,
           std::string_view reason) {
    V1Tables::Known* known = tables->find_or_add(table, names);
    const std::size_t bytes = writer.bytes() + key_view.bytes.size() + before_view.bytes.size() +
                              after_view.bytes.size() + reason.size() + definition_bytes(table) +
                              change_overhead_bytes;
    if (known == nullptr || changes >= limits.entries_max ||
        bytes > std::min<std::uint64_t>(limits.bytes_max, body_bytes_aimed_at)) {
      end_body();
      known = tables->find_or_add(table, names);
      EVODB_ASSERT(known != nullptr, "a body that is empty uses no table");
    }
    if (!known->sent) {
      wire::TableDef def;
      def.name = std::string(table);
      for (const std::string_view column : names) {
        def.columns.push_back({.name = std::string(column)});
      }
      writer.add_table(known->ref, def);
      known->sent = true;
    }
    writer.add_change(op, known->ref, known->fingerprint, entry.lsn, TxnId(0), entry.timestamp,
                      key_view, before_view, after_view, reason);
    ++changes;
  }
  std::size_t definition_bytes(std::string_view table) const {
    return V1Tables::name_bytes(table, names) + names.size() * column_overhead_bytes;
  }

  // nullopt: it was added. Otherwise why the entry is no row.
  std::optional<std::string> add_row(const V1RowEntry& entry);
  void reject(const V1RowEntry& entry, std::string_view reason);
};

V1RowTranslator::V1RowTranslator() : scratch_(std::make_unique<Scratch>()) {}
V1RowTranslator::~V1RowTranslator() = default;

// Sorts them. Those without an LSN of their own get one from their content: the same entry again is
// then known, and two that differ are told apart.
void V1RowTranslator::give_lsns(std::vector<V1RowEntry>& entries) {
  const auto own = [](const V1RowEntry& e) {
    std::string content;
    base::put_u64(content, e.sequence);
    base::put_fixed(content, e.timestamp.value);
    base::put_u8(content, static_cast<std::uint8_t>(e.op));
    for (const std::string_view part : {e.table, e.row_id, e.before, e.after}) {
      base::put_string(content, part);
    }
    return Lsn(v1_own_lsn_min + (base::xxh64(content) & (v1_own_lsn_min - 1)));
  };
  const auto in_order = [](const V1RowEntry& a, const V1RowEntry& b) {
    return a.lsn != b.lsn ? a.lsn < b.lsn : a.number < b.number;
  };
  for (V1RowEntry& e : entries) {
    if (e.sequence == 0 && !e.fault) e.fault = "sequences begin at 1";
    if (e.sequence >= v1_own_lsn_min) e.fault = "a sequence of 2^62 or more";
    const bool has_own = e.sequence == 0 || e.sequence >= v1_own_lsn_min;
    e.lsn = has_own ? own(e) : Lsn(e.sequence);
  }
  std::ranges::sort(entries, in_order);
  bool again = false;
  const V1RowEntry* kept = nullptr;
  for (V1RowEntry& e : entries) {
    if (kept != nullptr && kept->lsn == e.lsn && !same_content(*kept, e)) {
      e.fault =
          "an entry before it has the same sequence and other content; number changes uniquely";
      e.lsn = own(e);
      again = true;
    } else {
      kept = &e;
    }
  }
  if (again) std::ranges::sort(entries, in_order);
}

V1Batch V1RowTranslator::translate(std::vector<V1RowEntry>& entries, V1Tables& tables,
                                   const V1BodyLimits& limits) {
  V1Batch batch;
  give_lsns(entries);
  scratch_->begin(tables, limits, batch);
  const V1RowEntry* previous = nullptr;
  for (const V1RowEntry& entry : entries) {
    if (previous != nullptr && previous->lsn == entry.lsn) {
      ++batch.repeated;
      continue;
    }
    previous = &entry;
    ++batch.entries;
    const std::optional<std::string> why = entry.fault ? entry.fault : scratch_->add_row(entry);
    if (!why) continue;
    ++batch.rejected;
    scratch_->reject(entry, place(entry) + *why);
  }
  scratch_->end_body();
  return batch;
}

void V1RowTranslator::Scratch::reject(const V1RowEntry& entry, std::string_view reason) {
  const bool named = !entry.table.empty() && entry.table.size() <= base::table_name_bytes_max &&
                     wire::is_valid_utf8(entry.table);
  names.clear();
  key.clear();
  // For the table's name, the reason and everything around.
  constexpr std::uint64_t reserve = base::table_name_bytes_max + 8 * change_overhead_bytes;
  const std::size_t space = std::min<std::uint64_t>(
      base::row_bytes_max, std::max(limits.bytes_max, 2 * reserve) - reserve);
  const bool whole =
      entry.row_id.size() + entry.before.size() + entry.after.size() + reason.size() <= space;
  if (whole) {
    for (const std::string_view part :
         {entry.row_id, name_of(entry.op), entry.before, entry.after}) {
      wire::put_value(key, ValueView::of_text(part));
    }
  } else {
    wire::put_value(key, ValueView::of_text(entry.row_id.substr(0, space / 2)));
  }
  add(Op::kOversize, named ? entry.table : no_table, entry, {true, whole ? 4u : 1u, key}, {}, {},
      reason);
}

std::optional<std::string> V1RowTranslator::Scratch::add_row(const V1RowEntry& entry) {
  if (entry.table.empty() || entry.table.size() > base::table_name_bytes_max ||
      !wire::is_valid_utf8(entry.table)) {
    return "the table's name must have 1 to " + std::to_string(base::table_name_bytes_max) +
           " bytes of UTF-8";
  }
  if (entry.row_id.size() + entry.before.size() + entry.after.size() > base::row_bytes_max) {
    return "the row's JSON has over " + std::to_string(base::row_bytes_max) + " bytes";
  }
  Row* after_row = entry.after.empty() ? nullptr : &after;
  Row* before_row = entry.before.empty() ? nullptr : &before;
  for (Row* row : {after_row, before_row}) {
    if (row == nullptr) continue;
    const bool is_after = row == after_row;
    if (auto parsed = row->parse(is_after ? entry.after : entry.before); !parsed) {
      return std::string(is_after ? "its after row " : "its before row ") + parsed.error().text;
    }
  }
  names.clear();
  if (after_row != nullptr) names = after_row->columns.names();
  if (before_row != nullptr) {
    for (const std::string_view name : before_row->columns.names()) {
      const bool shared =
          after_row != nullptr && after_row->columns.find(name) < after_row->cells.size();
      if (!shared) names.push_back(name);
    }
  }
  if (names.size() > base::columns_per_table_max) {
    return "the row has over " + std::to_string(base::columns_per_table_max) + " columns";
  }
  for (const std::string_view name : names) {
    if (name.size() > base::column_name_bytes_max || !wire::is_valid_utf8(name)) {
      return "a column's name is over " + std::to_string(base::column_name_bytes_max) +
             " bytes or not UTF-8";
    }
  }
  if (V1Tables::name_bytes(entry.table, names) > v1_table_bytes_max) {
    return "the names of the row's columns have over " + std::to_string(v1_table_bytes_max) +
           " bytes together";
  }
  const auto values = [&](const Row* row, std::string& out) -> wire::ValuesView {
    if (row == nullptr) return {};
    out.clear();
    for (const std::string_view name : names) row->put(out, row->columns.find(name));
    return {true, static_cast<std::uint32_t>(names.size()), out};
  };
  const wire::ValuesView before_view = values(before_row, before_values);
  const wire::ValuesView after_view = values(after_row, after_values);
  wire::ValuesView key_view;
  key.clear();
  if (!entry.row_id.empty()) {
    wire::put_value(key, ValueView::of_text(entry.row_id));
    key_view = {true, 1, key};
  }
  const std::size_t bytes = key.size() + before_view.bytes.size() + after_view.bytes.size() +
                            definition_bytes(entry.table) + change_overhead_bytes;
  if (bytes > limits.bytes_max) {
    return "the row takes " + std::to_string(bytes) + " bytes, this parent's journal at most " +
           std::to_string(limits.bytes_max) + " (journal.segment_bytes)";
  }
  add(entry.op, entry.table, entry, key_view, before_view, after_view, {});
  return std::nullopt;
}

}  // namespace evodb::gate
