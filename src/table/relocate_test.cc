#include "table/relocate.h"

#include <algorithm>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "table/append_world.h"
#include "table/claim.h"
#include "table/open_lakehouse.h"

namespace evodb::table {
namespace {

// The world's store, at another place.
class MovedStore final : public store::ObjectStore {
 public:
  explicit MovedStore(store::ObjectStore& there) : there_(there) {}
  Result<void> put(const std::string& key, std::string_view bytes, store::PutMode mode) override {
    return there_.put(key, bytes, mode);
  }
  Result<std::string> get(const std::string& key) override { return there_.get(key); }
  Result<void> remove(const std::string& key) override { return there_.remove(key); }
  Result<std::vector<store::ObjectInfo>> list(const std::string& prefix) override {
    return there_.list(prefix);
  }
  std::string location(const std::string& key) const override { return root + key; }
  Result<std::string> key_of(const std::string& location) const override {
    if (location.starts_with(root)) return location.substr(root.size());
    return fail(ErrorKind::kInvalid, location + " is not in this warehouse");
  }
  Result<void> check() override { return {}; }

  const std::string root = "file:///moved/";

 private:
  store::ObjectStore& there_;
};

class Relocate : public AppendWorld {
 protected:
  // Two tables of one file each, "t" and "u", with their pointers, as a parent leaves them.
  void fill() {
    auto opened = open_lakehouse(store, *catalog, random, writer);
    ASSERT_TRUE(opened) << opened.error().text;
    for (const std::string name : {"t", "u"}) {
      AppendRequest request = append(0);
      request.table = name;
      request.location_key = "evodb/" + name;
      request.claim = opened->claim;
      request.watermark.writer = writer;
      request.files[0].location = store.location("evodb/" + name + "/data/0.parquet");
      const auto done = run(std::move(request));
      ASSERT_TRUE(done) << done.error().text;
    }
  }
  // As an engine that deletes rows by position.
  void delete_rows_of_t() {
    auto with_deletes = lines();
    ManifestFile deletes = with_deletes[0];
    const std::string key = "evodb/t/metadata/deletes-of-another-engine.avro";
    store.set_object(key, *store.peek(*store.key_of(deletes.location)));
    deletes.location = store.location(key);
    deletes.content = 1;
    with_deletes.push_back(deletes);
    foreign_commit("deletes", "delete", {}, with_deletes);
  }
  std::string only_pointer_of_t() const {
    for (const auto& [key, bytes] : store.objects()) {
      if (key.starts_with(std::string(pointers_prefix) + "evodb/t/")) return key;
    }
    return "";
  }
  Result<Relocated> relocate(const std::string& from = "") {
    writer = *catalog->claim();
    return relocate_lakehouse(moved, *catalog, random, writer, from);
  }
  // Nothing: it is well.
  std::optional<Error> sick(const std::string& folder) {
    writer = *catalog->claim();
    const auto opened = open_lakehouse(moved, *catalog, random, writer);
    EXPECT_TRUE(opened) << opened.error().text;
    for (const FoundTable& found : opened->tables) {
      if (found.state.location_key == folder) return found.sick;
    }
    return Error{ErrorKind::kNotFound, "no table in " + folder};
  }

  MovedStore moved{store};
};

TEST_F(Relocate, EveryTableIsAtItsNewPlace) {
  fill();
  const auto done = relocate();
  ASSERT_TRUE(done) << done.error().text;
  EXPECT_EQ(done->tables, (std::vector<std::string>{"t", "u"}));
  EXPECT_TRUE(done->refused.empty());
  for (const char* folder : {"evodb/t", "evodb/u"}) EXPECT_EQ(sick(folder), std::nullopt) << folder;
  const auto live = list_live_files(moved, catalog->load("t").value().value());
  ASSERT_TRUE(live) << live.error().text;
  EXPECT_EQ(live->data.at(0).location, "file:///moved/evodb/t/data/0.parquet");
  EXPECT_EQ(relocate()->from, relocate()->to) << "a second time there is nothing to do";
}

TEST_F(Relocate, ATableWithForeignDeletesIsRefusedAndTheOthersAreNot) {
  fill();
  delete_rows_of_t();
  const auto done = relocate();
  ASSERT_TRUE(done) << done.error().text;
  EXPECT_EQ(done->tables, std::vector<std::string>{"u"});
  ASSERT_EQ(done->refused.size(), 1u);
  EXPECT_EQ(done->refused[0].table, "t");
  EXPECT_EQ(done->refused[0].why.kind, ErrorKind::kInvalid);
  EXPECT_NE(done->refused[0].why.text.find("deletes"), std::string::npos);
  EXPECT_NE(sick("evodb/t"), std::nullopt) << "it waits: it must not begin anew beside its files";
  EXPECT_EQ(sick("evodb/u"), std::nullopt);
}

TEST_F(Relocate, ARefusedTableIsRelocatedOnceItCanBe) {
  fill();
  const std::string before = catalog->load("t").value().value();
  delete_rows_of_t();
  const auto first = relocate();
  ASSERT_TRUE(first) << first.error().text;
  ASSERT_EQ(first->refused.size(), 1u);
  const std::string with_deletes = catalog->load("t").value().value();
  // The other engine has taken its deletes back.
  ASSERT_TRUE(catalog->swap(writer, "t", with_deletes, before));
  const auto second = relocate(first->from);
  ASSERT_TRUE(second) << second.error().text;
  EXPECT_EQ(second->tables, std::vector<std::string>{"t"});
  for (const char* folder : {"evodb/t", "evodb/u"}) EXPECT_EQ(sick(folder), std::nullopt) << folder;
}

TEST_F(Relocate, ATableThatCannotBeReadIsRefusedAndTheOthersAreNot) {
  fill();
  const std::string list = *store.key_of(metadata().current_snapshot()->manifest_list);
  for (const std::string& key : {only_pointer_of_t(), list}) {
    const std::string bytes = *store.peek(key);
    store.set_object(key, bytes.substr(0, bytes.size() / 2));
    const auto done = relocate(store.location(""));
    ASSERT_TRUE(done) << key << ": " << done.error().text;
    ASSERT_EQ(done->refused.size(), 1u) << key;
    EXPECT_EQ(done->refused[0].table, "t");
    EXPECT_EQ(done->refused[0].why.kind, ErrorKind::kCorrupt);
    store.set_object(key, bytes);
  }
  EXPECT_EQ(sick("evodb/u"), std::nullopt);
  const auto again = relocate(store.location(""));
  ASSERT_TRUE(again) << again.error().text;
  EXPECT_EQ(again->tables, std::vector<std::string>{"t"});
  EXPECT_EQ(sick("evodb/t"), std::nullopt);
}

TEST_F(Relocate, ATableOfAnOlderVersionWithoutPointerWaitsWhereItIsRefused) {
  fill();
  delete_rows_of_t();
  ASSERT_TRUE(store.remove(only_pointer_of_t()));
  const auto done = relocate();
  ASSERT_TRUE(done) << done.error().text;
  EXPECT_EQ(done->refused.size(), 1u);
  EXPECT_NE(only_pointer_of_t(), "");
  const auto why = sick("evodb/t");
  ASSERT_TRUE(why);
  EXPECT_NE(why->kind, ErrorKind::kNotFound);
}

TEST_F(Relocate, AWarehouseThatDoesNotSayWhereItWasIsToldByFrom) {
  fill();
  ASSERT_TRUE(store.remove(std::string(warehouse_key)));
  const auto unknown = relocate();
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().kind, ErrorKind::kInvalid);
  EXPECT_NE(unknown.error().text.find("--from"), std::string::npos);
  std::string from = store.location("");
  if (from.ends_with('/')) from.pop_back();  // as a user types it
  const auto done = relocate(from);
  ASSERT_TRUE(done) << done.error().text;
  EXPECT_EQ(done->tables, (std::vector<std::string>{"t", "u"}));
  for (const char* folder : {"evodb/t", "evodb/u"}) EXPECT_EQ(sick(folder), std::nullopt) << folder;
}

TEST_F(Relocate, AWrongFromChangesNothing) {
  fill();
  const auto before = catalog->load("t").value();
  const std::string record = *store.peek(std::string(warehouse_key));
  const auto done = relocate("s3://elsewhere/");
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().kind, ErrorKind::kInvalid);
  EXPECT_EQ(catalog->load("t").value(), before);
  EXPECT_EQ(*store.peek(std::string(warehouse_key)), record);
}

}  // namespace
}  // namespace evodb::table
