#include "gate/v1_rows.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/limits.h"
#include "gate/v1_json.h"
#include "wire/websocket.h"

namespace evodb::gate {
namespace {

constexpr std::int64_t timestamp_ms_max = 253'402'300'799'999;  // the year 9999
constexpr std::size_t few_columns = 24;                         // so many are searched one by one

std::string place(const V1RowEntry& entry) {
  return "entry " + std::to_string(entry.number) + " (sequence " + std::to_string(entry.sequence) +
         "): ";
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

Result<V1Tables::Known*> V1Tables::find_or_add(std::string_view table,
                                               const std::vector<std::string_view>& columns) {
  signature_.clear();
  base::put_string(signature_, table);
  for (const std::string_view column : columns) base::put_string(signature_, column);
  const auto it = known_.find(signature_);
  if (it != known_.end()) return &it->second;
  if (known_.size() == v1_tables_max || bytes_ + signature_.size() > v1_table_bytes_max) {
    return fail(ErrorKind::kOverLimit,
                "this connection has named over " + std::to_string(v1_tables_max) +
                    " different tables and column lists; give rows the same columns, or reconnect");
  }
  wire::TableDef def;
  def.name = std::string(table);
  for (const std::string_view column : columns) {
    def.columns.push_back({.name = std::string(column)});
  }
  const Known known{static_cast<std::uint32_t>(known_.size()), def.fingerprint()};
  unsent_.emplace_back(known.ref, std::move(def));
  bytes_ += signature_.size();
  return &known_.emplace(signature_, known).first->second;
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

struct V1RowTranslator::Scratch {
  Row before, after;
  wire::BatchWriter writer;
  std::vector<std::string_view> names;
  std::string key, before_values, after_values;
};

V1RowTranslator::V1RowTranslator() : scratch_(std::make_unique<Scratch>()) {}
V1RowTranslator::~V1RowTranslator() = default;

Result<V1Batch> V1RowTranslator::translate(std::vector<V1RowEntry>& entries, V1Tables& tables) {
  V1Batch batch;
  std::ranges::sort(entries, [](const V1RowEntry& a, const V1RowEntry& b) {
    return a.sequence != b.sequence ? a.sequence < b.sequence : a.number < b.number;
  });
  scratch_->writer.reset(Lsn(0), ChainHash(0));
  const V1RowEntry* previous = nullptr;
  for (const V1RowEntry& entry : entries) {
    if (entry.sequence == 0) {
      return fail(ErrorKind::kInvalid, place(entry) + "sequences begin at 1");
    }
    if (previous != nullptr && previous->sequence == entry.sequence) {
      if (!same_content(*previous, entry)) {
        return fail(ErrorKind::kInvalid, place(entry) +
                                             "an entry before it has the same sequence and other "
                                             "content; number changes uniquely");
      }
      ++batch.repeated;
      continue;
    }
    EVODB_CHECK(add(entry, tables));
    previous = &entry;
    ++batch.entries;
    batch.last = Lsn(entry.sequence);
  }
  if (batch.entries == 0) return batch;
  for (const auto& [ref, def] : tables.unsent()) scratch_->writer.add_table(ref, def);
  batch.body = scratch_->writer.finish();
  if (batch.body.size() > base::frame_bytes_max) {
    return fail(ErrorKind::kOverLimit, "the batch is over " +
                                           std::to_string(base::frame_bytes_max) +
                                           " bytes; send fewer entries at once");
  }
  return batch;
}

Result<void> V1RowTranslator::add(const V1RowEntry& entry, V1Tables& tables) {
  Scratch& s = *scratch_;
  const auto wrong = [&](const std::string& why) {
    return fail(ErrorKind::kInvalid, place(entry) + why);
  };
  if (entry.timestamp.value < 0 || entry.timestamp.value > timestamp_ms_max) {
    return wrong("the timestamp is not of the years 1970 to 9999");
  }
  if (entry.table.empty() || entry.table.size() > base::table_name_bytes_max ||
      !wire::is_valid_utf8(entry.table)) {
    return wrong("the table's name must have 1 to " + std::to_string(base::table_name_bytes_max) +
                 " bytes of UTF-8");
  }
  wire::ValuesView key;
  s.key.clear();
  if (!entry.row_id.empty()) {
    wire::put_value(s.key, ValueView::of_text(entry.row_id.substr(0, base::row_bytes_max / 2)));
    key = {true, 1, s.key};
  }
  const auto oversize = [&](const std::string& reason) -> Result<void> {
    s.names.clear();
    const V1Tables::Known* known = EVODB_TRY(tables.find_or_add(entry.table, s.names));
    s.writer.add_change(Op::kOversize, known->ref, known->fingerprint, Lsn(entry.sequence),
                        TxnId(0), entry.timestamp, key, {}, {}, reason);
    return {};
  };
  if (entry.row_id.size() + entry.before.size() + entry.after.size() > base::row_bytes_max) {
    return oversize("the row's JSON has over " + std::to_string(base::row_bytes_max) + " bytes");
  }

  Row* after = entry.after.empty() ? nullptr : &s.after;
  Row* before = entry.before.empty() ? nullptr : &s.before;
  for (Row* row : {after, before}) {
    if (row == nullptr) continue;
    const bool is_after = row == after;
    if (auto parsed = row->parse(is_after ? entry.after : entry.before); !parsed) {
      return wrong(std::string(is_after ? "its after row " : "its before row ") +
                   parsed.error().text);
    }
  }
  s.names.clear();
  if (after != nullptr) s.names = after->columns.names();
  if (before != nullptr) {
    for (const std::string_view name : before->columns.names()) {
      const bool shared = after != nullptr && after->columns.find(name) < after->cells.size();
      if (!shared) s.names.push_back(name);
    }
  }
  if (s.names.size() > base::columns_per_table_max) {
    return oversize("the row has over " + std::to_string(base::columns_per_table_max) + " columns");
  }
  for (const std::string_view name : s.names) {
    if (name.size() > base::column_name_bytes_max || !wire::is_valid_utf8(name)) {
      return oversize("a column's name is over " + std::to_string(base::column_name_bytes_max) +
                      " bytes or not UTF-8");
    }
  }
  const V1Tables::Known* known = EVODB_TRY(tables.find_or_add(entry.table, s.names));
  const auto values = [&](const Row* row, std::string& out) -> wire::ValuesView {
    if (row == nullptr) return {};
    out.clear();
    for (const std::string_view name : s.names) row->put(out, row->columns.find(name));
    return {true, static_cast<std::uint32_t>(s.names.size()), out};
  };
  const wire::ValuesView before_values = values(before, s.before_values);
  const wire::ValuesView after_values = values(after, s.after_values);
  s.writer.add_change(entry.op, known->ref, known->fingerprint, Lsn(entry.sequence), TxnId(0),
                      entry.timestamp, key, before_values, after_values);
  return {};
}

}  // namespace evodb::gate
