#include "base/disk.h"

namespace evodb::base {

Result<void> write_file_atomically(Disk& disk, const std::string& path, std::string_view bytes) {
  const std::string temporary = path + ".tmp";
  if (EVODB_TRY(disk.exists(temporary))) EVODB_TRY(disk.unlink(temporary));
  {
    auto file = EVODB_TRY(disk.open(temporary, OpenMode::kCreate));
    EVODB_TRY(file->pwrite(0, bytes));
    EVODB_TRY(file->sync());
  }
  EVODB_TRY(disk.rename(temporary, path));
  const auto slash = path.rfind('/');
  return disk.sync_directory(slash == std::string::npos ? "." : path.substr(0, slash));
}

Result<std::string> read_whole_file(Disk& disk, const std::string& path) {
  auto file = EVODB_TRY(disk.open(path, OpenMode::kRead));
  std::string bytes(EVODB_TRY(file->size()), '\0');
  const std::size_t n = EVODB_TRY(file->pread(0, bytes.data(), bytes.size()));
  bytes.resize(n);
  return bytes;
}

}  // namespace evodb::base
