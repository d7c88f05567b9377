#include "server/config.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <gtest/gtest.h>

namespace evodb::app {
namespace {

class ConfigTest : public ::testing::Test {
 protected:
  std::string write(const std::string& content) {
    const std::string path = ::testing::TempDir() + "evodb-config-test.toml";
    std::ofstream(path) << content;
    return path;
  }
  Result<Config> load(const std::string& content, std::map<std::string, std::string> env = {},
                      std::vector<std::string> sets = {}) {
    return Config::load(
        {.file = write(content), .sets = std::move(sets), .environment = std::move(env)});
  }
};

TEST_F(ConfigTest, later_sources_win_and_the_origin_says_which) {
  auto config = load("listen = \"127.0.0.1:1\"\n[buffer]\nmax_age_ms = 5\nmax_entries = 7\n",
                     {{"EVODB_BUFFER_MAX_AGE_MS", "6"}}, {"buffer.max_entries=8"});
  ASSERT_TRUE(config) << config.error().text;
  EXPECT_EQ(config->text("listen"), "127.0.0.1:1");
  EXPECT_TRUE(config->origin("listen").ends_with("toml:1"));
  EXPECT_EQ(config->integer("buffer.max_age_ms"), 6);
  EXPECT_EQ(config->origin("buffer.max_age_ms"), "EVODB_BUFFER_MAX_AGE_MS");
  EXPECT_EQ(config->integer("buffer.max_entries"), 8);
  EXPECT_EQ(config->origin("buffer.max_entries"), "--set");
  EXPECT_EQ(config->integer("buffer.max_bytes"), 50'000'000);
  EXPECT_EQ(config->origin("buffer.max_bytes"), "default");
}

TEST_F(ConfigTest, an_unknown_key_names_the_nearest_one) {
  auto config = load("[buffer]\nmax_agems = 5\n");
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().kind, ErrorKind::kInvalid);
  EXPECT_NE(config.error().text.find("toml:2"), std::string::npos) << config.error().text;
  EXPECT_NE(config.error().text.find("did you mean `buffer.max_age_ms`"), std::string::npos)
      << config.error().text;
  config = load("", {{"EVODB_LISTN", "x"}});
  ASSERT_FALSE(config);
  EXPECT_NE(config.error().text.find("`listen`"), std::string::npos) << config.error().text;
}

TEST_F(ConfigTest, values_out_of_range_or_of_the_wrong_kind_are_refused) {
  EXPECT_FALSE(load("[buffer]\nmax_age_ms = -1\n"));
  EXPECT_FALSE(load("[buffer]\nmax_age_ms = \"soon\"\n"));
  EXPECT_FALSE(load("[buffer]\nmax_age_ms = 1.5\n"));
  EXPECT_FALSE(load("insecure = 1\n"));
  EXPECT_FALSE(load("listen = [1]\n"));
  EXPECT_FALSE(load("listen = \n"));
  EXPECT_FALSE(load("", {}, {"buffer.max_bytes"}));
  EXPECT_FALSE(load("", {}, {"buffer.max_bytes=99999999999999999999GB"}));
}

TEST_F(ConfigTest, sizes_take_units) {
  auto config = load("", {}, {"buffer.max_bytes=64MiB", "fallback.max_local_bytes=2GB"});
  ASSERT_TRUE(config) << config.error().text;
  EXPECT_EQ(config->integer("buffer.max_bytes"), 64 << 20);
  EXPECT_EQ(config->integer("fallback.max_local_bytes"), 2'000'000'000);
  EXPECT_FALSE(load("", {}, {"buffer.max_age_ms=64MiB"}));
}

TEST_F(ConfigTest, secrets_are_never_shown_and_may_come_from_a_file) {
  const std::string secret = ::testing::TempDir() + "evodb-config-test.secret";
  std::ofstream(secret) << "hush\n";
  auto config = load("", {{"EVODB_STORE_SECRET_ACCESS_KEY_FILE", secret},
                          {"AWS_ACCESS_KEY_ID", "k"},
                          {"AWS_REGION", "eu-central-1"}});
  ASSERT_TRUE(config) << config.error().text;
  EXPECT_EQ(config->text("store.secret_access_key"), "hush");
  EXPECT_EQ(config->text("store.access_key_id"), "k");
  EXPECT_EQ(config->text("store.region"), "eu-central-1");
  EXPECT_EQ(config->show(true).find("hush"), std::string::npos);
  EXPECT_EQ(config->json(true).find("hush"), std::string::npos);
}

// `make docs` writes it.
TEST_F(ConfigTest, the_page_is_what_the_code_says) {
  std::ifstream page(EVODB_SOURCE_DIR "/docs/configuration.md");
  const std::string text{std::istreambuf_iterator<char>(page), {}};
  EXPECT_EQ(text, configuration_page());
}

}  // namespace
}  // namespace evodb::app
