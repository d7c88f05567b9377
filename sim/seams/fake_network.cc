#include "sim/seams/fake_network.h"

#include <algorithm>
#include <iterator>

#include "base/assert.h"
#include "sim/seams/fake_loop.h"

namespace evodb::sim {
namespace {

constexpr std::int64_t syn_retry_us = 200'000;
constexpr std::int64_t rest_look_us = 1'000;  // what waits for a loop whose sockets rest

void mix(std::uint64_t& hash, std::uint64_t v) {
  hash = (hash ^ v) * 0x9fb21c651e98df25u;
  hash ^= hash >> 29;
}

}  // namespace

FakeNetwork::FakeNetwork(std::uint64_t seed, FakeNetworkOptions options)
    : options_(options), random_(seed) {}

FakeNetwork::~FakeNetwork() { EVODB_ASSERT(loops_.empty(), "a network outlives its loops"); }

bool FakeNetwork::step() {
  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), Later());
    Event event = std::move(heap_.back());
    heap_.pop_back();
    if (event.loop != 0 && loop(event.loop) == nullptr) continue;  // its process is gone
    now_us_ = std::max(now_us_, event.time_us);
    ++events_run_;
    mix(trace_hash_, static_cast<std::uint64_t>(event.time_us));
    mix(trace_hash_, event.loop);
    for (const char* c = event.label; *c != 0; ++c)
      mix(trace_hash_, static_cast<unsigned char>(*c));
    event.run();
    return true;
  }
  return false;
}

void FakeNetwork::run_until(base::MonotonicMillis time) {
  while (!heap_.empty() && heap_.front().time_us <= time.value * 1000) step();
  now_us_ = std::max(now_us_, time.value * 1000);
}

bool FakeNetwork::run_while_not(const std::function<bool()>& done, std::int64_t ms_max) {
  const std::int64_t end_us = now_us_ + ms_max * 1000;
  while (!done()) {
    if (heap_.empty() || heap_.front().time_us > end_us) {
      now_us_ = std::max(now_us_, end_us);
      return done();
    }
    step();
  }
  return true;
}

void FakeNetwork::partition(const std::string& from, const std::string& to) {
  partitions_.insert({from, to});
}

void FakeNetwork::heal(const std::string& from, const std::string& to) {
  partitions_.erase({from, to});
  for (const auto& weak : connections_) {
    if (ConnectionPtr connection = weak.lock()) {
      schedule_delivery(connection, 0);
      schedule_delivery(connection, 1);
    }
  }
}

void FakeNetwork::heal_all() {
  const auto old = partitions_;
  for (const auto& [from, to] : old) heal(from, to);
}

void FakeNetwork::cut(const std::string& a, const std::string& b) {
  const auto connections = connections_;
  for (const auto& weak : connections) {
    ConnectionPtr connection = weak.lock();
    if (connection == nullptr) continue;
    const std::string& x = connection->ends[0].name;
    const std::string& y = connection->ends[1].name;
    if (!((x == a && y == b) || (x == b && y == a))) continue;
    break_connection(connection);
  }
}

void FakeNetwork::cut_all() {
  const auto connections = connections_;
  for (const auto& weak : connections) {
    if (ConnectionPtr connection = weak.lock()) break_connection(connection);
  }
}

std::size_t FakeNetwork::connection_count() const {
  std::size_t n = 0;
  for (const auto& weak : connections_) {
    const ConnectionPtr connection = weak.lock();
    if (connection && (connection->ends[0].open || connection->ends[1].open)) ++n;
  }
  return n;
}

std::uint32_t FakeNetwork::add_loop(FakeLoop* loop) {
  loops_[loop_next_] = loop;
  return loop_next_++;
}

void FakeNetwork::remove_loop(std::uint32_t id) {
  loops_.erase(id);
  std::erase_if(listeners_, [&](const auto& l) { return l.second.loop == id; });
  // What its events hold alive goes now, while what that refers to is still there.
  const auto gone = std::stable_partition(heap_.begin(), heap_.end(),
                                          [&](const Event& event) { return event.loop != id; });
  const std::vector<Event> forgotten(std::make_move_iterator(gone),
                                     std::make_move_iterator(heap_.end()));
  heap_.erase(gone, heap_.end());
  std::make_heap(heap_.begin(), heap_.end(), Later{});
}

FakeLoop* FakeNetwork::loop(std::uint32_t id) {
  const auto it = loops_.find(id);
  return it == loops_.end() ? nullptr : it->second;
}

void FakeNetwork::schedule(std::int64_t delay_us, std::uint32_t loop, const char* label,
                           std::function<void()> run) {
  heap_.push_back({now_us_ + delay_us, age_++, loop, label, std::move(run)});
  std::push_heap(heap_.begin(), heap_.end(), Later());
}

std::int64_t FakeNetwork::delay_us() {
  const std::int64_t span =
      std::max<std::int64_t>(options_.delay_us_max - options_.delay_us_min, 0);
  return options_.delay_us_min +
         static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(span) + 1));
}

bool FakeNetwork::partitioned(const std::string& from, const std::string& to) const {
  return partitions_.contains({from, to});
}

// The dialler's first packet arrives, or is tried again.
void FakeNetwork::syn(const ConnectionPtr& connection) {
  End& dialler = connection->ends[0];
  if (!dialler.open || connection->broken) return;
  const auto it = listeners_.find(connection->address);
  FakeLoop* server = it == listeners_.end() ? nullptr : loop(it->second.loop);
  if (server != nullptr &&
      (partitioned(dialler.name, server->name()) || partitioned(server->name(), dialler.name))) {
    if (now_us_ - connection->dialled_us >= options_.dial_timeout_ms * 1000) {
      end_closed(connection, 0, "connection timed out");
    } else {
      schedule(syn_retry_us, dialler.loop, "syn again", [this, connection] { syn(connection); });
    }
    return;
  }
  if (server == nullptr) {
    schedule(delay_us(), dialler.loop, "refused",
             [this, connection] { end_closed(connection, 0, "connection refused"); });
    return;
  }
  if (server->resting_) {
    schedule(rest_look_us, dialler.loop, "syn waits", [this, connection] { syn(connection); });
    return;
  }
  End& accepted = connection->ends[1];
  accepted.loop = it->second.loop;
  accepted.name = server->name();
  accepted.events = it->second.events;
  accepted.open = accepted.connected = true;
  accepted.stream = server->add_stream(connection, 1);
  schedule(delay_us(), dialler.loop, "connected", [this, connection] {
    End& end = connection->ends[0];
    if (!end.open || connection->broken) return;
    end.connected = true;
    schedule_delivery(connection, 1);
    end.events->on_connected(end.stream);
  });
  accepted.events->on_accept(accepted.stream, dialler.name + ":1");
}

void FakeNetwork::schedule_delivery(const ConnectionPtr& connection, int from) {
  End& sender = connection->ends[from];
  if (sender.delivery_due || (sender.flight.empty() && !sender.fin)) return;
  sender.delivery_due = true;
  schedule(delay_us(), 0, from == 0 ? "data up" : "data down",
           [this, connection, from] { deliver(connection, from); });
}

void FakeNetwork::deliver(const ConnectionPtr& connection, int from) {
  End& sender = connection->ends[from];
  End& receiver = connection->ends[1 - from];
  sender.delivery_due = false;
  if (connection->broken || connection->silent) return;
  if (!receiver.open) {
    sender.flight.clear();
    return;
  }
  if (!receiver.connected || partitioned(sender.name, receiver.name)) return;  // kicked off later
  if (resting(receiver)) return;                                               // the same
  if (sender.flight.empty()) {
    if (sender.fin) end_closed(connection, 1 - from, "the other side closed");
    return;
  }
  if (receiver.paused) return;
  std::size_t n =
      std::min(sender.flight.size(), std::max<std::size_t>(options_.piece_bytes_max, 1));
  if (random_.below(100) < options_.split_percent) n = 1 + random_.below(n);
  std::string piece = sender.flight.substr(0, n);
  sender.flight.erase(0, n);
  mix(trace_hash_, n);
  if (sender.wants_writable && sender.open) {
    sender.wants_writable = false;
    schedule(delay_us(), sender.loop, "writable",
             [this, connection, from] { writable(connection, from); });
  }
  schedule_delivery(connection, from);
  receiver.events->on_data(receiver.stream, piece);
}

bool FakeNetwork::resting(const End& end) {
  const FakeLoop* owner = loop(end.loop);
  return owner != nullptr && owner->resting_;
}

void FakeNetwork::writable(const ConnectionPtr& connection, int end) {
  End& sender = connection->ends[end];
  if (!sender.open) return;
  if (resting(sender)) {
    schedule(rest_look_us, sender.loop, "writable waits",
             [this, connection, end] { writable(connection, end); });
    return;
  }
  sender.events->on_writable(sender.stream);
}

void FakeNetwork::end_closed(const ConnectionPtr& connection, int end, const char* why) {
  End& closed = connection->ends[end];
  if (!closed.open) return;
  if (resting(closed)) {
    schedule(rest_look_us, closed.loop, "end waits",
             [this, connection, end, why] { end_closed(connection, end, why); });
    return;
  }
  closed.open = false;
  closed.flight.clear();
  FakeLoop* owner = loop(closed.loop);
  EVODB_ASSERT(owner != nullptr, "an open end has a living loop");
  closed.events->on_closed(closed.stream, why);
  if (FakeLoop* alive = loop(closed.loop)) alive->remove_stream(closed.stream);
}

void FakeNetwork::break_connection(const ConnectionPtr& connection) {
  connection->broken = true;
  for (int end : {0, 1}) {
    connection->ends[end].flight.clear();
    reset_other(connection, end);
  }
}

void FakeNetwork::reset_other(const ConnectionPtr& connection, int end) {
  const int other = 1 - end;
  if (!connection->ends[other].open) return;
  schedule(delay_us(), connection->ends[other].loop, "reset",
           [this, connection, other] { end_closed(connection, other, "connection reset"); });
}

}  // namespace evodb::sim
