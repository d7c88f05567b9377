// For tests and the enumerator of crash points: a journal on a forgetful disk, what was appended to
// it, and what of that must be there whatever happened.
//
//   JournalWorld world(seed, options);
//   EVODB_TRY(world.open());
//   for (int i = 0; i < 60; ++i) world.step();        // appends, commits, trims, checkpoints
//   world.disk.crash(); world.forget(); world.disk.restart(CrashModel::kTorn, random);
//   EVODB_TRY(world.open());
//   EVODB_TRY(world.check());                       // nothing durable is lost, nothing invented
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "journal/journal.h"
#include "sim/seams/fake_disk.h"
#include "sim/seams/seeded_random.h"

namespace evodb::journal {

class JournalWorld {
 public:
  JournalWorld(std::uint64_t seed, const JournalOptions& with) : options(with), random_(seed) {}

  Result<void> open() {
    bytes_max_ = std::max(bytes_max_, options.max_bytes);
    journal = EVODB_TRY(Journal::open(disk, "j", options, random_, &report));
    return {};
  }
  void forget() { journal.reset(); }

  // One step that changes something. Errors are looked at by the caller, through disk and journal.
  void step() {
    switch (random_.below(8)) {
      case 0: (void)commit(); break;
      case 1:
        if (!entries_.empty()) {
          const Position to = entries_[random_.below(entries_.size())].end;
          if (to <= durable_) {
            trimmed_ = std::max(trimmed_, to);
            (void)journal->trim(to);
          }
        }
        break;
      case 2:  // a checkpoint beside it, as ingest writes them
        (void)base::write_file_atomically(disk, "j/checkpoint-0000000000000001.ckpt", "marks");
        break;
      default: {
        std::string payload = std::to_string(counter_++) + ":";
        payload.resize(payload.size() + random_.below(1500), static_cast<char>(counter_));
        const std::string_view part = payload;
        auto appended = journal->append(RecordType::kBatch, {&part, 1});
        if (appended) entries_.push_back({appended->position, appended->end, std::move(payload)});
        if (random_.below(3) == 0) (void)commit();
      }
    }
  }

  bool commit() {
    const auto done = journal->commit();
    if (done) durable_ = std::max(durable_, *done);
    return done.has_value();
  }

  // The journal must hold every durable record that was not trimmed, in order, and nothing that was
  // not appended. What it does not hold was torn and is gone for good.
  Result<void> check() {
    const auto wrong = [](std::string what) { return fail(ErrorKind::kInternal, std::move(what)); };
    if (journal->durable_end() < durable_) return wrong("durable records are lost");
    // A segment that is still there is allowed, a missing one is not.
    if (journal->first() > trimmed_) return wrong("more was trimmed than was asked for");
    const auto cursor = journal->read_from(journal->first());
    Record record;
    std::size_t i = 0;
    while (i < entries_.size() && entries_[i].position < journal->first()) ++i;
    while (EVODB_TRY(cursor->next(&record))) {
      if (i == entries_.size()) return wrong("invented a record");
      const Entry& entry = entries_[i++];
      if (record.position != entry.position || record.end != entry.end ||
          record.payload != entry.payload) {
        return wrong("another record than was appended at " + std::to_string(entry.position.value));
      }
    }
    if (cursor->position() != journal->durable_end()) return wrong("reading ends early");
    entries_.resize(i);
    durable_ = journal->durable_end();
    std::uint64_t bytes = 0;
    for (const std::string& path : disk.paths()) {
      if (path.ends_with(".seg") || path.ends_with(".spare") || path.ends_with("/new.tmp")) {
        bytes += disk.contents(path).size();
      }
    }
    if (bytes > bytes_max_) return wrong("the files have more bytes than max_bytes");
    return {};
  }

  JournalOptions options;  // of the next open()
  sim::FakeDisk disk;
  std::unique_ptr<Journal> journal;
  RecoveryReport report;

 private:
  struct Entry {
    Position position, end;
    std::string payload;
  };
  sim::SeededRandom random_;
  std::vector<Entry> entries_;  // all that were ever appended and not cut by a recovery
  Position durable_;            // the highest that commit() gave
  Position trimmed_;            // the highest that trim() was asked for
  std::uint64_t counter_ = 0;   // payloads never repeat
  std::uint64_t bytes_max_ = 0;
};

}  // namespace evodb::journal
