#include "bench/raw_disk.h"

#include <chrono>
#include <vector>

#include "base/posix/posix_disk.h"
#include "bench/quantile.h"

namespace evodb::bench {

Result<RawDisk> measure_raw_disk(const std::string& directory) {
  using SteadyClock = std::chrono::steady_clock;
  constexpr std::size_t file_bytes = 64u << 20, piece = 1u << 20, block = 20'000;
  base::PosixDisk disk;
  const std::string path = directory + "/raw-disk";
  RawDisk result;
  auto file = EVODB_TRY(disk.open(path, base::OpenMode::kCreate));
  std::string bytes(piece, '\0');

  // Zeros first, as the journal preallocates: what is timed then allocates nothing.
  for (std::size_t at = 0; at < file_bytes; at += piece) EVODB_CHECK(file->pwrite(at, bytes));
  EVODB_CHECK(file->sync());
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 31 + (i >> 8));

  auto begun = SteadyClock::now();
  for (std::size_t at = 0; at < file_bytes; at += piece) EVODB_CHECK(file->pwrite(at, bytes));
  EVODB_CHECK(file->sync());
  result.sequential_mb_per_s = static_cast<double>(file_bytes) / 1e6 /
                               std::chrono::duration<double>(SteadyClock::now() - begun).count();

  std::vector<double> times;
  const std::string_view small = std::string_view(bytes).substr(0, block);
  const auto end = SteadyClock::now() + std::chrono::seconds(2);
  for (std::uint64_t at = 0; SteadyClock::now() < end; at = (at + block) % (file_bytes - block)) {
    begun = SteadyClock::now();
    EVODB_CHECK(file->pwrite(at, small));
    EVODB_CHECK(file->sync());
    times.push_back(std::chrono::duration<double, std::milli>(SteadyClock::now() - begun).count());
  }
  result.sync_20k_ms_p50 = quantile(times, 0.5);
  result.sync_20k_ms_p99 = quantile(times, 0.99);
  file.reset();
  EVODB_CHECK(disk.unlink(path));
  return result;
}

}  // namespace evodb::bench
