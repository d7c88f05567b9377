// FakeNetwork: virtual time and the wires between FakeLoops. One seed is one history.
//
//   FakeNetwork network(seed);
//   FakeLoop parent(network, "parent"), edge(network, "edge");
//   EVODB_TRY(parent.listen("parent:8787", server));
//   EVODB_TRY(edge.dial("parent", 8787, client));
//   network.run_for(1000);             // a second of virtual time, no time at all
//   network.partition("parent", "edge");   // the parent's bytes do not arrive any more
//   network.cut("parent", "edge");     // both sides hear on_closed, bytes in flight are lost
//
// All loops of one network share one queue of events in order of (virtual time, age). Delays and
// the pieces in which bytes arrive are drawn from the seed. As with TCP, bytes of one direction
// stay in order, write() takes no more than a window holds, and a partition only delays bytes.
//
// Owner: a test, on one thread; nothing here may be touched from another. Outlives its loops.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/loop.h"
#include "sim/seams/seeded_random.h"

namespace evodb::sim {

struct FakeNetworkOptions {
  std::int64_t delay_us_min = 20;  // of one piece, one way
  std::int64_t delay_us_max = 500;
  std::size_t piece_bytes_max = 64u << 10;
  std::uint32_t split_percent = 50;      // how often a piece is cut at a random place
  std::size_t window_bytes = 64u << 10;  // sent and not yet delivered, one way
  std::int64_t dial_timeout_ms = 10'000;
  std::int64_t wall_start_ms = 1'700'000'000'000;
};

class FakeLoop;

class FakeNetwork {
 public:
  explicit FakeNetwork(std::uint64_t seed, FakeNetworkOptions options = {});
  FakeNetwork(const FakeNetwork&) = delete;
  FakeNetwork& operator=(const FakeNetwork&) = delete;
  ~FakeNetwork();

  // --- time -------------------------------------------------------------------------------------
  base::MonotonicMillis now() const { return base::MonotonicMillis(now_us_ / 1000); }
  std::int64_t now_us() const { return now_us_; }
  // Runs the next event, at its time. False: there is none.
  bool step();
  // Runs everything up to `time` and ends there.
  void run_until(base::MonotonicMillis time);
  void run_for(std::int64_t ms) { run_until(base::MonotonicMillis(now().value + ms)); }
  // Runs until `done()` holds, at most for `ms_max`; returns done().
  bool run_while_not(const std::function<bool()>& done, std::int64_t ms_max);

  // --- faults -----------------------------------------------------------------------------------
  FakeNetworkOptions& options() { return options_; }  // may be changed at any time
  // Bytes from one loop do not reach the other (both by name) until heal.
  void partition(const std::string& from, const std::string& to);
  void heal(const std::string& from, const std::string& to);
  void heal_all();
  // Ends every connection between the two, abruptly, for both.
  void cut(const std::string& a, const std::string& b);
  void cut_all();

  // Folds every event that ran: equal for equal seeds, or something is not deterministic.
  std::uint64_t trace_hash() const { return trace_hash_; }
  std::uint64_t events_run() const { return events_run_; }
  std::size_t connection_count() const;  // with at least one open end
  base::Random& random() { return random_; }

 private:
  friend class FakeLoop;

  struct End {
    std::uint32_t loop = 0;
    std::string name;  // the loop's
    base::StreamId stream;
    base::StreamEvents* events = nullptr;
    bool open = false;       // its owner has not closed it and was not told of an end
    bool connected = false;  // its owner knows that it is there
    bool paused = false;
    bool wants_writable = false;
    bool fin = false;  // after `flight` nothing follows
    bool delivery_due = false;
    std::string flight;  // sent by this end, not yet delivered to the other
  };
  struct Connection {
    End ends[2];
    std::string address;
    std::int64_t dialled_us = 0;
    bool broken = false;  // cut: nothing arrives any more, what is written is lost
    bool silent = false;  // one machine is dead: nothing arrives and nobody says so
  };
  // Shared by both ends' loops and by the events under way.
  using ConnectionPtr = std::shared_ptr<Connection>;

  struct Event {
    std::int64_t time_us = 0;
    std::uint64_t age = 0;
    std::uint32_t loop = 0;  // 0: the network's own
    const char* label = "";
    std::function<void()> run;
  };
  struct Later {
    bool operator()(const Event& a, const Event& b) const {
      return a.time_us != b.time_us ? a.time_us > b.time_us : a.age > b.age;
    }
  };
  struct Listener {
    std::uint32_t loop = 0;
    base::StreamEvents* events = nullptr;
  };

  std::uint32_t add_loop(FakeLoop* loop);
  void remove_loop(std::uint32_t id);
  FakeLoop* loop(std::uint32_t id);
  void schedule(std::int64_t delay_us, std::uint32_t loop, const char* label,
                std::function<void()> run);
  std::int64_t delay_us();
  bool partitioned(const std::string& from, const std::string& to) const;
  void syn(const ConnectionPtr& connection);
  void schedule_delivery(const ConnectionPtr& connection, int from);
  void deliver(const ConnectionPtr& connection, int from);
  bool resting(const End& end);
  void writable(const ConnectionPtr& connection, int end);
  void end_closed(const ConnectionPtr& connection, int end, const char* why);
  // The other end of `end` hears of an abrupt end, a delay later.
  void reset_other(const ConnectionPtr& connection, int end);
  void break_connection(const ConnectionPtr& connection);

  FakeNetworkOptions options_;
  SeededRandom random_;
  std::int64_t now_us_ = 0;
  std::uint64_t age_ = 0;
  std::vector<Event> heap_;
  std::map<std::uint32_t, FakeLoop*> loops_;
  std::uint32_t loop_next_ = 1;
  std::map<std::string, Listener> listeners_;
  std::uint16_t port_next_ = 49152;
  std::vector<std::weak_ptr<Connection>> connections_;
  std::set<std::pair<std::string, std::string>> partitions_;
  std::uint64_t trace_hash_ = 0xcbf29ce484222325u;
  std::uint64_t events_run_ = 0;
};

}  // namespace evodb::sim
