#include "table/open_lakehouse.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include "base/bytes.h"
#include "table/adopt.h"
#include "table/metadata.h"
#include "table/table_state.h"

namespace evodb::table {
namespace {

constexpr int claims_max = 100;  // that others may make while we make ours
constexpr int puts_max = 3;      // of one object, that get no answer
constexpr char rebuilding_property[] = "evodb.rebuilding";

std::string random_id(base::Random& random) {
  std::string bytes;
  base::put_u64(bytes, random.next());
  base::put_u64(bytes, random.next());
  return base::to_hex(bytes);
}

// True: it is there with just these bytes, by us or by an earlier try. False: another one is.
Result<bool> put_mine(store::ObjectStore& store, const std::string& key, const std::string& bytes) {
  Result<void> put;
  for (int i = 0; i < puts_max; ++i) {
    put = store.put(key, bytes, store::PutMode::kIfAbsent);
    if (put) return true;
    const auto there = store.get(key);
    if (there) return *there == bytes;
    if (there.error().kind != ErrorKind::kNotFound) return fail(there.error());
    if (put.error().kind != ErrorKind::kOutcomeUnknown) return fail(put.error());
  }
  return fail(ErrorKind::kRetry, put.error().text);
}

// One metadata file, read.
struct Read {
  TableMetadata metadata;
  TableState state;
};

// Errors of a store that is away come as such; those of the file are in the value: kInvalid (of a
// kind that we do not write), kCorrupt, kRetry (the store gives other objects, and not this one).
Result<Result<Read>> read(store::ObjectStore& store, const std::string& name,
                          const std::string& location) {
  const auto at = [&](const Error& error) {
    return fail(error.kind, "table " + name + " (" + location + "): " + error.text);
  };
  auto key = store.key_of(location);
  if (!key) return Result<Read>(fail(key.error()));
  const auto json = store.get(*key);
  if (!json && json.error().kind == ErrorKind::kNotFound) {
    return Result<Read>(at({ErrorKind::kCorrupt, "its metadata file is missing"}));
  }
  if (!json && json.error().kind != ErrorKind::kCorrupt) {
    if (!store_answers(store)) return at(json.error());
    return Result<Read>(at({ErrorKind::kRetry, json.error().text}));
  }
  if (!json) return Result<Read>(at(json.error()));
  auto metadata = TableMetadata::parse(*json);
  if (!metadata) return Result<Read>(at(metadata.error()));
  auto state = table_state_of(name, location, *metadata, store);
  if (!state) return Result<Read>(at(state.error()));
  return Result<Read>(Read{*std::move(metadata), *std::move(state)});
}

// The pointer, read. Errors as read()'s.
Result<Result<Pointer>> read_pointer(store::ObjectStore& store, const std::string& key) {
  const auto bytes = store.get(key);
  if (!bytes && bytes.error().kind != ErrorKind::kCorrupt && !store_answers(store)) {
    return fail(bytes.error());
  }
  auto pointer = bytes ? decode_pointer(*bytes) : Result<Pointer>(fail(bytes.error()));
  if (pointer) return pointer;
  const bool damaged = pointer.error().kind == ErrorKind::kCorrupt;
  return Result<Pointer>(fail(damaged ? ErrorKind::kCorrupt : ErrorKind::kRetry,
                              "its pointer " + store.location(key) + ": " + pointer.error().text));
}

// Whatever the pointer's commit brought is in `c`, too.
bool descends(const Read& c, const Read& h) {
  if (c.metadata.uuid() != h.metadata.uuid()) return false;
  if (c.state.metadata_location == h.state.metadata_location) return true;
  const auto log = c.metadata.metadata_log();
  if (std::ranges::find(log, h.state.metadata_location) != log.end()) return true;
  // Other engines have committed so often that the log has let go of it.
  if (c.state.watermark == h.state.watermark) return true;
  return h.state.current_snapshot.has_value() &&
         c.metadata.find_snapshot(*h.state.current_snapshot) != nullptr &&
         c.metadata.last_sequence_number() > h.metadata.last_sequence_number();
}

// The same, where the pointer's metadata file is gone: retention removes it in the end.
bool is_not_before(const Read& c, const Pointer& pointer) {
  if (c.metadata.uuid() != pointer.uuid || !pointer.watermark) return false;
  const auto& there = c.state.watermark;
  return there && (there->writer > pointer.watermark->writer ||
                   (there->writer == pointer.watermark->writer &&
                    there->journal == pointer.watermark->journal &&
                    there->position >= pointer.watermark->position));
}

Result<bool> is_empty(store::ObjectStore& store, const std::string& location_key) {
  return EVODB_TRY(store.list(location_key + "/")).empty();
}

// What lies in one folder, by the catalog and by the store.
struct Folder {
  std::optional<TableEntry> entry;
  std::optional<Result<Read>> in_catalog;
  std::optional<PointerKey> key;
  std::optional<Result<Pointer>> pointer;
  std::vector<std::string> old_pointers;  // keys
};

class Opening {
 public:
  Opening(store::ObjectStore& store, Catalog& catalog, base::Random& random, WriterEpoch& writer,
          const OpenOptions& options)
      : store_(store), catalog_(catalog), random_(random), writer_(writer), options_(options) {}

  Result<OpenedLakehouse> run() {
    EVODB_TRY(know_warehouse());
    EVODB_TRY(make_claim());
    EVODB_TRY(read_catalog());
    EVODB_TRY(read_pointers());
    EVODB_TRY(adopt_unknown());
    // What was written by a version that made no claims may have a higher epoch than any of them.
    if (highest_writer_ >= writer_) {
      EVODB_TRY(claim_above(highest_writer_.value));
      entries_.clear();
      folders_.clear();
      opened_ = {};
      all_adopted_ = true;
      return run();
    }
    for (auto& [location_key, folder] : folders_) EVODB_TRY(settle(location_key, folder));
    EVODB_TRY(point());
    // Last: until then it is a catalog that knew nothing.
    if (catalog_is_new_ && all_adopted_) {
      EVODB_TRY(
          catalog_.set_property(writer_, catalog_id_property, opened_.claim->record().catalog));
    }
    return std::move(opened_);
  }

 private:
  // --- which warehouse --------------------------------------------------------------------------

  Result<void> know_warehouse() {
    const auto known = EVODB_TRY(catalog_.property(warehouse_id_property));
    const std::string key(warehouse_key);
    for (int i = 0; i < 2; ++i) {
      const auto bytes = store_.get(key);
      if (!bytes && bytes.error().kind != ErrorKind::kNotFound) return fail(bytes.error());
      if (bytes) {
        const auto record = EVODB_TRY(decode_warehouse(*bytes));
        if (known && *known != record.id) return fail(another_warehouse());
        EVODB_TRY(know_place(record.location));
        if (known) return {};
        return catalog_.set_property(writer_, warehouse_id_property, record.id);
      }
      if (known && !EVODB_TRY(holds_tables())) return fail(another_warehouse());
      if (!known) EVODB_TRY(know_place_of_tables());
      const WarehouseRecord record{known.value_or(random_id(random_)), store_.location("")};
      if (!EVODB_TRY(put_mine(store_, key, encode(record)))) continue;  // somebody else did
    }
    return fail(ErrorKind::kRetry, "the record of the warehouse changes under our hands");
  }

  // The tables' metadata names files by where the warehouse was when they were written.
  Result<void> know_place(const std::string& recorded) {
    if (recorded == store_.location("")) return {};
    if (EVODB_TRY(store_.is_at(recorded))) {
      store_.spell_as(recorded);
      return {};
    }
    return fail(
        ErrorKind::kInvalid,
        "this warehouse was at " + recorded + " and is at " + store_.location("") +
            " now: its tables name files at the old place. Bring it back there, or, if it "
            "was moved or copied on purpose, run 'evodb lake relocate' with the settings of "
            "this parent");
  }
  // An older version's: only the catalog's entries tell.
  Result<void> know_place_of_tables() {
    for (const TableEntry& entry : EVODB_TRY(catalog_.list())) {
      if (store_.key_of(entry.metadata_location)) continue;
      const std::size_t at = entry.metadata_location.rfind("/" + options_.tables_prefix);
      if (at == std::string::npos) continue;
      const auto there = store_.get(entry.metadata_location.substr(at + 1));
      if (!there && there.error().kind == ErrorKind::kNotFound) continue;
      if (!there) return fail(there.error());
      EVODB_TRY(know_place(entry.metadata_location.substr(0, at + 1)));
    }
    return {};
  }

  // Is one of the catalog's tables here? Then only the warehouse's record is gone.
  Result<bool> holds_tables() {
    const auto entries = EVODB_TRY(catalog_.list());
    for (const TableEntry& entry : entries) {
      const auto key = store_.key_of(entry.metadata_location);
      if (!key) continue;
      const auto there = store_.get(*key);
      if (there) return true;
      if (there.error().kind != ErrorKind::kNotFound) return fail(there.error());
    }
    return entries.empty();
  }

  Error another_warehouse() const {
    return {ErrorKind::kInvalid,
            "the warehouse at " + store_.location("") +
                " is not the one that this data directory's catalog.db belongs to: set store.url "
                "back to that one, or name another data directory to open this one"};
  }

  // --- the claim --------------------------------------------------------------------------------

  // Because the store knows an epoch that our catalog does not. Where the catalog knows it, too,
  // somebody else has claimed it since (kFenced): whoever was replaced while it tried again takes
  // nothing back.
  Result<void> claim_above(std::uint64_t epoch) {
    writer_ = EVODB_TRY(catalog_.claim_above(writer_, WriterEpoch(epoch + 1)));
    return {};
  }

  Result<void> make_claim() {
    std::uint64_t highest = 0;
    std::vector<std::string> older;
    for (const auto& object : EVODB_TRY(store_.list(std::string(claims_prefix)))) {
      const auto writer = parse_claim_key(object.key);
      if (!writer) continue;
      highest = std::max(highest, writer->value);
      older.push_back(object.key);
    }
    std::optional<ClaimRecord> before;
    if (!older.empty()) {
      const auto bytes = store_.get(older.back());
      if (!bytes && bytes.error().kind != ErrorKind::kNotFound) return fail(bytes.error());
      if (bytes) {
        if (auto record = decode_claim(*bytes)) before = *std::move(record);
      }
    }
    for (const auto& object : EVODB_TRY(store_.list(std::string(pointers_prefix)))) {
      const auto key = parse_pointer_key(object.key);
      if (key) highest = std::max(highest, key->writer.value);
    }

    const auto catalog_id = EVODB_TRY(catalog_.property(catalog_id_property));
    const auto parent_id = EVODB_TRY(catalog_.property(parent_id_property));
    ClaimRecord record;
    record.catalog = catalog_id.value_or(random_id(random_));
    record.parent = parent_id            ? *parent_id
                    : before.has_value() ? before->parent
                                         : random_id(random_).substr(0, 16);
    record.nonce = random_id(random_);
    if (highest >= writer_.value) EVODB_TRY(claim_above(highest));
    for (int tries = 0;; ++tries) {
      record.writer = writer_;
      if (EVODB_TRY(put_mine(store_, claim_key(writer_), encode(record)))) break;
      if (tries == claims_max) {
        return fail(ErrorKind::kRetry, "other parents keep claiming this warehouse");
      }
      EVODB_TRY(claim_above(writer_.value));
    }
    // Before the pointers are read: who has not lost its claim by now has put its pointer.
    for (const std::string& key : older) EVODB_TRY(store_.remove(key));
    if (!parent_id) EVODB_TRY(catalog_.set_property(writer_, parent_id_property, record.parent));
    catalog_is_new_ = !catalog_id.has_value();
    opened_.claim = std::make_shared<Claim>(record);
    const bool changed = catalog_is_new_ || (before && before->catalog != record.catalog);
    if (changed) opened_.claim->sweep_nothing();
    return {};
  }

  // --- what there is ----------------------------------------------------------------------------

  // The folder that a metadata file is in, where it cannot be asked.
  static std::string folder_of(const std::string& metadata_key) {
    const std::size_t at = metadata_key.rfind("/metadata/");
    return at == std::string::npos ? metadata_key : metadata_key.substr(0, at);
  }

  void found_foreign(const std::string& name, std::string location_key = "") {
    FoundTable foreign;
    foreign.state.name = name;
    foreign.state.location_key = std::move(location_key);
    opened_.tables.push_back(std::move(foreign));
  }

  Result<void> read_catalog() {
    entries_ = EVODB_TRY(catalog_.list());
    for (const TableEntry& entry : entries_) {
      // Somebody else's table in our namespace, outside of our warehouse or of a kind that we do
      // not write: its name is taken, nothing else of it concerns us.
      const auto key = store_.key_of(entry.metadata_location);
      if (!key) {
        found_foreign(entry.name);
        continue;
      }
      auto found = EVODB_TRY(read(store_, entry.name, entry.metadata_location));
      const std::string location_key = found ? found->state.location_key : folder_of(*key);
      if (found && !found->state.watermark) {
        found_foreign(entry.name, location_key);
        continue;
      }
      if (found) highest_writer_ = std::max(highest_writer_, found->state.watermark->writer);
      Folder& folder = folders_[location_key];
      if (folder.entry) {  // registered twice, under two names
        found_foreign(entry.name);
        continue;
      }
      folder.entry = entry;
      folder.in_catalog = std::move(found);
    }
    return {};
  }

  Result<void> read_pointers() {
    for (const auto& object : EVODB_TRY(store_.list(std::string(pointers_prefix)))) {
      const auto key = parse_pointer_key(object.key);
      if (!key) continue;
      Folder& folder = folders_[key->location_key];
      if (folder.key) folder.old_pointers.push_back(pointer_key(*folder.key));
      folder.key = key;  // the listing is sorted: the last one is the newest
    }
    for (auto& [location_key, folder] : folders_) {
      if (!folder.key) continue;
      folder.pointer = EVODB_TRY(read_pointer(store_, pointer_key(*folder.key)));
    }
    return {};
  }

  // Of a catalog that knew nothing: the tables of versions that left no pointers.
  Result<void> adopt_unknown() {
    if (!catalog_is_new_) return {};
    // A catalog of an older version knows its tables: what is not among them was dropped. But a
    // crash may have come while an empty one was being filled.
    if (!entries_.empty() && !EVODB_TRY(catalog_.property(rebuilding_property))) return {};
    std::map<std::string, std::vector<store::ObjectInfo>> objects;
    for (auto& object : EVODB_TRY(store_.list(options_.tables_prefix))) {
      const std::size_t end = object.key.find('/', options_.tables_prefix.size());
      if (end == std::string::npos) continue;
      const std::string folder = object.key.substr(0, end);
      if (!folders_.contains(folder)) objects[folder].push_back(std::move(object));
    }
    for (const auto& [folder, in_it] : objects) {
      auto newest = newest_metadata(store_, folder, in_it);
      if (!newest) {
        if (!store_answers(store_)) return fail(std::move(newest).error());
        all_adopted_ = false;
        folders_[folder].pointer =
            Result<Pointer>(fail(ErrorKind::kRetry, std::move(newest).error().text));
        continue;
      }
      const auto& key = *newest;
      if (!key) continue;
      Pointer pointer;
      pointer.table = folder.substr(folder.rfind('/') + 1);
      for (char& c : pointer.table) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 0x20) : c;
      pointer.metadata_key = *key;
      const auto found = EVODB_TRY(read(store_, pointer.table, store_.location(*key)));
      if (found && found->state.watermark) {
        highest_writer_ = std::max(highest_writer_, found->state.watermark->writer);
      }
      folders_[folder].pointer = Result<Pointer>(std::move(pointer));
      opened_.notes.push_back("table " + folder +
                              " had no pointer (an older version wrote it): its newest complete "
                              "metadata file is " +
                              *key);
    }
    if (objects.empty()) return {};
    return catalog_.set_property(writer_, rebuilding_property, "true");
  }

  // --- catalog and store, brought together ------------------------------------------------------

  // A listing did not show the newest pointer: whoever wrote what is in the catalog has claimed the
  // lakehouse after whoever put this one, or went on itself. To go back would lose rows.
  static bool is_ahead(const Folder& folder, const Pointer& pointer) {
    const Read& c = **folder.in_catalog;
    return folder.key && c.state.watermark && c.state.watermark->writer >= folder.key->writer &&
           is_not_before(c, pointer);
  }

  bool is_taken(const std::string& name) const {
    return std::ranges::any_of(entries_, [&](const TableEntry& e) { return e.name == name; });
  }

  Result<void> settle(const std::string& location_key, Folder& folder) {
    Claim& claim = *opened_.claim;
    const std::string name = folder.entry      ? folder.entry->name
                             : *folder.pointer ? (*folder.pointer)->table
                                               : location_key.substr(location_key.rfind('/') + 1);
    const auto sick = [&](Error why) -> Result<void> {
      FoundTable found;
      found.state.name = name;
      found.state.location_key = location_key;
      found.sick = std::move(why);
      claim.remove_nothing_in(location_key);
      opened_.tables.push_back(std::move(found));
      return {};
    };
    if (!folder.pointer) {  // an older version's
      if (!*folder.in_catalog && folder.in_catalog->error().kind == ErrorKind::kInvalid) {
        found_foreign(name);  // of a kind that we do not write
        return {};
      }
      if (!*folder.in_catalog) return sick(folder.in_catalog->error());
      return keep(folder, (*folder.in_catalog)->state);
    }
    if (!*folder.pointer) return sick(folder.pointer->error());
    const Pointer& pointer = **folder.pointer;
    const bool in_catalog = folder.in_catalog && *folder.in_catalog;
    // Another engine has made something of it that we do not write, or we cannot see what it is: to
    // go back would undo that.
    if (folder.in_catalog && !in_catalog &&
        folder.in_catalog->error().kind != ErrorKind::kCorrupt) {
      return sick(folder.in_catalog->error());
    }
    const std::string location = store_.location(pointer.metadata_key);
    auto head = EVODB_TRY(read(store_, name, location));
    if (pointer.catalog != claim.record().catalog) claim.remove_nothing_in(location_key);
    if (!head) {
      if (in_catalog && is_not_before(**folder.in_catalog, pointer)) {
        return keep(folder, (*folder.in_catalog)->state);
      }
      const auto empty = is_empty(store_, location_key);
      if (!empty && !store_answers(store_)) return fail(empty.error());
      if (!folder.entry && empty && *empty) return forget(name, folder);
      return sick(head.error());
    }
    if (in_catalog && (descends(**folder.in_catalog, *head) || is_ahead(folder, pointer))) {
      return keep(folder, (*folder.in_catalog)->state);
    }
    // Forward, or registered.
    std::string as = name;
    while (!folder.entry && is_taken(as)) as += "_2";
    EVODB_TRY(catalog_.swap(
        writer_, as, folder.entry ? std::optional(folder.entry->metadata_location) : std::nullopt,
        location));
    opened_.notes.push_back(
        folder.entry ? "table " + as + ": the catalog had an older state of it (" +
                           folder.entry->metadata_location + "); it is " + location + " now"
                     : "table " + as + " was not in the catalog: registered from " + location);
    if (!folder.entry) entries_.push_back({as, location});
    head->state.name = as;
    return keep(folder, std::move(head->state));
  }

  // Somebody has dropped the table with all its files: it begins anew with its next change.
  Result<void> forget(const std::string& name, Folder& folder) {
    opened_.notes.push_back("table " + name + " was dropped with its files: it begins anew");
    if (folder.key) old_pointers_.push_back(pointer_key(*folder.key));
    std::ranges::move(folder.old_pointers, std::back_inserter(old_pointers_));
    return {};
  }

  Result<void> keep(Folder& folder, TableState state) {
    const std::string key = EVODB_TRY(store_.key_of(state.metadata_location));
    // It says who has written there: that is nobody new before the first commit.
    Claim::NewPointer pointer = opened_.claim->next_pointer(
        state, key, folder.pointer ? std::optional((*folder.pointer)->catalog) : std::nullopt);
    if (folder.key) old_pointers_.push_back(pointer_key(*folder.key));
    std::ranges::move(folder.old_pointers, std::back_inserter(old_pointers_));
    new_pointers_.emplace_back(opened_.tables.size(), std::move(pointer));
    opened_.tables.push_back({std::move(state), std::nullopt});
    return {};
  }

  // Every table gets a pointer of ours, or one that a replaced parent puts late would be the
  // newest.
  Result<void> point() {
    std::vector<store::NewObject> objects;
    for (const auto& [of, pointer] : new_pointers_) objects.push_back({pointer.key, pointer.bytes});
    if (!objects.empty()) EVODB_TRY(store_.put_all(objects));
    for (const auto& [of, pointer] : new_pointers_) {
      (void)opened_.claim->note_pointed(opened_.tables[of].state, pointer.key);
    }
    // Nobody looks at them any more. What stays is removed the next time.
    for (const std::string& old : old_pointers_) {
      if (!store_.remove(old)) break;
    }
    return {};
  }

  store::ObjectStore& store_;
  Catalog& catalog_;
  base::Random& random_;
  WriterEpoch& writer_;
  WriterEpoch highest_writer_;
  OpenOptions options_;
  bool catalog_is_new_ = false;
  bool all_adopted_ = true;  // or a table may still be found in the store
  std::vector<TableEntry> entries_;
  std::map<std::string, Folder> folders_;                                // by location_key
  std::vector<std::pair<std::size_t, Claim::NewPointer>> new_pointers_;  // of opened_.tables[first]
  std::vector<std::string> old_pointers_;
  OpenedLakehouse opened_;
};

// Does a column that was there go by another name or type now, or is it gone? Only another engine
// does that. What it adds is nobody's concern before a commit.
bool has_other_columns(const TableState& now, const TableState& before) {
  if (now.watermark != before.watermark) return false;  // we have committed on top, and so seen it
  return std::ranges::any_of(before.schema.fields, [&](const Field& was) {
    const auto is = std::ranges::find(now.schema.fields, was.id, &Field::id);
    return is == now.schema.fields.end() || is->name != was.name || is->type != was.type;
  });
}

Result<std::string> newest_pointer(store::ObjectStore& store, const std::string& location_key) {
  std::string newest;
  const std::string prefix = std::string(pointers_prefix) + location_key + "/";
  for (const auto& object : EVODB_TRY(store.list(prefix))) {
    if (parse_pointer_key(object.key)) newest = object.key;
  }
  return newest;
}

// One table of ours, by name in the catalog as it was.
Result<void> tend_table(store::ObjectStore& store, Catalog& catalog, Claim& claim,
                        const Claim::Pointed& known) {
  const std::uint64_t serial = claim.draw();
  const auto now = EVODB_TRY(catalog.load(known.table));
  if (!now) {
    return fail(ErrorKind::kStale, "table " + known.table + " was dropped or renamed");
  }
  if (*now == known.metadata_location) return {};
  auto there = EVODB_TRY(read(store, known.table, *now));
  if (!there) return fail(ErrorKind::kStale, there.error().text);
  if (!there->state.watermark) {
    return fail(ErrorKind::kStale, "table " + known.table + " is another table now");
  }
  auto before = EVODB_TRY(read(store, known.table, known.metadata_location));
  // What is gone was let go of by retention; then the watermark tells: it never goes back.
  if (before && !descends(*there, *before)) {
    // Or one of our own commits came since.
    for (const Claim::Pointed& newer : claim.pointed()) {
      if (newer.location_key == known.location_key && newer.key != known.key) return {};
    }
    return fail(ErrorKind::kStale, "table " + known.table +
                                       " was set back to an older state, or "
                                       "is another table now");
  }
  // A table without the columns that every table of ours has waits until they are back, and commits
  // nothing that would see it.
  if (before && has_other_columns(there->state, before->state)) {
    return fail(ErrorKind::kStale, "another engine has changed columns of table " + known.table);
  }
  const std::string key = EVODB_TRY(store.key_of(*now));
  const Claim::NewPointer pointer = claim.pointer_of(serial, there->state, key);
  if (!EVODB_TRY(put_mine(store, pointer.key, pointer.bytes))) return {};
  const auto useless = claim.note_pointed(there->state, pointer.key);
  if (useless) EVODB_TRY(store.remove(*useless));
  return {};
}

}  // namespace

bool store_answers(store::ObjectStore& store) {
  return store.get(std::string(warehouse_key)).has_value();
}

// As Opening::settle decides.
Result<bool> is_well(store::ObjectStore& store, Catalog& catalog, const FoundTable& table) {
  const std::string& folder = table.state.location_key;
  const auto entry = EVODB_TRY(catalog.load(table.state.name));
  std::optional<Read> in_catalog;
  if (entry) {
    auto there = EVODB_TRY(read(store, table.state.name, *entry));
    if (!there && there.error().kind != ErrorKind::kCorrupt) return false;
    if (there) in_catalog = *std::move(there);
  }
  const std::string key = EVODB_TRY(newest_pointer(store, folder));
  if (key.empty()) {
    if (entry) return in_catalog && in_catalog->state.watermark;
    return newest_metadata(store, folder, EVODB_TRY(store.list(folder + "/"))).has_value();
  }
  const auto pointer = EVODB_TRY(read_pointer(store, key));
  if (!pointer) return false;
  if (in_catalog && is_not_before(*in_catalog, *pointer)) return true;
  if (EVODB_TRY(read(store, pointer->table, store.location(pointer->metadata_key)))) return true;
  return !entry && EVODB_TRY(is_empty(store, folder));
}

namespace {

Error taken_over() { return {ErrorKind::kFenced, "another parent has taken over this warehouse"}; }

Result<void> claim_is_there(store::ObjectStore& store, const Claim& claim) {
  const auto held = store.get(claim.key());
  if (!held && held.error().kind != ErrorKind::kNotFound) return fail(held.error());
  if (held && claim.is(*held)) return {};
  return fail(taken_over());
}

}  // namespace

Result<void> still_claimed(store::ObjectStore& store, const Claim& claim) {
  EVODB_TRY(claim_is_there(store, claim));
  // Whoever takes over puts its own claim first, and then removes those before.
  for (const auto& object : EVODB_TRY(store.list(std::string(claims_prefix)))) {
    const auto writer = parse_claim_key(object.key);
    if (writer && *writer > claim.record().writer) return fail(taken_over());
  }
  return {};
}

Result<void> tend_lakehouse(store::ObjectStore& store, Catalog& catalog, Claim& claim) {
  EVODB_TRY(claim_is_there(store, claim));
  EVODB_TRY(catalog.list());  // kStale where it is another file
  std::optional<Error> first;
  for (const Claim::Pointed& table : claim.pointed()) {
    auto tended = tend_table(store, catalog, claim, table);
    if (tended) continue;
    if (tended.error().kind == ErrorKind::kStale) return tended;
    if (!first) first = std::move(tended).error();  // the others are looked after all the same
  }
  return first ? Result<void>(fail(*std::move(first))) : Result<void>();
}

Result<OpenedLakehouse> open_lakehouse(store::ObjectStore& store, Catalog& catalog,
                                       base::Random& random, WriterEpoch& writer,
                                       const OpenOptions& options) {
  return Opening(store, catalog, random, writer, options).run();
}

}  // namespace evodb::table
