#include "bench/lakehouse_reader.h"

#include <unordered_map>
#include <utility>

#include "bench/row_check.h"
#include "lake/landed_filter.h"
#include "table/append.h"

namespace evodb::bench {

Result<LakehouseReader> LakehouseReader::open(const std::string& data) {
  LakehouseReader reader;
  reader.store_ = EVODB_TRY(store::open_store({.url = "file:" + data + "/warehouse"}));
  reader.catalog_ = EVODB_TRY(table::open_sqlite_catalog(data + "/catalog.db", "evodb", "evodb"));
  return reader;
}

Result<void> LakehouseReader::read_new_files(const std::string& table, const File& file) {
  const auto location = EVODB_TRY(catalog_->load(table));
  if (!location || *location == last_location_) return {};
  const auto live = EVODB_TRY(table::list_live_files(*store_, *location));
  for (const auto& of : live.data) {
    if (seen_.contains(of.location)) continue;
    const std::string key = EVODB_TRY(store_->key_of(of.location));
    EVODB_TRY(file(EVODB_TRY(store_->get(key))));
    seen_.insert(of.location);
  }
  last_location_ = *location;
  return {};
}

Result<void> LakehouseReader::read_new(const std::string& table, const Row& row) {
  return read_new_files(
      table, [&](const std::string& bytes) { return lake::scan_identities(bytes, row); });
}

Result<void> LakehouseReader::expect(const LoadOptions& load) {
  std::unordered_map<std::string, std::vector<bool>> seen;
  for (std::uint32_t i = 0; i < load.connections; ++i) {
    seen[load.prefix + "-" + std::to_string(i)].resize(load.share_of(i) + 1);
  }
  std::uint64_t rows = 0, twice = 0, strange = 0;
  seen_.clear();
  last_location_.clear();
  const auto note = [&](std::string_view source, Epoch epoch, Lsn lsn) {
    if (!source.starts_with(load.prefix + "-")) return;  // another run's
    ++rows;
    const auto found = seen.find(std::string(source));
    if (found == seen.end() || epoch.value != 1 || lsn.value == 0 ||
        lsn.value >= found->second.size()) {
      ++strange;
    } else if (found->second[lsn.value]) {
      ++twice;
    } else {
      found->second[lsn.value] = true;
    }
  };
  const auto tables = load_table_names(load.rows, load.tables);
  for (const std::string& table : tables) {
    EVODB_TRY(read_new_files(
        table, [&](const std::string& bytes) { return check_rows(bytes, load.rows, note); }));
  }
  const std::uint64_t once = rows - twice - strange;
  if (once != load.entries || twice != 0 || strange != 0) {
    return fail(ErrorKind::kCorrupt, tables.front() + ": " + std::to_string(load.entries - once) +
                                         " missing, " + std::to_string(twice) + " twice, " +
                                         std::to_string(strange) + " that nobody sent");
  }
  return {};
}

}  // namespace evodb::bench
