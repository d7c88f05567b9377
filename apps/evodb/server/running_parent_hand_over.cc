// A parent that gives itself to another process, or is given by one: docs/upgrade.md.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <utility>

#include "base/bytes.h"
#include "parent/hand_over_format.h"
#include "server/descriptors.h"
#include "server/running_parent.h"
#include "version.h"

namespace evodb::app {

namespace {

using Kind = HandOverChannel::Kind;

constexpr std::uint64_t hand_over_bytes_max = std::uint64_t{2} << 30;
// With less of the pause left (or than a quarter of a short one) there is no kGo.
constexpr std::int64_t go_ms_min = 500;
// From kGo on only the new process can go on, unless it is killed: it is given more time.
constexpr std::int64_t taken_ms_max = 5'000;

// What came from the other end, until it is somebody's.
struct Received {
  std::string bytes;
  std::vector<int> descriptors;  // the lock's, listeners, connections
  std::uint32_t listeners = 0;
};

Result<Received> receive_all(HandOverChannel& channel) {
  Received received;
  for (;;) {
    auto message = EVODB_TRY(channel.receive(-1));
    if (!message) return fail(ErrorKind::kRetry, "the parent that hands over has ended");
    switch (message->kind) {
      case Kind::kBytes:
        received.bytes += message->body;
        if (received.bytes.size() > hand_over_bytes_max) {
          return fail(ErrorKind::kOverLimit, "more is handed over than may be");
        }
        break;
      case Kind::kDescriptors:
        received.descriptors.insert(received.descriptors.end(), message->descriptors.begin(),
                                    message->descriptors.end());
        break;
      case Kind::kEnd: {
        base::ByteReader in(message->body);
        std::uint64_t bytes = 0;
        std::uint32_t connections = 0;
        if (!in.u64(&bytes) || !in.u32(&received.listeners) || !in.u32(&connections) ||
            bytes != received.bytes.size() || received.listeners == 0 ||
            received.descriptors.size() != 1ull + received.listeners + connections) {
          return fail(ErrorKind::kInvalid, "not everything came that was handed over");
        }
        return received;
      }
      default: return fail(ErrorKind::kInvalid, "a hand-over out of order");
    }
  }
}

}  // namespace

// --- the process that takes over ----------------------------------------------------------------

Result<void> RunningParent::take_over(const Config& config, HandOverChannel& channel,
                                      const std::function<void()>& taking) {
  data_ = config.text("data");
  options_ = EVODB_TRY(parent_options(config));
  options_.say = say_on_stderr;
  const auto descriptors =
      EVODB_TRY(plan_descriptors(descriptor_limit(), options_.gate.connections_max));
  options_.gate.connections_max = descriptors.connections_max;
  EVODB_TRY(DataLock::holder(data_));  // `data` was changed: said before anybody waits
  EVODB_TRY(prepare(config));
  std::string ready;
  base::put_u32(ready, HandOverChannel::version);
  base::put_u32(ready, parent::hand_over_version);
  ready += version();
  EVODB_TRY(channel.send(Kind::kReady, ready, {}, -1));

  Received received = EVODB_TRY(receive_all(channel));
  lock_ = EVODB_TRY(DataLock::adopt(received.descriptors[0], data_));
  EVODB_TRY(loop_->rest_sockets(true));
  parent::HandedOver handed{.bytes = std::move(received.bytes)};
  for (std::size_t i = 1; i < received.descriptors.size(); ++i) {
    if (i <= received.listeners) {
      EVODB_TRY(loop_->adopt_listener(received.descriptors[i]));
    } else {
      handed.streams.push_back(EVODB_TRY(loop_->adopt_stream(received.descriptors[i])));
    }
  }
  make_parent();
  std::promise<Result<std::string>> opened;
  EVODB_TRY(parent_->adopt(std::move(handed), [&opened](Result<std::string> address) {
    opened.set_value(std::move(address));
  }));
  thread_ = std::thread([this] { loop_->run(loop_threads); });
  address_ = EVODB_TRY(opened.get_future().get());

  // Should the other end be gone now, it has died: we hold everything, and go on.
  if (channel.send(Kind::kPrepared, {}, {}, -1)) {
    const auto go = channel.receive(-1);
    if (!go || (*go && (*go)->kind != Kind::kGo)) {
      return fail(ErrorKind::kInvalid, "a hand-over out of order");
    }
  }
  taking();
  lock_->write_pid();
  (void)channel.send(Kind::kTaken, {}, {}, -1);
  loop_->post([this] { parent_->resume(); });
  return {};
}

Result<std::unique_ptr<ServedParent>> take_over_parent(const Config& config,
                                                       HandOverChannel& channel,
                                                       const std::function<void()>& taking) {
  auto parent = std::make_unique<RunningParent>();
  auto taken = parent->take_over(config, channel, taking);
  if (taken) return parent;
  (void)parent.release();  // destroying it would close what is still the other's
  return fail(std::move(taken).error());
}

// --- the process that hands over ----------------------------------------------------------------

Result<RunningParent::Given> RunningParent::give_up_rooms(const HandOverPatience& patience) {
  std::promise<Result<Given>> given;
  loop_->post([&] {
    parent_->hand_over(
        {.landing_ms_max = patience.landing_ms_max, .answers_ms_max = patience.pause_ms_max / 2},
        [&](Result<parent::HandedOver> handed) {
          // Whatever it was, the parent goes on.
          if (!handed) {
            return given.set_value(fail(ErrorKind::kRetry, std::move(handed).error().text));
          }
          Given all{.handed = *std::move(handed)};
          all.listeners = loop_->listener_descriptors();
          for (const base::StreamId stream : all.handed.streams) {
            all.connections.push_back(loop_->descriptor(stream));
          }
          given.set_value(std::move(all));
        });
  });
  return given.get_future().get();
}

Result<void> RunningParent::give(HandOverChannel& channel, const Given& given,
                                 const std::function<std::int64_t()>& left_ms) {
  std::string_view bytes = given.handed.bytes;
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, HandOverChannel::body_bytes_max);
    EVODB_TRY(channel.send(Kind::kBytes, piece, {}, left_ms()));
    bytes.remove_prefix(piece.size());
  }
  std::vector<int> descriptors = {lock_->fd()};
  descriptors.insert(descriptors.end(), given.listeners.begin(), given.listeners.end());
  descriptors.insert(descriptors.end(), given.connections.begin(), given.connections.end());
  for (std::span<const int> left = descriptors; !left.empty();) {
    const auto some = left.first(std::min(left.size(), HandOverChannel::descriptors_max));
    EVODB_TRY(channel.send(Kind::kDescriptors, {}, some, left_ms()));
    left = left.subspan(some.size());
  }
  std::string end;
  base::put_u64(end, given.handed.bytes.size());
  base::put_u32(end, static_cast<std::uint32_t>(given.listeners.size()));
  base::put_u32(end, static_cast<std::uint32_t>(given.connections.size()));
  return channel.send(Kind::kEnd, end, {}, left_ms());
}

namespace {

Result<void> hear(HandOverChannel& channel, Kind expected, std::int64_t wait_ms_max) {
  const auto message = EVODB_TRY(channel.receive(wait_ms_max));
  if (!message) return fail(ErrorKind::kInternal, "ended");  // how is known later
  if (message->kind == Kind::kRefused)
    return fail(ErrorKind::kInvalid, "refused: " + message->body);
  if (message->kind != expected) return fail(ErrorKind::kInvalid, "spoke out of order");
  return {};
}

}  // namespace

Result<HandOverReport> RunningParent::hand_over_to(Successor& next,
                                                   const HandOverPatience& patience) {
  Given given = EVODB_TRY(give_up_rooms(patience));
  parent_.reset();
  const auto left_ms = [&] {
    const std::int64_t passed = clock_.monotonic().value - given.handed.resting_since.value;
    return std::max<std::int64_t>(patience.pause_ms_max - passed, 0);
  };
  HandOverChannel& channel = next.channel();
  bool said_go = false;
  const auto converse = [&]() -> Result<void> {
    EVODB_TRY(give(channel, given, left_ms));
    EVODB_TRY(hear(channel, Kind::kPrepared, left_ms()));
    const std::int64_t left = left_ms();
    if (left < std::min(go_ms_min, patience.pause_ms_max / 4)) {
      return fail(ErrorKind::kRetry, "was prepared too late, with " + std::to_string(left) +
                                         " of " + std::to_string(patience.pause_ms_max) +
                                         " ms of the pause left");
    }
    EVODB_TRY(channel.send(Kind::kGo, {}, {}, left));
    said_go = true;
    return hear(channel, Kind::kTaken, taken_ms_max);
  };
  auto taken = converse();
  const bool ended = !taken && taken.error().kind == ErrorKind::kInternal;
  if (!taken && said_go && !ended && next.has_taken_over()) taken = {};
  if (taken) {
    next.release();
    return HandOverReport{.connections = given.connections.size(),
                          .pause_ms = clock_.monotonic().value - given.handed.resting_since.value};
  }
  const std::string how = next.end();
  if (next.took_over()) {
    return fail(ErrorKind::kInternal, "the new process had taken over too late, and " + how);
  }
  if (auto again = go_on(std::move(given.handed)); !again) {
    return fail(ErrorKind::kInternal,
                "the new process " + how + ", and the old one cannot go on: " + again.error().text);
  }
  return fail(ErrorKind::kRetry, "the new process " + (ended ? how : taken.error().text));
}

Result<void> RunningParent::go_on(parent::HandedOver handed) {
  make_parent();
  std::promise<Result<std::string>> opened;
  loop_->post([&] {
    auto began = parent_->adopt(std::move(handed), [&](Result<std::string> address) {
      opened.set_value(std::move(address));
    });
    if (!began) opened.set_value(fail(std::move(began).error()));
  });
  address_ = EVODB_TRY(opened.get_future().get());
  lock_->write_pid();
  std::promise<void> resumed;
  loop_->post([&] {
    parent_->resume();
    resumed.set_value();
  });
  resumed.get_future().wait();
  return {};
}

}  // namespace evodb::app
