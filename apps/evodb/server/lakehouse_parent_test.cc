// The parent as a library, on real threads, disk and sockets (also what TSan looks at).
#include <chrono>
#include <filesystem>
#include <thread>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "bench/lakehouse_reader.h"
#include "bench/load.h"
#include "evodb/parent.h"

namespace evodb {
namespace {

class LakehouseParentTest : public ::testing::Test {
 protected:
  void SetUp() override {
    data_ = ::testing::TempDir() + "evodb-parent-test-XXXXXX";
    ASSERT_NE(mkdtemp(data_.data()), nullptr);
  }
  void TearDown() override { std::filesystem::remove_all(data_); }

  std::unique_ptr<LakehouseParent> start(std::map<std::string, std::string> settings = {}) {
    auto parent = LakehouseParent::start(
        {.listen = "127.0.0.1:0", .data = data_, .settings = std::move(settings)});
    EXPECT_TRUE(parent) << parent.error().text;
    return parent ? std::move(*parent) : nullptr;
  }

  bench::LoadOptions load(const LakehouseParent& parent, const std::string& prefix) {
    const std::string address = parent.address();
    bench::LoadOptions options;
    options.port = static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
    options.prefix = prefix;
    options.rows = bench::RowKind::kTyped4;
    options.connections = 5;
    options.entries = 5'000;
    return options;
  }

  std::string data_;
};

TEST_F(LakehouseParentTest, lands_what_children_send_once) {
  auto parent = start();
  ASSERT_TRUE(parent);
  auto options = load(*parent, "a");
  options.until = WaitLevel::kPersisted;
  const auto done = bench::run_load(options);
  ASSERT_TRUE(done) << done.error().text;
  auto reader = bench::LakehouseReader::open(data_);
  ASSERT_TRUE(reader) << reader.error().text;
  const auto right = reader->expect(options);
  EXPECT_TRUE(right) << right.error().text;

  const auto status = nlohmann::json::parse(parent->status_json());
  EXPECT_EQ(status["ingest"]["entries"], 5'000);
  EXPECT_EQ(status["landing"]["entries_landed"], 5'000);
  EXPECT_EQ(parent->get_buffer_stats().entries, 0u);
  parent->stop(std::chrono::seconds(10));
}

// Landing reads the journal by itself, once the tables are loaded: a moment after the start.
LakehouseBufferStats wait_until_buffered(LakehouseParent& parent) {
  for (int i = 0; i < 1'000 && parent.get_buffer_stats().entries == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return parent.get_buffer_stats();
}

TEST_F(LakehouseParentTest, stopping_lands_what_is_buffered) {
  auto parent = start({{"buffer.max_age_ms", "60000"}, {"buffer.flush_threshold", "1000000"}});
  ASSERT_TRUE(parent);
  const auto options = load(*parent, "b");
  const auto done = bench::run_load(options);
  ASSERT_TRUE(done) << done.error().text;
  EXPECT_GT(wait_until_buffered(*parent).entries, 0u);
  parent->stop(std::chrono::seconds(20));
  auto reader = bench::LakehouseReader::open(data_);
  ASSERT_TRUE(reader);
  const auto right = reader->expect(options);
  EXPECT_TRUE(right) << right.error().text;
}

TEST_F(LakehouseParentTest, what_was_only_durable_lands_after_the_next_start) {
  {
    auto parent = start({{"buffer.max_age_ms", "60000"}, {"buffer.flush_threshold", "1000000"}});
    ASSERT_TRUE(parent);
    const auto done = bench::run_load(load(*parent, "c"));
    ASSERT_TRUE(done) << done.error().text;
    const auto buffered = wait_until_buffered(*parent);
    EXPECT_GT(buffered.entries, 0u);
    EXPECT_GT(buffered.bytes, 0u);
    parent->stop(std::chrono::milliseconds(0));
  }
  auto parent = start();
  ASSERT_TRUE(parent);
  const auto landed = parent->flush();
  EXPECT_TRUE(landed) << landed.error().text;
  auto reader = bench::LakehouseReader::open(data_);
  ASSERT_TRUE(reader);
  const auto right = reader->expect(load(*parent, "c"));
  EXPECT_TRUE(right) << right.error().text;
}

TEST_F(LakehouseParentTest, two_parents_of_one_directory_are_refused) {
  auto parent = start();
  ASSERT_TRUE(parent);
  const auto second = LakehouseParent::start({.listen = "127.0.0.1:0", .data = data_});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, ErrorKind::kRetry);
}

TEST_F(LakehouseParentTest, a_setting_that_does_not_exist_is_refused) {
  const auto parent = LakehouseParent::start(
      {.listen = "127.0.0.1:0", .data = data_, .settings = {{"bufer.max_bytes", "1"}}});
  ASSERT_FALSE(parent);
  EXPECT_EQ(parent.error().kind, ErrorKind::kInvalid);
  EXPECT_NE(parent.error().text.find("buffer.max_bytes"), std::string::npos);
}

}  // namespace
}  // namespace evodb
