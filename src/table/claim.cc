#include "table/claim.h"

#include <charconv>
#include <utility>

#include "table/json.h"
#include "table/table_state.h"

namespace evodb::table {
namespace {

constexpr std::string_view suffix = ".json";
constexpr std::size_t digits = 20;  // of 64 bits

std::string padded(std::uint64_t n) {
  std::string text = std::to_string(n);
  text.insert(0, digits - text.size(), '0');
  return text;
}

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t n = 0;
  if (text.size() != digits) return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return n;
}

std::unexpected<Error> damaged(const char* what) {
  return fail(ErrorKind::kCorrupt, std::string(what) + " is damaged");
}

// Of numbers that JSON's readers may round.
std::optional<std::uint64_t> json_number(const Json& json, std::string_view name) {
  const auto text = json_string(json, name);
  std::uint64_t n = 0;
  if (!text) return std::nullopt;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), n);
  if (error != std::errc() || end != text->data() + text->size()) return std::nullopt;
  return n;
}

}  // namespace

std::string encode(const WarehouseRecord& record) {
  return dump_json({{"warehouse-id", record.id}, {"location", record.location}}) + "\n";
}

Result<WarehouseRecord> decode_warehouse(std::string_view text) {
  const auto json = parse_json(text);
  if (!json) return damaged("the warehouse's record");
  auto id = json_string(*json, "warehouse-id");
  auto location = json_string(*json, "location");
  if (!id || id->empty() || !location) return damaged("the warehouse's record");
  return WarehouseRecord{*std::move(id), *std::move(location)};
}

std::string encode(const ClaimRecord& record) {
  return dump_json({{"writer-epoch", std::to_string(record.writer.value)},
                    {"catalog-id", record.catalog},
                    {"parent-id", record.parent},
                    {"nonce", record.nonce}}) +
         "\n";
}

Result<ClaimRecord> decode_claim(std::string_view text) {
  const auto json = parse_json(text);
  if (!json) return damaged("a claim");
  const auto writer = json_number(*json, "writer-epoch");
  auto catalog = json_string(*json, "catalog-id"), parent = json_string(*json, "parent-id"),
       nonce = json_string(*json, "nonce");
  if (!writer || !catalog || !parent || !nonce) return damaged("a claim");
  return ClaimRecord{*std::move(catalog), *std::move(parent), *std::move(nonce),
                     WriterEpoch(*writer)};
}

std::string encode(const Pointer& pointer) {
  Json json = {{"table", pointer.table},
               {"table-uuid", pointer.uuid},
               {"metadata", pointer.metadata_key},
               {"catalog-id", pointer.catalog}};
  if (pointer.watermark) {
    for (const auto& [key, value] : watermark_properties(*pointer.watermark)) json[key] = value;
  }
  return dump_json(json) + "\n";
}

Result<Pointer> decode_pointer(std::string_view text) {
  const auto json = parse_json(text);
  if (!json) return damaged("a pointer");
  auto table = json_string(*json, "table"), uuid = json_string(*json, "table-uuid"),
       metadata = json_string(*json, "metadata"), catalog = json_string(*json, "catalog-id");
  if (!table || !uuid || !metadata || !catalog) return damaged("a pointer");
  Pointer pointer{*std::move(table), *std::move(uuid), *std::move(metadata), *std::move(catalog),
                  std::nullopt};
  if (auto parent = json_string(*json, watermark_parent_key)) {
    const auto writer = json_number(*json, watermark_writer_key),
               journal = json_number(*json, watermark_journal_key),
               position = json_number(*json, watermark_position_key);
    if (!writer || !journal || !position) return damaged("a pointer");
    pointer.watermark =
        Watermark{*std::move(parent), WriterEpoch(*writer), *journal, Position(*position)};
  }
  return pointer;
}

std::string claim_key(WriterEpoch writer) {
  return std::string(claims_prefix) + padded(writer.value) + std::string(suffix);
}

std::string pointer_key(const PointerKey& key) {
  return std::string(pointers_prefix) + key.location_key + "/" + padded(key.writer.value) + "-" +
         padded(key.serial) + std::string(suffix);
}

std::optional<WriterEpoch> parse_claim_key(std::string_view key) {
  if (!key.starts_with(claims_prefix) || !key.ends_with(suffix)) return std::nullopt;
  key.remove_prefix(claims_prefix.size());
  key.remove_suffix(suffix.size());
  const auto writer = number(key);
  return writer ? std::optional(WriterEpoch(*writer)) : std::nullopt;
}

std::optional<PointerKey> parse_pointer_key(std::string_view key) {
  if (!key.starts_with(pointers_prefix) || !key.ends_with(suffix)) return std::nullopt;
  key.remove_prefix(pointers_prefix.size());
  key.remove_suffix(suffix.size());
  const std::size_t slash = key.rfind('/');
  if (slash == std::string_view::npos || slash == 0) return std::nullopt;
  const std::string_view name = key.substr(slash + 1);
  if (name.size() != 2 * digits + 1 || name[digits] != '-') return std::nullopt;
  const auto writer = number(name.substr(0, digits)), serial = number(name.substr(digits + 1));
  if (!writer || !serial) return std::nullopt;
  return PointerKey{std::string(key.substr(0, slash)), WriterEpoch(*writer), *serial};
}

bool Claim::is(std::string_view object) const {
  const auto found = decode_claim(object);
  return found && found->nonce == record_.nonce && found->writer == record_.writer;
}

Claim::NewPointer Claim::pointer_of(std::uint64_t serial, const TableState& state,
                                    const std::string& metadata_key,
                                    const std::optional<std::string>& catalog) const {
  const Pointer pointer{state.name, state.uuid, metadata_key, catalog.value_or(record_.catalog),
                        state.watermark};
  return {pointer_key({state.location_key, record_.writer, serial}), encode(pointer)};
}

std::optional<std::string> Claim::note_pointed(const TableState& state, const std::string& key) {
  const std::lock_guard lock(mutex_);
  Pointed& newest = pointed_[state.location_key];
  // The keys of one table and one claim sort by their serials.
  if (!newest.key.empty() && key < newest.key) return key;
  std::string before = std::exchange(newest.key, key);
  newest.location_key = state.location_key;
  newest.table = state.name;
  newest.metadata_location = state.metadata_location;
  if (before.empty() || before == key) return std::nullopt;
  return before;
}

std::vector<Claim::Pointed> Claim::pointed() const {
  const std::lock_guard lock(mutex_);
  std::vector<Pointed> all;
  for (const auto& [location_key, pointed] : pointed_) all.push_back(pointed);
  return all;
}

bool Claim::may_remove(const std::string& location_key) const {
  const std::lock_guard lock(mutex_);
  return !foreign_.contains(location_key);
}

void Claim::remove_nothing_in(const std::string& location_key) {
  const std::lock_guard lock(mutex_);
  foreign_.insert(location_key);
}

bool Claim::may_sweep() const {
  const std::lock_guard lock(mutex_);
  return sweeps_;
}

void Claim::sweep_nothing() {
  const std::lock_guard lock(mutex_);
  sweeps_ = false;
}

}  // namespace evodb::table
