#include "sim/seams/fake_disk.h"

#include <algorithm>
#include <utility>

namespace evodb::sim {
namespace {

constexpr std::size_t sector_bytes = 512;

std::string directory_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

const Error off{ErrorKind::kInternal, "the machine is off"};

}  // namespace

class FakeDisk::Handle final : public base::File {
 public:
  Handle(FakeDisk& disk, InodePtr inode, std::string path, bool writable)
      : disk_(disk),
        inode_(std::move(inode)),
        path_(std::move(path)),
        life_(disk.life_),
        writable_(writable) {}

  Result<void> pwrite(std::uint64_t offset, std::string_view bytes) override {
    return write({.offset = offset, .bytes = std::string(bytes)}, "pwrite");
  }
  Result<void> truncate(std::uint64_t size) override {
    return write({.offset = size, .truncates = true}, "truncate");
  }
  Result<std::size_t> pread(std::uint64_t offset, char* into, std::size_t n) override {
    const std::lock_guard lock(disk_.mutex_);
    if (life_ != disk_.life_) return fail(off);
    if (auto error = disk_.next_read("pread " + path_)) return fail(*error);
    const std::string& bytes = inode_->now;
    if (offset >= bytes.size()) return std::size_t{0};
    n = std::min<std::size_t>(n, bytes.size() - offset);
    bytes.copy(into, n, offset);
    return n;
  }
  Result<void> sync() override {
    const std::lock_guard lock(disk_.mutex_);
    if (life_ != disk_.life_) return fail(off);
    auto fault = disk_.next_mutation("sync " + path_);
    if (!fault && disk_.failing_sync_) {
      fault = Fault{*std::exchange(disk_.failing_sync_, std::nullopt), Effect::kNothing};
    }
    if (fault && disk_.crashed_) return fail(fault->error);
    disk_.failed_sync_ = disk_.failed_sync_ || fault;
    if (!fault || fault->effect == Effect::kAll) {
      for (const Write& write : inode_->unsynced) apply(inode_->synced, write);
    }
    // Even where it failed: the pages count as clean from now on although they never reached the
    // platter.
    inode_->unsynced.clear();
    if (fault) return fail(fault->error);
    return {};
  }
  Result<std::uint64_t> size() override {
    const std::lock_guard lock(disk_.mutex_);
    if (life_ != disk_.life_ || disk_.crashed_) return fail(off);
    return std::uint64_t{inode_->now.size()};
  }

 private:
  Result<void> write(Write write, const char* what) {
    const std::lock_guard lock(disk_.mutex_);
    if (life_ != disk_.life_) return fail(off);
    if (!writable_) return fail(ErrorKind::kInvalid, path_ + ": opened for reading only");
    const auto fault = disk_.next_mutation(std::string(what) + " " + path_);
    if (fault && fault->effect == Effect::kHalf) {
      if (write.truncates) return fail(fault->error);
      write.bytes.resize(write.bytes.size() / 2);
    }
    if (!fault || fault->effect != Effect::kNothing) {
      apply(inode_->now, write);
      inode_->unsynced.push_back(std::move(write));
    }
    if (fault) return fail(fault->error);
    return {};
  }

  FakeDisk& disk_;
  InodePtr inode_;
  std::string path_;
  std::uint64_t life_;
  bool writable_;
};

void FakeDisk::apply(std::string& bytes, const Write& write) {
  if (write.truncates) {
    bytes.resize(write.offset, '\0');
    return;
  }
  if (bytes.size() < write.offset + write.bytes.size()) {
    bytes.resize(write.offset + write.bytes.size(), '\0');
  }
  bytes.replace(write.offset, write.bytes.size(), write.bytes);
}

std::optional<FakeDisk::Fault> FakeDisk::next_mutation(const std::string& what) {
  if (crashed_) return Fault{off, Effect::kNothing};
  ++mutations_;
  if (mutations_ == crash_at_) {
    crashed_ = true;
    struck_ = what;
    return Fault{off, Effect::kAll};
  }
  const auto say = [&](const Error& error) { return Error{error.kind, what + ": " + error.text}; };
  if (const auto found = failing_mutations_.find(mutations_); found != failing_mutations_.end()) {
    struck_ = what;
    return Fault{say(found->second.error), found->second.effect};
  }
  if (failing_all_) return Fault{say(*failing_all_), Effect::kHalf};
  return std::nullopt;
}

std::optional<Error> FakeDisk::next_read(const std::string& what) {
  if (crashed_) return off;
  ++reads_;
  if (const auto found = failing_reads_.find(reads_); found != failing_reads_.end()) {
    struck_ = what;
    return Error{found->second.kind, what + ": " + found->second.text};
  }
  return std::nullopt;
}

void FakeDisk::change_names(NameChange change) {
  if (!change.removes.empty()) names_.erase(change.removes);
  if (!change.adds.empty()) names_[change.adds] = change.inode;
  unsynced_names_.push_back(std::move(change));
}

Result<std::unique_ptr<base::File>> FakeDisk::open(const std::string& path, base::OpenMode mode) {
  const std::lock_guard lock(mutex_);
  if (crashed_) return fail(off);
  auto found = names_.find(path);
  if (mode == base::OpenMode::kCreate) {
    if (found != names_.end()) return fail(ErrorKind::kExists, path + ": exists");
    if (!directories_.contains(directory_of(path))) {
      return fail(ErrorKind::kNotFound, path + ": no such directory");
    }
    const auto fault = next_mutation("create " + path);
    if (fault && fault->effect != Effect::kAll) return fail(fault->error);
    auto inode = std::make_shared<Inode>();
    change_names({.directory = directory_of(path), .adds = path, .inode = inode});
    if (fault) return fail(fault->error);
    return std::make_unique<Handle>(*this, std::move(inode), path, true);
  }
  if (found == names_.end()) return fail(ErrorKind::kNotFound, path + ": no such file");
  return std::make_unique<Handle>(*this, found->second, path, mode != base::OpenMode::kRead);
}

Result<bool> FakeDisk::exists(const std::string& path) {
  const std::lock_guard lock(mutex_);
  if (crashed_) return fail(off);
  return names_.contains(path) || directories_.contains(path);
}

Result<void> FakeDisk::rename(const std::string& from, const std::string& to) {
  const std::lock_guard lock(mutex_);
  if (crashed_) return fail(off);
  const auto found = names_.find(from);
  if (found == names_.end()) return fail(ErrorKind::kNotFound, from + ": no such file");
  const auto fault = next_mutation("rename " + from);
  if (fault && fault->effect != Effect::kAll) return fail(fault->error);
  change_names(
      {.directory = directory_of(to), .removes = from, .adds = to, .inode = found->second});
  if (fault) return fail(fault->error);
  return {};
}

Result<void> FakeDisk::unlink(const std::string& path) {
  const std::lock_guard lock(mutex_);
  if (crashed_) return fail(off);
  if (!names_.contains(path)) return fail(ErrorKind::kNotFound, path + ": no such file");
  const auto fault = next_mutation("unlink " + path);
  if (fault && fault->effect != Effect::kAll) return fail(fault->error);
  change_names({.directory = directory_of(path), .removes = path});
  if (fault) return fail(fault->error);
  return {};
}

Result<void> FakeDisk::make_directories(const std::string& path) {
  const std::lock_guard lock(mutex_);
  if (crashed_) return fail(off);
  // Directories survive every crash: their loss is the loss of what is in them, another fault.
  for (auto slash = path.find('/', 1); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    directories_.insert(path.substr(0, slash));
  }
  directories_.insert(path);
  return {};
}

Result<void> FakeDisk::sync_directory(const std::string& path) {
  const std::lock_guard lock(mutex_);
  if (crashed_) return fail(off);
  const auto fault = next_mutation("sync directory " + path);
  if (fault && (crashed_ || fault->effect != Effect::kAll)) return fail(fault->error);
  std::vector<NameChange> kept;
  for (NameChange& change : unsynced_names_) {
    if (change.directory != path) {
      kept.push_back(std::move(change));
      continue;
    }
    if (!change.removes.empty()) synced_names_.erase(change.removes);
    if (!change.adds.empty()) synced_names_[change.adds] = change.inode;
  }
  unsynced_names_ = std::move(kept);
  if (fault) return fail(fault->error);
  return {};
}

Result<std::vector<std::string>> FakeDisk::list(const std::string& path) {
  const std::lock_guard lock(mutex_);
  if (crashed_) return fail(off);
  if (!directories_.contains(path)) return fail(ErrorKind::kNotFound, path + ": no such directory");
  std::vector<std::string> names;
  for (const auto& [name, inode] : names_) {
    if (directory_of(name) == path) names.push_back(name.substr(name.rfind('/') + 1));
  }
  return names;
}

void FakeDisk::survive(Inode& inode, CrashModel model, base::Random& random) {
  // How much survives is drawn once a file: "nearly all" and "nearly nothing" are the cases that
  // a fair coin for every sector would never show.
  const std::uint64_t odds = random.below(5);
  const auto lucky = [&] { return random.below(4) < odds; };
  for (Write& write : inode.unsynced) {
    if (model == CrashModel::kLost) break;
    if (model == CrashModel::kReordered || write.truncates) {
      if (lucky()) apply(inode.synced, write);
      continue;
    }
    for (std::size_t done = 0; done < write.bytes.size();) {
      const std::uint64_t at = write.offset + done;
      const std::size_t n =
          std::min<std::size_t>(sector_bytes - at % sector_bytes, write.bytes.size() - done);
      if (lucky()) apply(inode.synced, {.offset = at, .bytes = write.bytes.substr(done, n)});
      done += n;
    }
  }
  inode.now = inode.synced;
  inode.unsynced.clear();
}

void FakeDisk::restart(CrashModel model, base::Random& random) {
  const std::lock_guard lock(mutex_);
  ++life_;
  crashed_ = false;
  crash_at_ = 0;
  failed_sync_ = false;
  failing_mutations_.clear();
  failing_reads_.clear();
  failing_all_.reset();
  failing_sync_.reset();
  if (model == CrashModel::kKilled) return;  // the kernel still knows everything
  // In order of name, so that one seed is one outcome; each file once.
  std::vector<InodePtr> inodes;
  const auto add = [&](const InodePtr& inode) {
    if (inode && std::find(inodes.begin(), inodes.end(), inode) == inodes.end()) {
      inodes.push_back(inode);
    }
  };
  for (const auto& [name, inode] : names_) add(inode);
  for (const auto& [name, inode] : synced_names_) add(inode);
  for (const NameChange& change : unsynced_names_) add(change.inode);
  for (const InodePtr& inode : inodes) survive(*inode, model, random);
  for (const NameChange& change : unsynced_names_) {
    if (random.below(2) == 0) continue;
    if (!change.removes.empty()) synced_names_.erase(change.removes);
    if (!change.adds.empty()) synced_names_[change.adds] = change.inode;
  }
  unsynced_names_.clear();
  names_ = synced_names_;
}

std::unique_ptr<FakeDisk> FakeDisk::platter(CrashModel model, base::Random& random) const {
  const std::lock_guard lock(mutex_);
  auto copy = std::make_unique<FakeDisk>();
  std::map<InodePtr, InodePtr> copies;
  const auto copied = [&](const InodePtr& inode) {
    auto& to = copies[inode];
    if (!to && inode) to = std::make_shared<Inode>(*inode);
    return to;
  };
  for (const auto& [name, inode] : names_) copy->names_[name] = copied(inode);
  for (const auto& [name, inode] : synced_names_) copy->synced_names_[name] = copied(inode);
  for (const NameChange& change : unsynced_names_) {
    copy->unsynced_names_.push_back(change);
    copy->unsynced_names_.back().inode = copied(change.inode);
  }
  copy->directories_ = directories_;
  copy->restart(model, random);
  return copy;
}

std::uint64_t FakeDisk::total_bytes() const {
  const std::lock_guard lock(mutex_);
  std::uint64_t total = 0;
  for (const auto& [name, inode] : names_) total += inode->now.size();
  return total;
}

std::vector<std::string> FakeDisk::paths() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> paths;
  for (const auto& [name, inode] : names_) paths.push_back(name);
  return paths;
}

std::string FakeDisk::contents(const std::string& path) const {
  const std::lock_guard lock(mutex_);
  const auto found = names_.find(path);
  return found == names_.end() ? std::string() : found->second->now;
}

bool FakeDisk::on_platter(const std::string& path, std::size_t n) const {
  const std::lock_guard lock(mutex_);
  const auto now = names_.find(path);
  const auto synced = synced_names_.find(path);
  if (now == names_.end() || synced == synced_names_.end()) return false;
  if (now->second != synced->second) return false;
  const std::string_view bytes = now->second->now;
  return bytes.substr(0, n) == std::string_view(now->second->synced).substr(0, n);
}

// Or a name made before its file was removed behind everybody's back would come back with the next
// sync of the directory.
void FakeDisk::forget_changes_of(const std::string& path) {
  for (NameChange& change : unsynced_names_) {
    if (change.removes == path) change.removes.clear();
    if (change.adds != path) continue;
    change.adds.clear();
    change.inode.reset();
  }
}

void FakeDisk::put(const std::string& path, std::string bytes) {
  (void)make_directories(directory_of(path));
  const std::lock_guard lock(mutex_);
  auto inode = std::make_shared<Inode>();
  inode->now = bytes;
  inode->synced = std::move(bytes);
  forget_changes_of(path);
  names_[path] = synced_names_[path] = inode;
}

void FakeDisk::remove(const std::string& path) {
  const std::lock_guard lock(mutex_);
  forget_changes_of(path);
  names_.erase(path);
  synced_names_.erase(path);
}

void FakeDisk::flip_bit(const std::string& path, std::uint64_t bit) {
  const std::lock_guard lock(mutex_);
  Inode& inode = *names_.at(path);
  for (std::string* bytes : {&inode.now, &inode.synced}) {
    if (bit / 8 < bytes->size()) (*bytes)[bit / 8] ^= static_cast<char>(1 << bit % 8);
  }
}

}  // namespace evodb::sim
