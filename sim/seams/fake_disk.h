// FakeDisk: a Disk in memory that forgets what was not synced.
//
//   FakeDisk disk;
//   ... use it ...
//   disk.crash_at(disk.mutations() + 7);        // the 7th mutating call from now stops the machine
//   ... every call fails from then on ...
//   disk.restart(CrashModel::kTorn, random);    // power is back; some of the unsynced is gone
//
// What a crash leaves of bytes written since the last sync of their file:
//   kLost       nothing
//   kTorn       any of their 512-byte sectors
//   kReordered  any of the writes, each whole
//   kKilled     everything: the process died and not the machine
// Names made, renamed or removed since the last sync of their directory may or may not survive,
// each by itself (kKilled: they do).
//
// A failed sync does what Linux does: the bytes stay readable, count as clean, and a later sync
// that succeeds does not write them.
//
// Threads: any (one lock). Same calls and same Random, same outcome.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/disk.h"

namespace evodb::sim {

enum class CrashModel : std::uint8_t { kLost, kTorn, kReordered, kKilled };

class FakeDisk final : public base::Disk {
 public:
  FakeDisk() = default;
  FakeDisk(const FakeDisk&) = delete;
  FakeDisk& operator=(const FakeDisk&) = delete;

  Result<std::unique_ptr<base::File>> open(const std::string& path, base::OpenMode mode) override;
  Result<bool> exists(const std::string& path) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> unlink(const std::string& path) override;
  Result<void> make_directories(const std::string& path) override;
  Result<void> sync_directory(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& path) override;

  // --- faults -----------------------------------------------------------------------------------
  // Mutating calls: pwrite, truncate, sync, creating open, rename, unlink, sync_directory. The
  // first is number 1.
  std::uint64_t mutations() const { return mutations_; }
  std::uint64_t reads() const { return reads_; }  // pread calls
  // The n-th mutating call fails with `error`, and yet some of it may have happened: of a pwrite
  // nothing, half of the bytes or all; other calls are not done by halves. A sync that fails after
  // kAll has reached the platter.
  enum class Effect : std::uint8_t { kNothing, kHalf, kAll };
  void fail_mutation(std::uint64_t n, Error error, Effect effect = Effect::kHalf) {
    failing_mutations_[n] = {std::move(error), effect};
  }
  // The next sync of a file, whenever it comes.
  void fail_next_sync(Error error) { failing_sync_ = std::move(error); }
  void fail_read(std::uint64_t n, Error error) { failing_reads_[n] = std::move(error); }
  // Every mutating call from now on fails so, until nullopt: a full or a dying disk. Half of a
  // pwrite is there.
  void fail_all_mutations(std::optional<Error> error) { failing_all_ = std::move(error); }
  // The machine stops during the n-th mutating call: it may or may not have had its effect.
  void crash_at(std::uint64_t n) { crash_at_ = n; }
  void crash() { crashed_ = true; }
  // Undoes crash(): for a process that is destroyed without its destructors having a say. Files
  // opened before work on.
  void resume() { crashed_ = false; }
  bool crashed() const { return crashed_; }
  // The call at which crash_at() or a failure struck last, for people: "sync j/0000.seg".
  const std::string& struck() const { return struck_; }
  // Whether a sync has failed since the last restart.
  bool failed_sync() const { return failed_sync_; }
  // After a crash (or instead of one). Files opened before keep failing.
  void restart(CrashModel model, base::Random& random);

  // What another machine finds that this disk is moved to; nothing of it is shared. The machine
  // that it is taken from may go on with `this`.
  std::unique_ptr<FakeDisk> platter(CrashModel model, base::Random& random) const;

  // --- looking and spoiling ----------------------------------------------------------------------
  std::uint64_t total_bytes() const;  // of all files that have a name
  std::vector<std::string> paths() const;
  std::string contents(const std::string& path) const;
  // Whether the first `n` bytes of it, and its name, would survive a power loss now.
  bool on_platter(const std::string& path, std::size_t n) const;
  // As if it had always been there, synced; or never.
  void put(const std::string& path, std::string bytes);
  void remove(const std::string& path);
  void flip_bit(const std::string& path, std::uint64_t bit);

 private:
  class Handle;
  struct Write {
    std::uint64_t offset = 0;
    std::string bytes;
    bool truncates = false;  // to `offset`
  };
  struct Inode {
    std::string now;     // what a reader sees
    std::string synced;  // what is on the platter
    std::vector<Write> unsynced;
  };
  using InodePtr = std::shared_ptr<Inode>;  // names and open files share it, as in a kernel
  struct NameChange {
    std::string directory;
    std::string removes, adds;  // either may be ""
    InodePtr inode;             // of `adds`
  };

  struct Fault {
    Error error;
    Effect effect = Effect::kNothing;
  };

  // Counts a mutating call; how it must fail, if it must. When the machine stops during it
  // (crashed_ from now on) it was on its way: kAll. A machine that is off already says kNothing.
  std::optional<Fault> next_mutation(const std::string& what);
  std::optional<Error> next_read(const std::string& what);
  void change_names(NameChange change);
  void forget_changes_of(const std::string& path);
  static void apply(std::string& bytes, const Write& write);
  static void survive(Inode& inode, CrashModel model, base::Random& random);

  mutable std::mutex mutex_;
  std::map<std::string, InodePtr> names_;  // as the running machine sees them
  std::map<std::string, InodePtr> synced_names_;
  std::vector<NameChange> unsynced_names_;  // oldest first
  std::set<std::string> directories_;
  std::uint64_t mutations_ = 0, reads_ = 0;
  std::uint64_t crash_at_ = 0;
  std::uint64_t life_ = 0;
  bool crashed_ = false;
  bool failed_sync_ = false;
  std::string struck_;
  std::map<std::uint64_t, Fault> failing_mutations_;
  std::map<std::uint64_t, Error> failing_reads_;
  std::optional<Error> failing_all_, failing_sync_;
};

}  // namespace evodb::sim
