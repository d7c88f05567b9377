// What of one table cannot be read when a parent starts, for whatever reason, makes that table wait
// and no other: docs/formats/iceberg.md, "A sick table".
#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "lake/flush_machine.h"
#include "lake/lake_world.h"
#include "parent/recovery.h"
#include "sim/seams/fake_clock.h"
#include "sim/seams/fake_disk.h"
#include "sim/seams/fake_store.h"
#include "sim/seams/seeded_random.h"
#include "table/append_world.h"

namespace evodb::sim {
namespace {

using parent::JournalExtent;

wire::TableDef table_of(const std::string& name) {
  return {.name = name,
          .columns = {{.name = "id", .declared_type = "INTEGER", .key_ordinal = 1},
                      {.name = "name", .declared_type = "TEXT"}}};
}

// Tables "ill" and "well", one row each, landed by a parent with journal 77.
class LostJournal : public lake::LakeWorld {
 protected:
  LostJournal() {
    EXPECT_TRUE(disk.make_directories("j"));
    table::WriterEpoch writer = catalog_->claim().value();
    const auto opened = table::open_lakehouse(store_, *catalog_, random, writer).value();
    identity = {"parent", writer, journal::JournalId(77), opened.claim};
    lake = lake::Lake::create(options, identity);
    send("shop", 1, {lake::insert(1, {Value::integer(1), Value::text("tea")})}, table_of("ill"));
    send("shop", 1, {lake::insert(2, {Value::integer(1), Value::text("tea")})}, table_of("well"));
    lake->request_flush();
    while (auto job = lake->next_flush(now)) flush(std::move(job));
  }

  void flush(std::unique_ptr<lake::FlushJob> job) {
    lake::FlushMachine machine(std::move(job), encoder, store_, clock, random, {});
    while (auto io = machine.next().io) {
      machine.on_response(table::perform(store_, *catalog_, *io));
    }
    ASSERT_TRUE(machine.outcome()) << machine.outcome().error().text;
    lake->on_flush_done(machine.id(), machine.outcome(), now);
  }

  // The object of table "ill" whose key has `part` in it.
  std::string key_of_ill(const std::string& part) const {
    const auto objects = store_.objects();
    const auto it = std::ranges::find_if(objects, [&](const auto& object) {
      return object.first.find("ill_changes/") != std::string::npos &&
             object.first.find(part) != std::string::npos;
    });
    EXPECT_NE(it, objects.end()) << part;
    return it == objects.end() ? "" : it->first;
  }

  struct Started {
    parent::RecoveredCatalog catalog;
    parent::LoadedTables tables;
    bool waits(const std::string& name) const {
      for (const auto& found : tables.tables) {
        if (found.state.location_key != "evodb/" + name) continue;
        return found.sick || catalog.unscanned.contains(found.state.location_key);
      }
      ADD_FAILURE() << name << " is not known";
      return false;
    }
  };
  // As a parent with that journal.
  Result<Started> start_with(std::uint64_t journal) {
    const JournalExtent extent{journal::JournalId(journal), Position(1'000'000)};
    Started started;
    table::WriterEpoch writer;
    started.catalog =
        EVODB_TRY(parent::recover_catalog(disk, "j", extent, store_, *catalog_, writer, random));
    started.tables = EVODB_TRY(
        parent::load_checked_tables(disk, "j", extent, store_, *catalog_, writer, random));
    return started;
  }
  void expect_only_ill_waits(const std::string& why) {
    for (const std::uint64_t journal : {77, 78}) {
      auto started = start_with(journal);
      ASSERT_TRUE(started) << why << ": " << started.error().text;
      EXPECT_FALSE(started->waits("well_changes")) << why;
      if (journal == 77) continue;  // what a commit reads is read by the first commit
      EXPECT_TRUE(started->waits("ill_changes")) << why;
      EXPECT_TRUE(
          started->catalog.landed->contains("evodb/well_changes", "shop", Epoch(1), Lsn(2)));
      EXPECT_NE(catalog_->property("evodb.journal-id").value(), "78") << "or none would scan again";
    }
  }

  FakeClock clock;
  FakeStore store_{clock};
  FakeDisk disk;
  SeededRandom random{5};
  std::unique_ptr<table::Catalog> catalog_ =
      table::open_sqlite_catalog(":memory:", "evodb", "evodb").value();
};

constexpr const char* parts[] = {"_evodb/tables/", ".metadata.json", "/snap-", "-m0.avro",
                                 ".parquet"};

TEST_F(LostJournal, WhatIsMissingConcernsOneTable) {
  for (const char* part : parts) {
    if (std::string(part) == "_evodb/tables/") continue;  // the catalog knows the table
    const std::string key = key_of_ill(part);
    const std::string bytes = *store_.peek(key);
    ASSERT_TRUE(store_.remove(key));
    expect_only_ill_waits(key + " is missing");
    store_.set_object(key, bytes);
  }
}

TEST_F(LostJournal, WhatIsDamagedConcernsOneTable) {
  for (const char* part : parts) {
    const std::string key = key_of_ill(part);
    const std::string bytes = *store_.peek(key);
    store_.set_object(key, bytes.substr(0, bytes.size() / 2));
    expect_only_ill_waits(key + " is damaged");
    store_.set_object(key, bytes);
  }
}

TEST_F(LostJournal, WhatTheStoreRefusesConcernsOneTable) {
  using Fault = FakeStore::Fault;
  for (const Fault fault : {Fault::kInvalid, Fault::kRetry}) {
    for (const char* part : parts) {
      const std::string key = key_of_ill(part);
      store_.fail_if([&](const FakeStore::Call& call) {
        const bool refused = call.kind == FakeStore::Kind::kGet && call.key == key;
        return refused ? std::optional(fault) : std::nullopt;
      });
      expect_only_ill_waits(key + " is refused");
      store_.clear_faults();
    }
  }
}

TEST_F(LostJournal, ATableThatIsWholeAgainIsScanned) {
  const std::string key = key_of_ill(".parquet");
  const std::string bytes = *store_.peek(key);
  ASSERT_TRUE(store_.remove(key));
  const auto before = start_with(78).value().catalog.unscanned;
  ASSERT_EQ(before.count("evodb/ill_changes"), 1u);
  const auto& unscanned = before.at("evodb/ill_changes");
  EXPECT_EQ(unscanned.unread, store_.location(key));
  EXPECT_NE(unscanned.why.text.find(key), std::string::npos) << unscanned.why.text;
  EXPECT_FALSE(parent::can_be_scanned(store_, *catalog_, "ill_changes", unscanned));
  store_.set_object(key, "no Parquet");
  EXPECT_EQ(parent::can_be_scanned(store_, *catalog_, "ill_changes", unscanned), false);
  store_.set_object(key, bytes);
  EXPECT_EQ(parent::can_be_scanned(store_, *catalog_, "ill_changes", unscanned), true);
  const auto after = start_with(78).value();
  EXPECT_FALSE(after.waits("ill_changes"));
  EXPECT_TRUE(after.catalog.landed->contains("evodb/ill_changes", "shop", Epoch(1), Lsn(1)));
  EXPECT_EQ(catalog_->property("evodb.journal-id").value(), "78");
}

// evodb-sim, profile other-engines, seed 960178: what it held landed twice.
TEST_F(LostJournal, ATableThatIsWellAgainWaitsAllTheSameUntilItIsScanned) {
  const JournalExtent extent{journal::JournalId(78), Position(1'000'000)};
  const std::string key = key_of_ill(".metadata.json");
  store_.fail_if([&](const FakeStore::Call& call) {
    const bool refused = call.kind == FakeStore::Kind::kGet && call.key == key;
    return refused ? std::optional(FakeStore::Fault::kRetry) : std::nullopt;
  });
  table::WriterEpoch writer;
  Started started;
  started.catalog =
      parent::recover_catalog(disk, "j", extent, store_, *catalog_, writer, random).value();
  store_.clear_faults();
  started.tables =
      parent::load_checked_tables(disk, "j", extent, store_, *catalog_, writer, random).value();
  EXPECT_FALSE(started.waits("well_changes"));
  EXPECT_TRUE(started.waits("ill_changes"));
  EXPECT_EQ(parent::can_be_scanned(store_, *catalog_, "ill_changes",
                                   started.catalog.unscanned.at("evodb/ill_changes")),
            true);
  const auto after = start_with(78).value();
  EXPECT_FALSE(after.waits("ill_changes"));
  EXPECT_TRUE(after.catalog.landed->contains("evodb/ill_changes", "shop", Epoch(1), Lsn(1)));
}

// evodb-sim, profile operator, seeds 930027, 940039 and 930078: what the other parent had landed at a
// position was taken for one's own.
TEST_F(LostJournal, WhatACopyOfThisDirectoryHasLandedIsReadFromTheTables) {
  ASSERT_EQ(start_with(77).value().tables.landed, nullptr) << "all of it is ours";
  // The copy, with the same journal.
  const JournalExtent extent{journal::JournalId(77), Position(1'000'000)};
  ASSERT_TRUE(disk.make_directories("k"));
  table::WriterEpoch writer;
  ASSERT_TRUE(parent::recover_catalog(disk, "k", extent, store_, *catalog_, writer, random));
  auto copy =
      parent::load_checked_tables(disk, "k", extent, store_, *catalog_, writer, random).value();
  identity = {"parent", writer, journal::JournalId(77), copy.claim};
  lake = lake::Lake::create(options, identity);
  for (auto& found : copy.tables) lake->add_table(std::move(found.state));
  send("shop", 1, {lake::insert(3, {Value::integer(3), Value::text("rye")})}, table_of("well"));
  lake->request_flush();
  while (auto job = lake->next_flush(now)) flush(std::move(job));

  const auto back = start_with(77).value();
  ASSERT_NE(back.catalog.tables->landed, nullptr);
  EXPECT_TRUE(
      back.catalog.tables->landed->contains("evodb/well_changes", "shop", Epoch(1), Lsn(3)));
  for (const auto& found : back.tables.tables) {
    EXPECT_EQ(found.state.watermark_is_ours, found.state.name == "ill_changes") << found.state.name;
  }
  const auto again = start_with(77).value();
  EXPECT_EQ(again.catalog.tables->landed, nullptr) << "once is enough: it is on the disk";
}

// evodb-sim, profile other-engines, seed 2042, and copies, seed 2006: it claimed the lakehouse back.
TEST_F(LostJournal, WhoeverIsReplacedWhileItTriesAgainTakesNothingBack) {
  const JournalExtent extent{journal::JournalId(77), Position(1'000'000)};
  table::TemporaryFolder folder;
  const auto process = [&] {
    return table::open_sqlite_catalog(folder.path() + "/catalog.db", "evodb", "evodb").value();
  };
  const auto recover = [&](table::Catalog& catalog, table::WriterEpoch& writer) {
    return parent::recover_catalog(disk, "j", extent, store_, catalog, writer, random);
  };
  const auto replaced = process(), successor = process();
  table::WriterEpoch first, second;
  ASSERT_TRUE(recover(*replaced, first));
  ASSERT_TRUE(recover(*replaced, first)) << "its own claim is no hindrance";
  ASSERT_TRUE(recover(*successor, second));
  EXPECT_GT(second, first);
  const auto again = recover(*replaced, first);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().kind, ErrorKind::kFenced);
  ASSERT_TRUE(recover(*successor, second));
}

// evodb-sim, profile operator, seeds 910006 and 920074: it tried for ever with the claim that it had,
// or took the epoch of the other file for that of another parent.
TEST_F(LostJournal, ACatalogThatIsAnotherOneIsReadAnew) {
  table::TemporaryFolder folder;
  const auto path = [&](const std::string& name) { return folder.path() + "/" + name; };
  auto file = table::open_sqlite_catalog(path("catalog.db"), "evodb", "evodb").value();
  const JournalExtent extent{journal::JournalId(77), Position(1'000'000)};
  table::WriterEpoch writer;
  ASSERT_TRUE(parent::recover_catalog(disk, "j", extent, store_, *file, writer, random));
  for (const std::uint64_t epoch : {1, 1'000}) {
    auto other = table::open_sqlite_catalog(path("other.db"), "evodb", "evodb").value();
    ASSERT_TRUE(other->claim(table::WriterEpoch(epoch)));
    other.reset();
    std::filesystem::rename(path("other.db"), path("catalog.db"));
    EXPECT_EQ(
        parent::load_checked_tables(disk, "j", extent, store_, *file, writer, random).error().kind,
        ErrorKind::kStale);
    const auto before = writer;
    const auto again = parent::recover_catalog(disk, "j", extent, store_, *file, writer, random);
    ASSERT_TRUE(again) << again.error().text;
    EXPECT_GT(writer, before);
    ASSERT_TRUE(parent::load_checked_tables(disk, "j", extent, store_, *file, writer, random));
  }
}

// A file of the first version, which knew tables by their names, beside a journal of an older one.
TEST_F(LostJournal, WhatIsKnownByNamesIsReadAnewFromTheTables) {
  (void)start_with(78).value();
  std::string bytes = base::read_whole_file(disk, "j/landed.filter").value();
  bytes[4] = 1;
  const auto put_old = [&] {
    ASSERT_TRUE(base::write_file_atomically(disk, "j/landed.filter", bytes));
    ASSERT_TRUE((*parent::load_landed_filter(disk, "j"))->is_by_name());
  };
  put_old();
  store_.set_away(true);
  EXPECT_FALSE(start_with(78)) << "nothing lands before the store is back";
  store_.set_away(false);
  // A table that cannot be read waits, and the next start reads all of them again.
  const std::string key = key_of_ill(".parquet");
  const std::string data = *store_.peek(key);
  ASSERT_TRUE(store_.remove(key));
  const auto first = start_with(78).value();
  EXPECT_TRUE(first.tables.unscanned.contains("evodb/ill_changes"));
  EXPECT_TRUE(first.tables.landed->contains("evodb/well_changes", "shop", Epoch(1), Lsn(2)));
  ASSERT_TRUE((*parent::load_landed_filter(disk, "j"))->is_by_name());
  store_.set_object(key, data);
  const auto second = start_with(78).value();
  const auto kept = parent::load_landed_filter(disk, "j").value();
  EXPECT_FALSE(kept->is_by_name());
  EXPECT_TRUE(kept->contains("evodb/ill_changes", "shop", Epoch(1), Lsn(1)));
  EXPECT_TRUE(kept->contains("evodb/well_changes", "shop", Epoch(1), Lsn(2)));
}

// Journal 77 comes back, with the catalog that knows it, behind journal 78, which has landed more.
TEST_F(LostJournal, AnOldDirectoryThatIsPutBackBehindANewerJournalLandsNothingTwice) {
  ASSERT_FALSE(start_with(77).value().tables.landed) << "nobody else has landed";
  auto old_catalog = table::open_sqlite_catalog(":memory:", "evodb", "evodb").value();
  const auto copy = [](table::Catalog& from, table::Catalog& to) {
    const auto writer = to.claim().value();
    for (const char* key : {"evodb.journal-id", "evodb.journal-since", table::parent_id_property,
                            table::catalog_id_property, table::warehouse_id_property}) {
      const auto value = from.property(key).value();
      if (value) {
        ASSERT_TRUE(to.set_property(writer, key, *value));
      }
    }
    const auto entries = from.list().value();
    for (const auto& entry : entries) {
      ASSERT_TRUE(to.swap(writer, entry.name, std::nullopt, entry.metadata_location));
    }
  };
  copy(*catalog_, *old_catalog);
  ASSERT_EQ(old_catalog->property("evodb.journal-id").value(), "77");

  const auto newer = start_with(78).value();
  identity = {"parent", newer.tables.claim->record().writer, journal::JournalId(78),
              newer.tables.claim};
  records.clear();
  read = 0;
  lake = lake::Lake::create(options, identity);
  for (const auto& found : newer.tables.tables) lake->add_table(found.state);
  send("shop", 1, {lake::insert(3, {Value::integer(2), Value::text("milk")})}, table_of("well"));
  ASSERT_TRUE(read_all());
  lake->request_flush();
  while (auto job = lake->next_flush(now)) flush(std::move(job));

  std::swap(catalog_, old_catalog);
  {
    // What of one table cannot be read makes it wait, and is asked again.
    const std::string key = key_of_ill(".parquet");
    const std::string bytes = *store_.peek(key);
    ASSERT_TRUE(store_.remove(key));
    const auto blind = start_with(77).value();
    EXPECT_TRUE(blind.tables.unscanned.contains("evodb/ill_changes"));
    EXPECT_TRUE(blind.tables.landed->contains("evodb/well_changes", "shop", Epoch(1), Lsn(3)));
    store_.set_object(key, bytes);
  }
  const auto back = start_with(77).value();
  ASSERT_TRUE(back.catalog.tables && back.catalog.tables->landed);
  const lake::LandedFilter& landed = *back.catalog.tables->landed;
  EXPECT_TRUE(landed.contains("evodb/well_changes", "shop", Epoch(1), Lsn(3)));
  EXPECT_TRUE(landed.contains("evodb/ill_changes", "shop", Epoch(1), Lsn(1)));
  EXPECT_TRUE(parent::load_landed_filter(disk, "j").value()->contains("evodb/well_changes", "shop",
                                                                      Epoch(1), Lsn(3)));
  EXPECT_FALSE(start_with(77).value().catalog.tables->landed) << "it was kept, once is enough";
  // And the newer one, should it come back in turn.
  std::swap(catalog_, old_catalog);
  EXPECT_FALSE(start_with(78).value().catalog.tables->landed) << "nothing has landed since";
}

TEST_F(LostJournal, AStoreThatIsAwayIsWaitedFor) {
  store_.set_away(true);
  EXPECT_EQ(start_with(78).error().kind, ErrorKind::kRetry);
  store_.set_away(false);
  // In the middle of it: what could not be read then is no table's own fault.
  for (std::uint64_t n = 1; n < 60; n += 3) {
    std::uint64_t calls = 0;
    store_.fail_if([&](const FakeStore::Call&) {
      return ++calls >= n ? std::optional(FakeStore::Fault::kRetry) : std::nullopt;
    });
    const auto started = start_with(78);
    store_.clear_faults();
    if (!started) {
      EXPECT_EQ(started.error().kind, ErrorKind::kRetry) << started.error().text;
      continue;
    }
    EXPECT_FALSE(started->waits("ill_changes")) << n;
    EXPECT_FALSE(started->waits("well_changes")) << n;
  }
}

}  // namespace
}  // namespace evodb::sim
