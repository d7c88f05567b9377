#include "ingest/batch_record.h"

#include "base/bytes.h"
#include "base/limits.h"

namespace evodb::ingest {
namespace {

constexpr std::uint8_t flag_ordered = 1;

}  // namespace

void encode_batch_record_prefix(std::string& out, const BatchRecord& record) {
  base::put_u8(out, record.ordered ? flag_ordered : 0);
  base::put_string(out, record.source);
  base::put_varint(out, record.epoch.value);
  base::put_zigzag(out, record.received_at.value);
  base::put_varint(out, record.skip_through.value);
  base::put_varint(out, record.last_lsn.value);
  base::put_u64(out, record.chain_after.value);
  base::put_varint(out, record.last_txn.value);
  base::put_varint(out, record.change_count);
  base::put_varint(out, record.tables.size());
  for (const TableMapping& table : record.tables) {
    base::put_varint(out, table.table_ref);
    base::put_u64(out, table.fingerprint);
  }
}

Result<BatchRecord> decode_batch_record(std::string_view payload) {
  base::ByteReader in(payload);
  BatchRecord record;
  std::uint8_t flags = 0;
  std::uint64_t change_count = 0, tables = 0;
  in.u8(&flags);
  in.string(&record.source, base::source_name_bytes_max);
  in.varint(&record.epoch.value);
  in.zigzag(&record.received_at.value);
  in.varint(&record.skip_through.value);
  in.varint(&record.last_lsn.value);
  in.u64(&record.chain_after.value);
  in.varint(&record.last_txn.value);
  in.varint(&change_count);
  in.varint(&tables);
  constexpr std::size_t mapping_bytes_min = 9;
  if (!in.ok() || flags > flag_ordered || change_count > UINT32_MAX ||
      tables > in.remaining() / mapping_bytes_min) {
    return fail(ErrorKind::kCorrupt, "a batch record of the journal is malformed at byte " +
                                         std::to_string(in.consumed()));
  }
  record.ordered = flags == flag_ordered;
  record.change_count = static_cast<std::uint32_t>(change_count);
  record.tables.reserve(tables);
  for (std::uint64_t i = 0; i < tables; ++i) {
    std::uint64_t ref = 0;
    TableMapping mapping;
    if (!in.varint(&ref) || ref > UINT32_MAX || !in.u64(&mapping.fingerprint)) {
      return fail(ErrorKind::kCorrupt, "a batch record's tables are malformed");
    }
    mapping.table_ref = static_cast<std::uint32_t>(ref);
    record.tables.push_back(mapping);
  }
  in.bytes(in.remaining(), &record.body);
  return record;
}

}  // namespace evodb::ingest
