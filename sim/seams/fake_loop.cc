#include "sim/seams/fake_loop.h"

#include <algorithm>

#include "base/assert.h"

namespace evodb::sim {

FakeLoop::FakeLoop(FakeNetwork& network, std::string name)
    : network_(network), name_(std::move(name)), id_(network.add_loop(this)) {}

FakeLoop::~FakeLoop() {
  crash(Crash::kReset);
  network_.remove_loop(id_);
}

UnixMillis FakeLoop::FakeClock::wall() {
  return UnixMillis(loop_.network_.options().wall_start_ms + loop_.network_.now().value +
                    loop_.wall_offset_ms_);
}

void FakeLoop::post(std::function<void()> work) {
  network_.schedule(0, id_, "post", std::move(work));
}

base::TimerId FakeLoop::after(std::int64_t delay_ms, std::function<void()> work) {
  const std::uint64_t timer = timer_next_++;
  timers_.insert(timer);
  network_.schedule(std::max<std::int64_t>(delay_ms, 0) * 1000, id_, "timer",
                    [this, timer, work = std::move(work)] {
                      if (timers_.erase(timer) != 0) work();
                    });
  return base::TimerId(timer);
}

Result<std::string> FakeLoop::listen(const std::string& address, base::StreamEvents& events) {
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos) {
    return fail(ErrorKind::kInvalid, "cannot listen on \"" + address + "\": write host:port");
  }
  std::string bound = address;
  if (address.substr(colon) == ":0") {
    bound = address.substr(0, colon + 1) + std::to_string(network_.port_next_++);
  }
  if (network_.listeners_.contains(bound)) {
    return fail(ErrorKind::kInvalid, "cannot listen on " + bound + ": address already in use");
  }
  network_.listeners_[bound] = {id_, &events};
  addresses_.push_back(bound);
  return bound;
}

void FakeLoop::stop_listening() {
  for (const std::string& address : addresses_) network_.listeners_.erase(address);
  addresses_.clear();
}

Result<base::StreamId> FakeLoop::dial(const std::string& host, std::uint16_t port,
                                      base::StreamEvents& events) {
  auto connection = std::make_shared<FakeNetwork::Connection>();
  connection->address = host + ":" + std::to_string(port);
  connection->dialled_us = network_.now_us();
  FakeNetwork::End& end = connection->ends[0];
  end.loop = id_;
  end.name = name_;
  end.events = &events;
  end.open = true;
  end.stream = add_stream(connection, 0);
  std::erase_if(network_.connections_, [](const auto& weak) { return weak.expired(); });
  network_.connections_.push_back(connection);
  network_.schedule(network_.delay_us(), 0, "syn",
                    [&network = network_, connection] { network.syn(connection); });
  return end.stream;
}

std::size_t FakeLoop::write(base::StreamId stream, std::string_view bytes) {
  Slot& s = slot(stream);
  FakeNetwork::End& end = s.connection->ends[s.end];
  if (!end.connected) {
    end.wants_writable = true;
    return 0;
  }
  EVODB_ASSERT(end.open, "nothing is written from on_closed");
  if (s.connection->broken) return bytes.size();  // into a socket that does not know it yet
  const std::size_t window = network_.options().window_bytes;
  const std::size_t room = window - std::min(window, end.flight.size());
  const std::size_t n = std::min(room, bytes.size());
  end.flight.append(bytes.substr(0, n));
  end.wants_writable |= n < bytes.size();
  network_.schedule_delivery(s.connection, s.end);
  return n;
}

void FakeLoop::pause_reading(base::StreamId stream, bool paused) {
  Slot& s = slot(stream);
  s.connection->ends[s.end].paused = paused;
  if (!paused) network_.schedule_delivery(s.connection, 1 - s.end);
}

void FakeLoop::close(base::StreamId stream, bool abort) {
  // A dead process's objects are destroyed after it died; they find nothing left to close.
  if (dead_ && (stream.value >= slots_.size() || slots_[stream.value].connection == nullptr))
    return;
  const Slot s = slot(stream);
  FakeNetwork::End& end = s.connection->ends[s.end];
  EVODB_ASSERT(end.open, "a stream that was reported closed is not closed again");
  end.open = false;
  remove_stream(stream);
  if (abort) {
    end.flight.clear();
    network_.reset_other(s.connection, s.end);
  } else {
    end.fin = true;
    network_.schedule_delivery(s.connection, s.end);
  }
}

Result<void> FakeLoop::rest_sockets(bool rest) {
  resting_ = rest;
  if (rest) return {};
  for (const Slot& s : slots_) {
    if (s.connection != nullptr) network_.schedule_delivery(s.connection, 1 - s.end);
  }
  return {};
}

void FakeLoop::give_stream(base::StreamId stream, base::StreamEvents& events) {
  Slot& s = slot(stream);
  s.connection->ends[s.end].events = &events;
}

Result<std::string> FakeLoop::give_listeners(base::StreamEvents& events) {
  if (addresses_.empty()) return fail(ErrorKind::kInvalid, "there is no listening socket to take");
  for (const std::string& address : addresses_) network_.listeners_[address] = {id_, &events};
  return addresses_.front();
}

void FakeLoop::crash(Crash how) {
  dead_ = true;
  resting_ = false;
  const std::vector<Slot> slots = std::move(slots_);
  slots_.clear();
  free_.clear();
  timers_.clear();
  stop_listening();
  for (const Slot& s : slots) {
    if (s.connection == nullptr) continue;
    FakeNetwork::End& end = s.connection->ends[s.end];
    end.open = false;
    end.flight.clear();
    if (how == Crash::kReset) {
      network_.reset_other(s.connection, s.end);
    } else {
      s.connection->silent = true;
    }
  }
  // A new number: events of the old life find nobody.
  network_.remove_loop(id_);
  id_ = network_.add_loop(this);
}

std::size_t FakeLoop::stream_count() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(slots_, [](const Slot& s) { return s.connection != nullptr; }));
}

base::StreamId FakeLoop::add_stream(FakeNetwork::ConnectionPtr connection, int end) {
  std::uint32_t id = static_cast<std::uint32_t>(slots_.size());
  if (free_.empty()) {
    slots_.emplace_back();
  } else {
    id = free_.back();
    free_.pop_back();
  }
  slots_[id] = {std::move(connection), end};
  return base::StreamId(id);
}

void FakeLoop::remove_stream(base::StreamId stream) {
  slots_[stream.value] = {};
  free_.push_back(stream.value);
}

FakeLoop::Slot& FakeLoop::slot(base::StreamId stream) {
  EVODB_ASSERT(stream.value < slots_.size() && slots_[stream.value].connection != nullptr,
               "a stream is used while it is open");
  return slots_[stream.value];
}

}  // namespace evodb::sim
