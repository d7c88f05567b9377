#include "lake/landed_filter.h"

#include <algorithm>
#include <tuple>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"

namespace evodb::lake {
namespace {

constexpr std::string_view magic = "EVLF";
constexpr std::uint32_t version = 2;
constexpr std::uint32_t version_by_name = 1;
constexpr std::size_t header_bytes = 12;
constexpr std::size_t name_bytes_max = 4096;

// Sources whose LSNs come in any order have no other epoch.
constexpr Epoch unordered_epoch(0);

void add_to(LsnIntervals& intervals, std::uint64_t lsn) {
  auto next = intervals.upper_bound(lsn);
  if (next != intervals.begin()) {
    const auto previous = std::prev(next);
    if (lsn <= previous->second) return;
    if (previous->second + 1 == lsn) {
      previous->second = lsn;
      if (next != intervals.end() && next->first == lsn + 1) {
        previous->second = next->second;
        intervals.erase(next);
      }
      return;
    }
  }
  std::uint64_t last = lsn;
  if (next != intervals.end() && next->first == lsn + 1) {
    last = next->second;
    next = intervals.erase(next);
  }
  intervals.emplace_hint(next, lsn, last);
}

// Both may hold the same LSNs.
void add_all(LsnIntervals& intervals, const LsnIntervals& more) {
  for (const auto& interval : more) {
    std::uint64_t first = interval.first, last = interval.second;
    auto at = intervals.upper_bound(first);
    if (at != intervals.begin()) {
      const auto previous = std::prev(at);
      if (previous->second >= first || previous->second + 1 == first) {
        first = previous->first;
        last = std::max(last, previous->second);
        at = intervals.erase(previous);
      }
    }
    while (at != intervals.end() && (at->first <= last || at->first == last + 1)) {
      last = std::max(last, at->second);
      at = intervals.erase(at);
    }
    intervals.emplace_hint(at, first, last);
  }
}

struct Held {
  Lsn highest;
  LsnIntervals exact;  // of unordered sources
};

struct SourceKey {
  std::string source;
  Epoch epoch;
};
struct SourceKeyView {
  std::string_view source;
  Epoch epoch;
};
struct SourceLess {
  using is_transparent = void;
  template <class A, class B>
  bool operator()(const A& a, const B& b) const {
    return std::tuple(std::string_view(a.source), a.epoch) <
           std::tuple(std::string_view(b.source), b.epoch);
  }
};

using Sources = std::map<SourceKey, Held, SourceLess>;

std::unexpected<Error> broken() {
  return fail(ErrorKind::kCorrupt,
              "the file landed.filter beside the journal is damaged; remove it together with the "
              "journal's directory to have it made anew from the tables");
}

bool read_held(base::ByteReader& in, Epoch epoch, Held* held) {
  if (epoch != unordered_epoch) return in.varint(&held->highest.value);
  std::uint64_t count = 0, last = 0;
  if (!in.varint(&count) || count > in.remaining() / 2) return false;
  for (std::uint64_t i = 0; i < count; ++i) {
    std::uint64_t gap = 0, more = 0;
    if (!in.varint(&gap) || !in.varint(&more)) return false;
    // Neither overlapping nor adjacent; the first may begin at 0.
    if ((i > 0 && gap < 2) || gap > UINT64_MAX - last || more > UINT64_MAX - last - gap) {
      return false;
    }
    const std::uint64_t first = last + gap;
    last = first + more;
    held->exact.emplace_hint(held->exact.end(), first, last);
  }
  held->highest = Lsn(last);
  return true;
}

}  // namespace

struct LandedFilter::Impl {
  std::map<std::string, Sources, std::less<>> tables;  // by location_key
  bool by_name = false;
};

bool LandedFilter::Landed::contains(Lsn lsn) const {
  if (exact_ == nullptr) return lsn <= highest_ && lsn.value != 0;
  const auto next = exact_->upper_bound(lsn.value);
  return next != exact_->begin() && lsn.value <= std::prev(next)->second;
}

LandedFilter::LandedFilter() : impl_(std::make_unique<Impl>()) {}
LandedFilter::~LandedFilter() = default;

void LandedFilter::add(std::string_view location_key, std::string_view source, Epoch epoch,
                       Lsn lsn) {
  auto in_table = impl_->tables.find(location_key);
  if (in_table == impl_->tables.end()) {
    in_table = impl_->tables.emplace(std::string(location_key), Sources()).first;
  }
  auto held = in_table->second.find(SourceKeyView{source, epoch});
  if (held == in_table->second.end()) {
    held = in_table->second.emplace(SourceKey{std::string(source), epoch}, Held()).first;
  }
  held->second.highest = std::max(held->second.highest, lsn);
  if (epoch == unordered_epoch) add_to(held->second.exact, lsn.value);
}

LandedFilter::Landed LandedFilter::find(std::string_view location_key, std::string_view source,
                                        Epoch epoch) const {
  Landed landed;
  const auto in_table = impl_->tables.find(location_key);
  if (in_table == impl_->tables.end()) return landed;
  const auto held = in_table->second.find(SourceKeyView{source, epoch});
  if (held == in_table->second.end()) return landed;
  landed.highest_ = held->second.highest;
  if (epoch == unordered_epoch) landed.exact_ = &held->second.exact;
  return landed;
}

bool LandedFilter::empty() const { return impl_->tables.empty(); }
bool LandedFilter::is_by_name() const { return impl_->by_name; }

std::vector<LandedFilter::Highest> LandedFilter::highest() const {
  std::map<SourceKey, Lsn, SourceLess> all;
  for (const auto& [table, sources] : impl_->tables) {
    for (const auto& [key, held] : sources) {
      Lsn& highest = all[key];
      highest = std::max(highest, held.highest);
    }
  }
  std::vector<Highest> out;
  out.reserve(all.size());
  for (const auto& [key, lsn] : all) out.push_back({key.source, key.epoch, lsn});
  return out;
}

std::map<std::string, LsnIntervals> LandedFilter::unordered() const {
  std::map<std::string, LsnIntervals> all;
  for (const auto& [table, sources] : impl_->tables) {
    for (const auto& [key, held] : sources) {
      if (key.epoch == unordered_epoch) add_all(all[key.source], held.exact);
    }
  }
  return all;
}

std::string LandedFilter::encode() const {
  EVODB_ASSERT(!impl_->by_name, "what is known by names is scanned again, not kept");
  std::string payload;
  base::put_varint(payload, impl_->tables.size());
  for (const auto& [table, sources] : impl_->tables) {
    base::put_string(payload, table);
    base::put_varint(payload, sources.size());
    for (const auto& [key, held] : sources) {
      base::put_string(payload, key.source);
      base::put_varint(payload, key.epoch.value);
      if (key.epoch != unordered_epoch) {
        base::put_varint(payload, held.highest.value);
        continue;
      }
      base::put_varint(payload, held.exact.size());
      std::uint64_t behind = 0;
      for (const auto& [first, last] : held.exact) {
        base::put_varint(payload, first - behind);
        base::put_varint(payload, last - first);
        behind = last;
      }
    }
  }
  std::string out(magic);
  base::put_u32(out, version);
  base::put_u32(out, base::crc32c(payload));
  return out + payload;
}

Result<std::unique_ptr<LandedFilter>> LandedFilter::decode(std::string_view bytes) {
  base::ByteReader head(bytes);
  std::string_view name;
  std::uint32_t found_version = 0, crc = 0;
  if (!head.bytes(magic.size(), &name) || name != magic || !head.u32(&found_version) ||
      (found_version != version && found_version != version_by_name) || !head.u32(&crc) ||
      crc != base::crc32c(bytes.substr(header_bytes))) {
    return broken();
  }
  base::ByteReader in(bytes.substr(header_bytes));
  auto filter = std::make_unique<LandedFilter>();
  filter->impl_->by_name = found_version == version_by_name;
  std::uint64_t tables = 0;
  if (!in.varint(&tables)) return broken();
  for (std::uint64_t t = 0; t < tables; ++t) {
    std::string_view table;
    std::uint64_t sources = 0;
    if (!in.string(&table, name_bytes_max) || !in.varint(&sources)) return broken();
    Sources& into = filter->impl_->tables[std::string(table)];
    for (std::uint64_t s = 0; s < sources; ++s) {
      std::string_view source;
      Epoch epoch;
      Held held;
      if (!in.string(&source, name_bytes_max) || !in.varint(&epoch.value) ||
          !read_held(in, epoch, &held)) {
        return broken();
      }
      into.emplace_hint(into.end(), SourceKey{std::string(source), epoch}, std::move(held));
    }
  }
  if (!in.at_end()) return broken();
  return filter;
}

}  // namespace evodb::lake
