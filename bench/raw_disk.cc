#include "bench/raw_disk.h"

#include <chrono>
#include <vector>

#include "base/assert.h"
#include "bench/quantile.h"

namespace evodb::bench {

using SteadyClock = std::chrono::steady_clock;

Result<std::unique_ptr<RawSyncFile>> RawSyncFile::create(const std::string& directory) {
  std::unique_ptr<RawSyncFile> raw(new RawSyncFile);
  const std::string path = directory + "/raw-disk";
  raw->file_ = EVODB_TRY(raw->disk_.open(path, base::OpenMode::kCreate));
  raw->path_ = path;
  raw->piece_.assign(piece_bytes, '\0');
  EVODB_TRY(raw->fill());
  for (std::size_t i = 0; i < piece_bytes; ++i) {
    raw->piece_[i] = static_cast<char>(i * 31 + (i >> 8));
  }
  return raw;
}

RawSyncFile::~RawSyncFile() {
  file_.reset();
  if (!path_.empty()) (void)disk_.unlink(path_);  // the scratch directory goes as well
}

Result<void> RawSyncFile::fill() {
  for (std::size_t at = 0; at < file_bytes; at += piece_bytes) {
    EVODB_TRY(file_->pwrite(at, piece_));
  }
  return file_->sync();
}

Result<double> RawSyncFile::write_and_sync(std::size_t n) {
  EVODB_ASSERT(n > 0 && n <= piece_bytes, "one write is at most one piece");
  if (at_ + n > file_bytes) at_ = 0;
  const auto begun = SteadyClock::now();
  EVODB_TRY(file_->pwrite(at_, std::string_view(piece_).substr(0, n)));
  EVODB_TRY(file_->sync());
  at_ += n;
  return std::chrono::duration<double, std::milli>(SteadyClock::now() - begun).count();
}

Result<double> RawSyncFile::write_all() {
  const auto begun = SteadyClock::now();
  EVODB_TRY(fill());
  return static_cast<double>(file_bytes) / 1e6 /
         std::chrono::duration<double>(SteadyClock::now() - begun).count();
}

Result<RawDisk> measure_raw_disk(const std::string& directory) {
  RawDisk result;
  const auto raw = EVODB_TRY(RawSyncFile::create(directory));
  result.sequential_mb_per_s = EVODB_TRY(raw->write_all());
  std::vector<double> times;
  const auto end = SteadyClock::now() + std::chrono::seconds(2);
  while (SteadyClock::now() < end) times.push_back(EVODB_TRY(raw->write_and_sync(20'000)));
  result.sync_20k_ms_p50 = quantile(times, 0.5);
  result.sync_20k_ms_p99 = quantile(times, 0.99);
  return result;
}

}  // namespace evodb::bench
