#include "lake/row_buffer.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "base/assert.h"

namespace evodb::lake {
namespace {

// What an interned name costs beside its bytes: string, map node, bucket. An estimate from above.
constexpr std::uint64_t interned_bytes = 160;

// As Iceberg's long, in which epoch and LSN land: the order that readers see.
std::int64_t as_long(std::uint64_t v) { return static_cast<std::int64_t>(v); }

bool in_order(const RowHead& a, const RowHead& b) {
  if (a.epoch != b.epoch) return as_long(a.epoch.value) < as_long(b.epoch.value);
  return as_long(a.lsn.value) <= as_long(b.lsn.value);
}

}  // namespace

ColumnBuffer::ColumnBuffer(table::Type type, MemoryMeter& meter)
    : type_(type), present_(meter), fixed_(meter), ends_(meter), data_(meter) {}

// Before the value of `row`, which has a null somewhere before it.
void ColumnBuffer::note_present(std::uint32_t row) {
  if (dense()) present_.extend_to(rows_, 1);
  present_.extend_to(row, 0);
  present_.push_back(1);
}

RowBuffer::RowBuffer() : heads_(meter_), unfit_(meter_), unfit_data_(meter_) {}

std::uint32_t RowBuffer::source_number(std::string_view source) {
  const auto [it, added] =
      source_index_.try_emplace(std::string(source), static_cast<std::uint32_t>(sources_.size()));
  if (added) {
    sources_.emplace_back(source);
    meter_.bytes += interned_bytes + 2 * source.size();
  }
  return it->second;
}

std::uint32_t RowBuffer::add_row(const RowHead& head) {
  if (ordered_ && heads_.size() > 0) {
    const RowHead& before = heads_[heads_.size() - 1];
    ordered_ = before.source == head.source ? in_order(before, head)
                                            : sources_[before.source] < sources_[head.source];
  }
  flags_ |= head.flags;
  heads_.push_back(head);
  return rows() - 1;
}

ColumnBuffer& RowBuffer::column(std::uint32_t index, table::Type type) {
  if (index >= columns_.size()) {
    meter_.bytes += (index + 1 - columns_.size()) * sizeof(void*);
    columns_.resize(index + 1);
  }
  auto& column = columns_[index];
  if (!column) {
    column = std::make_unique<ColumnBuffer>(type, meter_);
    meter_.bytes += sizeof(ColumnBuffer);
  }
  EVODB_ASSERT(column->type() == type, "a column keeps its type");
  return *column;
}

std::uint32_t RowBuffer::unfit_key(std::string_view name) {
  const auto [it, added] = unfit_key_index_.try_emplace(
      std::string(name), static_cast<std::uint32_t>(unfit_keys_.size()));
  if (added) {
    unfit_keys_.emplace_back(name);
    meter_.bytes += interned_bytes + 2 * name.size();
  }
  return it->second;
}

void RowBuffer::note_unfit(std::uint32_t row, std::uint32_t key, std::string_view value) {
  EVODB_ASSERT(value.size() <= std::numeric_limits<std::uint32_t>::max() - unfit_data_.size(),
               "a buffer is sealed long before it has 4 GiB of such values");
  unfit_.push_back({row, key, static_cast<std::uint32_t>(unfit_data_.size()),
                    static_cast<std::uint32_t>(value.size())});
  unfit_data_.append(value.data(), value.size());
}

std::vector<std::uint32_t> RowBuffer::sorted_order() const {
  if (ordered_) return {};
  // By source first, each keeping its order (a counting sort): of an ordered source that is all.
  std::vector<std::uint32_t> by_name(sources_.size());
  std::iota(by_name.begin(), by_name.end(), 0);
  std::sort(by_name.begin(), by_name.end(),
            [&](std::uint32_t a, std::uint32_t b) { return sources_[a] < sources_[b]; });
  std::vector<std::uint32_t> begin(sources_.size() + 1), next(sources_.size());
  for (std::uint32_t row = 0; row < rows(); ++row) ++next[heads_[row].source];
  std::uint32_t at = 0;
  for (std::uint32_t rank = 0; rank < by_name.size(); ++rank) {
    begin[rank] = at;
    const std::uint32_t count = next[by_name[rank]];
    next[by_name[rank]] = at;
    at += count;
  }
  begin[by_name.size()] = at;
  std::vector<std::uint32_t> order(rows());
  for (std::uint32_t row = 0; row < rows(); ++row) order[next[heads_[row].source]++] = row;

  const auto before = [&](std::uint32_t a, std::uint32_t b) {
    return !in_order(heads_[b], heads_[a]);
  };
  for (std::uint32_t rank = 0; rank < by_name.size(); ++rank) {
    const auto from = order.begin() + begin[rank], to = order.begin() + begin[rank + 1];
    if (!std::is_sorted(from, to, before)) std::stable_sort(from, to, before);
  }
  return order;
}

}  // namespace evodb::lake
