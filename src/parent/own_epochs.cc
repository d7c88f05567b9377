#include "parent/own_epochs.h"

#include <algorithm>
#include <string_view>

#include "base/bytes.h"
#include "base/hash.h"

namespace evodb::parent {

namespace {

constexpr std::string_view epochs_magic = "EVODBOWN";
constexpr std::size_t epochs_head_bytes = 16, interval_bytes = 24, sum_bytes = 4;

std::string epochs_path(const std::string& directory) { return directory + "/own.epochs"; }

bool is_whole(std::string_view bytes) {
  if (bytes.size() < epochs_head_bytes + sum_bytes || !bytes.starts_with(epochs_magic) ||
      (bytes.size() - epochs_head_bytes - sum_bytes) % interval_bytes != 0) {
    return false;
  }
  const std::string_view sealed = bytes.substr(0, bytes.size() - sum_bytes);
  return base::load_fixed<std::uint32_t>(bytes.data() + sealed.size()) == base::crc32c(sealed);
}

}  // namespace

Result<OwnEpochs> OwnEpochs::load(base::Disk& disk, const std::string& directory,
                                  journal::JournalId journal) {
  OwnEpochs own(journal);
  if (!EVODB_TRY(disk.exists(epochs_path(directory)))) return own;
  const std::string bytes = EVODB_TRY(base::read_whole_file(disk, epochs_path(directory)));
  const auto number = [&](std::size_t at) {
    return base::load_fixed<std::uint64_t>(bytes.data() + at);
  };
  const bool whole = is_whole(bytes);
  // Of a journal that was here before: it says nothing about this one.
  if (whole && number(epochs_magic.size()) != journal.value) return own;
  own.intervals_.clear();
  if (!whole) return own;
  for (std::size_t at = epochs_head_bytes; at + sum_bytes < bytes.size(); at += interval_bytes) {
    own.intervals_.push_back({number(at), number(at + 8), number(at + 16)});
  }
  return own;
}

bool OwnEpochs::are_of(const table::Watermark& mark) const {
  return mark.journal == journal_.value && std::ranges::any_of(intervals_, [&](const Interval& of) {
           return of.first <= mark.writer.value && mark.writer.value <= of.last &&
                  mark.position.value <= of.end;
         });
}

Result<void> OwnEpochs::add(base::Disk& disk, const std::string& directory,
                            table::WriterEpoch writer, Position end) {
  auto intervals = intervals_;
  if (!intervals.empty() && intervals.back().last == writer.value) return {};
  if (!intervals.empty()) {
    Interval& before = intervals.back();
    if (before.end == UINT64_MAX) before.end = end.value;
    if (before.last == UINT64_MAX) before.last = writer.value - 1;  // all so far
  }
  intervals.push_back({writer.value, writer.value, UINT64_MAX});
  // Of what is older than so many claims, more may count than should. But others' epochs do not.
  for (std::size_t at = 0; at + exact_max < intervals.size();) {
    const Interval& oldest = intervals[at];
    Interval& next = intervals[at + 1];
    if (oldest.last + 1 != next.first || oldest.end == 0) {
      ++at;
      continue;
    }
    next.first = oldest.first;
    intervals.erase(intervals.begin() + static_cast<std::ptrdiff_t>(at));
  }
  if (intervals.size() > intervals_max) intervals.erase(intervals.begin());
  std::string bytes(epochs_magic);
  base::put_u64(bytes, journal_.value);
  for (const Interval& of : intervals) {
    for (const std::uint64_t number : {of.first, of.last, of.end}) base::put_u64(bytes, number);
  }
  base::put_u32(bytes, base::crc32c(bytes));
  EVODB_TRY(base::write_file_atomically(disk, epochs_path(directory), bytes));
  intervals_ = std::move(intervals);
  return {};
}

}  // namespace evodb::parent
