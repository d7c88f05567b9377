// `evodb status`: what a parent says of itself.
#include <cstdio>

#include <nlohmann/json.hpp>

#include "commands/command.h"
#include "commands/http_client.h"

namespace evodb::app {

namespace {

using Json = nlohmann::json;

std::string duration(std::int64_t ms) {
  char text[32];
  if (ms < 1000) {
    std::snprintf(text, sizeof text, "%lld ms", static_cast<long long>(ms));
  } else if (ms < 120'000) {
    std::snprintf(text, sizeof text, "%.1f s", static_cast<double>(ms) / 1e3);
  } else if (ms < 7'200'000) {
    std::snprintf(text, sizeof text, "%.0f min", static_cast<double>(ms) / 6e4);
  } else {
    std::snprintf(text, sizeof text, "%.1f h", static_cast<double>(ms) / 3.6e6);
  }
  return text;
}

void print(const Json& s) {
  const auto number = [](const Json& at, const char* key) {
    return at.at(key).get<std::uint64_t>();
  };
  std::printf("evodb %s at %s: %s, up %s\n", s.at("version").get<std::string>().c_str(),
              s.at("address").get<std::string>().c_str(), s.at("phase").get<std::string>().c_str(),
              duration(s.at("uptime_ms").get<std::int64_t>()).c_str());
  for (const auto& reason : s.value("degraded_reasons", Json::array())) {
    std::printf("  not ready    %s\n", reason.at("text").get<std::string>().c_str());
  }
  std::printf("  connections  %lu open, %lu children; %lu sources known\n",
              number(s.at("connections"), "open"), number(s.at("connections"), "children"),
              number(s.at("sources"), "known"));
  std::printf("  taken        %lu changes in %lu batches, %lu duplicates ignored\n",
              number(s.at("ingest"), "entries"), number(s.at("ingest"), "batches"),
              number(s.at("ingest"), "duplicate_entries"));
  std::printf("  journal      %lu of %lu bytes, %lu not landed yet\n",
              number(s.at("journal"), "held_bytes"), number(s.at("journal"), "max_bytes"),
              number(s.at("journal"), "lag_bytes"));
  std::printf("  landed       %lu changes, %lu rejected, in %lu flushes (%lu failed)\n",
              number(s.at("landing"), "entries_landed"),
              number(s.at("landing"), "entries_rejected"), number(s.at("landing"), "flushes"),
              number(s.at("landing"), "flush_failures"));
  for (const auto& [name, table] : s.at("tables").items()) {
    std::printf("  %-28s %10lu landed, %6lu waiting, oldest %s%s%s\n", name.c_str(),
                number(table, "entries_landed"), number(table, "lag_entries"),
                duration(table.at("lag_age_ms").get<std::int64_t>()).c_str(),
                table.at("last_error").get<std::string>().empty() ? "" : "; ",
                table.at("last_error").get<std::string>().c_str());
  }
}

int status(const std::string& parent, bool as_json) {
  const auto answer = http_request("GET", parent + "/status", 10'000);
  if (!answer) return report(answer.error());
  const Json parsed = Json::parse(answer->body, nullptr, false);
  if (answer->status != 200 || !parsed.is_object() || !parsed.contains("journal")) {
    return report({ErrorKind::kInvalid, parent + " answers, but is not an EvoDB parent (HTTP " +
                                            std::to_string(answer->status) + ")"});
  }
  if (as_json) {
    std::fputs(answer->body.c_str(), stdout);
  } else {
    try {
      print(parsed);
    } catch (const Json::exception&) {
      return report(
          {ErrorKind::kInvalid, parent + " speaks another version's /status: use --json"});
    }
  }
  return kExitOk;
}

}  // namespace

void add_status(CLI::App& app, int& exit_code) {
  auto parent = std::make_shared<std::string>("http://127.0.0.1:8787");
  auto as_json = std::make_shared<bool>(false);
  auto* command = app.add_subcommand("status", "Show what a running parent is doing");
  command->add_option("--parent", *parent, "Address of the parent")->type_name("URL");
  command->add_flag("--json", *as_json, "Print /status as it is");
  command->callback([=, &exit_code] {
    std::string url = *parent;
    if (url.starts_with("ws://")) url = "http" + url.substr(2);
    while (url.ends_with('/')) url.pop_back();
    exit_code = status(url, *as_json);
  });
}

}  // namespace evodb::app
