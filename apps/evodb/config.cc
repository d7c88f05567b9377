#include "config.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <utility>

#include <nlohmann/json.hpp>

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include "base/assert.h"

namespace evodb::app {

namespace {

using enum SettingKind;
constexpr std::int64_t kib = 1024, mib = 1024 * kib, gib = 1024 * mib;
constexpr std::int64_t day_ms = 24LL * 3600 * 1000;

constexpr Setting table[] = {
    {"listen", kText, "127.0.0.1:8787", 0, 0,
     "Address and port of the one port: WebSocket, HTTP, metrics. Port 0 takes a free one."},
    {"data", kText, "./evodb-data", 0, 0,
     "Directory of the journal, the SQLite catalog and, by default, the warehouse."},
    {"insecure", kBoolean, "false", 0, 0,
     "Allow listening beyond loopback although there are no tokens yet. Anyone who reaches the "
     "port "
     "can then write as any source."},

    {"store.url", kText, "", 0, 0,
     "Where Parquet and table metadata go: file:DIR or s3://bucket/prefix. Empty: file:<data>/"
     "warehouse."},
    {"store.endpoint", kText, "", 0, 0,
     "S3 endpoint, such as http://127.0.0.1:7070 or R2's https address. Empty: AWS."},
    {"store.region", kText, "auto", 0, 0,
     "S3 region for signing. auto: us-east-1, which R2 and most S3 servers take. Also read from "
     "AWS_REGION."},
    {"store.access_key_id", kSecret, "", 0, 0,
     "S3 access key id. Also read from AWS_ACCESS_KEY_ID."},
    {"store.secret_access_key", kSecret, "", 0, 0,
     "S3 secret key. Also read from AWS_SECRET_ACCESS_KEY."},
    {"store.session_token", kSecret, "", 0, 0,
     "S3 session token. Also read from AWS_SESSION_TOKEN."},
    {"store.path_style", kBoolean, "true", 0, 0,
     "Put the bucket into the path rather than into the host name."},
    {"store.connect_timeout_ms", kMillis, "5000", 1, day_ms, "Longest wait for a connection."},
    {"store.request_timeout_ms", kMillis, "60000", 1, day_ms, "Longest wait for an answer."},

    {"buffer.max_bytes", kBytes, "50000000", 1 * mib, 64 * gib,
     "All column buffers together. When full, the largest is flushed and the journal holds the "
     "rest."},
    {"buffer.max_entries", kInteger, "100000", 1, 100'000'000,
     "Changes in all column buffers together."},
    {"buffer.flush_threshold", kInteger, "10000", 1, 100'000'000,
     "Changes in one table's buffer that make a flush due."},
    {"buffer.max_age_ms", kMillis, "1000", 1, day_ms,
     "Age of the oldest change in a table's buffer that makes a flush due: freshness."},

    {"fallback.enabled", kBoolean, "true", 0, 0,
     "Let the journal grow to fallback.max_local_bytes while the store is away. false: only to "
     "four "
     "segments, then children keep their changes themselves."},
    {"fallback.max_local_bytes", kBytes, "10737418240", 64 * mib, 64LL * 1024 * gib,
     "Cap of the journal on disk. When it nears, credit stops and children keep their changes."},
    {"fallback.recovery_interval_ms", kMillis, "60000", 100, day_ms,
     "Longest wait between attempts while the store is away (they begin at 100 ms and double)."},

    {"journal.segment_bytes", kBytes, "67108864", 1 * mib, 4 * gib,
     "Size of one journal file. Must be larger than the largest frame."},

    {"dedup.window_ms", kMillis, "300000", 1, 365 * day_ms,
     "Unordered sources (wire v1): how long an LSN is certainly remembered."},
    {"dedup.max_entries_per_source", kInteger, "10000", 1, 10'000'000,
     "Unordered sources: intervals of LSNs remembered a source; beyond it new work is refused."},
    {"dedup.max_sources", kInteger, "1000", 1, 100'000'000, "Unordered sources at most."},

    {"ingest.session_credit_bytes", kBytes, "4194304", 64 * kib, 1 * gib,
     "Bytes that one child may have in flight and not yet durable."},
    {"ingest.inflight_bytes_max", kBytes, "67108864", 1 * mib, 16 * gib,
     "The same for all children together."},

    {"gate.connections_max", kInteger, "19000", 1, 10'000'000, "Open connections at most."},
    {"gate.header_ms_max", kMillis, "10000", 10, day_ms,
     "A request's head must have arrived within this time."},
    {"gate.hello_ms_max", kMillis, "10000", 10, day_ms,
     "A WebSocket must have said hello within this time."},
    {"gate.message_ms_max", kMillis, "120000", 100, day_ms,
     "A message that comes in parts must be whole within this time."},
    {"gate.idle_ping_ms", kMillis, "30000", 0, day_ms,
     "Ping a silent connection after this time; 0 never."},
    {"gate.output_bytes_max", kBytes, "4194304", 64 * kib, 1 * gib,
     "Output that may wait for a child that does not read before it is cut off."},
    {"gate.partial_bytes_max", kBytes, "268435456", 16 * mib, 64 * gib,
     "Partly received messages of all connections together."},

    {"lake.file_bytes_max", kBytes, "134217728", 1 * mib, 16 * gib,
     "A flush is cut into files of about this size."},
    {"lake.flushes_max", kInteger, "4", 1, 64, "Flushes running at once, over all tables."},
    {"lake.snapshots_max", kInteger, "100", 1, 100'000,
     "Snapshots of a table that stay readable, newest first. Data files are never removed."},
    {"lake.metadata_files_max", kInteger, "100", 1, 100'000,
     "Former metadata files of a table that stay, for readers that hold their location."},
    {"lake.orphan_age_ms", kMillis, "86400000", 0, 365 * day_ms,
     "Files of crashed flushes are removed at start when they are older than this."},

    {"shutdown.deadline_ms", kMillis, "10000", 0, day_ms,
     "How long SIGTERM waits for what is buffered to land. What has not stays in the journal."},
};

std::string environment_name(std::string_view key) {
  std::string name = "EVODB_";
  for (const char c : key) name.push_back(c == '.' ? '_' : static_cast<char>(std::toupper(c)));
  return name;
}

const Setting* find(std::string_view key) {
  for (const auto& setting : table) {
    if (key == setting.key) return &setting;
  }
  return nullptr;
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

std::string did_you_mean(std::string_view key) {
  const Setting* best = nullptr;
  std::size_t best_distance = key.size() / 2 + 2;
  for (const auto& setting : table) {
    const std::string_view known = setting.key;
    std::size_t distance = edit_distance(key, known);
    // "max_bytes" means a key that ends so.
    if (known.size() > key.size() && known.ends_with(key)) distance = 1;
    if (distance < best_distance) {
      best = &setting;
      best_distance = distance;
    }
  }
  return best ? std::string("; did you mean `") + best->key + "`?"
              : "; `evodb config show` lists what there is";
}

bool is_number(SettingKind kind) { return kind == kInteger || kind == kBytes || kind == kMillis; }

// "64MiB", "10GB", "1_000", "250". Units only for bytes (10^3 and 2^10 steps).
Result<std::int64_t> parse_number(const Setting& setting, std::string_view value) {
  std::string digits;
  std::size_t i = 0;
  for (;
       i < value.size() && (std::isdigit(static_cast<unsigned char>(value[i])) || value[i] == '_');
       ++i) {
    if (value[i] != '_') digits.push_back(value[i]);
  }
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  std::string unit(value.substr(i));
  std::transform(unit.begin(), unit.end(), unit.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  std::int64_t factor = unit.empty() ? 1 : 0;
  if (setting.kind == kBytes) {
    static const std::map<std::string, std::int64_t> units = {
        {"b", 1},     {"kb", 1000}, {"mb", 1000 * 1000}, {"gb", 1000LL * 1000 * 1000},
        {"kib", kib}, {"mib", mib}, {"gib", gib}};
    if (const auto found = units.find(unit); found != units.end()) factor = found->second;
  }
  if (digits.empty() || error != std::errc() || factor == 0 ||
      __builtin_mul_overflow(number, factor, &number)) {
    return fail(ErrorKind::kInvalid, setting.kind == kBytes
                                         ? "is not a number of bytes (such as 50000000 or 64MiB)"
                                         : "is not a whole number");
  }
  if (number < setting.min || number > setting.max) {
    return fail(ErrorKind::kInvalid, "must be between " + std::to_string(setting.min) + " and " +
                                         std::to_string(setting.max));
  }
  return number;
}

Result<std::string> read_secret(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(ErrorKind::kInvalid, "cannot read the file " + path);
  std::string value((std::istreambuf_iterator<char>(in)), {});
  while (!value.empty() && (value.back() == '\n' || value.back() == '\r')) value.pop_back();
  return value;
}

std::string quoted_text(const std::string& value) {
  return nlohmann::json(value).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

std::span<const Setting> settings() { return table; }

Result<void> Config::set(const std::string& key, const std::string& value,
                         const std::string& origin) {
  const Setting* setting = find(key);
  if (setting == nullptr && key.ends_with("_file")) {
    const Setting* secret = find(key.substr(0, key.size() - 5));
    if (secret != nullptr && secret->kind == kSecret) {
      auto content = read_secret(value);
      if (!content)
        return fail(ErrorKind::kInvalid, origin + ": " + key + ": " + content.error().text);
      return set(secret->key, *content, origin + " (" + value + ")");
    }
  }
  if (setting == nullptr) {
    return fail(ErrorKind::kInvalid,
                origin + ": there is no setting `" + key + "`" + did_you_mean(key));
  }
  std::string normal = value;
  if (is_number(setting->kind)) {
    auto number = parse_number(*setting, value);
    if (!number) {
      return fail(ErrorKind::kInvalid,
                  origin + ": " + key + " = \"" + value + "\" " + number.error().text);
    }
    normal = std::to_string(*number);
  } else if (setting->kind == kBoolean && value != "true" && value != "false") {
    return fail(ErrorKind::kInvalid,
                origin + ": " + key + " = \"" + value + "\" must be true or false");
  }
  entries_[key] = {std::move(normal), origin};
  return {};
}

Result<void> Config::load_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(ErrorKind::kInvalid, "cannot read the configuration file " + path);
  const std::string content((std::istreambuf_iterator<char>(in)), {});
  const toml::parse_result parsed = toml::parse(std::string_view(content), path);
  if (!parsed) {
    const auto where = parsed.error().source().begin;
    return fail(ErrorKind::kInvalid, path + ":" + std::to_string(where.line) + ":" +
                                         std::to_string(where.column) + ": " +
                                         std::string(parsed.error().description()));
  }
  struct Level {
    std::string prefix;
    const toml::table* table;
  };
  std::vector<Level> levels = {{"", &parsed.table()}};
  while (!levels.empty()) {
    const Level level = levels.back();
    levels.pop_back();
    for (const auto& [name, node] : *level.table) {
      const std::string key = level.prefix + std::string(name.str());
      const std::string origin = path + ":" + std::to_string(node.source().begin.line);
      if (const auto* inner = node.as_table()) {
        levels.push_back({key + ".", inner});
      } else if (const auto* text = node.as_string()) {
        EVODB_CHECK(set(key, text->get(), origin));
      } else if (const auto* number = node.as_integer()) {
        EVODB_CHECK(set(key, std::to_string(number->get()), origin));
      } else if (const auto* boolean = node.as_boolean()) {
        EVODB_CHECK(set(key, boolean->get() ? "true" : "false", origin));
      } else {
        return fail(ErrorKind::kInvalid,
                    origin + ": " + key + " must be text, a whole number, true or false");
      }
    }
  }
  return {};
}

Result<Config> Config::load(const Sources& sources) {
  Config config;
  for (const auto& setting : table)
    config.entries_[setting.key] = {setting.default_value, "default"};

  if (!sources.file.empty()) {
    EVODB_CHECK(config.load_file(sources.file));
  } else if (std::error_code none; std::filesystem::exists("evodb.toml", none)) {
    EVODB_CHECK(config.load_file("evodb.toml"));
  }

  std::map<std::string, std::string> known;  // variable -> key
  for (const auto& setting : table) {
    known[environment_name(setting.key)] = setting.key;
    if (setting.kind == kSecret) {
      const std::string key = std::string(setting.key) + "_file";
      known[environment_name(key)] = key;
    }
  }
  static const std::map<std::string, std::string> aws = {
      {"AWS_ACCESS_KEY_ID", "store.access_key_id"},
      {"AWS_SECRET_ACCESS_KEY", "store.secret_access_key"},
      {"AWS_SESSION_TOKEN", "store.session_token"},
      {"AWS_REGION", "store.region"}};
  for (const auto& [name, key] : aws) {
    const auto found = sources.environment.find(name);
    if (found != sources.environment.end() && config.at(key).origin == "default") {
      EVODB_CHECK(config.set(key, found->second, name));
    }
  }
  for (const auto& [name, value] : sources.environment) {
    if (!name.starts_with("EVODB_")) continue;
    const auto found = known.find(name);
    if (found == known.end()) {
      std::string key = name.substr(6);
      std::transform(key.begin(), key.end(), key.begin(),
                     [](unsigned char c) { return std::tolower(c); });
      return fail(ErrorKind::kInvalid,
                  "the environment variable " + name + " names no setting" + did_you_mean(key));
    }
    EVODB_CHECK(config.set(found->second, value, name));
  }
  for (const auto& assignment : sources.sets) {
    const auto equals = assignment.find('=');
    if (equals == std::string::npos) {
      return fail(ErrorKind::kInvalid, "--set " + assignment + ": write --set key=value");
    }
    EVODB_CHECK(config.set(assignment.substr(0, equals), assignment.substr(equals + 1), "--set"));
  }
  for (const auto& [key, value] : sources.flags) {
    EVODB_CHECK(config.set(key, value, "--" + key));
  }
  return config;
}

const Config::Entry& Config::at(std::string_view key) const {
  const auto found = entries_.find(key);
  EVODB_ASSERT(found != entries_.end(), "a setting that is in the table");
  return found->second;
}

std::string Config::text(std::string_view key) const { return at(key).value; }
std::int64_t Config::integer(std::string_view key) const { return std::stoll(at(key).value); }
bool Config::boolean(std::string_view key) const { return at(key).value == "true"; }
std::string Config::origin(std::string_view key) const { return at(key).origin; }

std::string Config::show(bool with_origin) const {
  std::ostringstream out;
  for (const auto& setting : table) {
    const Entry& entry = at(setting.key);
    std::string value = entry.value;
    if (setting.kind == kSecret) {
      value = value.empty() ? "\"\"" : "\"(hidden)\"";
    } else if (setting.kind == kText) {
      value = quoted_text(value);
    }
    out << setting.key << " = " << value;
    if (with_origin) out << "  # " << entry.origin;
    out << "\n";
  }
  return out.str();
}

std::string Config::json(bool with_origin) const {
  nlohmann::ordered_json out;
  for (const auto& setting : table) {
    const Entry& entry = at(setting.key);
    nlohmann::ordered_json value;
    if (setting.kind == kSecret) {
      value = entry.value.empty() ? "" : "(hidden)";
    } else if (is_number(setting.kind)) {
      value = integer(setting.key);
    } else if (setting.kind == kBoolean) {
      value = boolean(setting.key);
    } else {
      value = entry.value;
    }
    if (with_origin) {
      out[setting.key] = {{"value", value}, {"origin", entry.origin}};
    } else {
      out[setting.key] = value;
    }
  }
  return out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string configuration_page() {
  std::ostringstream out;
  out << "# Configuration\n\n"
         "Made from the code by `evodb config docs`; do not edit.\n\n"
         "A value comes from, later wins: its default, the file (`--config FILE`, or `evodb.toml` "
         "in "
         "the working\ndirectory), its environment variable, a flag (`--set key=value`, "
         "`--listen`, "
         "`--data`).\nUnknown keys are errors. `evodb config show --origin` says what holds and "
         "why; `evodb validate` checks a file.\nSecrets may be read from a file: append `_file` to "
         "the key or `_FILE` to the variable.\nSizes take units: `64MiB`, `10GB`.\n\n"
         "| key | variable | default | what it is |\n|---|---|---|---|\n";
  for (const auto& setting : table) {
    out << "| `" << setting.key << "` | `" << environment_name(setting.key) << "` | "
        << (*setting.default_value ? "`" + std::string(setting.default_value) + "`" : "") << " | "
        << setting.doc;
    if (is_number(setting.kind)) {
      out << " (" << setting.min << " to " << setting.max
          << (setting.kind == kBytes    ? " bytes"
              : setting.kind == kMillis ? " ms"
                                        : "")
          << ")";
    }
    out << " |\n";
  }
  return out.str();
}

}  // namespace evodb::app
