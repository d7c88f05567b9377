#include "parent/hand_over.h"

#include <utility>

#include "ingest/checkpoint_store.h"
#include "parent/hand_over_format.h"

namespace evodb::parent {
namespace {

// How often it is looked whether the next step may be taken.
constexpr std::int64_t landing_look_ms = 5;
constexpr std::int64_t answers_look_ms = 1;

}  // namespace

void HandOver::begin() {
  deadline_ = base::MonotonicMillis(now().value + limits_.landing_ms_max);
  auto idle = std::make_shared<bool>(false);
  rooms_.landing_executor.post([self = shared_from_this(), idle] {
    // Landing keeps this; it must not keep its owner alive.
    self->rooms_.landing->stop(
        [&loop = self->rooms_.loop, idle] { loop.post([idle] { *idle = true; }); });
  });
  wait_for_landing(std::move(idle));
}

void HandOver::wait_for_landing(std::shared_ptr<bool> idle) {
  if (*idle) return rest();
  if (now() >= deadline_) {
    return give_up({ErrorKind::kRetry, "the running flushes did not end within " +
                                           std::to_string(limits_.landing_ms_max) + " ms"});
  }
  rooms_.loop.after(landing_look_ms, [self = shared_from_this(), idle = std::move(idle)]() mutable {
    self->wait_for_landing(std::move(idle));
  });
}

void HandOver::rest() {
  if (auto resting = rooms_.loop.rest_sockets(true); !resting) {
    return give_up(std::move(resting).error());
  }
  resting_ = true;
  resting_since_ = now();
  rooms_.gate.freeze();
  rooms_.at_rest();
  deadline_ = base::MonotonicMillis(now().value + limits_.answers_ms_max);
  wait_for_answers();
}

void HandOver::wait_for_answers() {
  auto busy = rooms_.busy();
  if (!busy && rooms_.gate.requests_waiting() > 0) busy = "an HTTP request waits";
  if (!busy) return write_checkpoint();
  if (too_late(*busy)) return;
  rooms_.loop.after(answers_look_ms, [self = shared_from_this()] { self->wait_for_answers(); });
}

// With it the next one has nothing to replay, and knows sources that have only said hello.
void HandOver::write_checkpoint() {
  rooms_.journal_io.run_blocking([self = shared_from_this(), bytes = rooms_.ingest.checkpoint()] {
    const auto written = ingest::write_checkpoint(self->rooms_.disk, self->rooms_.journal_directory,
                                                  self->rooms_.journal.id(), bytes);
    return [self, written] {
      if (!written) return self->give_up(written.error());
      if (!self->too_late("answers and the checkpoint have made everybody wait")) self->take();
    };
  });
}

void HandOver::take() {
  auto saved = rooms_.gate.save_connections();
  if (!saved) return give_up(std::move(saved).error());
  HandOverContents contents;
  contents.journal_id = rooms_.journal.id().value;
  contents.journal_end = rooms_.journal.durable_end();
  for (const base::StreamId stream : saved->streams) contents.streams.push_back(stream.value);
  contents.connections = std::move(saved->bytes);
  contents.sessions = rooms_.ingest.save_sessions();
  auto handed = std::make_shared<HandedOver>();
  handed->bytes = encode_hand_over(contents);
  if (too_late("saving the connections has made everybody wait")) return;
  handed->streams = std::move(saved->streams);
  handed->resting_since = resting_since_;
  rooms_.gate.let_go();
  rooms_.landing_executor.post([self = shared_from_this(), handed] {
    self->rooms_.landing.reset();
    self->rooms_.loop.post([self, handed] {
      const Done done = std::exchange(self->done_, nullptr);
      done(std::move(*handed));
    });
  });
}

bool HandOver::too_late(const std::string& what) {
  if (now() < deadline_) return false;
  give_up(
      {ErrorKind::kRetry, what + " for over " + std::to_string(limits_.answers_ms_max) + " ms"});
  return true;
}

void HandOver::give_up(Error why) {
  rooms_.landing_executor.post([self = shared_from_this()] { self->rooms_.landing->resume(); });
  if (resting_) {
    rooms_.gate.resume();
    (void)rooms_.loop.rest_sockets(false);
  }
  const Done done = std::exchange(done_, nullptr);
  done(fail(std::move(why)));
}

}  // namespace evodb::parent
