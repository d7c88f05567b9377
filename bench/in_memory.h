// Seams that cost next to nothing, so that what is counted is the rooms: a disk of strings, a loop
// whose streams are driven by hand, a clock that stands still. Nothing here fails or forgets; for
// that there are sim/seams.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/disk.h"
#include "base/loop.h"

namespace evodb::bench {

class MemoryDisk final : public base::Disk {
 public:
  Result<std::unique_ptr<base::File>> open(const std::string& path, base::OpenMode mode) override {
    if (mode == base::OpenMode::kCreate) files_[path] = std::make_shared<std::string>();
    const auto found = files_.find(path);
    if (found == files_.end()) return fail(ErrorKind::kInvalid, "no file " + path);
    return std::make_unique<MemoryFile>(found->second);
  }
  Result<bool> exists(const std::string& path) override { return files_.contains(path); }
  Result<void> rename(const std::string& from, const std::string& to) override {
    files_[to] = std::exchange(files_[from], nullptr);
    files_.erase(from);
    return {};
  }
  Result<void> unlink(const std::string& path) override {
    files_.erase(path);
    return {};
  }
  Result<void> make_directories(const std::string&) override { return {}; }
  Result<void> sync_directory(const std::string&) override { return {}; }
  Result<std::vector<std::string>> list(const std::string& path) override {
    std::vector<std::string> names;
    for (const auto& [name, bytes] : files_) {
      const auto slash = name.rfind('/');
      if (slash != std::string::npos && name.substr(0, slash) == path) {
        names.push_back(name.substr(slash + 1));
      }
    }
    return names;
  }

 private:
  class MemoryFile final : public base::File {
   public:
    explicit MemoryFile(std::shared_ptr<std::string> bytes) : bytes_(std::move(bytes)) {}
    Result<void> pwrite(std::uint64_t offset, std::string_view bytes) override {
      if (offset + bytes.size() > bytes_->size()) bytes_->resize(offset + bytes.size());
      std::memcpy(bytes_->data() + offset, bytes.data(), bytes.size());
      return {};
    }
    Result<std::size_t> pread(std::uint64_t offset, char* into, std::size_t n) override {
      if (offset >= bytes_->size()) return 0;
      n = std::min<std::size_t>(n, bytes_->size() - offset);
      std::memcpy(into, bytes_->data() + offset, n);
      return n;
    }
    Result<void> sync() override { return {}; }
    Result<std::uint64_t> size() override { return bytes_->size(); }
    Result<void> truncate(std::uint64_t size) override {
      bytes_->resize(size);
      return {};
    }

   private:
    std::shared_ptr<std::string> bytes_;
  };
  std::map<std::string, std::shared_ptr<std::string>> files_;
};

class StillClock final : public base::Clock {
 public:
  UnixMillis wall() override { return UnixMillis(1'700'000'000'000); }
  base::MonotonicMillis monotonic() override { return base::MonotonicMillis(1'000); }
};

class CountingRandom final : public base::Random {
 public:
  std::uint64_t next() override { return state_ += 0x9e3779b97f4a7c15u; }

 private:
  std::uint64_t state_ = 1;
};

// The server's side only: the owner plays all clients. Timers never fire.
class HandDrivenLoop final : public base::Loop {
 public:
  // A client connects; what the server writes to it goes to output(id).
  base::StreamId connect() {
    const base::StreamId id(static_cast<std::uint32_t>(outputs_.size()));
    outputs_.emplace_back();
    events_->on_accept(id, "127.0.0.1:1");
    return id;
  }
  // Unmasks `bytes` in place.
  void send(base::StreamId id, std::span<char> bytes) { events_->on_data(id, bytes); }
  void hang_up(base::StreamId id) { events_->on_closed(id, "the other side closed"); }
  std::string& output(base::StreamId id) { return outputs_[id.value]; }
  void run_posted() {
    while (!posted_.empty()) {
      const auto now = std::exchange(posted_, {});
      for (const auto& work : now) work();
    }
  }

  void post(std::function<void()> work) override { posted_.push_back(std::move(work)); }
  base::Clock& clock() override { return clock_; }
  base::TimerId after(std::int64_t, std::function<void()>) override {
    return base::TimerId(++timers_);
  }
  void cancel(base::TimerId) override {}
  Result<std::string> listen(const std::string& address, base::StreamEvents& events) override {
    events_ = &events;
    return address;
  }
  void stop_listening() override {}
  Result<base::StreamId> dial(const std::string&, std::uint16_t, base::StreamEvents&) override {
    return fail(ErrorKind::kInternal, "nobody dials here");
  }
  std::size_t write(base::StreamId id, std::string_view bytes) override {
    outputs_[id.value].append(bytes);
    return bytes.size();
  }
  void pause_reading(base::StreamId, bool) override {}
  void close(base::StreamId, bool) override {}

 private:
  StillClock clock_;
  base::StreamEvents* events_ = nullptr;
  std::vector<std::string> outputs_;
  std::vector<std::function<void()>> posted_;
  std::uint64_t timers_ = 0;
};

}  // namespace evodb::bench
