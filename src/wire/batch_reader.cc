#include <limits>

#include "base/limits.h"
#include "wire/change.h"
#include "wire/change_format.h"
#include "wire/value_codec.h"

namespace evodb::wire {
namespace {

constexpr std::size_t change_bytes_min = 6;  // op, table, three deltas, presence
constexpr std::size_t table_bytes_min = 4;   // number, empty name, schema version, no columns

// Past a list's count, or nullptr. Its bytes go on to `end`.
inline const char* read_count(const char* p, const char* end, ValuesView* values) {
  std::uint64_t count = 0;
  p = read_varint(p, end, &count);
  // A value has at least one byte, so a count is never believed beyond what is there.
  if (p == nullptr || count > static_cast<std::uint64_t>(end - p)) return nullptr;
  values->present = true;
  values->count = static_cast<std::uint32_t>(count);
  values->bytes = std::string_view(p, static_cast<std::size_t>(end - p));
  return p;
}

// Past so many values, or nullptr.
inline const char* skip_values(const char* p, const char* end, std::uint32_t count) {
  ValueView ignored;
  for (std::uint32_t i = 0; i < count && p != nullptr; ++i) p = read_value(p, end, &ignored);
  return p;
}

// Past a list of values, or nullptr.
inline const char* read_values(const char* p, const char* end, ValuesView* values) {
  const char* const from = read_count(p, end, values);
  if (from == nullptr) return nullptr;
  p = skip_values(from, end, values->count);
  if (p != nullptr) values->bytes = std::string_view(from, static_cast<std::size_t>(p - from));
  return p;
}

}  // namespace

BatchReader::BatchReader(std::string_view body) : in_(body) {
  if (body.size() > base::frame_bytes_max) {
    set_fault("it is longer than a frame may be");
    return;
  }
  std::string_view bytes;
  if (!in_.string(&bytes)) {
    set_fault("it ends within its header");
    return;
  }
  base::ByteReader head(bytes);
  std::uint64_t previous = 0, first = 0, span = 0, chain = 0, changes = 0, tables = 0;
  if (!head.varint(&previous) || !head.varint(&first) || !head.varint(&span) || !head.u64(&chain) ||
      !head.varint(&changes) || !head.varint(&tables)) {
    set_fault("its header is malformed or too short");
    return;
  }
  // What is left in `head` was added by a later minor version: skipped.
  constexpr std::uint64_t lsn_max = std::numeric_limits<std::uint64_t>::max();
  if (first == 0 || first > lsn_max - previous || span > lsn_max - previous - first) {
    set_fault("its first LSN does not lie behind the previous one, or an LSN exceeds 64 bits");
    return;
  }
  if (changes == 0) {
    set_fault("it holds no change; send nothing instead");
    return;
  }
  if (changes > in_.remaining() / change_bytes_min || changes - 1 > span ||
      tables > in_.remaining() / table_bytes_min) {
    set_fault("its header counts more changes or tables than it can hold");
    return;
  }
  header_.previous_lsn = Lsn(previous);
  header_.first_lsn = Lsn(previous + first);
  header_.last_lsn = Lsn(previous + first + span);
  header_.chain_after = ChainHash(chain);
  header_.change_count = static_cast<std::uint32_t>(changes);
  last_ = header_.previous_lsn;
  changes_left_ = header_.change_count;
  tables_left_ = static_cast<std::uint32_t>(tables);
  changes_offset_ = in_.consumed();
}

bool BatchReader::next_table(std::uint32_t* table_ref, TableDef* def) {
  if (tables_left_ == 0 || faulty_) return false;
  std::uint64_t ref = 0;
  if (!in_.varint(&ref)) return set_fault("it ends within a table definition");
  if (ref >= base::table_defs_per_session_max) {
    return set_fault("table number " + std::to_string(ref) + " is not below the limit of " +
                     std::to_string(base::table_defs_per_session_max));
  }
  Result<TableDef> decoded = decode_table_def(in_);
  if (!decoded) return set_fault(decoded.error().text);
  *table_ref = static_cast<std::uint32_t>(ref);
  *def = *std::move(decoded);
  --tables_left_;
  changes_offset_ = in_.consumed();
  return true;
}

std::size_t BatchReader::changes_offset() const { return changes_offset_; }

bool BatchReader::next_open(ChangeView* change) {
  if (changes_left_ == 0 || tables_left_ != 0 || faulty_) [[unlikely]]
    return at_end();

  const char* const from = in_.here();
  const char* const end = from + in_.remaining();
  const char* p = from;
  if (p == end) return set_change_fault("it is missing");
  const auto op = static_cast<std::uint8_t>(*p++);
  if (op > static_cast<std::uint8_t>(op_last)) return set_change_fault("an unknown op");

  std::uint64_t table = 0, lsn_step = 0, txn_step = 0, time_step = 0;
  if ((p = read_varint(p, end, &table)) == nullptr ||
      (p = read_varint(p, end, &lsn_step)) == nullptr ||
      (p = read_varint(p, end, &txn_step)) == nullptr ||
      (p = read_varint(p, end, &time_step)) == nullptr || p == end) {
    return set_change_fault("a field is malformed or cut off");
  }
  if (table >= base::table_defs_per_session_max) {
    return set_change_fault("the table's number is over the limit");
  }
  if (lsn_step == 0 || lsn_step > header_.last_lsn.value - last_.value) {
    return set_change_fault("its LSN does not grow, or lies behind the header's last");
  }
  const Lsn lsn(last_.value + lsn_step);
  if (changes_left_ == header_.change_count && lsn != header_.first_lsn) {
    return set_change_fault("its LSN is not the header's first");
  }

  const char* const content = p;
  const auto presence = static_cast<std::uint8_t>(*p++);
  const bool reason = carries_reason(static_cast<Op>(op));
  const bool key_allowed = !reason || op == static_cast<std::uint8_t>(Op::kOversize);
  if ((presence & ~presence_known) != 0 || ((presence & presence_reason) != 0) != reason ||
      (reason && (presence & (presence_before | presence_after)) != 0) ||
      (!key_allowed && (presence & presence_key) != 0)) {
    return set_change_fault("its presence bits do not fit its op");
  }
  change->key = change->before = change->after = ValuesView();
  change->reason = {};
  if ((presence & presence_key) != 0) p = read_values(p, end, &change->key);
  if (p != nullptr && (presence & presence_before) != 0) p = read_values(p, end, &change->before);
  if (p != nullptr && (presence & presence_after) != 0) p = read_count(p, end, &change->after);
  if (p != nullptr && reason) {
    std::uint64_t n = 0;
    p = read_varint(p, end, &n);
    if (p != nullptr && n > static_cast<std::uint64_t>(end - p)) p = nullptr;
    if (p != nullptr) {
      change->reason = std::string_view(p, static_cast<std::size_t>(n));
      p += n;
    }
  }
  if (p == nullptr) return set_change_fault("a value is malformed or cut off");

  // Differences wrap around: every 64-bit number can follow every other.
  txn_ = TxnId(txn_.value + static_cast<std::uint64_t>(base::unzigzag(txn_step)));
  time_ =
      UnixMillis(static_cast<std::int64_t>(static_cast<std::uint64_t>(time_.value) +
                                           static_cast<std::uint64_t>(base::unzigzag(time_step))));
  last_ = lsn;
  change->op = static_cast<Op>(op);
  change->table_ref = static_cast<std::uint32_t>(table);
  change->lsn = lsn;
  change->txn = txn_;
  change->committed_at = time_;
  change->content = {};
  content_ = content;
  in_.skip(static_cast<std::size_t>(p - from));
  return true;
}

bool BatchReader::close(ChangeView* change) {
  if (content_ == nullptr) return true;
  const char* const p = in_.here();
  if (!change->after.present) return close_at(change, p);
  return close_at(change, skip_values(p, p + in_.remaining(), change->after.count));
}

bool BatchReader::close_at(ChangeView* change, const char* end) {
  if (content_ == nullptr) return true;
  if (end == nullptr) return set_change_fault("a value is malformed or cut off");
  const char* const p = in_.here();
  if (change->after.present) {
    change->after.bytes = std::string_view(p, static_cast<std::size_t>(end - p));
  }
  change->content = std::string_view(content_, static_cast<std::size_t>(end - content_));
  content_ = nullptr;
  in_.skip(static_cast<std::size_t>(end - p));
  --changes_left_;
  return true;
}

bool BatchReader::at_end() {
  if (faulty_) return false;
  if (tables_left_ != 0) return set_fault("its table definitions must be read before its changes");
  if (last_ != header_.last_lsn) return set_fault("its last change has not the header's last LSN");
  if (!in_.at_end()) {
    return set_fault(std::to_string(in_.remaining()) + " bytes follow its last change");
  }
  return false;
}

bool BatchReader::set_fault(std::string_view what) {
  faulty_ = true;
  fault_ = "malformed batch at byte " + std::to_string(in_.consumed()) + ": ";
  fault_ += what;
  return false;
}

bool BatchReader::set_change_fault(std::string_view what) {
  return set_fault("change " + std::to_string(header_.change_count - changes_left_ + 1) + " of " +
                   std::to_string(header_.change_count) + ": " + std::string(what));
}

Result<void> BatchReader::status() const {
  if (faulty_) return fail(ErrorKind::kInvalid, fault_);
  return {};
}

}  // namespace evodb::wire
