// What a Parent is made of; for parent*.cc only. Start and what is read anew are in parent.cc, the
// hand-over to another process in parent_hand_over.cc, stop and status in parent_stop.cc.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/backoff.h"
#include "ingest/checkpoint_store.h"
#include "parent/hand_over.h"
#include "parent/hand_over_format.h"
#include "parent/landing.h"
#include "parent/pages.h"
#include "parent/parent.h"
#include "parent/recovery.h"
#include "parent/refusals.h"
#include "parent/tidy.h"

namespace evodb::parent {

// An error whose text begins with what was tried.
inline Error because(const std::string& what, const Error& why) {
  return {why.kind, what + ": " + why.text};
}

// Lives on the loop. Work posted to other executors holds it alive by shared_ptr (that is why it is
// one) and touches only what its comment below allows there.
struct Parent::Impl : gate::GateHandlers,
                      Landing::Events,
                      std::enable_shared_from_this<Parent::Impl> {
  Impl(const ParentSeams& s, const ParentOptions& o)
      : seams(s), options(o), wraps(s.wraps != nullptr ? *s.wraps : as_they_are) {}

  ParentSeams seams;
  ParentOptions options;
  RoomWraps as_they_are;
  RoomWraps& wraps;

  std::unique_ptr<journal::Journal> journal;  // append here; commit and trim on journal_io
  std::unique_ptr<ingest::Ingest> ingest;
  std::unique_ptr<gate::Gate> gate;
  std::unique_ptr<Landing> landing;  // on the landing executor
  std::shared_ptr<StoreHealth> health;
  std::shared_ptr<IcebergRest> iceberg;
  std::unique_ptr<lake::LandedFilter> landed_filter;

  std::function<void(Result<std::string>)> on_open;
  std::string address;
  base::Backoff recovery{100, 10'000};  // of what is read at a start and anew
  // Why it is not ready, by who says so; landing and the tables keep their own (make_status).
  std::optional<Error> not_recovered = Error{ErrorKind::kRetry, "starting"};
  std::optional<Error> journal_failure;  // a full disk, or poisoned
  std::optional<Error> trim_failure;
  bool open = false;
  bool tables_loaded = false;
  bool reloading = false;  // what is known of catalog and tables is read anew
  std::int64_t reload_ms = 0;
  base::MonotonicMillis reloaded_at;
  bool stopping = false;
  RecoveredCatalog identity;
  table::WriterEpoch held_writer;  // what this process has claimed last, or 0
  std::shared_ptr<table::Claim> claim;
  Position recovered_end;  // of the journal, when the tables were last to be compared with it
  base::MonotonicMillis started_at;
  std::uint64_t orphans_removed = 0;
  std::map<std::string, std::string> incomplete;  // tables whose data files are gone, and which
  std::uint64_t commits = 0;

  bool commit_running = false;
  std::uint64_t checkpoint_bytes = 0;  // of the newest one
  bool trim_running = false;
  Position landed_through;
  ingest::Effects effects;
  std::function<void()> stopped;

  std::uint64_t copies_found = 0;
  bool handing_over = false;
  std::optional<HandOverContents> adopted;  // until it was put into the rooms
  std::vector<base::StreamId> adopted_streams;

  // --- start ------------------------------------------------------------------------------------

  Result<void> start(std::function<void(Result<std::string>)> opened);

  // The catalog says whether our journal is the one that the tables know; only then may a child be
  // told what is here.
  void find_catalog();

  void on_catalog(Result<RecoveredCatalog>& found);

  void take_identity(RecoveredCatalog& found);

  void find_tables();

  void on_tables(Result<LoadedTables>& states);

  void say(const std::string& line) const {
    if (options.say) options.say(line);
  }

  // --- what others do to the catalog ------------------------------------------------------------

  void tend_later();

  void tend();

  void on_stale(std::string table, Error why) override;

  void on_refused(std::string table, Error why) override;

  void on_well(std::string table) override;

  // --- tables that wait -------------------------------------------------------------------------

  Refusals refusals;
  std::vector<table::FoundTable> sick_tables;

  void look_at_sick_later();

  void look_at_sick();

  // Landing ends what runs, all is read as at a start, landing begins anew. Children are served.
  void reload(const std::string& why);

  void reopen();

  bool claim_was_held = false;  // when this reload began

  // On a store thread, where nothing lands. `before` may be null: nothing was opened yet.
  Result<RecoveredCatalog> read_anew(store::ObjectStore& store, table::Catalog& catalog,
                                     table::WriterEpoch& writer, const table::Claim* before);

  void on_reopened(Result<RecoveredCatalog>& found);

  void tidy(std::vector<TableToTidy> tables);

  // --- changing hands ---------------------------------------------------------------------------

  std::optional<std::string> not_now() const;

  void hand_over(const HandOverLimits& limits, std::function<void(Result<HandedOver>)> done);

  std::optional<std::string> busy() const;

  void hurry_readers();

  // Whatever still runs elsewhere finds a parent that has stopped. The journal's files are closed.
  void detach();

  Result<void> adopt(HandedOver handed, std::function<void(Result<std::string>)> opened);

  Result<void> check_adopted(const journal::Journal& recovered) const;

  Result<std::string> take_adopted();

  void resume();

  // --- journal commits --------------------------------------------------------------------------

  void on_appended() override;

  void on_committed(const Result<Position>& end);

  // --- landing's word (landing executor) --------------------------------------------------------

  void on_persisted(std::vector<lake::PersistedMark> marks) override;

  void on_landed(Position landed, bool all) override;

  // --- trim -------------------------------------------------------------------------------------

  // At least a segment; and with millions of sources enough that their checkpoint, which costs the
  // loop and the disk its bytes, stays a small part of what goes through the journal meanwhile.
  std::uint64_t trim_step_bytes() const;

  // Only whole segments go, and only after a checkpoint holds every mark that they gave.
  void maybe_trim();

  // --- stop -------------------------------------------------------------------------------------

  void stop(std::int64_t deadline_ms, std::function<void()> done);

  // The tables' state was read, and forbids to land anything.
  bool landing_is_hopeless() const {
    return not_recovered && not_recovered->kind != ErrorKind::kRetry;
  }

  bool stop_waits_for_tables = false;
  bool landing_stops = false;  // landing executor

  void stop_without_tables() {
    stop_waits_for_tables = false;
    seams.landing.post([self = shared_from_this()] { self->stop_landing(); });
  }

  // On the landing executor.
  void stop_landing();

  bool landing_stopped = false;

  void maybe_finish_stop();

  bool finishing = false;

  void finish_stop();

  // --- HTTP -------------------------------------------------------------------------------------

  void on_http(const gate::HttpRequest& request,
               std::function<void(gate::HttpResponse)> respond) override;

  void on_flush_requested() override {
    flush([](bool) {});
  }

  void on_session(gate::ConnectionId, std::string_view source) override;

  BufferStatus buffer_status() override;

  void flush(std::function<void(bool)> done);

  void status(std::function<void(const ParentStatus&)> with);

  ParentStatus make_status(const LandingStats& landing_stats);
};

}  // namespace evodb::parent
