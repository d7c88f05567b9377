#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "parent/parent_impl.h"

namespace evodb::parent {

std::optional<std::string> Parent::Impl::not_now() const {
  if (stopping) return "the parent is stopping";
  if (handing_over) return "it is being upgraded already";
  if (reloading) return "the catalog and the tables are being read anew";
  if (!open || !tables_loaded) {
    return "the parent is still recovering" + (not_recovered ? ": " + not_recovered->text : "");
  }
  if (journal->poisoned()) return "the journal has failed: only a restart repairs it";
  if (journal_failure) return "what was received cannot be synced: " + journal_failure->text;
  return std::nullopt;
}

void Parent::Impl::hand_over(const HandOverLimits& limits,
                             std::function<void(Result<HandedOver>)> done) {
  if (auto why = not_now()) return done(fail(ErrorKind::kRetry, *std::move(why)));
  handing_over = true;
  HandOver::Rooms rooms{shared_from_this(),
                        seams.loop,
                        seams.landing,
                        seams.journal_io,
                        seams.clock,
                        seams.disk,
                        options.journal_directory,
                        *journal,
                        *ingest,
                        *gate,
                        landing,
                        [this] { return busy(); },
                        [this] { hurry_readers(); }};
  std::make_shared<HandOver>(
      std::move(rooms), limits,
      [self = shared_from_this(), done = std::move(done)](Result<HandedOver> handed) {
        self->handing_over = false;
        if (handed) {
          self->detach();
        } else {
          self->maybe_trim();  // what was due meanwhile
        }
        done(std::move(handed));
      })
      ->begin();
}

// A store that does not answer must not keep the next process out.
void Parent::Impl::hurry_readers() {
  constexpr std::int64_t readers_ms_max = 250;
  seams.loop.after(readers_ms_max, [self = shared_from_this()] {
    if (self->handing_over) self->iceberg->give_up("the parent is being upgraded");
  });
}

std::optional<std::string> Parent::Impl::busy() const {
  if (journal_failure) return journal_failure->text;
  if (commit_running || journal->has_pending()) return "the journal has been syncing";
  if (trim_running) return "the journal is being trimmed";
  return std::nullopt;
}

void Parent::Impl::detach() {
  stopping = true;
  health->stop();
  gate.reset();
  ingest.reset();
  journal.reset();
}

Result<void> Parent::Impl::adopt(HandedOver handed,
                                 std::function<void(Result<std::string>)> opened) {
  adopted = EVODB_TRY(decode_hand_over(handed.bytes));
  if (adopted->streams.size() != handed.streams.size()) {
    return fail(ErrorKind::kInvalid, std::to_string(adopted->streams.size()) +
                                         " connections were handed over, but " +
                                         std::to_string(handed.streams.size()) + " sockets");
  }
  adopted_streams = std::move(handed.streams);
  return start(std::move(opened));
}

Result<void> Parent::Impl::check_adopted(const journal::Journal& recovered) const {
  if (recovered.id().value == adopted->journal_id &&
      recovered.durable_end() == adopted->journal_end) {
    return {};
  }
  return fail(ErrorKind::kCorrupt, "the journal that was handed over ends at position " +
                                       std::to_string(adopted->journal_end.value) +
                                       ", the one that was found at " +
                                       std::to_string(recovered.durable_end().value));
}

Result<std::string> Parent::Impl::take_adopted() {
  const HandOverContents contents = *std::exchange(adopted, std::nullopt);
  const std::vector<base::StreamId> streams = std::move(adopted_streams);
  const auto new_id = [&](ingest::SessionId old) -> std::optional<ingest::SessionId> {
    const auto at = std::ranges::lower_bound(contents.streams, old.value);
    if (at == contents.streams.end() || *at != old.value) return std::nullopt;
    return ingest::SessionId(
        streams[static_cast<std::size_t>(at - contents.streams.begin())].value);
  };
  EVODB_TRY(ingest->restore_sessions(contents.sessions, new_id));
  return gate->adopt(contents.connections, streams);
}

void Parent::Impl::resume() {
  open = true;
  not_recovered = Error{ErrorKind::kRetry, "reading the tables' state"};
  gate->resume();
  (void)seams.loop.rest_sockets(false);
  effects.clear();
  ingest->on_space(effects);  // whom only free space could wake: nobody else will
  gate->deliver(effects);
  health->probe();
  find_tables();
}
}  // namespace evodb::parent
