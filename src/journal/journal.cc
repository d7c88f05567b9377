#include "journal/journal.h"

#include <algorithm>
#include <atomic>
#include <mutex>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "journal/cursor.h"
#include "journal/recovery.h"
#include "journal/segment_format.h"
#include "journal/segment_list.h"
#include "journal/segment_writer.h"

namespace evodb::journal {
namespace {

// Records on their way to the disk: whole ones, back to back, from `first` on.
struct Group {
  std::string bytes;
  Position first;
  std::vector<std::size_t> begins_segment;  // offsets in bytes, ascending
};

class FileJournal final : public Journal {
 public:
  FileJournal(base::Disk& disk, const std::string& directory, const JournalOptions& options,
              std::uint64_t salt_seed)
      : disk_(disk), options_(options), salt_seed_(salt_seed), writer_(disk, directory) {}
  ~FileJournal() override;

  Result<void> start(RecoveredJournal found, JournalId new_id);

  JournalId id() const override { return id_; }
  Result<Appended> append(RecordType type, std::span<const std::string_view> parts) override {
    const RecordParts record{type, parts};
    return append_together({&record, 1});
  }
  Result<Appended> append_together(std::span<const RecordParts> records) override;
  std::uint64_t segment_of_next(std::size_t bytes) const override;
  std::size_t segment_space_bytes() const override {
    return options_.segment_bytes - segment_header_bytes;
  }
  Result<Position> commit() override;
  bool has_pending() const override { return appended_end_ > durable_end_; }
  Position durable_end() const override { return Position(durable_end_); }
  Position appended_end() const override { return Position(appended_end_); }
  Position first() const override { return segments_.first(); }
  bool trimmed() const override { return segments_.oldest().header.ordinal > 0; }
  std::uint64_t held_bytes() const override { return appended_end_ - first().value; }
  std::uint64_t free_bytes() const override;
  bool poisoned() const override { return poisoned_; }
  std::unique_ptr<JournalCursor> read_from(Position position) override {
    return std::make_unique<SegmentCursor>(disk_, segments_, durable_end_, position);
  }
  Result<void> trim(Position position) override;

 private:
  SegmentHeader next_header(std::uint64_t ordinal, Position first) const;
  Result<void> begin_segment(std::uint64_t ordinal, Position first);
  // Writes what is left of writing_; removes from it what became durable.
  Result<void> write_group();
  // The first `n` bytes of writing_, which lie in one segment.
  Result<void> write_part(std::size_t n);
  void seal(char* at, std::size_t n, Position first);
  Result<void> write_mark();
  std::unexpected<Error> poison(const Error& why);
  std::uint64_t file_offset(Position p) const {
    return segment_header_bytes + (p.value - writer_.header().first.value);
  }

  base::Disk& disk_;
  const JournalOptions options_;
  const std::uint64_t salt_seed_;
  JournalId id_;  // never changes after start(): read by any thread

  // The loop's and the blocking work's, under mutex_.
  mutable std::mutex mutex_;
  Group pending_;
  std::uint64_t plan_ordinal_ = 0;  // of the segment in which the newest queued record lies
  Position plan_first_;             // where that begins
  std::uint64_t plan_bytes_ = 0;    // what it may hold, header included
  std::uint64_t live_bytes_ = 0;    // of all segments, those that are only planned included
  std::string poison_text_;

  std::atomic<std::uint64_t> appended_end_{0};
  std::atomic<std::uint64_t> durable_end_{0};
  std::atomic<bool> poisoned_{false};
  SegmentList segments_;

  // commit()'s and trim()'s.
  SegmentWriter writer_;
  Group writing_;  // not empty between commits only after a full disk
  bool mark_unsynced_ = false;
};

SegmentHeader FileJournal::next_header(std::uint64_t ordinal, Position first) const {
  std::string salt;
  base::put_u64(salt, ordinal);
  base::put_u64(salt, first.value);
  return SegmentHeader{.journal = id_,
                       .ordinal = ordinal,
                       .first = first,
                       .salt = base::xxh64(salt, salt_seed_),
                       .segment_bytes = options_.segment_bytes};
}

Result<void> FileJournal::begin_segment(std::uint64_t ordinal, Position first) {
  EVODB_TRY(writer_.begin(next_header(ordinal, first)));
  mark_unsynced_ = false;
  segments_.push_back({.header = writer_.header(), .path = writer_.path()});
  return {};
}

Result<void> FileJournal::start(RecoveredJournal found, JournalId new_id) {
  std::uint64_t spares_left = 0;
  id_ = found.segments.empty() ? new_id : found.segments.back().header.journal;
  if (found.segments.empty()) {
    live_bytes_ = options_.segment_bytes;
    EVODB_TRY(begin_segment(0, Position(0)));
  } else {
    for (const RecoveredSegment& segment : found.segments) {
      segments_.push_back(
          {.header = segment.header,
           .path = writer_.path().substr(0, writer_.path().rfind('/') + 1) + segment.name});
      live_bytes_ += segment.header.segment_bytes;
    }
    const RecoveredSegment& last = found.segments.back();
    EVODB_TRY(writer_.resume(last.header, last.file_bytes));
    appended_end_ = durable_end_ = last.end.value;
    if (options_.max_bytes > live_bytes_) {
      spares_left = (options_.max_bytes - live_bytes_) / options_.segment_bytes;
    }
  }
  const std::string directory = writer_.path().substr(0, writer_.path().rfind('/') + 1);
  for (const std::string& spare : found.spares) {
    auto file = EVODB_TRY(disk_.open(directory + spare, base::OpenMode::kRead));
    if (spares_left > 0 && EVODB_TRY(file->size()) <= options_.segment_bytes) {
      writer_.add_spare(spare);
      --spares_left;
    } else {
      EVODB_TRY(disk_.unlink(directory + spare));
    }
  }
  plan_ordinal_ = writer_.header().ordinal;
  plan_first_ = writer_.header().first;
  plan_bytes_ = writer_.header().segment_bytes;
  pending_.first = Position(appended_end_);
  return write_mark();
}

FileJournal::~FileJournal() {
  // The mark proves the last group whole; nothing is wrong if this fails, as after a power loss.
  if (!poisoned_ && mark_unsynced_) (void)writer_.sync();
}

Result<Journal::Appended> FileJournal::append_together(std::span<const RecordParts> records) {
  std::size_t total = 0;
  for (const RecordParts& record : records) {
    std::size_t payload = 0;
    for (const std::string_view part : record.parts) payload += part.size();
    total += record_bytes(payload);
  }
  const std::lock_guard lock(mutex_);
  if (poisoned_) return fail(ErrorKind::kInternal, poison_text_);
  if (total > segment_space_bytes()) {
    return fail(ErrorKind::kOverLimit,
                "a record group of " + std::to_string(total) + " bytes does not fit a segment of " +
                    std::to_string(options_.segment_bytes) + "; send smaller batches");
  }
  const std::uint64_t end = appended_end_;
  if (end - durable_end_ + total > options_.pending_bytes_max) {
    return fail(ErrorKind::kOverLimit, "the journal's queue is full; wait for a commit");
  }
  if (end - plan_first_.value + total > plan_bytes_ - segment_header_bytes) {
    if (live_bytes_ + options_.segment_bytes > options_.max_bytes) {
      return fail(ErrorKind::kOverLimit,
                  "the journal is full (" + std::to_string(options_.max_bytes) +
                      " bytes); it has space again when the lakehouse has persisted some of it");
    }
    pending_.begins_segment.push_back(pending_.bytes.size());
    live_bytes_ += options_.segment_bytes;
    ++plan_ordinal_;
    plan_first_ = Position(end);
    plan_bytes_ = options_.segment_bytes;
  }
  for (const RecordParts& record : records) {
    const std::size_t begin = pending_.bytes.size();
    pending_.bytes.append(record_header_bytes, '\0');
    for (const std::string_view part : record.parts) pending_.bytes.append(part);
    const std::size_t length = pending_.bytes.size() - begin - record_header_bytes;
    pending_.bytes.append(padded(length) - length, '\0');
    // The rest of the header when it is written: seal().
    store_record_shape(pending_.bytes.data() + begin, static_cast<std::uint32_t>(length),
                       record.type);
  }
  appended_end_ = end + total;
  return Appended{Position(end), Position(end + total)};
}

std::uint64_t FileJournal::segment_of_next(std::size_t bytes) const {
  const std::lock_guard lock(mutex_);
  const std::uint64_t used = appended_end_ - plan_first_.value;
  return used + bytes > plan_bytes_ - segment_header_bytes ? plan_ordinal_ + 1 : plan_ordinal_;
}

std::uint64_t FileJournal::free_bytes() const {
  const std::lock_guard lock(mutex_);
  const std::uint64_t here =
      plan_bytes_ - segment_header_bytes - (appended_end_ - plan_first_.value);
  if (live_bytes_ >= options_.max_bytes) return here;
  return here + (options_.max_bytes - live_bytes_) / options_.segment_bytes * segment_space_bytes();
}

std::unexpected<Error> FileJournal::poison(const Error& why) {
  const std::lock_guard lock(mutex_);
  if (!poisoned_) {
    poison_text_ =
        "the journal stopped, nothing more is acknowledged; repair the disk and restart: " +
        why.text;
    poisoned_ = true;
  }
  return fail(ErrorKind::kInternal, poison_text_);
}

void FileJournal::seal(char* at, std::size_t n, Position first) {
  // All of one part is written after everything before it was synced.
  for (std::size_t done = 0; done < n;) {
    RecordHeader header = load_record_shape(at + done);
    header.salt = writer_.header().salt;
    header.position = Position(first.value + done);
    header.synced_through = first;
    const std::size_t payload = padded(header.length);
    header.payload_crc = payload_checksum({at + done + record_header_bytes, payload});
    store_record_header(at + done, header);
    done += record_header_bytes + payload;
  }
}

Result<void> FileJournal::write_part(std::size_t n) {
  const Position first = writing_.first;
  seal(writing_.bytes.data(), n, first);
  const std::uint64_t offset = file_offset(first);
  const std::uint64_t end = offset + n;
  // Whole pages at the end, so that none must be read before it is written over.
  const std::size_t fill = n == writing_.bytes.size() ? round_up(end, page_bytes) - end : 0;
  writing_.bytes.append(fill, '\0');
  auto written = writer_.write(offset, std::string_view(writing_.bytes).substr(0, n + fill));
  writing_.bytes.resize(writing_.bytes.size() - fill);
  EVODB_TRY(written);
  EVODB_TRY(writer_.zero_ahead(end + fill));
  if (auto synced = writer_.sync(); !synced) {
    return fail(ErrorKind::kInternal, std::move(synced.error().text));  // never again
  }
  mark_unsynced_ = false;
  durable_end_.store(first.value + n, std::memory_order_release);
  return {};
}

Result<void> FileJournal::write_group() {
  while (!writing_.bytes.empty()) {
    std::vector<std::size_t>& begins = writing_.begins_segment;
    if (!begins.empty() && begins.front() == 0) {
      EVODB_TRY(begin_segment(writer_.header().ordinal + 1, writing_.first));
      begins.erase(begins.begin());
    }
    const std::size_t n = begins.empty() ? writing_.bytes.size() : begins.front();
    EVODB_TRY(write_part(n));
    writing_.bytes.erase(0, n);
    writing_.first.value += n;
    for (std::size_t& begin : begins) begin -= n;
  }
  return {};
}

Result<void> FileJournal::write_mark() {
  const Position end(durable_end_);
  const std::uint64_t offset = file_offset(end);
  if (offset + record_header_bytes > writer_.header().segment_bytes) return {};
  char mark[record_header_bytes];
  store_record_header(mark, {.salt = writer_.header().salt,
                             .position = end,
                             .synced_through = end,
                             .type = durable_mark});
  EVODB_TRY(writer_.write(offset, {mark, sizeof mark}));
  mark_unsynced_ = true;
  return {};
}

Result<Position> FileJournal::commit() {
  if (poisoned_) return poison({});
  // At most what was left by a full disk and what is queued now: an endless stream of appends does
  // not keep one commit busy for ever.
  for (int turn = 0; turn < 2; ++turn) {
    if (writing_.bytes.empty()) {
      const std::size_t used = writing_.bytes.capacity();
      const std::lock_guard lock(mutex_);
      if (pending_.bytes.empty()) break;
      // A burst's buffer is not kept: an idle parent stays small.
      if (used > (4u << 20) && pending_.bytes.size() < used / 4) writing_.bytes.shrink_to_fit();
      std::swap(pending_, writing_);
      pending_.begins_segment.clear();
      pending_.first = Position(appended_end_);
    } else if (turn == 1) {
      break;
    }
    if (auto written = write_group(); !written) {
      const ErrorKind kind = written.error().kind;
      if (kind == ErrorKind::kNoSpace || kind == ErrorKind::kOverLimit) {
        return fail(std::move(written).error());
      }
      return poison(written.error());
    }
  }
  if (!has_pending() && !mark_unsynced_) {
    // What is durable stays so; only what comes after this failure is refused.
    if (auto marked = write_mark(); !marked) (void)poison(marked.error());
  }
  return Position(durable_end_);
}

Result<void> FileJournal::trim(Position position) {
  if (poisoned_) return poison({});
  while (segments_.size() > 1) {
    const LiveSegment oldest = segments_.oldest();
    if (oldest.end > position || oldest.end.value > durable_end_) break;
    const std::uint64_t bytes = oldest.header.segment_bytes;
    bool keep;
    {
      const std::lock_guard lock(mutex_);
      const std::uint64_t others = live_bytes_ - bytes + writer_.spares() * options_.segment_bytes;
      keep = others + options_.segment_bytes <= options_.max_bytes;
    }
    // Out of the list first, so that a reader learns that it was too slow, whatever it then reads.
    segments_.pop_front();
    if (auto gone = writer_.retire(oldest.path, bytes, keep); !gone) return poison(gone.error());
    const std::lock_guard lock(mutex_);
    live_bytes_ -= bytes;
  }
  return {};
}

// A quarter of the cap at most, so that trimming gives space back in useful steps.
JournalOptions settled(JournalOptions options) {
  options.segment_bytes = std::min(options.segment_bytes, options.max_bytes / 4);
  options.segment_bytes = options.segment_bytes / page_bytes * page_bytes;
  return options;
}

}  // namespace

Result<std::unique_ptr<Journal>> Journal::open(base::Disk& disk, const std::string& directory,
                                               const JournalOptions& options, base::Random& random,
                                               RecoveryReport* report) {
  const JournalOptions settled_options = settled(options);
  if (settled_options.segment_bytes < 2 * page_bytes) {
    return fail(ErrorKind::kInvalid, "the journal's max_bytes is " +
                                         std::to_string(options.max_bytes) +
                                         "; it needs at least 32768");
  }
  if (settled_options.segment_bytes > UINT32_MAX) {
    return fail(ErrorKind::kInvalid, "the journal's segment_bytes must be below 4 GiB");
  }
  EVODB_TRY(disk.make_directories(directory));
  RecoveredJournal found = EVODB_TRY(read_journal(disk, directory, settled_options));
  EVODB_TRY(repair_journal(disk, directory, found));
  const JournalId new_id(random.next() | 1);  // never 0
  RecoveryReport seen;
  seen.created = found.segments.empty();
  seen.segments = seen.created ? 1 : found.segments.size();
  for (const RecoveredSegment& segment : found.segments) seen.records += segment.records;
  seen.torn_bytes = found.torn_bytes;
  auto journal = std::make_unique<FileJournal>(disk, directory, settled_options, random.next());
  EVODB_TRY(journal->start(std::move(found), new_id));
  seen.first = journal->first();
  seen.end = journal->durable_end();
  if (report != nullptr) *report = seen;
  return std::unique_ptr<Journal>(std::move(journal));
}

}  // namespace evodb::journal
