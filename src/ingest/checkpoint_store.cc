#include "ingest/checkpoint_store.h"

#include <algorithm>
#include <vector>

#include "base/bytes.h"
#include "base/hash.h"

namespace evodb::ingest {
namespace {

constexpr char file_magic[] = "EVODBCKP";
constexpr std::uint32_t file_version = 1;
// Where the fields of a file's header lie.
constexpr std::size_t version_at = 8;            // u32, behind the magic
constexpr std::size_t crc_at = version_at + 4;   // u32, over all that follows it
constexpr std::size_t journal_at = crc_at + 4;   // u64
constexpr std::size_t size_at = journal_at + 8;  // u64, of what follows the header
constexpr std::size_t header_bytes = size_at + 8;
static_assert(header_bytes == 32);
constexpr std::size_t kept = 2;

struct Named {
  std::uint64_t number = 0;
  std::string name;
};

std::uint32_t crc_of(std::string_view file) { return base::crc32c(file.substr(crc_at + 4)); }

std::string file_name(std::uint64_t number) {
  return "checkpoint-" + base::hex16(number) + ".ckpt";
}

// Oldest first.
Result<std::vector<Named>> find_checkpoints(base::Disk& disk, const std::string& directory) {
  std::vector<Named> found;
  for (std::string& name : EVODB_TRY(disk.list(directory))) {
    if (name.size() != 32 || !name.starts_with("checkpoint-") || !name.ends_with(".ckpt")) continue;
    std::uint64_t number = 0;
    if (!base::parse_hex16(std::string_view(name).substr(11, 16), &number)) continue;
    found.push_back({number, std::move(name)});
  }
  std::sort(found.begin(), found.end(),
            [](const Named& a, const Named& b) { return a.number < b.number; });
  return found;
}

}  // namespace

Result<void> write_checkpoint(base::Disk& disk, const std::string& directory,
                              journal::JournalId journal, std::string_view bytes) {
  EVODB_TRY(disk.make_directories(directory));
  std::vector<Named> before = EVODB_TRY(find_checkpoints(disk, directory));
  std::string file(file_magic, version_at);
  file.reserve(header_bytes + bytes.size());
  base::put_u32(file, file_version);
  base::put_u32(file, 0);
  base::put_u64(file, journal.value);
  base::put_u64(file, bytes.size());
  file += bytes;
  base::store_fixed(file.data() + crc_at, crc_of(file));
  const std::uint64_t number = before.empty() ? 1 : before.back().number + 1;
  EVODB_TRY(base::write_file_atomically(disk, directory + "/" + file_name(number), file));
  // A removal that a crash undoes leaves an old one, which is passed over and removed next time.
  for (std::size_t i = 0; i + kept <= before.size(); ++i) {
    EVODB_TRY(disk.unlink(directory + "/" + before[i].name));
  }
  return {};
}

Result<std::optional<LoadedCheckpoint>> load_checkpoint(base::Disk& disk,
                                                        const std::string& directory,
                                                        journal::JournalId journal) {
  EVODB_TRY(disk.make_directories(directory));
  std::vector<Named> found = EVODB_TRY(find_checkpoints(disk, directory));
  std::string damaged;
  for (auto it = found.rbegin(); it != found.rend(); ++it) {
    const std::string path = directory + "/" + it->name;
    const std::string file = EVODB_TRY(base::read_whole_file(disk, path));
    const bool whole =
        file.size() >= header_bytes && file.starts_with(std::string_view(file_magic, version_at)) &&
        base::load_fixed<std::uint32_t>(file.data() + crc_at) == crc_of(file) &&
        base::load_fixed<std::uint64_t>(file.data() + size_at) == file.size() - header_bytes;
    if (!whole) {
      damaged = path;
      continue;
    }
    if (base::load_fixed<std::uint32_t>(file.data() + version_at) != file_version) {
      return fail(ErrorKind::kInvalid, path + ": a later format; use the version that wrote it");
    }
    if (base::load_fixed<std::uint64_t>(file.data() + journal_at) != journal.value) continue;
    return LoadedCheckpoint{file.substr(header_bytes), !damaged.empty()};
  }
  if (!damaged.empty()) {
    return fail(ErrorKind::kCorrupt,
                damaged +
                    ": the checksum does not hold, and no older checkpoint is whole. Restore "
                    "it, or move the journal directory aside to start from the lakehouse");
  }
  return std::nullopt;
}

}  // namespace evodb::ingest
