#include "capture/outbox_row.h"

#include "base/limits.h"
#include "evodb/value.h"
#include "wire/frame.h"
#include "wire/utf8.h"

namespace evodb::capture {
namespace {

// A key that is larger than this is cut, into the reason.
constexpr std::size_t oversize_key_bytes_max = 64u << 10;
constexpr std::size_t shown_key_bytes_max = 64;
// Of a RESET or DROP; capture's own are shorter.
constexpr std::size_t reason_bytes_max = 4u << 10;
// Presence, counts, and what little else stands around the values.
constexpr std::size_t envelope_bytes = 64;
// Tag and longest varint in front of a value.
constexpr std::size_t value_head_bytes_max = 11;

std::string shown(ValueView value) {
  switch (value.storage_class) {
    case StorageClass::kNull: return "NULL";
    case StorageClass::kInteger: return std::to_string(value.integer);
    case StorageClass::kReal: return std::to_string(value.real);
    case StorageClass::kText:
      if (wire::is_valid_utf8(value.bytes)) {
        return "'" + std::string(wire::utf8_prefix(value.bytes, shown_key_bytes_max)) + "...'";
      }
      break;
    default: break;
  }
  return "a blob of " + std::to_string(value.bytes.size()) + " bytes";
}

}  // namespace

std::size_t OutboxRow::measure(const Statement& row, int first, std::size_t count) const {
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < count; ++i) {
    bytes += value_head_bytes_max + row.payload_bytes(first + static_cast<int>(i));
  }
  return bytes;
}

void OutboxRow::encode(const Statement& row, int first, std::size_t count, std::string& out) {
  out.clear();
  for (std::size_t i = 0; i < count; ++i) {
    wire::put_value(out, row.value(first + static_cast<int>(i)));
  }
}

Result<bool> OutboxRow::add(const Statement& row, const KnownTable& known) {
  const CapturedTable& table = known.table;
  const std::size_t count = table.def.columns.size();
  const std::int64_t op = row.integer(2);
  const int first = outbox_value_column;
  const bool is_half = op == op_before_half;
  const bool is_update = op == static_cast<std::int64_t>(Op::kUpdate);
  const bool joined = is_update && !table.split;
  const auto broken = [&](const char* what) {
    return fail(ErrorKind::kCorrupt, "evodb_outbox row " + std::to_string(row.integer(0)) + " " +
                                         what + "; remove capture and install it again");
  };
  if (op < 0 || op > op_drop || op == static_cast<std::int64_t>(Op::kOversize)) {
    return broken("has an unknown op");
  }
  if (op == op_reset || op == op_drop) {
    if (half_) {
      half_ = false;
      return broken("stands between the halves of an UPDATE");
    }
    note_table(row, known, op == op_reset ? Op::kReset : Op::kDrop);
    return true;
  }
  if (half_ != (is_update && table.split) || (half_ && half_table_ != table.id)) {
    half_ = false;
    return broken("is half an UPDATE without its other half");
  }
  if (static_cast<std::size_t>(row.column_count()) <
      static_cast<std::size_t>(first) + count * (joined ? 2 : 1)) {
    return broken("has fewer values than its table has columns");
  }
  if (is_half) {
    half_ = true;
    half_table_ = table.id;
    half_bytes_ = measure(row, first, count);
    before_.clear();
    if (half_bytes_ <= base::row_bytes_max) encode(row, first, count, before_);
    return false;
  }

  begin_change(row, known, static_cast<Op>(op));

  const bool is_delete = change_.op == Op::kDelete;
  const int main = joined ? first + static_cast<int>(count) : first;  // the row that must be sent
  const std::size_t main_bytes = measure(row, main, count) + envelope_bytes;
  const std::size_t old_bytes = joined ? measure(row, first, count) : half_ ? half_bytes_ : 0;
  if (main_bytes > base::row_bytes_max) {
    half_ = false;
    make_oversize(row, table, main, main_bytes);
    return true;
  }
  const auto values = static_cast<std::uint32_t>(count);
  encode(row, main, count, is_delete ? before_ : after_);
  if (is_delete) {
    after_.clear();
    change_.before = {true, values, before_};
    return true;
  }
  change_.after = {true, values, after_};
  if (is_update && main_bytes + old_bytes <= base::row_bytes_max) {
    if (joined) encode(row, first, count, before_);
    change_.before = {true, values, before_};
  } else {
    before_.clear();
  }
  half_ = false;
  return true;
}

void OutboxRow::begin_change(const Statement& row, const KnownTable& known, Op op) {
  change_ = {};
  change_.op = op;
  change_.table = &known.table.def;
  change_.table_fingerprint = known.fingerprint;
  change_.lsn.value = static_cast<std::uint64_t>(row.integer(0));
  change_.committed_at.value = row.integer(3);
  key_.clear();
}

void OutboxRow::note_table(const Statement& row, const KnownTable& known, Op op) {
  begin_change(row, known, op);
  before_.clear();
  after_.clear();
  const std::string_view reason =
      row.column_count() > outbox_value_column ? row.text(outbox_value_column) : std::string_view();
  reason_ = wire::utf8_prefix(wire::is_valid_utf8(reason) ? reason : std::string_view(),
                              reason_bytes_max);
  change_.reason = reason_;
}

void OutboxRow::make_oversize(const Statement& row, const CapturedTable& table, int first,
                              std::size_t bytes) {
  const bool was_delete = change_.op == Op::kDelete;
  change_.op = Op::kOversize;
  before_.clear();
  after_.clear();
  reason_ = std::string(was_delete ? "a DELETE of a row" : "a row") + " of about " +
            std::to_string(bytes) + " bytes; at most " + std::to_string(base::row_bytes_max) +
            " are sent";
  std::size_t key_bytes = 0;
  std::uint32_t parts = 0;
  std::string names;
  for (std::size_t ordinal = 1; ordinal <= table.def.key_columns(); ++ordinal) {
    for (std::size_t i = 0; i < table.def.columns.size(); ++i) {
      if (table.def.columns[i].key_ordinal != ordinal) continue;
      const int column = first + static_cast<int>(i);
      key_bytes += value_head_bytes_max + row.payload_bytes(column);
      ++parts;
      if (key_bytes <= oversize_key_bytes_max) wire::put_value(key_, row.value(column));
      if (names.size() < 4 * shown_key_bytes_max) {
        names += (names.empty() ? "" : ", ") + shown(row.value(column));
      }
    }
  }
  if (key_bytes <= oversize_key_bytes_max) {
    change_.key = {true, parts, key_};
  } else {
    key_.clear();
    reason_ += "; its key has " + std::to_string(key_bytes) + " bytes, here cut: " + names;
  }
  change_.reason = reason_;
}

}  // namespace evodb::capture
