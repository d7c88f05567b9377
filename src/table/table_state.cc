#include "table/table_state.h"

#include <charconv>

#include "table/schema_json.h"

namespace evodb::table {
namespace {

std::optional<std::uint64_t> to_number(const std::optional<std::string>& text) {
  std::uint64_t v = 0;
  if (!text) return std::nullopt;
  const char* end = text->data() + text->size();
  const auto [stop, error] = std::from_chars(text->data(), end, v);
  if (error != std::errc() || stop != end) return std::nullopt;
  return v;
}

// `get` gives a key's value or nothing. No key at all is nothing; some of them is kCorrupt.
template <class Get>
Result<std::optional<Watermark>> watermark_from(Get get) {
  const auto parent = get(watermark_parent_key);
  const auto writer = get(watermark_writer_key), journal = get(watermark_journal_key),
             position = get(watermark_position_key);
  if (!parent && !writer && !journal && !position) return std::nullopt;
  const auto writer_number = to_number(writer), journal_number = to_number(journal),
             position_number = to_number(position);
  if (!parent || !writer_number || !journal_number || !position_number) {
    return fail(ErrorKind::kCorrupt,
                "the table's watermark is damaged (its properties " +
                    std::string(watermark_parent_key) + ", " + watermark_writer_key + ", " +
                    watermark_journal_key + ", " + watermark_position_key +
                    "): set them back to what its newest snapshot's summary says");
  }
  return Watermark{*parent, WriterEpoch(*writer_number), *journal_number,
                   Position(*position_number)};
}

Result<std::optional<Watermark>> watermark_in(const Snapshot& snapshot) {
  return watermark_from([&](const char* key) -> std::optional<std::string> {
    const auto it = snapshot.summary.find(key);
    return it == snapshot.summary.end() ? std::nullopt : std::optional(it->second);
  });
}

std::int64_t total(const Snapshot& snapshot, const char* key) {
  const auto it = snapshot.summary.find(key);
  if (it == snapshot.summary.end()) return 0;
  const auto v = to_number(it->second);
  return v && *v <= INT64_MAX ? static_cast<std::int64_t>(*v) : 0;
}

}  // namespace

std::map<std::string, std::string> watermark_properties(const Watermark& watermark) {
  return {{watermark_parent_key, watermark.parent},
          {watermark_writer_key, std::to_string(watermark.writer.value)},
          {watermark_journal_key, std::to_string(watermark.journal)},
          {watermark_position_key, std::to_string(watermark.position.value)}};
}

std::optional<Watermark> summary_watermark(const Snapshot& snapshot) {
  const auto found = watermark_in(snapshot);
  return found ? *found : std::nullopt;
}

Result<std::optional<Watermark>> read_watermark(const TableMetadata& metadata) {
  auto found = EVODB_TRY(watermark_from([&](const char* key) { return metadata.property(key); }));
  for (const Snapshot& snapshot : metadata.snapshots() | std::views::reverse) {
    if (found) break;
    found = EVODB_TRY(watermark_in(snapshot));
  }
  return found;
}

std::string describe(const std::optional<Watermark>& watermark) {
  if (!watermark) return "none";
  return "parent " + watermark->parent + ", writer epoch " +
         std::to_string(watermark->writer.value) + ", journal " +
         std::to_string(watermark->journal) + ", position " +
         std::to_string(watermark->position.value);
}

Result<TableState> table_state_of(const std::string& name, const std::string& metadata_location,
                                  const TableMetadata& metadata, const store::ObjectStore& store) {
  TableState state;
  state.name = name;
  state.metadata_location = metadata_location;
  state.location_key = EVODB_TRY(store.key_of(metadata.location()));
  state.uuid = metadata.uuid();
  state.schema = EVODB_TRY(schema_from_json(metadata.current_schema()));
  state.last_column_id = metadata.last_column_id();
  state.watermark = EVODB_TRY(read_watermark(metadata));
  if (const Snapshot* current = metadata.current_snapshot()) {
    state.current_snapshot = current->id;
    state.total_records = total(*current, "total-records");
    state.total_files = total(*current, "total-data-files");
    state.total_bytes = total(*current, "total-files-size");
  }
  state.snapshots = metadata.snapshots().size();
  state.last_updated = UnixMillis(metadata.last_updated_ms());
  return state;
}

Result<TableState> parse_table_state(const std::string& name, const std::string& metadata_location,
                                     const std::string& metadata_json,
                                     const store::ObjectStore& store) {
  auto state = [&]() -> Result<TableState> {
    const TableMetadata metadata = EVODB_TRY(TableMetadata::parse(metadata_json));
    return table_state_of(name, metadata_location, metadata, store);
  }();
  if (state) return state;
  return fail(state.error().kind,
              "table " + name + " (" + metadata_location + "): " + state.error().text);
}

}  // namespace evodb::table
