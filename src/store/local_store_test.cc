#include "store/local_store.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>

#include <gtest/gtest.h>

namespace evodb::store {
namespace {

class LocalStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/evodb-store-XXXXXX";
    root_ = ::mkdtemp(name);
    store_ = open_store({.url = "file:" + root_ + "/ware house"}).value();
  }
  void TearDown() override {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }
  std::size_t temporaries() const {
    std::size_t n = 0;
    for (const auto& entry :
         std::filesystem::directory_iterator(root_ + "/ware house/.evodb-tmp")) {
      n += entry.exists();
    }
    return n;
  }
  std::string root_;
  std::unique_ptr<ObjectStore> store_;
};

TEST_F(LocalStoreTest, PutGetListRemove) {
  ASSERT_TRUE(store_->put("a/b=1/x y é.parquet", std::string("\0bytes", 6), PutMode::kOverwrite));
  ASSERT_TRUE(store_->put("a/c", "", PutMode::kIfAbsent));
  ASSERT_TRUE(store_->put("ab", "z", PutMode::kIfAbsent));
  EXPECT_EQ(store_->get("a/b=1/x y é.parquet").value(), std::string("\0bytes", 6));
  const auto all = store_->list("a/").value();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].key, "a/b=1/x y é.parquet");
  EXPECT_EQ(all[0].bytes, 6u);
  EXPECT_GT(all[0].modified.value, 1'600'000'000'000);
  EXPECT_EQ(store_->list("a").value().size(), 3u);
  EXPECT_EQ(store_->list("").value().size(), 3u);
  EXPECT_EQ(store_->list("nothing/here").value().size(), 0u);
  ASSERT_TRUE(store_->remove("a/c"));
  ASSERT_TRUE(store_->remove("a/c")) << "absent is no error";
  EXPECT_EQ(store_->get("a/c").error().kind, ErrorKind::kNotFound);
  EXPECT_EQ(store_->get("a").error().kind, ErrorKind::kNotFound) << "a directory is no object";
  EXPECT_EQ(store_->get_at_most("ab", 1).value(), "z");
  EXPECT_EQ(store_->get_at_most("ab", 0).error().kind, ErrorKind::kOverLimit);
  EXPECT_EQ(temporaries(), 0u);
  EXPECT_TRUE(store_->check());
}

TEST_F(LocalStoreTest, IfAbsentRefusesToReplace) {
  ASSERT_TRUE(store_->put("k", "one", PutMode::kIfAbsent));
  EXPECT_EQ(store_->put("k", "two", PutMode::kIfAbsent).error().kind, ErrorKind::kExists);
  EXPECT_EQ(store_->get("k").value(), "one");
  ASSERT_TRUE(store_->put("k", "two", PutMode::kOverwrite));
  EXPECT_EQ(store_->get("k").value(), "two");
  EXPECT_EQ(temporaries(), 0u);
}

TEST_F(LocalStoreTest, PutAllPutsAllAndLeavesWhatAnEarlierTryLeft) {
  ASSERT_TRUE(store_->put("t/data/x", "mine", PutMode::kIfAbsent));
  const std::vector<NewObject> objects = {
      {"t/data/x", "mine"}, {"t/data/y", "two"}, {"t/metadata/z", ""}};
  ASSERT_TRUE(store_->put_all(objects));
  EXPECT_EQ(store_->get("t/data/x").value(), "mine");
  EXPECT_EQ(store_->get("t/data/y").value(), "two");
  EXPECT_EQ(store_->get("t/metadata/z").value(), "");
  EXPECT_EQ(temporaries(), 0u);
  ASSERT_TRUE(store_->put_all(objects)) << "the same once more";
  ASSERT_TRUE(store_->put_all({}));
  for (const char* bytes : {"another", "ours"}) {  // of another size, and of the same
    const std::vector<NewObject> another_is_there = {{"t/data/x", bytes}};
    EXPECT_EQ(store_->put_all(another_is_there).error().kind, ErrorKind::kExists) << bytes;
  }
  EXPECT_EQ(store_->get("t/data/x").value(), "mine");
  EXPECT_TRUE(store_->holds("t/data/x", "mine").value());
  EXPECT_FALSE(store_->holds("t/data/x", "ours").value());
  EXPECT_EQ(store_->holds("t/data", "").error().kind, ErrorKind::kNotFound);
  const std::vector<NewObject> one_is_wrong = {{"t/data/v", "v"}, {"../w", "w"}};
  EXPECT_EQ(store_->put_all(one_is_wrong).error().kind, ErrorKind::kInvalid);
  EXPECT_EQ(store_->get("t/data/v").error().kind, ErrorKind::kNotFound) << "nothing is begun";
}

TEST_F(LocalStoreTest, LocationsRoundTripAndOthersAreRefused) {
  const std::string location = store_->location("t/data/x.parquet");
  EXPECT_EQ(location, "file://" + root_ + "/ware house/t/data/x.parquet");
  EXPECT_EQ(store_->key_of(location).value(), "t/data/x.parquet");
  EXPECT_EQ(store_->key_of("file:" + root_ + "/ware house/t").value(), "t");
  EXPECT_EQ(store_->key_of(root_ + "/ware house/t").value(), "t");
  EXPECT_FALSE(store_->key_of("file:///elsewhere/t"));
  EXPECT_FALSE(store_->key_of("file://" + root_ + "/ware housewife/t"));
  EXPECT_FALSE(store_->key_of("s3://bucket/t"));
}

TEST_F(LocalStoreTest, RefusesKeysThatLeaveTheWarehouse) {
  for (const char* key :
       {"", "/etc/passwd", "../x", "a/../x", "a//b", "a/", "./a", "a\nb", ".evodb-tmp/x"}) {
    EXPECT_EQ(store_->put(key, "x", PutMode::kOverwrite).error().kind, ErrorKind::kInvalid) << key;
    EXPECT_EQ(store_->get(key).error().kind, ErrorKind::kInvalid) << key;
    EXPECT_NE(store_->get(key).error().kind, ErrorKind::kNotFound) << key;
  }
  EXPECT_FALSE(store_->put(std::string(300, 'a'), "x", PutMode::kOverwrite));
}

TEST_F(LocalStoreTest, AVanishedWarehouseIsAwayAndIsNotMadeAnew) {
  ASSERT_TRUE(store_->put("t/x", "1", PutMode::kOverwrite));
  std::filesystem::rename(root_ + "/ware house", root_ + "/unmounted");
  EXPECT_EQ(store_->check().error().kind, ErrorKind::kRetry);
  EXPECT_EQ(store_->put("t/x", "2", PutMode::kOverwrite).error().kind, ErrorKind::kRetry);
  EXPECT_EQ(store_->get("t/x").error().kind, ErrorKind::kRetry);
  EXPECT_EQ(store_->list("").error().kind, ErrorKind::kRetry);
  EXPECT_EQ(store_->remove("t/x").error().kind, ErrorKind::kRetry);
  EXPECT_FALSE(std::filesystem::exists(root_ + "/ware house"));
  std::filesystem::rename(root_ + "/unmounted", root_ + "/ware house");
  EXPECT_EQ(store_->get("t/x").value(), "1");
}

TEST_F(LocalStoreTest, AFullDiskIsRetryAndSaysSoAndLeavesNothing) {
  // A limit on the size of files stands for the disk: write() fails in the middle of the object.
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old = ::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{100'000, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string large(1'000'000, 'x');
  const auto put = store_->put("t/x", large, PutMode::kIfAbsent);
  const std::vector<NewObject> objects = {{"t/small", "s"}, {"t/x", large}};
  const auto all = store_->put_all(objects);
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, old);
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().kind, ErrorKind::kRetry);
  EXPECT_NE(put.error().text.find("full"), std::string::npos) << put.error().text;
  ASSERT_FALSE(all);
  EXPECT_EQ(all.error().kind, ErrorKind::kRetry);
  EXPECT_EQ(store_->get("t/x").error().kind, ErrorKind::kNotFound);
  EXPECT_EQ(store_->get("t/small").error().kind, ErrorKind::kNotFound);
  EXPECT_EQ(temporaries(), 0u);
  EXPECT_TRUE(store_->put("t/x", "x", PutMode::kIfAbsent)) << "it goes on by itself";
}

TEST_F(LocalStoreTest, TheSameDirectoryByAnotherPathKeepsItsSpelling) {
  std::filesystem::create_directory_symlink(root_ + "/ware house", root_ + "/link");
  const auto other = open_store({.url = "file:" + root_ + "/link"}).value();
  const std::string recorded = store_->location("");
  EXPECT_NE(other->location(""), recorded);
  EXPECT_TRUE(*other->is_at(recorded));
  EXPECT_FALSE(*other->is_at("file:///nowhere/"));
  EXPECT_FALSE(*other->is_at("s3://bucket/"));
  const std::string own = other->location("a/b");
  other->spell_as(recorded);
  EXPECT_EQ(other->location("a/b"), store_->location("a/b"));
  EXPECT_EQ(*other->key_of(store_->location("a/b")), "a/b");
  EXPECT_EQ(*other->key_of(own), "a/b") << "its own path still leads there";
}

TEST(PutAll, AnswersTheWorstOfItsObjects) {
  const auto failed = [](ErrorKind kind) -> Result<void> { return fail(kind, "x"); };
  const Result<void> fine;
  using Answers = std::vector<Result<void>>;
  EXPECT_TRUE(worst_of(Answers{}));
  EXPECT_TRUE(worst_of(Answers{fine, fine}));
  const auto retry = failed(ErrorKind::kRetry), unknown = failed(ErrorKind::kOutcomeUnknown);
  const auto invalid = failed(ErrorKind::kInvalid);
  EXPECT_EQ(worst_of(Answers{fine, retry, fine}).error().kind, ErrorKind::kRetry);
  EXPECT_EQ(worst_of(Answers{unknown, retry}).error().kind, ErrorKind::kOutcomeUnknown);
  EXPECT_EQ(worst_of(Answers{retry, unknown, invalid}).error().kind, ErrorKind::kInvalid);
}

TEST(OpenStore, SaysWhatIsWrong) {
  for (const char* url : {"", "file:", "gs://x", "s3://", "s3://B", "file:/tmp/a?b", "file:/"}) {
    const auto store = open_store({.url = url});
    ASSERT_FALSE(store) << url;
    EXPECT_EQ(store.error().kind, ErrorKind::kInvalid) << url;
    EXPECT_NE(store.error().text.find("store.url"), std::string::npos) << store.error().text;
  }
}

}  // namespace
}  // namespace evodb::store
