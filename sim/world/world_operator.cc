// What people and other engines do to the catalog and the data directory, while the bucket is whole.
#include <algorithm>
#include <array>
#include <utility>

#include <nlohmann/json.hpp>

#include "sim/world/world.h"

namespace evodb::sim {

namespace {
using Json = nlohmann::json;

constexpr std::uint32_t data_lost_max = 2;
// Columns that others may rename or drop, and two without which a table waits.
constexpr std::array<std::string_view, 7> columns_of_rows = {
    "body", "price", "data", "_before_body", "_before_price", "_before_data", "_unfit"};
constexpr std::array<std::string_view, 2> system_columns = {"_op", "_txn"};

bool is_one_of(std::span<const std::string_view> names, const Json& field) {
  return std::ranges::find(names, field["name"].get<std::string>()) != names.end();
}

Json* present_schema(Json& metadata) {
  for (Json& schema : metadata["schemas"]) {
    if (schema["schema-id"] == metadata["current-schema-id"]) return &schema;
  }
  return nullptr;
}

// The same table under a schema of these fields.
void set_fields(Json& metadata, const std::vector<Json>& fields) {
  Json schema = *present_schema(metadata);
  std::int64_t id = 0;
  for (const Json& old : metadata["schemas"])
    id = std::max(id, old["schema-id"].get<std::int64_t>());
  schema["schema-id"] = id + 1;
  schema["fields"] = fields;
  metadata["schemas"].push_back(schema);
  metadata["current-schema-id"] = id + 1;
}
}  // namespace

void World::add_catalog(std::shared_ptr<CatalogFile> file) {
  catalogs_.push_back(std::make_unique<FaultyCatalog>(std::move(file), ground_, plan_,
                                                      [this](const Strike& s) { note(s); }));
  FaultyCatalog& added = *catalogs_.back();
  added.on_commit(
      [this, &added](const std::string& table, const std::string& location, bool superseded) {
        // What is committed to the catalog of a directory that was copied counts when whoever goes on
        // with the store takes it over.
        if (&added != catalogs_.back().get())
          return tell("commit to " + table + " of another catalog");
        tell("commit to " + table);
        if (superseded) {
          violate(Invariant::kFencing, table + ": a parent commits after another has taken over");
        }
        if (oracle_.is_unsettled(table)) counts_.coverage.insert("table found again");
        oracle_.on_commit(table, location);
      });
}

void World::strike_operator() {
  if (auto lost = strike(Fault::kCatalogLost)) lose_catalog(*lost);
  if (auto back = strike(Fault::kCatalogRestored)) restore_catalog(*back);
  if (auto lost = strike(Fault::kDataLost); lost && journals_lost_ < data_lost_max) {
    tell("the data directory is gone");
    lose_journal();
    catalog().replace(new_catalog_file());
    on_catalog_changed();
  }
  if (auto back = strike(Fault::kDataRestored); back && !disk_->crashed()) restore_data(*back);
  if (auto copied = strike(Fault::kDataCopied);
      copied && parent_ && parent_->open() && !stopped_ && !disk_->crashed()) {
    copy_data(*copied);
  }
}

void World::on_catalog_changed() {
  catalog_changed_ = true;
  oracle_.on_catalog_changed();
}

void World::lose_catalog(Strike& strike) {
  const bool stops = parent_ && strike.chance(40);
  if (stops) crash_parent(false, strike.random);
  tell("the catalog's file is gone");
  catalog().replace(new_catalog_file());
  on_catalog_changed();
}

void World::restore_catalog(Strike& strike) {
  if (!catalog_backup_) {
    tell("the catalog's file is copied");
    catalog_backup_ = copy_of(catalog().file());
    return;
  }
  if (parent_ && strike.chance(40)) crash_parent(false, strike.random);
  const bool same_file = strike.chance(50);
  tell(std::string("the catalog goes back to that copy") + (same_file ? ", in place" : ""));
  if (same_file) {
    catalog().overwrite(std::move(catalog_backup_));
  } else {
    catalog().replace(std::move(catalog_backup_));
  }
  catalog_backup_.reset();
  on_catalog_changed();
}

// Positions behind the copy may mean two things now, which is seen where one of them has landed;
// then the error asks to move the journal aside.
void World::journal_went_back() {
  rotten_ = true;
  oracle_.on_journal_went_back();
  for (Edge& edge : edges_) {
    edge.told_durable = Lsn();
    edge.forked = true;
  }
}

void World::restore_data(Strike& strike) {
  if (!data_backup_) {
    if (disk_->paths().empty()) return;
    tell("the data directory is copied");
    data_backup_.emplace();
    for (const auto& path : disk_->paths()) data_backup_->files[path] = disk_->contents(path);
    data_backup_->catalog = copy_of(catalog().file());
    return;
  }
  if (parent_) crash_parent(false, strike.random);
  tell("the data directory goes back to that copy");
  for (const auto& path : disk_->paths()) disk_->remove(path);
  for (const auto& [path, bytes] : data_backup_->files) disk_->put(path, bytes);
  catalog().replace(std::move(data_backup_->catalog));
  data_backup_.reset();
  on_catalog_changed();
  journal_went_back();
}

// Somebody starts a copy of the directory on another machine, with the same bucket; the first
// parent goes on for a while. New connections come to the new one.
void World::copy_data(Strike& strike) {
  tell("a copy of the data directory is started elsewhere, and the parent goes on");
  auto volume = disk_->platter(CrashModel::kKilled, strike.random);
  auto file = copy_of(catalog().file());
  start_another_parent(std::move(volume), strike);
  add_catalog(std::move(file));
  on_catalog_changed();
  journal_went_back();
}

std::optional<std::string> World::some_table(Strike& strike) const {
  const auto tables = oracle_.locations();
  if (tables.empty()) return std::nullopt;
  auto chosen = tables.begin();
  std::advance(chosen, static_cast<std::ptrdiff_t>(strike.random.below(tables.size())));
  return chosen->first;
}

// As Iceberg's own libraries would.
void World::foreign_metadata(const std::string& table, const std::function<bool(Json&)>& change) {
  // The table's newest location may be another one already; then this swap fails as it should.
  const auto current = catalog().foreign_load(table);
  if (!current) return;
  const auto key = store_.key_of(*current);
  const auto json = key ? store_.peek(*key) : std::nullopt;
  if (!json) return;
  auto metadata = Json::parse(*json);
  if (!change(metadata)) return;
  metadata["metadata-log"].push_back(
      {{"metadata-file", *current}, {"timestamp-ms", metadata["last-updated-ms"]}});
  const std::string name = key->substr(0, key->rfind('/') + 1) + "foreign-" +
                           std::to_string(foreign_commits_++) + ".metadata.json";
  store_.set_object(name, metadata.dump());
  if (!catalog().foreign_swap(table, *current, store_.location(name))) return;
  tell("another engine commits to " + table);
  oracle_.on_foreign_commit(table, store_.location(name));
}

void World::foreign_commit(Strike& strike) {
  const auto table = some_table(strike);
  if (!table) return;
  foreign_metadata(*table, [this](Json& metadata) {
    metadata["properties"]["somebody.else"] = std::to_string(foreign_commits_);
    return true;
  });
}

void World::foreign_columns(Strike& strike) {
  const auto table = some_table(strike);
  if (!table) return;
  foreign_metadata(*table, [&](Json& metadata) {
    const Json* schema = present_schema(metadata);
    if (schema == nullptr) return false;
    auto fields = (*schema)["fields"].get<std::vector<Json>>();
    const auto choose = [&](const auto& fits) -> Json* {
      std::vector<Json*> found;
      for (Json& field : fields) {
        if (fits(field)) found.push_back(&field);
      }
      return found.empty() ? nullptr : found[strike.random.below(found.size())];
    };
    const auto add = [&](const std::string& name, const char* type) {
      const std::int64_t id = metadata["last-column-id"].get<std::int64_t>() + 1;
      metadata["last-column-id"] = id;
      fields.push_back({{"id", id}, {"name", name}, {"required", false}, {"type", type}});
    };
    const std::string number = std::to_string(foreign_commits_);
    std::string did;
    switch (strike.random.below(7)) {
      case 0:
        add("extra" + number, strike.chance(50) ? "int" : "string");
        did = "adds";
        break;
      case 1:
        if (Json* field = choose([](const Json& f) { return is_one_of(columns_of_rows, f); })) {
          did = "drops " + (*field)["name"].get<std::string>();
          fields.erase(fields.begin() + (field - fields.data()));
        }
        break;
      case 2:
        if (Json* field = choose([](const Json& f) { return is_one_of(columns_of_rows, f); })) {
          did = "renames " + (*field)["name"].get<std::string>();
          (*field)["name"] = (*field)["name"].get<std::string>() + "_was" + number;
        }
        break;
      case 3:
        std::ranges::rotate(fields, fields.begin() + static_cast<std::ptrdiff_t>(
                                                         strike.random.below(fields.size())));
        did = "reorders";
        break;
      case 4:
        if (Json* field = choose([](const Json& f) { return f["type"] == "int"; })) {
          (*field)["type"] = "long";
          did = "widens";
        }
        break;
      case 5:  // drops one, and adds another of its name and of a type that we do not write
        if (Json* field = choose(
                [](const Json& f) { return is_one_of(std::span(columns_of_rows).first(6), f); })) {
          const std::string name = (*field)["name"];
          fields.erase(fields.begin() + (field - fields.data()));
          add(name, "date");
          did = "re-types " + name;
        }
        break;
      default:
        if (!strike.chance(30) || system_names_return_at_ms_ >= 0) break;
        if (Json* field = choose([](const Json& f) { return is_one_of(system_columns, f); })) {
          did = "renames " + (*field)["name"].get<std::string>();
          (*field)["name"] = (*field)["name"].get<std::string>() + "_was";
          system_names_return_at_ms_ = now() + strike.ms_below(4'000);
        }
        break;
    }
    if (did.empty()) return false;
    tell("another engine " + did + " of " + *table);
    counts_.coverage.insert("another engine " + did.substr(0, did.find(' ')));
    set_fields(metadata, fields);
    return true;
  });
}

void World::return_system_names() {
  system_names_return_at_ms_ = -1;
  for (const auto& [table, location] : oracle_.locations()) {
    foreign_metadata(table, [&](Json& metadata) {
      const Json* schema = present_schema(metadata);
      if (schema == nullptr) return false;
      auto fields = (*schema)["fields"].get<std::vector<Json>>();
      bool any = false;
      for (Json& field : fields) {
        for (const std::string_view name : system_columns) {
          if (field["name"] != std::string(name) + "_was") continue;
          field["name"] = name;
          any = true;
        }
      }
      if (any) set_fields(metadata, fields);
      return any;
    });
  }
}

void World::foreign_table(Strike& strike) {
  const auto table = some_table(strike);
  if (!table || !catalog().foreign_load(*table)) return;
  const bool drops = strike.chance(50);
  const std::string to =
      drops ? ""
            : table->substr(0, table->find("_was")) + "_was" + std::to_string(foreign_commits_++);
  tell("another engine " + (drops ? "drops " + *table : "renames " + *table + " to " + to));
  counts_.coverage.insert(drops ? "another engine drops a table"
                                : "another engine renames a table");
  catalog().overwrite(copy_of(catalog().file(),
                              [&](const std::string& name) { return name == *table ? to : name; }));
  if (drops) {
    oracle_.on_dropped(*table);
  } else {
    oracle_.on_renamed(*table, to);
  }
}

}  // namespace evodb::sim
