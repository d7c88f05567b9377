#include "base/assert.h"
#include "wire/change.h"
#include "wire/change_format.h"

namespace evodb::wire {
namespace {

std::size_t varint_bytes(std::uint64_t v) {
  std::size_t n = 1;
  for (; v >= 0x80; v >>= 7) ++n;
  return n;
}

void put_values(std::string& out, const ValuesView& values) {
  if (!values.present) return;
  base::put_varint(out, values.count);
  out.append(values.bytes);
}

}  // namespace

void BatchWriter::reset(Lsn previous_lsn, ChainHash chain) {
  tables_.clear();
  changes_.clear();
  table_count_ = 0;
  change_count_ = 0;
  previous_ = first_ = last_ = previous_lsn;
  txn_ = {};
  time_ = {};
  chain_ = chain;
}

void BatchWriter::add_table(std::uint32_t table_ref, const TableDef& def) {
  base::put_varint(tables_, table_ref);
  encode_table_def(tables_, def);
  ++table_count_;
}

void BatchWriter::add_change(Op op, std::uint32_t table_ref, std::uint64_t table_fingerprint,
                             Lsn lsn, TxnId txn, UnixMillis committed_at, const ValuesView& key,
                             const ValuesView& before, const ValuesView& after,
                             std::string_view reason) {
  EVODB_ASSERT(lsn > last_, "LSNs grow strictly within a batch");
  const bool has_reason = carries_reason(op);
  EVODB_ASSERT(has_reason ? !before.present && !after.present : reason.empty(),
               "OVERSIZE, RESET and DROP have a reason and no rows, others have no reason");
  EVODB_ASSERT(!key.present || !has_reason || op == Op::kOversize, "of these OVERSIZE has a key");

  // One append for all that is before the values.
  char raw[2 + 4 * base::varint_bytes_max];
  char* p = raw;
  *p++ = static_cast<char>(op);
  p = base::store_varint(p, table_ref);
  p = base::store_varint(p, lsn.value - last_.value);
  p = base::store_varint(p, base::zigzag(static_cast<std::int64_t>(txn.value - txn_.value)));
  p = base::store_varint(
      p, base::zigzag(static_cast<std::int64_t>(static_cast<std::uint64_t>(committed_at.value) -
                                                static_cast<std::uint64_t>(time_.value))));
  *p++ =
      static_cast<char>((key.present ? presence_key : 0) | (before.present ? presence_before : 0) |
                        (after.present ? presence_after : 0) | (has_reason ? presence_reason : 0));
  changes_.append(raw, static_cast<std::size_t>(p - raw));
  const std::size_t content = changes_.size() - 1;
  put_values(changes_, key);
  put_values(changes_, before);
  put_values(changes_, after);
  if (has_reason) base::put_string(changes_, reason);

  ChangeView folded;
  folded.op = op;
  folded.lsn = lsn;
  folded.committed_at = committed_at;
  folded.content = std::string_view(changes_).substr(content);
  chain_ = fold(chain_, table_fingerprint, folded);
  if (change_count_++ == 0) first_ = lsn;
  last_ = lsn;
  txn_ = txn;
  time_ = committed_at;
}

std::size_t BatchWriter::header_bytes() const {
  return varint_bytes(previous_.value) + varint_bytes(first_.value - previous_.value) +
         varint_bytes(last_.value - first_.value) + sizeof chain_.value +
         varint_bytes(change_count_) + varint_bytes(table_count_);
}

std::size_t BatchWriter::bytes() const {
  const std::size_t header = header_bytes();
  return varint_bytes(header) + header + tables_.size() + changes_.size();
}

void BatchWriter::finish(std::string& out) {
  EVODB_ASSERT(change_count_ != 0, "a batch holds at least one change");
  out.reserve(out.size() + bytes());
  base::put_varint(out, header_bytes());
  base::put_varint(out, previous_.value);
  base::put_varint(out, first_.value - previous_.value);
  base::put_varint(out, last_.value - first_.value);
  base::put_u64(out, chain_.value);
  base::put_varint(out, change_count_);
  base::put_varint(out, table_count_);
  out.append(tables_);
  out.append(changes_);
}

std::string BatchWriter::finish() {
  std::string body;
  finish(body);
  return body;
}

}  // namespace evodb::wire
