// What the lake's tests share: a journal that is a list in memory, a catalog that is a map, and
// Parquet files read back by Arrow, each row a map from column to text.
//
//   send("till-7", 1, {insert(5, {Value::integer(1), Value::text("tea")})});
//   flush_all();
//   EXPECT_EQ(rows("goods_changes")[0].at("name"), "tea");
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <arrow/api.h>
#include <arrow/io/memory.h>
#include <gtest/gtest.h>
#include <parquet/arrow/reader.h>

#include "ingest/batch_record.h"
#include "lake/flush_job.h"
#include "lake/lake.h"
#include "lake/landed_filter.h"
#include "lake/parquet_encoder.h"
#include "wire/change.h"

namespace evodb::lake {

using Row = std::map<std::string, std::string>;  // what is null is not in it

inline void put_cell(Row& row, const std::string& name, const arrow::Scalar& scalar) {
  if (!scalar.is_valid) return;
  if (scalar.type->id() == arrow::Type::MAP) {
    const auto& entries = *static_cast<const arrow::MapScalar&>(scalar).value;
    for (int64_t i = 0; i < entries.length(); ++i) {
      const auto entry = entries.GetScalar(i).ValueOrDie();
      const auto& parts = static_cast<const arrow::StructScalar&>(*entry);
      row[name + "[" + parts.value[0]->ToString() + "]"] = parts.value[1]->ToString();
    }
  } else if (scalar.type->id() == arrow::Type::BINARY) {
    row[name] = static_cast<const arrow::BinaryScalar&>(scalar).view();
  } else {
    row[name] = scalar.ToString();
  }
}

inline std::vector<Row> read_parquet(const std::string& bytes) {
  auto file = std::make_shared<arrow::io::BufferReader>(std::make_shared<arrow::Buffer>(bytes));
  auto reader = parquet::arrow::OpenFile(file, arrow::default_memory_pool()).ValueOrDie();
  const auto table = reader->ReadTable().ValueOrDie();
  std::vector<Row> rows(static_cast<std::size_t>(table->num_rows()));
  for (int c = 0; c < table->num_columns(); ++c) {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      put_cell(rows[r], table->field(c)->name(),
               *table->column(c)->GetScalar(static_cast<std::int64_t>(r)).ValueOrDie());
    }
  }
  return rows;
}

struct SentChange {
  Op op = Op::kInsert;
  std::uint64_t lsn = 0;
  std::optional<std::vector<Value>> before, after;
  std::optional<std::string> key;
  std::string reason;
  std::int64_t committed_at = 1'700'000'000'123;
  std::uint32_t table = 0;  // which of the definitions sent with it
};

inline SentChange insert(std::uint64_t lsn, std::vector<Value> after) {
  return {.op = Op::kInsert, .lsn = lsn, .after = std::move(after)};
}
inline SentChange update(std::uint64_t lsn, std::vector<Value> before, std::vector<Value> after) {
  return {.op = Op::kUpdate, .lsn = lsn, .before = std::move(before), .after = std::move(after)};
}
inline SentChange erase(std::uint64_t lsn, std::vector<Value> before) {
  return {.op = Op::kDelete, .lsn = lsn, .before = std::move(before)};
}

inline wire::TableDef goods() {
  return {.name = "goods",
          .columns = {{.name = "id", .declared_type = "INTEGER", .key_ordinal = 1},
                      {.name = "name", .declared_type = "TEXT"},
                      {.name = "price", .declared_type = "REAL"},
                      {.name = "picture", .declared_type = "BLOB"}}};
}

struct StoredRecord {
  journal::RecordType type = journal::RecordType::kBatch;
  Position position, end;
  std::string payload;
};

class LakeWorld : public testing::Test {
 protected:
  LakeWorld() { start(); }

  // A new lake over the same journal and catalog, as after a restart. The journal is not read yet.
  void start() {
    ++identity.writer.value;
    lake = Lake::create(options, identity);
    for (const auto& [name, state] : catalog) lake->add_table(state);
    read = 0;
  }

  // Appends to the journal; `ordered` sources have epochs from 1.
  void append(const std::string& source, std::uint64_t epoch,
              const std::vector<wire::TableDef>& defs, const std::vector<SentChange>& changes,
              std::uint64_t skip_through = 0) {
    std::vector<ingest::TableMapping> mappings;
    for (std::uint32_t i = 0; i < defs.size(); ++i) {
      std::string payload;
      wire::encode_table_def(payload, defs[i]);
      store(journal::RecordType::kTableDef, std::move(payload));
      mappings.push_back({i, defs[i].fingerprint()});
    }
    wire::BatchWriter writer;
    writer.reset(Lsn(changes.front().lsn - 1), ChainHash(0));
    for (const SentChange& change : changes) {
      std::string key, before, after;
      const auto values = [](const std::optional<std::vector<Value>>& from, std::string& out) {
        if (!from) return wire::ValuesView();
        for (const Value& v : *from) wire::put_value(out, v);
        return wire::ValuesView{true, static_cast<std::uint32_t>(from->size()), out};
      };
      wire::ValuesView key_values;
      if (change.key) {
        wire::put_value(key, Value::text(*change.key));
        key_values = {true, 1, key};
      }
      writer.add_change(change.op, change.table, mappings[change.table].fingerprint,
                        Lsn(change.lsn), TxnId(change.lsn), UnixMillis(change.committed_at),
                        key_values, values(change.before, before), values(change.after, after),
                        change.reason);
    }
    const std::string body = writer.finish();
    const ingest::BatchRecord record{.source = source,
                                     .epoch = Epoch(epoch),
                                     .ordered = epoch != 0,
                                     .received_at = UnixMillis(1'700'000'000'456),
                                     .skip_through = Lsn(skip_through),
                                     .last_lsn = Lsn(changes.back().lsn),
                                     .change_count = static_cast<std::uint32_t>(changes.size()),
                                     .tables = mappings};
    std::string payload;
    ingest::encode_batch_record_prefix(payload, record);
    store(journal::RecordType::kBatch, payload + body);
  }
  void store(journal::RecordType type, std::string payload) {
    const Position position = records.empty() ? Position(0) : records.back().end;
    const Position end(position.value + payload.size() + 40);
    records.push_back({type, position, end, std::move(payload)});
  }

  // The lake reads what the journal has more.
  Result<void> read_all() {
    while (read < records.size()) {
      if (!lake->has_room()) return fail(ErrorKind::kOverLimit, "no room");
      const StoredRecord& r = records[read];
      if (auto done = lake->on_record({r.type, r.position, r.end, r.payload}, UnixMillis(0), now);
          !done) {
        return done;
      }
      ++read;
    }
    return {};
  }
  void send(const std::string& source, std::uint64_t epoch, const std::vector<SentChange>& changes,
            const wire::TableDef& def = goods()) {
    append(source, epoch, {def}, changes);
    const auto done = read_all();
    ASSERT_TRUE(done) << done.error().text;
  }

  // What the catalog would say after this flush.
  static table::TableState committed(const FlushJob& job) {
    table::TableState state;
    state.name = job.table;
    state.location_key = job.location_key;
    state.schema = job.schema;
    state.last_column_id = job.schema.last_column_id();
    state.watermark = job.watermark;
    return state;
  }
  // Encodes and commits one flush. The file's rows join those of the table.
  void commit(const FlushJob& job) {
    auto encoded = encoder.encode(job, options.file_bytes_max);
    ASSERT_TRUE(encoded) << encoded.error().text;
    const auto held = catalog.find(job.table);
    ASSERT_EQ(job.create, held == catalog.end());
    ASSERT_EQ(job.expected, job.create ? std::nullopt : held->second.watermark);
    for (EncodedFile& file : *encoded) {
      for (Row& row : read_parquet(file.bytes)) landed[job.table].push_back(std::move(row));
      files[job.table].push_back(std::move(file));
    }
    catalog[job.table] = committed(job);
    lake->on_flush_done(job.id, committed(job), now);
  }
  void flush_all() {
    lake->request_flush();
    while (const auto job = lake->next_flush(now)) commit(*job);
  }
  const std::vector<Row>& rows(const std::string& table) { return landed[table]; }
  std::vector<std::string> lsns(const std::string& table) {
    std::vector<std::string> out;
    for (const Row& row : landed[table]) out.push_back(row.at("_source") + ":" + row.at("_lsn"));
    return out;
  }
  std::map<std::string, std::uint64_t> marks() {
    std::vector<PersistedMark> taken;
    lake->take_persisted(&taken);
    std::map<std::string, std::uint64_t> out;
    for (const PersistedMark& mark : taken) out[mark.source] = mark.lsn.value;
    return out;
  }

  LakeOptions options;
  Lake::Identity identity{"parent", table::WriterEpoch(0), journal::JournalId(77)};
  ParquetEncoder encoder;
  base::MonotonicMillis now{1'000};
  std::vector<StoredRecord> records;
  std::size_t read = 0;
  std::map<std::string, table::TableState> catalog;
  std::map<std::string, std::vector<Row>> landed;
  std::map<std::string, std::vector<EncodedFile>> files;
  std::unique_ptr<Lake> lake;
};

}  // namespace evodb::lake
