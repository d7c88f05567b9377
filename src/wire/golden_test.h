// Reads vectors/: NAME.hex and its description NAME.json. For tests.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace evodb::wire {

struct Golden {
  std::string name;
  std::string bytes;
  nlohmann::json description;
};

inline std::string read_text_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in.good()) << path;
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

inline std::string from_hex(const std::string& text) {
  std::string digits;
  for (const char c : text) {
    if (std::isxdigit(static_cast<unsigned char>(c)) != 0) digits += c;
  }
  std::string bytes;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

// `folder`: "wire-v2", "wire-v1". Sorted by name.
inline std::vector<Golden> read_goldens(const std::string& folder) {
  std::vector<Golden> goldens;
  const auto directory = std::filesystem::path(EVODB_SOURCE_DIR) / "vectors" / folder;
  for (const auto& file : std::filesystem::directory_iterator(directory)) {
    if (file.path().extension() != ".json") continue;
    auto bytes = file.path();
    goldens.push_back({file.path().stem().string(),
                       from_hex(read_text_file(bytes.replace_extension(".hex"))),
                       nlohmann::json::parse(read_text_file(file.path()))});
  }
  std::sort(goldens.begin(), goldens.end(),
            [](const Golden& a, const Golden& b) { return a.name < b.name; });
  EXPECT_FALSE(goldens.empty()) << directory;
  return goldens;
}

inline std::uint64_t wide(const nlohmann::json& json) {
  return std::stoull(json.get<std::string>());
}
inline std::uint64_t hex64(const nlohmann::json& json) {
  return std::stoull(json.get<std::string>(), nullptr, 16);
}

}  // namespace evodb::wire
