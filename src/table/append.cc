// The commit protocol's order of effects, and what each answer means. docs/formats/iceberg.md has
// it as a table; what is written is built in append_snapshot.h.
//
//   load ─▶ (metadata ─▶ list) ─▶ merge reads ─▶ put manifests, list, metadata ─▶ swap
//    ▲                                                                          │  │
//    └────── another commit came first, or nobody knows what became of ours ◀───┘  ▼
//                                      tidy ◀─ still ours? ◀─ pointer in the store ◀
//
// Nothing refers to what is put before the swap, so all of it is put together, in no order. The
// pointer comes when the swap is known: one that came earlier would name what may never be.
#include "table/append.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "table/absent_columns.h"
#include "table/append_snapshot.h"
#include "table/claim.h"
#include "table/commit_cache.h"
#include "table/table_state.h"

namespace evodb::table {
namespace {

// How often other writers may come first, and how often the same put may be answered with silence,
// before the caller is asked to wait and try again.
constexpr int tries_max = 10;
constexpr int same_puts_max = 3;

}  // namespace

struct AppendCommit::Impl {
  enum class Step : std::uint8_t {
    kLoad,
    kMetadata,
    kList,
    kMergeRead,
    kPut,
    kSwap,
    kPoint,
    kConfirm,
    kTidy,
    kEnded,
  };

  Impl(AppendRequest r, const store::ObjectStore& s, base::Random& rnd,
       std::shared_ptr<CommitCache> c)
      : request(std::move(r)), store(s), random(rnd), cache(std::move(c)) {
    names.uuid = random_uuid(random);
    names.table_uuid = random_uuid(random);
    new_snapshot_id();
    if (!request.files.empty() && !request.create && request.expected == request.watermark) {
      end(ErrorKind::kInvalid, "a commit with data must move the watermark of " + request.table);
    }
  }

  void new_snapshot_id() {
    names.snapshot_id = static_cast<std::int64_t>(random.next() >> 1);
    if (names.snapshot_id == 0) names.snapshot_id = 1;
  }

  // --- ends --------------------------------------------------------------------------------------
  void end(ErrorKind kind, std::string text) {
    result = fail(kind, std::move(text));
    step = Step::kEnded;
  }
  // What stops us while we do not know whether our swap came through leaves that unknown.
  void end(const Error& error) {
    if (looking_up) {
      return end(ErrorKind::kOutcomeUnknown, "whether the commit to " + request.table +
                                                 " is in is not known yet: " + error.text);
    }
    end(error.kind, error.text);
  }
  // The swap is in: what is left is that it can be found without the catalog.
  void swapped(TableState state) {
    if (!request.claim) return landed(std::move(state));
    if (!request.claim->may_remove(state.location_key)) removable.clear();
    auto key = store.key_of(state.metadata_location);
    if (!key) return end(key.error());
    Claim::NewPointer pointer = request.claim->next_pointer(state, *key);
    pointer_key = pointer.key;
    reached = std::move(state);
    puts.objects.clear();
    will_put(pointer.key, std::move(pointer.bytes));
    same_puts = 0;
    step = Step::kPoint;
  }
  void landed(TableState state) {
    result = std::move(state);
    step = removable.empty() ? Step::kEnded : Step::kTidy;
  }

  // --- effects -----------------------------------------------------------------------------------
  std::optional<IoRequest> request_of_step() {
    switch (step) {
      case Step::kLoad: return LoadTable{request.table};
      case Step::kMetadata:
      case Step::kList: return GetObject{reading_key};
      case Step::kMergeRead: return GetObject{reading_key};
      case Step::kPut:
      case Step::kPoint: return puts;
      case Step::kConfirm: return GetObject{request.claim->key()};
      case Step::kSwap:
        return SwapTable{request.watermark.writer, request.table,
                         base.metadata ? std::optional(base.metadata_location) : std::nullopt,
                         plan.metadata.location};
      case Step::kTidy: return RemoveObject{removable.back()};
      case Step::kEnded: break;
    }
    return std::nullopt;
  }

  void on_response(IoResponse response) {
    switch (step) {
      case Step::kLoad: return on_load(response);
      case Step::kMetadata: return on_metadata(response);
      case Step::kList: return on_list(response);
      case Step::kMergeRead: return on_merge_read(response);
      case Step::kPut: return on_put(response);
      case Step::kSwap: return on_swap(response);
      case Step::kPoint: return on_point(response);
      case Step::kConfirm: return on_confirm(response);
      case Step::kTidy:
        // The commit is in whatever comes of this. What cannot be removed now is an orphan, which
        // remove_orphans() finds by itself once it is old; and a store that has gone away must not
        // hold up the news that the data is in.
        removable.pop_back();
        if (!response) removable.clear();
        if (removable.empty()) step = Step::kEnded;
        return;
      case Step::kEnded: break;
    }
    EVODB_ASSERT(false, "a commit that has ended expects no response");
  }

  void read(Step next, const std::string& location) {
    auto key = store.key_of(location);
    if (!key) return end(key.error());
    reading_key = std::move(*key);
    step = next;
  }

  // --- what is there ----------------------------------------------------------------------------
  void reload() {
    if (++tries == tries_max) {
      return end(Error{ErrorKind::kRetry, "other writers keep committing to " + request.table +
                                              " first: try again later"});
    }
    step = Step::kLoad;
  }

  void on_load(const IoResponse& response) {
    if (!response) return end(not_ours_to_know(response.error()));
    const auto& location = response->metadata_location;
    if (busy_swap && busy_base == location) return end(*busy_swap);
    busy_swap.reset();
    if (!location && reached) {
      return end(ErrorKind::kNotFound,
                 "table " + request.table + " was dropped or renamed behind this commit to it");
    }
    if (!location) {
      looking_up = false;  // what is not there cannot hold our commit
      if (!request.create) {
        return end(ErrorKind::kNotFound,
                   "table " + request.table +
                       " is no longer in the catalog: somebody dropped or renamed it");
      }
      base = {};
      return choose();
    }
    if (missing_of == *location) {
      return end(ErrorKind::kCorrupt, "table " + request.table + ": " + *location +
                                          " or the manifest list that it names is missing");
    }
    if (cache != nullptr) {
      if (auto left = cache->take(request.table, *location)) return on_base(std::move(*left));
    }
    base.metadata_location = *location;
    read(Step::kMetadata, *location);
  }

  void on_base(CommitBase left) {
    base = std::move(left);
    if (!check_base()) return;
    if (request.files.empty()) return choose();  // no snapshot: nothing is merged
    on_lines();
  }

  // A file that the table names may be gone because the table has moved on meanwhile, or be lost.
  bool moved_on(const IoResponse& response) {
    if (response || response.error().kind != ErrorKind::kNotFound) return false;
    missing_of = base.metadata_location;
    reload();
    return true;
  }

  void on_metadata(const IoResponse& response) {
    if (moved_on(response)) return;
    if (!response) return end(not_ours_to_know(response.error()));
    auto parsed = TableMetadata::parse(response->bytes);
    if (!parsed) return end(at_table(parsed.error()));
    base.metadata = std::move(*parsed);
    base.metadata_bytes = response->bytes.size();
    if (!check_base()) return;
    base.lines.clear();
    const Snapshot* current = base.metadata->current_snapshot();
    if (current == nullptr || request.files.empty()) return choose();
    read(Step::kList, current->manifest_list);
  }

  // False: the commit has ended.
  bool check_base() {
    const auto in = has_landed(request, *base.metadata, names.snapshot_id);
    if (!in) {
      end(at_table(in.error()));
      return false;
    }
    if (*in) {
      on_found();
      return false;
    }
    looking_up = false;
    if (const auto expected = check_watermark(request, *base.metadata); !expected) {
      end(at_table(expected.error()));
      return false;
    }
    // Chance gave us the id of somebody else's snapshot.
    while (base.metadata->find_snapshot(names.snapshot_id) != nullptr) {
      new_snapshot_id();
      names.uuid = random_uuid(random);
      added.reset();
      merged.reset();
    }
    return true;
  }

  void on_found() {
    auto state = table_state_of(request.table, base.metadata_location, *base.metadata, store);
    if (!state) return end(at_table(state.error()));
    looking_up = false;
    // With a commit of others on top, what ours made superfluous is left to remove_orphans().
    if (plan.metadata.location == base.metadata_location) removable = std::move(plan.removable);
    swapped(std::move(*state));
  }

  void on_list(const IoResponse& response) {
    if (moved_on(response)) return;
    if (!response) return end(response.error());
    auto lines = read_manifest_list(response->bytes);
    if (!lines) return end(at_table(lines.error()));
    base.lines = std::move(*lines);
    on_lines();
  }

  void on_lines() {
    if (merged && still_listed(*merged)) return choose();
    merged.reset();
    merge = {};
    to_merge = manifests_to_merge(base.lines, base.metadata->unpartitioned_spec_id());
    merge_at = 0;
    read_next_to_merge();
  }

  bool still_listed(const NewManifest& manifest) const {
    for (const std::string& location : manifest.replaces) {
      if (std::none_of(base.lines.begin(), base.lines.end(),
                       [&](const ManifestFile& line) { return line.location == location; })) {
        return false;
      }
    }
    return true;
  }

  void read_next_to_merge() {
    for (; merge_at < to_merge.size(); ++merge_at) {
      const auto key = store.key_of(base.lines[to_merge[merge_at]].location);
      if (!key) continue;  // outside of the warehouse: it stays as it is
      reading_key = *key;
      step = Step::kMergeRead;
      return;
    }
    choose();
  }

  void on_merge_read(const IoResponse& response) {
    const ManifestFile& line = base.lines[to_merge[merge_at++]];
    if (!response && response.error().kind == ErrorKind::kRetry) return end(response.error());
    if (response) {
      auto entries = read_manifest(response->bytes, line);
      // One that cannot be read is no reason to stop the stream: it stays listed as it is.
      if (entries) {
        for (ManifestEntry& entry : *entries) count_absent_columns(request.schema, entry.file);
        merge.add(line, std::move(*entries));
      }
    }
    read_next_to_merge();
  }

  // --- what shall be -----------------------------------------------------------------------------
  void choose() {
    auto begun = begin_commit(request, base, names, store);
    if (!begun) return end(at_table(begun.error()));
    const TableMetadata& next = begun->metadata;
    auto folder = store.key_of(next.location());
    if (!folder) return end(at_table(folder.error()));
    if (!request.files.empty() && !added) {
      added = added_manifest(request, next, *folder, names, store);
      added_is_put = false;
    }
    if (!merged && merge.worthwhile()) {
      const std::string key = *folder + "/metadata/" + random_uuid(random) + "-m1.avro";
      merged = merge.write(manifest_header(next), key, store.location(key), names.snapshot_id);
      merged_is_put = false;
      merge = {};
    }
    names.metadata_uuid = random_uuid(random);
    auto made = finish_commit(request, base, std::move(*begun), added ? &*added : nullptr,
                              merged ? &*merged : nullptr, names, attempt++, store);
    if (!made) return end(at_table(made.error()));
    plan = std::move(*made);
    puts.objects.clear();
    if (added && !added_is_put) will_put(added->key, std::move(added->bytes));
    if (merged && !merged_is_put) will_put(merged->key, std::move(merged->bytes));
    if (plan.list) will_put(plan.list->key, std::move(plan.list->bytes));
    will_put(plan.metadata.key, std::move(plan.metadata.bytes));
    same_puts = 0;
    step = Step::kPut;
  }

  void will_put(const std::string& key, std::string bytes) {
    puts.objects.push_back({key, std::make_shared<const std::string>(std::move(bytes))});
  }

  void on_put(const IoResponse& response) {
    if (!response) {
      if (response.error().kind != ErrorKind::kOutcomeUnknown) return end(response.error());
      if (++same_puts < same_puts_max) return;
      return end(ErrorKind::kRetry, response.error().text);  // nothing refers to any of them
    }
    added_is_put = merged_is_put = true;
    puts.objects.clear();
    step = Step::kSwap;
  }

  void on_swap(const IoResponse& response) {
    if (response) {
      removable = std::move(plan.removable);
      // Without a snapshot of ours nobody has read the list of manifests.
      if (cache != nullptr && plan.list) cache->put(request.table, std::move(plan.next));
      return swapped(std::move(plan.after));
    }
    const Error& error = response.error();
    if (error.kind == ErrorKind::kOutcomeUnknown) {
      looking_up = true;
      return reload();
    }
    if (error.kind != ErrorKind::kRetry && error.kind != ErrorKind::kStale) return end(error);
    // Another commit came first.
    if (error.kind == ErrorKind::kStale) return reload();
    // The catalog was busy, or gave no better reason: the entry tells whether it still is ours.
    busy_swap = error;
    busy_base = base.metadata ? std::optional(base.metadata_location) : std::nullopt;
    reload();
  }

  // What fails from here on is resumed from the look-up, and finds itself in the table. A new
  // commit that makes the table would make a second one where another engine has renamed it.
  void not_pointed(const Error& error) {
    looking_up = true;
    end(error);
  }
  void on_point(const IoResponse& response) {
    if (!response) {
      const bool unknown = response.error().kind == ErrorKind::kOutcomeUnknown;
      if (unknown && ++same_puts < same_puts_max) return;
      return not_pointed(response.error());
    }
    puts.objects.clear();
    step = Step::kConfirm;
  }

  void on_confirm(const IoResponse& response) {
    if (!response && response.error().kind != ErrorKind::kNotFound) {
      return not_pointed(response.error());
    }
    if (!response || !request.claim->is(response->bytes)) {
      return end(ErrorKind::kFenced,
                 "another parent has taken over this warehouse (its claim is in " +
                     store.location(std::string(claims_prefix)) +
                     "): stop one of the two, or give each a warehouse of its own");
    }
    if (auto before = request.claim->note_pointed(*reached, pointer_key)) {
      removable.push_back(*std::move(before));
    }
    landed(*std::move(reached));
  }

  // A read changes nothing, whatever its error says.
  static Error not_ours_to_know(Error error) {
    if (error.kind == ErrorKind::kOutcomeUnknown) error.kind = ErrorKind::kRetry;
    return error;
  }
  // What the table is now does not fit what we know of it: whoever knows must read it anew.
  Error at_table(const Error& error) const {
    return {error.kind == ErrorKind::kInvalid ? ErrorKind::kStale : error.kind,
            "table " + request.table + " (" + base.metadata_location + "): " + error.text};
  }

  AppendRequest request;
  const store::ObjectStore& store;
  base::Random& random;
  const std::shared_ptr<CommitCache> cache;

  Step step = Step::kLoad;
  bool waiting = false;
  bool looking_up = false;  // a swap's outcome is unknown
  int tries = 0;
  int attempt = 0;  // numbers what was planned; never goes back, for it is part of names
  CommitNames names;
  CommitBase base;
  std::string reading_key;
  std::string missing_of;                // the metadata file that named a missing one
  std::optional<Error> busy_swap;        // the latest swap's kRetry,
  std::optional<std::string> busy_base;  // and what it had expected

  std::vector<std::size_t> to_merge;  // indexes into base.lines
  std::size_t merge_at = 0;
  ManifestMerge merge;
  std::optional<NewManifest> added, merged;
  bool added_is_put = false, merged_is_put = false;
  CommitPlan plan;
  PutObjects puts;    // what the plan needs and is not there yet
  int same_puts = 0;  // that were answered with silence
  std::vector<std::string> removable;
  std::optional<TableState> reached;  // what the pointer that is being put names
  std::string pointer_key;
  Result<TableState> result = fail(ErrorKind::kInternal, "the commit has not ended");
};

AppendCommit::AppendCommit(AppendRequest request, const store::ObjectStore& store,
                           base::Random& random, std::shared_ptr<CommitCache> cache)
    : impl_(std::make_unique<Impl>(std::move(request), store, random, std::move(cache))) {}
AppendCommit::~AppendCommit() = default;
AppendCommit::AppendCommit(AppendCommit&&) noexcept = default;

std::optional<IoRequest> AppendCommit::next() {
  EVODB_ASSERT(!impl_->waiting, "the response to the last request comes first");
  auto request = impl_->request_of_step();
  impl_->waiting = request.has_value();
  return request;
}

void AppendCommit::on_response(IoResponse response) {
  EVODB_ASSERT(impl_->waiting, "a response needs a request");
  impl_->waiting = false;
  impl_->on_response(std::move(response));
}

Result<TableState> AppendCommit::outcome() const {
  EVODB_ASSERT(impl_->step == Impl::Step::kEnded, "the outcome is known at the end");
  return impl_->result;
}

void AppendCommit::resume() {
  EVODB_ASSERT(impl_->step == Impl::Step::kEnded && !impl_->result &&
                   impl_->result.error().kind == ErrorKind::kOutcomeUnknown,
               "only an unknown outcome is resumed");
  impl_->looking_up = true;
  impl_->tries = 0;
  impl_->step = Impl::Step::kLoad;
}

}  // namespace evodb::table
