#include "sim/world/faults.h"

#include <charconv>
#include <utility>

namespace evodb::sim {
namespace {

constexpr std::array<std::string_view, fault_count> names = {"parent-kill",
                                                             "parent-power-loss",
                                                             "crash-amid-write",
                                                             "parent-stop",
                                                             "edge-kill",
                                                             "edge-power-loss",
                                                             "cut",
                                                             "partition",
                                                             "slow-reader",
                                                             "store-outage",
                                                             "store-error",
                                                             "store-ambiguous",
                                                             "store-late",
                                                             "list-lag",
                                                             "catalog-error",
                                                             "catalog-ambiguous",
                                                             "foreign-commit",
                                                             "sync-error",
                                                             "disk-error",
                                                             "disk-full",
                                                             "bit-rot",
                                                             "clock-jump",
                                                             "journal-lost",
                                                             "restore",
                                                             "copy",
                                                             "twin",
                                                             "zombie",
                                                             "replay",
                                                             "newer-minor",
                                                             "hand-over",
                                                             "odd-answer",
                                                             "sends-again",
                                                             "catalog-lost",
                                                             "catalog-restored",
                                                             "data-lost",
                                                             "data-restored",
                                                             "data-copied",
                                                             "foreign-columns",
                                                             "foreign-table",
                                                             "people"};

std::uint64_t mixed(std::uint64_t seed, std::uint64_t kind, std::uint64_t number) {
  return SeededRandom(seed ^ (kind + 1) * 0x9e3779b97f4a7c15u ^ number * 0xd1342543de82ef95u)
      .next();
}

}  // namespace

std::string_view fault_name(Fault fault) { return names[static_cast<std::size_t>(fault)]; }

std::string to_string(StrikeName name) {
  return std::string(fault_name(name.kind)) + "#" + std::to_string(name.number);
}

std::optional<StrikeName> parse_strike(std::string_view text) {
  const auto hash = text.find('#');
  if (hash == std::string_view::npos) return std::nullopt;
  StrikeName name;
  const std::string_view digits = text.substr(hash + 1);
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), name.number);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  for (std::size_t kind = 0; kind < fault_count; ++kind) {
    if (names[kind] != text.substr(0, hash)) continue;
    name.kind = static_cast<Fault>(kind);
    return name;
  }
  return std::nullopt;
}

FaultPlan::FaultPlan(std::uint64_t seed, const FaultRates& rates,
                     std::optional<std::set<StrikeName>> only)
    : seed_(seed), rates_(rates), only_(std::move(only)) {
  for (std::size_t kind = 0; kind < fault_count; ++kind) {
    streams_.emplace_back(mixed(seed, kind, UINT64_MAX));
  }
}

std::optional<Strike> FaultPlan::strikes(Fault kind) {
  const auto k = static_cast<std::size_t>(kind);
  if (rates_[k] == 0 || streams_[k].below(rates_[k]) != 0) return std::nullopt;
  const StrikeName name{kind, numbers_[k]++};
  if (only_ && !only_->contains(name)) return std::nullopt;
  struck_.push_back(name);
  return Strike{name, SeededRandom(mixed(seed_, k, name.number))};
}

}  // namespace evodb::sim
