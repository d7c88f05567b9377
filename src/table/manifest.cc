#include "table/manifest.h"

#include <utility>

#include "base/assert.h"
#include "table/avro.h"
#include "table/manifest_schemas.h"

namespace evodb::table {
namespace {

// --- writing ------------------------------------------------------------------------------------
void put_optional_long(std::string& out, std::optional<std::int64_t> v) {
  if (!v) return put_avro_null(out);
  put_avro_some(out);
  put_avro_long(out, *v);
}

void put_optional_bytes(std::string& out, const std::optional<std::string>& v) {
  if (!v) return put_avro_null(out);
  put_avro_some(out);
  put_avro_bytes(out, *v);
}

void put_value(std::string& out, std::int64_t v) { put_avro_long(out, v); }
void put_value(std::string& out, const std::string& v) { put_avro_bytes(out, v); }

// An empty one is written as empty, not as null: PyIceberg's inspection expects a map.
template <class Map>
void put_map(std::string& out, const Map& map) {
  put_avro_some(out);
  if (!map.empty()) put_avro_long(out, static_cast<std::int64_t>(map.size()));
  for (const auto& [key, value] : map) {
    put_avro_long(out, key);
    put_value(out, value);
  }
  put_avro_long(out, 0);
}

template <class List>
void put_list(std::string& out, const List& list) {
  if (list.empty()) return put_avro_null(out);
  put_avro_some(out);
  put_avro_long(out, static_cast<std::int64_t>(list.size()));
  for (const auto item : list) put_avro_long(out, item);
  put_avro_long(out, 0);
}

void put_entry(std::string& out, const ManifestEntry& entry) {
  EVODB_ASSERT(!entry.partitioned, "a partitioned entry is never rewritten");
  EVODB_ASSERT(
      entry.status == EntryStatus::kAdded || (entry.sequence_number && entry.file_sequence_number),
      "only an added entry may inherit its sequence numbers");
  put_avro_long(out, static_cast<int>(entry.status));
  put_optional_long(out, entry.snapshot_id);
  put_optional_long(out, entry.sequence_number);
  put_optional_long(out, entry.file_sequence_number);
  put_avro_long(out, entry.content);
  put_avro_bytes(out, entry.file.location);
  put_avro_bytes(out, entry.file_format);
  // 102, the partition: a record without fields, so without bytes.
  put_avro_long(out, entry.file.record_count);
  put_avro_long(out, entry.file.file_bytes);
  put_map(out, entry.file.column_bytes);
  put_map(out, entry.file.value_counts);
  put_map(out, entry.file.null_counts);
  put_map(out, entry.file.nan_counts);
  put_map(out, entry.file.lower_bounds);
  put_map(out, entry.file.upper_bounds);
  put_optional_bytes(out, entry.key_metadata);
  put_list(out, entry.file.split_offsets);
  put_list(out, entry.equality_ids);
  put_optional_long(out, entry.sort_order_id);
}

void put_manifest_file(std::string& out, const ManifestFile& file) {
  put_avro_bytes(out, file.location);
  for (const std::int64_t v :
       {file.bytes, std::int64_t{file.spec_id}, std::int64_t{file.content}, file.sequence_number,
        file.min_sequence_number, file.added_snapshot_id, std::int64_t{file.added_files},
        std::int64_t{file.existing_files}, std::int64_t{file.deleted_files}, file.added_rows,
        file.existing_rows, file.deleted_rows}) {
    put_avro_long(out, v);
  }
  if (!file.partitions) {
    put_avro_null(out);
  } else {
    put_avro_some(out);
    if (!file.partitions->empty()) {
      put_avro_long(out, static_cast<std::int64_t>(file.partitions->size()));
      for (const auto& summary : *file.partitions) {
        out.push_back(summary.contains_null ? '\1' : '\0');
        if (summary.contains_nan) {
          put_avro_some(out);
          out.push_back(*summary.contains_nan ? '\1' : '\0');
        } else {
          put_avro_null(out);
        }
        put_optional_bytes(out, summary.lower_bound);
        put_optional_bytes(out, summary.upper_bound);
      }
    }
    put_avro_long(out, 0);
  }
  put_optional_bytes(out, file.key_metadata);
}

// --- reading ------------------------------------------------------------------------------------
// Fields of one record by id. A missing required one or one of another type sets `broken`.
class RecordReader {
 public:
  RecordReader(const AvroFile& file, const AvroValue& record) : file_(file), record_(record) {}

  std::optional<std::int64_t> optional_long(std::int32_t id) {
    const AvroValue* v = file_.field(record_, id);
    if (v == nullptr) return std::nullopt;
    if (v->kind != AvroNode::Kind::kInt && v->kind != AvroNode::Kind::kLong) {
      broken = true;
      return std::nullopt;
    }
    return v->number;
  }
  std::int64_t require_long(std::int32_t id) {
    const auto v = optional_long(id);
    if (!v) broken = true;
    return v.value_or(0);
  }
  std::int32_t narrow(std::optional<std::int64_t> v) {
    if (v && (*v < INT32_MIN || *v > INT32_MAX)) broken = true;
    return static_cast<std::int32_t>(v.value_or(0));
  }
  std::int32_t require_int(std::int32_t id) { return narrow(require_long(id)); }
  std::int32_t int_or_zero(std::int32_t id) { return narrow(optional_long(id)); }

  std::optional<std::string> optional_bytes(std::int32_t id) {
    const AvroValue* v = file_.field(record_, id);
    if (v == nullptr) return std::nullopt;
    if (v->kind != AvroNode::Kind::kString && v->kind != AvroNode::Kind::kBytes) {
      broken = true;
      return std::nullopt;
    }
    return v->bytes;
  }
  std::string require_bytes(std::int32_t id) {
    const auto v = optional_bytes(id);
    if (!v) broken = true;
    return v.value_or("");
  }
  std::optional<bool> optional_boolean(std::int32_t id) {
    const AvroValue* v = file_.field(record_, id);
    if (v == nullptr) return std::nullopt;
    if (v->kind != AvroNode::Kind::kBoolean) broken = true;
    return v->number != 0;
  }
  // An array of records (key, value), as Iceberg writes maps with int keys.
  void map(std::int32_t id, std::map<std::int32_t, std::int64_t>& out) {
    each_pair(id, [&](std::int32_t key, const AvroValue& value) { out[key] = value.number; });
  }
  void map(std::int32_t id, std::map<std::int32_t, std::string>& out) {
    each_pair(id, [&](std::int32_t key, const AvroValue& value) { out[key] = value.bytes; });
  }
  template <class Int>
  void list(std::int32_t id, std::vector<Int>& out) {
    const AvroValue* v = file_.field(record_, id);
    if (v == nullptr) return;
    for (const AvroValue& item : v->items) {
      if (!std::in_range<Int>(item.number)) broken = true;
      out.push_back(static_cast<Int>(item.number));
    }
  }
  const AvroValue* record(std::int32_t id) {
    const AvroValue* v = file_.field(record_, id);
    if (v != nullptr && v->kind == AvroNode::Kind::kRecord) return v;
    broken = true;
    return nullptr;
  }

  bool broken = false;

 private:
  template <class Each>
  void each_pair(std::int32_t id, Each each) {
    const AvroValue* v = file_.field(record_, id);
    if (v == nullptr) return;
    if (v->kind != AvroNode::Kind::kArray) broken = true;
    for (const AvroValue& pair : v->items) {
      if (pair.kind != AvroNode::Kind::kRecord || pair.items.size() != 2) {
        broken = true;
        return;
      }
      each(narrow(pair.items[0].number), pair.items[1]);
    }
  }

  const AvroFile& file_;
  const AvroValue& record_;
};

std::unexpected<Error> bad_manifest(const std::string& why) {
  return fail(ErrorKind::kCorrupt, why);
}

Result<ManifestEntry> read_entry(const AvroFile& file, const AvroValue& row,
                                 const ManifestFile& listed) {
  RecordReader outer(file, row);
  const std::int32_t status = outer.require_int(0);
  if (status < 0 || status > 2) return bad_manifest("a manifest entry has an unknown status");
  ManifestEntry entry;
  entry.status = static_cast<EntryStatus>(status);
  entry.snapshot_id = outer.optional_long(1).value_or(listed.added_snapshot_id);
  entry.sequence_number = outer.optional_long(3);
  entry.file_sequence_number = outer.optional_long(4);
  // The spec's inheritance. Entries of a v1 manifest have no numbers at all; theirs is 0, which is
  // what a list says of such a manifest.
  if (entry.status == EntryStatus::kAdded || listed.sequence_number == 0) {
    if (!entry.sequence_number) entry.sequence_number = listed.sequence_number;
    if (!entry.file_sequence_number) entry.file_sequence_number = listed.sequence_number;
  }
  if (!entry.sequence_number) return bad_manifest("a manifest entry lacks its sequence number");
  if (!entry.file_sequence_number) entry.file_sequence_number = entry.sequence_number;

  const AvroValue* data_file = outer.record(2);
  if (data_file == nullptr) return bad_manifest("a manifest entry has no data file");
  RecordReader in(file, *data_file);
  entry.content = in.int_or_zero(134);
  entry.file.location = in.require_bytes(100);
  entry.file_format = in.require_bytes(101);
  if (const AvroValue* partition = file.field(*data_file, 102)) {
    entry.partitioned = !partition->items.empty();
  }
  entry.file.record_count = in.require_long(103);
  entry.file.file_bytes = in.require_long(104);
  in.map(108, entry.file.column_bytes);
  in.map(109, entry.file.value_counts);
  in.map(110, entry.file.null_counts);
  in.map(137, entry.file.nan_counts);
  in.map(125, entry.file.lower_bounds);
  in.map(128, entry.file.upper_bounds);
  entry.key_metadata = in.optional_bytes(131);
  in.list(132, entry.file.split_offsets);
  in.list(135, entry.equality_ids);
  if (const auto order = in.optional_long(140)) entry.sort_order_id = in.narrow(order);
  if (outer.broken || in.broken)
    return bad_manifest("a manifest entry lacks a field or mistypes one");
  if (entry.file.location.empty() || entry.file.record_count < 0 || entry.file.file_bytes < 0) {
    return bad_manifest("a manifest entry has no path or a negative size");
  }
  return entry;
}

Result<ManifestFile> read_line(const AvroFile& file, const AvroValue& row) {
  RecordReader in(file, row);
  ManifestFile out;
  out.location = in.require_bytes(500);
  out.bytes = in.require_long(501);
  out.spec_id = in.require_int(502);
  out.content = in.int_or_zero(517);
  out.sequence_number = in.optional_long(515).value_or(0);
  out.min_sequence_number = in.optional_long(516).value_or(0);
  out.added_snapshot_id = in.require_long(503);
  out.added_files = in.require_int(504);
  out.existing_files = in.require_int(505);
  out.deleted_files = in.require_int(506);
  out.added_rows = in.require_long(512);
  out.existing_rows = in.require_long(513);
  out.deleted_rows = in.require_long(514);
  if (const AvroValue* partitions = file.field(row, 507)) {
    out.partitions.emplace();
    for (const AvroValue& item : partitions->items) {
      RecordReader summary(file, item);
      out.partitions->push_back({summary.optional_boolean(509).value_or(false),
                                 summary.optional_boolean(518), summary.optional_bytes(510),
                                 summary.optional_bytes(511)});
      if (summary.broken) in.broken = true;
    }
  }
  out.key_metadata = in.optional_bytes(519);
  if (in.broken || out.location.empty() || out.bytes < 0 || out.added_files < 0 ||
      out.existing_files < 0 || out.deleted_files < 0 || out.added_rows < 0 ||
      out.existing_rows < 0 || out.deleted_rows < 0) {
    return bad_manifest("a line of a manifest list lacks a field or mistypes one");
  }
  return out;
}

}  // namespace

std::string write_manifest(const ManifestHeader& header,
                           const std::vector<ManifestEntry>& entries) {
  AvroWriter out(manifest_entry_schema, {{"schema", header.schema_json},
                                         {"schema-id", std::to_string(header.schema_id)},
                                         {"partition-spec", "[]"},
                                         {"partition-spec-id", std::to_string(header.spec_id)},
                                         {"format-version", "2"},
                                         {"content", "data"}});
  for (const ManifestEntry& entry : entries) {
    put_entry(out.row(), entry);
    out.end_row();
  }
  return out.finish();
}

Result<std::vector<ManifestEntry>> read_manifest(std::string_view bytes,
                                                 const ManifestFile& listed) {
  const AvroFile file = EVODB_TRY(read_avro(bytes));
  std::vector<ManifestEntry> entries;
  entries.reserve(file.rows.size());
  for (const AvroValue& row : file.rows)
    entries.push_back(EVODB_TRY(read_entry(file, row, listed)));
  return entries;
}

std::string write_manifest_list(const ManifestListHeader& header,
                                const std::vector<ManifestFile>& files) {
  AvroWriter out(manifest_file_schema,
                 {{"snapshot-id", std::to_string(header.snapshot_id)},
                  {"parent-snapshot-id",
                   header.parent_snapshot_id ? std::to_string(*header.parent_snapshot_id) : "null"},
                  {"sequence-number", std::to_string(header.sequence_number)},
                  {"format-version", "2"}});
  for (const ManifestFile& file : files) {
    put_manifest_file(out.row(), file);
    out.end_row();
  }
  return out.finish();
}

Result<std::vector<ManifestFile>> read_manifest_list(std::string_view bytes) {
  const AvroFile file = EVODB_TRY(read_avro(bytes));
  std::vector<ManifestFile> lines;
  lines.reserve(file.rows.size());
  for (const AvroValue& row : file.rows) lines.push_back(EVODB_TRY(read_line(file, row)));
  return lines;
}

}  // namespace evodb::table
