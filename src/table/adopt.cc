#include "table/adopt.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <tuple>

#include "table/append.h"
#include "table/metadata.h"
#include "table/table_state.h"

namespace evodb::table {
namespace {

constexpr std::string_view metadata_suffix = ".metadata.json";
// So many are looked at: more than a crash or two can leave behind.
constexpr std::size_t candidates_max = 16;

std::optional<std::uint64_t> number_of(std::string_view key) {
  const std::string_view name = key.substr(key.rfind('/') + 1);
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end == name.data() + name.size() || *end != '-') return std::nullopt;
  return number;
}

struct Candidate {
  std::uint64_t number = 0;
  std::string key;
  std::optional<Watermark> watermark;
};

bool is_transient(const Error& error) {
  return error.kind == ErrorKind::kRetry || error.kind == ErrorKind::kOutcomeUnknown;
}

// Is all there that its current snapshot refers to?
Result<bool> is_complete(store::ObjectStore& store, const std::string& key,
                         const std::set<std::string>& present) {
  const auto live = list_live_files(store, store.location(key));
  if (!live) {
    if (is_transient(live.error())) return fail(live.error());
    return false;
  }
  return std::ranges::all_of(live->data, [&](const DataFile& file) {
    const auto data_key = store.key_of(file.location);
    return !data_key || present.contains(*data_key);
  });
}

}  // namespace

Result<std::optional<std::string>> newest_metadata(store::ObjectStore& store,
                                                   const std::string& folder,
                                                   const std::vector<store::ObjectInfo>& objects) {
  std::vector<Candidate> candidates;
  std::set<std::string> present;
  const std::string metadata_folder = folder + "/metadata/";
  for (const auto& object : objects) {
    present.insert(object.key);
    if (!object.key.starts_with(metadata_folder) || !object.key.ends_with(metadata_suffix)) {
      continue;
    }
    if (const auto number = number_of(object.key)) candidates.push_back({*number, object.key, {}});
  }
  std::ranges::sort(candidates, std::greater<>(), &Candidate::number);
  if (candidates.size() > candidates_max) candidates.resize(candidates_max);
  std::vector<Candidate> ours;
  for (Candidate& candidate : candidates) {
    const auto json = store.get(candidate.key);
    if (!json && is_transient(json.error())) return fail(json.error());
    const auto metadata =
        json ? TableMetadata::parse(*json) : Result<TableMetadata>(fail(json.error()));
    if (!metadata) continue;
    const auto location = store.key_of(metadata->location());
    const auto watermark = read_watermark(*metadata);
    if (!location || *location != folder || !watermark || !*watermark) continue;
    candidate.watermark = *watermark;
    ours.push_back(std::move(candidate));
  }
  std::ranges::stable_sort(ours, [](const Candidate& a, const Candidate& b) {
    return std::tuple(a.number, a.watermark->writer, a.watermark->position) >
           std::tuple(b.number, b.watermark->writer, b.watermark->position);
  });
  for (const Candidate& candidate : ours) {
    if (EVODB_TRY(is_complete(store, candidate.key, present))) return candidate.key;
  }
  return std::nullopt;
}

}  // namespace evodb::table
