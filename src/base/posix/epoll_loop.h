// EpollLoop: the parent's real base::Loop. Level-triggered epoll, one shared receive buffer, 16
// bytes of user memory a stream.
//
//   auto loop = EVODB_TRY(EpollLoop::create());
//   std::string address = EVODB_TRY(loop->listen("127.0.0.1:8787", gate));
//   loop->run(2);                 // until stop(), which any thread or signal handler may call
//
// Threads: handlers run one at a time, on the thread that has the turn (the leader). With two
// threads (leader and followers: Schmidt et al., POSA 2), a leader whose handler asked for blocking
// work ends its round, gives up the turn and does that work itself; the other thread becomes the
// leader meanwhile. The first one then takes the turn again to run the outcome. So the bytes that
// arrive, the sync that they ask for and the acknowledgement are handled by one thread: waking
// another for the sync, and this one again after it, would be two context switches, which cost as
// much as a fast disk's sync. With one thread, blocking work blocks the loop.
//
// The other thread is woken at once while there is much to do. If one event alone asked for the
// work, and such work took less than quick_work_us_max the last time, its wake-up is delayed by
// delayed_wakeup_us: most such work ends before that, and then nobody was woken for nothing (which
// costs a third of a fast disk's sync). Events that come meanwhile wait that long at most.
//
// Why level-triggered: an idle stream costs the same either way, and a busy one gives the others
// their turn after each buffer-full without a list of who is not finished.
//
// Fairness: in each round those come first whose turns are short. New connections, streams whose
// last turn was long (a flood of tiny messages), and accepting itself get their turn afterwards,
// within round_us_max together (more if nobody else was served for 10 ms); whom it does not reach
// comes first in the next round. A stream with long turns is read in smaller pieces. So new
// connections, however many and however fast, delay an acknowledgement by about a round.
//
// Out of descriptors, streams_max or kernel memory: a lingering stream gives way, else accepting
// pauses until a stream was closed or 100 ms passed; those who wait stay in the kernel's queue. It
// never spins. A dead peer is found by the kernel (keepalive, TCP_USER_TIMEOUT), not by timers of
// ours.
//
// close() without abort lets the kernel deliver what was taken even if unread bytes are waiting (a
// plain close would answer those with a reset that destroys our last words): it shuts down the
// sending side and reads on, for lingering_ms_max, into nothing.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/chunked_slab.h"
#include "base/loop.h"
#include "base/posix/system_clock.h"

namespace evodb::base {

struct EpollLoopOptions {
  std::size_t receive_buffer_bytes = 256u << 10;
  int kernel_unsent_bytes_max = 256 << 10;  // TCP_NOTSENT_LOWAT: beyond it, writes are short
  int listen_backlog = 4096;
  int keepalive_idle_s = 60;
  int dead_peer_ms_max = 60'000;  // TCP_USER_TIMEOUT
  std::int64_t lingering_ms_max = 2'000;
  std::size_t lingering_max = 1'024;  // beyond it, the oldest is closed hard
  std::int64_t long_turn_us = 25;     // what makes a stream wait for those with short turns
  // For those who wait, in one round: while others are served, and while there are none.
  std::int64_t round_us_max = 10;
  std::int64_t round_alone_us_max = 50;
  std::int64_t quick_work_us_max = 500;  // blocking work for which other events may wait
  std::int64_t delayed_wakeup_us =
      2'000;                    // but not longer than this: the wake-up of the other thread
  std::size_t streams_max = 0;  // with lingering ones; then accepting pauses. 0: no limit
};

struct EpollLoopStats {
  std::uint64_t accepted = 0;
  std::uint64_t accept_pauses = 0;  // out of descriptors or kernel memory
  std::uint64_t streams = 0;        // open, without lingering ones
  std::uint64_t lingering = 0;
  std::uint64_t wakeups = 0;  // returns of epoll_wait
  std::uint64_t timers = 0;
};

class EpollLoop final : public Loop, public BlockingWork {
 public:
  static Result<std::unique_ptr<EpollLoop>> create(const EpollLoopOptions& options = {});
  ~EpollLoop() override;  // closes everything; no event follows
  EpollLoop(const EpollLoop&) = delete;
  EpollLoop& operator=(const EpollLoop&) = delete;

  // Handles events until stop(), with so many threads, this one included; the others have ended
  // when it returns. "The loop's thread" of any comment is the one that has the turn.
  void run(unsigned threads = 1);
  // One round: waits for at most `wait_ms_max` (-1: for an event), handles what is there.
  void run_once(std::int64_t wait_ms_max);
  // From any thread, also from a signal handler. run() returns after the round.
  void stop();

  void post(std::function<void()> work) override;
  void run_blocking(std::function<After()> work) override;
  Clock& clock() override { return clock_; }
  TimerId after(std::int64_t delay_ms, std::function<void()> work) override;
  void cancel(TimerId timer) override;
  Result<std::string> listen(const std::string& address, StreamEvents& events) override;
  void stop_listening() override;
  // A host name is looked up blocking: the parent dials nobody while it serves.
  Result<StreamId> dial(const std::string& host, std::uint16_t port, StreamEvents& events) override;
  std::size_t write(StreamId stream, std::string_view bytes) override;
  void pause_reading(StreamId stream, bool paused) override;
  void close(StreamId stream, bool abort) override;

  EpollLoopStats stats() const;

  // --- changing hands (epoll_hand_over.cc). On the loop's thread, or before it runs ---
  Result<void> rest_sockets(bool rest) override;
  void give_stream(StreamId stream, StreamEvents& events) override;
  Result<std::string> give_listeners(StreamEvents& events) override;
  // Borrowed: they stay this loop's, and it closes them. Closing a descriptor that another process
  // holds as well does not end the connection.
  int descriptor(StreamId id);
  std::vector<int> listener_descriptors() const;
  // Takes the descriptor, whatever comes of it. Until give_stream() or give_listeners() nobody
  // hears of it; the sockets of this loop must rest till then.
  Result<StreamId> adopt_stream(int fd);
  Result<void> adopt_listener(int fd);

 private:
  struct Stream {
    StreamEvents* events = nullptr;  // null: free, or lingering
    int fd = -1;
    std::uint16_t generation = 0;  // tells an event for the id's former owner
    std::uint8_t flags = 0;
    std::uint8_t young : 4 = 0;       // turns for which it still counts as a new connection
    std::uint8_t read_shift : 4 = 0;  // reads are the receive buffer's size, halved so often
  };
  static_assert(sizeof(Stream) == 16);

  struct Listener {
    int fd = -1;
    StreamEvents* events = nullptr;
  };
  struct Due {
    std::int64_t at_ms;
    std::uint64_t timer;
    bool operator>(const Due& other) const {
      return at_ms != other.at_ms ? at_ms > other.at_ms : timer > other.timer;
    }
  };
  static constexpr std::int64_t not_armed = std::numeric_limits<std::int64_t>::max();
  struct Lingering {
    std::int64_t until_ms;
    StreamId stream;
    std::uint16_t generation;
  };

  explicit EpollLoop(const EpollLoopOptions& options);

  // What epoll gives back for a listener.
  static constexpr std::uint64_t listener_bit = std::uint64_t{1} << 63;
  static std::uint64_t listener_key(std::size_t index) { return listener_bit | index; }

  Stream& stream(StreamId id) { return streams_[id.value]; }
  Stream& open_stream(StreamId id);
  Result<StreamId> add_stream(int fd, StreamEvents& events, std::uint8_t flags);
  void release(StreamId id);  // closes the descriptor and frees the id
  void set_flag(StreamId id, Stream& s, std::uint8_t flag, bool on);
  void tune(int fd);

  // One event of a stream that waits for those with short turns.
  struct Waiting {
    StreamId stream;
    std::uint16_t generation;
    std::uint32_t events;
  };
  using Turn = std::unique_lock<std::mutex>;
  void take_turns();
  void round(Turn& turn, std::int64_t wait_ms_max);
  void do_blocking_work(Turn& turn);
  void wake_other(std::int64_t in_us);
  void wait_to_be_woken(Turn& turn);
  void wake();
  void serve_waiting();
  void accept_from(std::size_t index, std::int64_t until_us);
  void pause_accepting();
  void resume_accepting();
  void on_stream_event(StreamId id, std::uint16_t generation, std::uint32_t events);
  void finish_dial(StreamId id, Stream& s);
  void read_from(StreamId id, Stream& s);
  void note_turn(Stream& s, std::int64_t took_us);
  void report_closed(StreamId id, const std::string& why);
  void drain_lingering(StreamId id, Stream& s);
  bool release_oldest_lingering();  // false: there is none
  void sweep_lingering();
  void wait_resting(std::int64_t wait_ms_max);
  void run_posted();
  void run_timers();
  void arm_timer(std::int64_t at_ms);

  EpollLoopOptions options_;
  SystemClock clock_;
  int epoll_ = -1;
  int wake_ = -1;  // eventfd
  std::unique_ptr<char[]> buffer_;
  ChunkedSlab<Stream> streams_;
  std::vector<std::uint32_t> free_;  // numbers of streams_ that are in no use
  std::vector<Listener> listeners_;
  // Of this round: filled from epoll's events, served last.
  std::vector<Waiting> waiting_;
  std::vector<std::size_t> accepting_;
  std::size_t waiting_first_ = 0;  // where the next round begins
  std::int64_t others_at_us_ = 0;  // when somebody was served who need not wait
  bool resting_ = false;
  bool accept_paused_ = false;
  TimerId accept_timer_;

  std::vector<Due> heap_;
  int timer_ = -1;                     // timerfd
  std::int64_t armed_ms_ = not_armed;  // never later than the earliest of heap_
  std::unordered_map<std::uint64_t, std::function<void()>> timers_;
  std::uint64_t timer_next_ = 1;

  std::deque<Lingering> lingering_;
  std::size_t lingering_count_ = 0;
  TimerId lingering_timer_;

  // Whoever holds it runs handlers and may touch what is above.
  std::mutex turn_;
  bool has_leader_ = false;  // a thread waits for events, or handles them
  unsigned threads_ = 1;
  int other_wakeup_ = -1;     // timerfd; the thread that is not the leader waits for it
  bool other_woken_ = false;  // other_wakeup_ is set, or has fired and the other is not here yet
  bool quiet_ = false;        // this round has one event, for which epoll_wait had to wait
  std::int64_t work_us_ = 0;  // what the last blocking work took
  std::deque<std::function<After()>> blocking_;
  bool doing_blocking_work_ = false;  // or the outcome of it has not run yet

  std::mutex posted_mutex_;
  std::vector<std::function<void()>> posted_;
  std::vector<std::function<void()>> running_;
  std::atomic<bool> stop_ = false;
  EpollLoopStats stats_;
};

}  // namespace evodb::base
