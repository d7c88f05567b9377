// Table metadata from anybody. Raw bytes, and a good document with members replaced, removed and
// moved: what is accepted must survive everything that a commit does to it.
#include "table/metadata.h"

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "table/schema_json.h"
#include "table/table_state.h"

using namespace evodb;
using namespace evodb::table;

namespace {

Schema sample_schema() {
  return {0,
          {{.id = 1, .name = "a", .type = Type::kLong, .required = true},
           {.id = 2,
            .name = "b",
            .type = Type::kStruct,
            .children = {{.id = 3, .name = "c", .type = Type::kString}}},
           {.id = 4, .name = "m", .type = Type::kMapStringString, .key_id = 5, .value_id = 6}}};
}

Json sample() {
  TableMetadata m = TableMetadata::create(
      {"3d8b8b0e-0000-4000-8000-000000000000", "s3://b/t", sample_schema(), {1}, UnixMillis(5)});
  for (std::int64_t i = 1; i <= 4; ++i) {
    m.log_metadata("s3://b/t/metadata/" + std::to_string(i), 10);
    m.add_snapshot({.id = i,
                    .parent = i > 1 ? std::optional(i - 1) : std::nullopt,
                    .sequence_number = i,
                    .timestamp_ms = i * 10,
                    .manifest_list = "s3://b/t/metadata/l" + std::to_string(i),
                    .summary = {{"operation", "append"},
                                {std::string(merged_manifests_key), "x.avro,y.avro"}}});
  }
  for (const auto& [key, value] : watermark_properties({"p", WriterEpoch(1), 2, Position(3)})) {
    m.set_property(key, value);
  }
  return *parse_json(m.to_json());
}

void nodes_of(Json& json, std::vector<Json*>& out) {
  out.push_back(&json);
  if (json.is_structured()) {
    for (Json& child : json) nodes_of(child, out);
  }
}

Json other_value(std::uint8_t kind) {
  switch (kind % 12) {
    case 0: return nullptr;
    case 1: return -1;
    case 2: return INT64_MAX;
    case 3: return UINT64_MAX;
    case 4: return 1.5;
    case 5: return "text";
    case 6: return Json::array();
    case 7: return Json::object();
    case 8: return true;
    case 9: return Json::array({Json::object()});
    case 10: return kind / 12;
    default: return "\xff";
  }
}

void use(std::string_view text) {
  auto parsed = TableMetadata::parse(text);
  if (!parsed) return;
  TableMetadata& m = *parsed;
  (void)read_watermark(m);
  (void)m.sort_order_of({1});
  (void)m.statistics_files();
  (void)schema_from_json(m.current_schema());
  Schema wanted = sample_schema();
  const std::int32_t last = m.last_column_id();
  wanted.fields.push_back({.id = last + 1, .name = "new"});
  m.log_metadata("s3://b/t/metadata/now", 2);
  if (auto evolved = evolve_schema(m.current_schema(), wanted, last); evolved && *evolved) {
    m.set_schema(std::move(**evolved));
  }
  std::int64_t id = 1'000;
  while (m.find_snapshot(id) != nullptr) ++id;
  m.add_snapshot({.id = id,
                  .sequence_number = m.last_sequence_number() + 1,
                  .timestamp_ms = m.last_updated_ms(),
                  .manifest_list = "s3://b/t/metadata/new",
                  .summary = {{"operation", "append"}}});
  (void)m.retain_snapshots(2);
  m.touch(UnixMillis(7));
  if (!TableMetadata::parse(m.to_json())) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  if (data[0] == '{') {
    use({reinterpret_cast<const char*>(data), size});
    return 0;
  }
  static const Json good = sample();
  Json json = good;
  for (std::size_t i = 0; i + 4 <= size && i < 32; i += 4) {
    std::vector<Json*> nodes;
    nodes_of(json, nodes);
    Json& chosen = *nodes[(data[i] | data[i + 1] << 8) % nodes.size()];
    const std::uint8_t how = data[i + 2];
    if (how % 4 == 0 && chosen.is_structured() && !chosen.empty()) {
      chosen.erase(std::next(chosen.begin(), data[i + 3] % chosen.size()));
    } else if (how % 4 == 1) {
      const Json copy = *nodes[data[i + 3] % nodes.size()];
      chosen = copy;
    } else {
      chosen = other_value(data[i + 3]);
    }
  }
  use(dump_json(json));
  return 0;
}
