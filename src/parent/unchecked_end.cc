#include "parent/unchecked_end.h"

#include <algorithm>
#include <string_view>

#include "base/bytes.h"
#include "base/hash.h"

namespace evodb::parent {

namespace {

constexpr std::string_view end_magic = "EVODBEND";
constexpr std::size_t file_bytes = 28;

std::string path_of(const std::string& directory) { return directory + "/unchecked.end"; }

}  // namespace

Result<Position> lowest_unchecked_end(base::Disk& disk, const std::string& directory,
                                      const JournalExtent& journal) {
  const std::string path = path_of(directory);
  if (!EVODB_TRY(disk.exists(path))) return journal.durable_end;
  const std::string bytes = EVODB_TRY(base::read_whole_file(disk, path));
  const auto sealed = std::string_view(bytes).substr(0, file_bytes - sizeof(std::uint32_t));
  if (bytes.size() != file_bytes || !sealed.starts_with(end_magic) ||
      base::load_fixed<std::uint32_t>(bytes.data() + sealed.size()) != base::crc32c(sealed)) {
    return fail(ErrorKind::kCorrupt,
                path +
                    " is damaged: whether the journal's end holds cannot be told any more; "
                    "restore it, or move the whole directory away to start from the lakehouse");
  }
  // Of a journal that was here before: it says nothing about this one.
  if (base::load_fixed<std::uint64_t>(bytes.data() + end_magic.size()) != journal.id.value) {
    return journal.durable_end;
  }
  const Position kept(base::load_fixed<std::uint64_t>(bytes.data() + end_magic.size() + 8));
  return std::min(kept, journal.durable_end);
}

Result<void> keep_unchecked_end(base::Disk& disk, const std::string& directory,
                                const JournalExtent& journal) {
  const Position end = EVODB_TRY(lowest_unchecked_end(disk, directory, journal));
  std::string bytes(end_magic);
  base::put_u64(bytes, journal.id.value);
  base::put_u64(bytes, end.value);
  base::put_u32(bytes, base::crc32c(bytes));
  return base::write_file_atomically(disk, path_of(directory), bytes);
}

Result<void> forget_unchecked_end(base::Disk& disk, const std::string& directory) {
  if (EVODB_TRY(disk.exists(path_of(directory)))) EVODB_TRY(disk.unlink(path_of(directory)));
  // Also if it is gone: an earlier call may have come no further than this.
  return disk.sync_directory(directory);
}

}  // namespace evodb::parent
