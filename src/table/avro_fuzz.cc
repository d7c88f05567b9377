// Avro files, manifests and manifest lists from anybody: refused or read, never more than bounded
// memory, and what was read can be written and read again as the same.
#include "table/avro.h"

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "table/avro_schema.h"
#include "table/manifest.h"
#include "table/manifest_schemas.h"

using namespace evodb::table;

namespace {

void check(bool holds) {
  if (!holds) std::abort();
}

// One block of `rows` rows that are encoded in `bytes`, under a schema of ours.
std::string wrapped(const char* schema, int rows, std::string_view bytes) {
  AvroWriter out(schema, {});
  out.row() = bytes;
  for (int i = 0; i < rows; ++i) out.end_row();
  return out.finish();
}

void manifest(std::string_view bytes) {
  const ManifestFile listed{.sequence_number = 3, .added_snapshot_id = 9};
  auto entries = read_manifest(bytes, listed);
  if (!entries) return;
  std::erase_if(*entries, [](const ManifestEntry& entry) { return entry.partitioned; });
  const auto again = read_manifest(write_manifest({"{}", 0, 0}, *entries), listed);
  check(again && again->size() == entries->size());
  for (std::size_t i = 0; i < again->size(); ++i) {
    check((*again)[i].file.location == (*entries)[i].file.location);
    check((*again)[i].file.lower_bounds == (*entries)[i].file.lower_bounds);
    check((*again)[i].file.value_counts == (*entries)[i].file.value_counts);
    check((*again)[i].sequence_number == (*entries)[i].sequence_number);
  }
}

void manifest_list(std::string_view bytes) {
  const auto lines = read_manifest_list(bytes);
  if (!lines) return;
  const auto again = read_manifest_list(write_manifest_list({1, 2, 3}, *lines));
  check(again && *again == *lines);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const int rows = data[1] % 4 + 1;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  switch (data[0] % 6) {
    case 0: manifest(bytes); break;
    case 1: manifest_list(bytes); break;
    case 2: manifest("Obj\1" + std::string(bytes)); break;
    case 3: manifest(wrapped(manifest_entry_schema, rows, bytes)); break;
    case 4: manifest_list(wrapped(manifest_file_schema, rows, bytes)); break;
    default: (void)parse_avro_schema(bytes);
  }
  return 0;
}
