// Bugs between the journal and the flushes: the lake, the landing, orderly stops.
#include <map>

#include "ingest/batch_record.h"
#include "lake/flush_job.h"
#include "sim/plants/plant_list.h"
#include "sim/plants/wraps.h"

namespace evodb::sim {
namespace {

template <class Wrap>
class LakePlant final : public Plant {
 public:
  std::unique_ptr<lake::Lake> lake(std::unique_ptr<lake::Lake> real) override {
    return std::make_unique<Wrap>(std::move(real));
  }
};

// The journal is trimmed up to what was read, not up to what every table has persisted.
struct TrimsRead final : LakeWrap {
  using LakeWrap::LakeWrap;
  Position read;
  Result<void> on_record(const journal::Record& record, UnixMillis wall,
                         base::MonotonicMillis now) override {
    read = record.end;
    return real_->on_record(record, wall, now);
  }
  Position landed_through() const override { return std::max(read, real_->landed_through()); }
};

// "Persisted" is said when a flush begins.
struct MarksEarly final : LakeWrap {
  using LakeWrap::LakeWrap;
  std::map<std::pair<std::string, std::uint64_t>, Lsn> read;
  std::vector<lake::PersistedMark> early;
  Result<void> on_record(const journal::Record& record, UnixMillis wall,
                         base::MonotonicMillis now) override {
    if (record.type == journal::RecordType::kBatch) {
      const auto batch = EVODB_TRY(ingest::decode_batch_record(record.payload));
      if (batch.ordered) read[{std::string(batch.source), batch.epoch.value}] = batch.last_lsn;
    }
    return real_->on_record(record, wall, now);
  }
  std::unique_ptr<lake::FlushJob> next_flush(base::MonotonicMillis now) override {
    auto job = real_->next_flush(now);
    if (job) {
      for (const auto& [log, lsn] : read) early.push_back({log.first, Epoch(log.second), lsn});
    }
    return job;
  }
  void take_persisted(std::vector<lake::PersistedMark>* marks) override {
    real_->take_persisted(marks);
    marks->insert(marks->end(), early.begin(), early.end());
    early.clear();
  }
};

// When half of its memory is in use, the lake lets a record go.
struct DropsUnderPressure final : LakeWrap {
  using LakeWrap::LakeWrap;
  Result<void> on_record(const journal::Record& record, UnixMillis wall,
                         base::MonotonicMillis now) override {
    if (record.type == journal::RecordType::kBatch && real_->stats(now).buffers.bytes > 12u << 10) {
      return {};
    }
    return real_->on_record(record, wall, now);
  }
};

// After a restart a table's watermark is not believed: everything that the journal holds lands
// anew.
struct ForgetsWatermark final : LakeWrap {
  using LakeWrap::LakeWrap;
  void add_table(table::TableState state) override {
    if (state.watermark) {
      real_marks[state.name] = *state.watermark;
      state.watermark->position = Position(0);
    }
    real_->add_table(std::move(state));
  }
  // The commit's own check of the table would stop it: it is told the truth.
  std::unique_ptr<lake::FlushJob> next_flush(base::MonotonicMillis now) override {
    auto job = real_->next_flush(now);
    if (job && job->expected) {
      if (const auto mark = real_marks.find(job->table); mark != real_marks.end()) {
        job->expected = mark->second;
        job->watermark.position = std::max(job->watermark.position, mark->second.position);
      }
    }
    return job;
  }
  void on_flush_done(lake::FlushId flush, Result<table::TableState> result,
                     base::MonotonicMillis now) override {
    if (result) real_marks.erase(result->name);
    real_->on_flush_done(flush, std::move(result), now);
  }
  std::map<std::string, table::Watermark> real_marks;
};

// What the lakehouse holds after a lost journal is not looked at.
struct NoFilter final : LakeWrap {
  using LakeWrap::LakeWrap;
  void set_landed_filter(std::unique_ptr<lake::LandedFilter>) override {}
};

// A stop asks for no flush of what is in the buffers, and says that all is done.
struct StopsUnflushed final : LakeWrap {
  using LakeWrap::LakeWrap;
  bool asked = false;
  Position request_flush() override {
    asked = true;
    return real_->request_flush();
  }
  std::unique_ptr<lake::FlushJob> next_flush(base::MonotonicMillis now) override {
    return asked ? nullptr : real_->next_flush(now);
  }
  Position landed_through() const override {
    return asked ? real_->stats({}).read_through : real_->landed_through();
  }
};

// A plant whose bug is in what a flush's columns become.
template <class Encoder>
class EncoderPlant : public Plant {
 public:
  lake::FileEncoder& encoder(lake::FileEncoder& real) override { return encoders_.make(real); }

 private:
  Kept<Encoder> encoders_;
};

// A change that cannot land is counted, and its row of the rejects is not written.
struct DropsRejects final : EncoderWrap {
  using EncoderWrap::EncoderWrap;
  Result<std::vector<lake::EncodedFile>> encode(const lake::FlushJob& job,
                                                std::uint64_t file_bytes_max) override {
    if (job.table == "rejects") return std::vector<lake::EncodedFile>();
    return real_.encode(job, file_bytes_max);
  }
};

// Of the files of one flush all but the last are committed.
struct DropsLast final : EncoderWrap {
  using EncoderWrap::EncoderWrap;
  Result<std::vector<lake::EncodedFile>> encode(const lake::FlushJob& job,
                                                std::uint64_t file_bytes_max) override {
    auto files = EVODB_TRY(real_.encode(job, file_bytes_max));
    if (files.size() > 1) files.pop_back();
    return files;
  }
};
class DropsLastFile final : public EncoderPlant<DropsLast> {
 public:
  void parent_options(parent::ParentOptions& options) override {
    options.flush.file_bytes_max = 2'000;  // so that there are several
  }
};

// Two batches of one source change places on their way from the journal to the lake.
class SwapsBatches final : public Plant {
 public:
  std::unique_ptr<journal::Journal> journal(std::unique_ptr<journal::Journal> real) override {
    return std::make_unique<Wrap>(std::move(real));
  }

 private:
  // Gives, every so often, the payload of the next record before its own.
  struct Cursor final : journal::JournalCursor {
    explicit Cursor(std::unique_ptr<journal::JournalCursor> r) : real(std::move(r)) {}
    Result<bool> next(journal::Record* record) override {
      if (second) {
        *record = second_record;
        payload = std::move(first_payload);
        record->payload = payload;
        second = false;
        return true;
      }
      if (!EVODB_TRY(real->next(record))) return false;
      if (record->type != journal::RecordType::kBatch || ++batches % 8 != 0) return true;
      const journal::Record first = *record;
      first_payload = std::string(record->payload);
      journal::Record following;
      const auto more = real->next(&following);
      const bool both = more && *more && following.type == journal::RecordType::kBatch &&
                        same_source(first_payload, following.payload);
      if (more && *more && !both) {
        // It cannot be given back: it comes next, as it is.
        second_record = following;
        std::string next_payload(following.payload);
        *record = first;
        payload = first_payload;
        record->payload = payload;
        first_payload = std::move(next_payload);
        second = true;
        return true;
      }
      *record = first;
      payload = first_payload;
      if (both) {
        payload = std::string(following.payload);
        second_record = following;
        second = true;
      }
      record->payload = payload;
      return true;
    }
    static bool same_source(std::string_view a, std::string_view b) {
      const auto x = ingest::decode_batch_record(a);
      const auto y = ingest::decode_batch_record(b);
      return x && y && x->source == y->source && x->epoch == y->epoch;
    }
    Position position() const override {
      return second ? second_record.position : real->position();
    }
    std::unique_ptr<journal::JournalCursor> real;
    std::string payload, first_payload;
    journal::Record second_record;
    bool second = false;
    std::uint64_t batches = 0;
  };
  struct Wrap final : JournalWrap {
    using JournalWrap::JournalWrap;
    // Recovery's cursor is the first one, and reads in order.
    std::unique_ptr<journal::JournalCursor> read_from(Position position) override {
      auto real = real_->read_from(position);
      if (cursors++ == 0) return real;
      return std::make_unique<Cursor>(std::move(real));
    }
    int cursors = 0;
  };
};

// The landing's deadlines are on the wall clock, which somebody sets back.
class WallClock final : public Plant {
 public:
  base::Clock& clock(base::Clock& real) override { return clocks_.make(real); }

 private:
  struct Clock final : base::Clock {
    explicit Clock(base::Clock& r) : real(r) {}
    UnixMillis wall() override { return real.wall(); }
    base::MonotonicMillis monotonic() override { return base::MonotonicMillis(real.wall().value); }
    base::Clock& real;
  };
  Kept<Clock> clocks_;
};

// A new life of a parent sweeps files that a flush has just put. That takes a store that is slow to
// list them: the first flush of a life begins later than the sweep.
class SweepsTooEarly final : public Plant {
 public:
  void parent_options(parent::ParentOptions& options) override { options.orphan_age_ms_min = -1; }
  std::int64_t store_work_takes_ms() override { return ++works_ % 8 * 300; }

 private:
  std::int64_t works_ = 0;
};

}  // namespace

std::vector<PlantInfo> landing_plants() {
  return {
      {"trim-before-all-persisted", "the journal is trimmed up to what was read", "kills",
       make_one<LakePlant<TrimsRead>>},
      {"watermark-before-flush-ends", "persisted is said when a flush begins", "swarm",
       make_one<LakePlant<MarksEarly>>},
      {"dropped-under-pressure", "a lake without memory lets a batch go", "overload",
       make_one<LakePlant<DropsUnderPressure>>},
      {"watermark-not-believed", "after a restart everything lands anew", "kills",
       make_one<LakePlant<ForgetsWatermark>>},
      {"landed-not-filtered", "after a lost journal what is sent again lands again", "disaster",
       make_one<LakePlant<NoFilter>>},
      {"last-batch-lost-at-stop", "a stop lands nothing of the buffers", "stops",
       make_one<LakePlant<StopsUnflushed>>},
      {"reject-dropped", "a rejected change is counted and not kept", "odd-values",
       make_one<EncoderPlant<DropsRejects>>},
      {"last-file-dropped", "a flush of several files commits all but one", "overload",
       make_one<DropsLastFile>},
      {"order-broken", "two batches of a source change places", "swarm", make_one<SwapsBatches>},
      {"clock-back-stalls-flushes", "deadlines are on the wall clock", "clocks",
       make_one<WallClock>},
      {"orphans-swept-too-early", "files of a live flush are taken for orphans", "overload",
       make_one<SweepsTooEarly>},
  };
}

}  // namespace evodb::sim
