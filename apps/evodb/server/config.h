// Config: every setting of a parent, where its value came from, and nothing that is not one.
//
//   Config config =
//       EVODB_TRY(Config::load({.file = "evodb.toml", .sets = {"buffer.max_age_ms=200"}}));
//   std::int64_t age_ms = config.integer("buffer.max_age_ms");
//
// Later wins: default, file, EVODB_* variable, flag. A key's variable is EVODB_ and the key in
// capitals with '_' for '.'. Unknown keys are errors that name the nearest known one. A setting
// that ends in `secret...` or `key_id` may come from a file: append `_file` to the key.
// docs/configuration.md is made from settings() by `evodb config docs`.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "evodb/result.h"

namespace evodb::app {

enum class SettingKind : std::uint8_t { kText, kInteger, kBytes, kMillis, kBoolean, kSecret };

struct Setting {
  const char* key;
  SettingKind kind;
  const char* default_value;
  std::int64_t min = 0, max = 0;  // kInteger, kBytes, kMillis
  const char* doc;
};

std::span<const Setting> settings();

class Config {
 public:
  struct Sources {
    std::string file;                          // "" : ./evodb.toml if it is there
    std::vector<std::string> sets;             // "key=value"
    std::map<std::string, std::string> flags;  // key -> value, from named flags
    std::map<std::string, std::string> environment;
  };
  // Errors: kInvalid, with file and line, variable or flag, and what would be right.
  static Result<Config> load(const Sources& sources);

  std::string text(std::string_view key) const;
  std::int64_t integer(std::string_view key) const;  // kInteger, kBytes, kMillis
  bool boolean(std::string_view key) const;
  // "default", "evodb.toml:3", "EVODB_LISTEN", "--set", "--listen"
  std::string origin(std::string_view key) const;
  // What `evodb config show` prints: TOML-like lines, secrets hidden.
  std::string show(bool with_origin) const;
  std::string json(bool with_origin) const;

 private:
  struct Entry {
    std::string value;
    std::string origin;
  };
  Result<void> set(const std::string& key, const std::string& value, const std::string& origin);
  Result<void> load_file(const std::string& path);
  const Entry& at(std::string_view key) const;

  std::map<std::string, Entry, std::less<>> entries_;
};

// docs/configuration.md.
std::string configuration_page();

}  // namespace evodb::app
