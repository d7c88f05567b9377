#include "bench/dedup.h"

#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <numeric>
#include <random>
#include <vector>

#include "base/posix/posix_disk.h"
#include "base/posix/system_clock.h"
#include "bench/quantile.h"
#include "bench/seconds_since.h"
#include "ingest/checkpoint_format.h"
#include "ingest/checkpoint_store.h"
#include "ingest/ingest.h"
#include "ingest/source_table.h"
#include "journal/journal.h"

namespace evodb::bench {

namespace {

using ingest::SourceIndex;
using ingest::SourceState;
using ingest::SourceTable;
using SteadyClock = std::chrono::steady_clock;

double heap_bytes() {
  const struct mallinfo2 info = mallinfo2();
  return static_cast<double>(info.uordblks) + static_cast<double>(info.hblkhd);
}

std::uint64_t mixed(std::uint64_t n) {
  n = (n + 1) * 0x9e3779b97f4a7c15u;
  return n ^ n >> 29;
}

// One to one, in no order.
std::string name_of(std::uint32_t number) {
  constexpr char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
  constexpr std::uint64_t names = 78'364'164'096;  // 36^7
  std::uint64_t n = (number * 50'000'017ull + 12'345) % names;
  std::string name = "db-0000000";
  for (std::size_t at = name.size(); at > 3; n /= 36) name[--at] = digits[n % 36];
  return name;
}

SourceState state_of(std::uint32_t number) {
  SourceState state;
  state.epoch = Epoch(1);
  state.received = Lsn(1'000 + mixed(number) % 1'000'000'000);
  state.durable = state.received;
  state.persisted = Lsn(state.received.value - mixed(number + 1) % 1'000);
  state.chain = ChainHash(mixed(number + 2));
  state.txn = TxnId(state.received.value + number % 100);
  return state;
}

std::unexpected<Error> wrong(const std::string& what) {
  return fail(ErrorKind::kInternal, "the benchmark's check failed: " + what);
}

class Dedup {
 public:
  Dedup(const std::string& directory, std::uint32_t sources)
      : directory_(directory), sources_(sources) {}

  Result<DedupFigures> run() {
    EVODB_TRY(fill());
    EVODB_TRY(check_marks());
    time_checks();
    if (answers_wrong_ != 0) return wrong(std::to_string(answers_wrong_) + " checks");
    EVODB_TRY(restore());
    return figures_;
  }

 private:
  Result<void> fill() {
    names_.reserve(sources_ * dedup_name_bytes);
    for (std::uint32_t i = 0; i < sources_; ++i) names_ += name_of(i);
    ids_.resize(sources_);
    const double before = heap_bytes();
    const auto begun = SteadyClock::now();
    for (std::uint32_t i = 0; i < sources_; ++i) {
      if (table_.find(name(i), Epoch(1)) != SourceTable::none) return wrong("a name given twice");
      ids_[i] = table_.add(name(i), Epoch(1));
      table_.put(ids_[i], state_of(i));
      if (i % 4096 == 0 && i >= sources_ / 2) {
        figures_.bytes_per_source_max =
            std::max(figures_.bytes_per_source_max, (heap_bytes() - before) / (i + 1));
      }
    }
    figures_.add_ns = seconds_since(begun) * 1e9 / sources_;
    figures_.bytes_per_source = (heap_bytes() - before) / sources_;
    return {};
  }

  Result<void> check_marks() {
    for (std::uint32_t i = 0; i < sources_; ++i) {
      const SourceState is = table_.at(ids_[i]), want = state_of(i);
      if (table_.find(name(i), Epoch(1)) != ids_[i] || table_.name_of(ids_[i]) != name(i) ||
          is.received != want.received || is.durable != want.durable || is.chain != want.chain ||
          is.persisted != want.persisted || is.txn != want.txn || is.epoch != want.epoch) {
        return wrong("the marks of " + std::string(name(i)));
      }
      if (table_.find(name(i), Epoch(2)) != SourceTable::none) return wrong("an epoch unknown");
    }
    return {};
  }

  // Half of the checks ask for what is known, half for what is new.
  void time_checks() {
    std::mt19937 random(7);
    std::vector<std::uint32_t> order(sources_);
    std::iota(order.begin(), order.end(), 0);
    std::vector<double> by_index, by_name;
    for (int round = 0; round < 7; ++round) {
      std::shuffle(order.begin(), order.end(), random);
      // What a caller has in its hands: nothing of it is looked up in the timed part.
      std::string names;
      std::vector<SourceIndex> ids;
      std::vector<Lsn> lsns;
      for (const std::uint32_t i : order) {
        names += name(i);
        ids.push_back(ids_[i]);
        lsns.push_back(Lsn(state_of(i).durable.value + (i & 1)));
      }
      const std::uint64_t expected = (std::uint64_t{sources_} + 1) / 2;
      std::uint64_t duplicates = 0;
      auto begun = SteadyClock::now();
      for (std::uint32_t i = 0; i < sources_; ++i) {
        duplicates += lsns[i] <= table_.at(ids[i]).durable;
      }
      by_index.push_back(seconds_since(begun) * 1e9 / sources_);
      answers_wrong_ += duplicates != expected;
      duplicates = 0;
      begun = SteadyClock::now();
      for (std::uint32_t i = 0; i < sources_; ++i) {
        const std::string_view name(names.data() + i * dedup_name_bytes, dedup_name_bytes);
        const SourceIndex id = table_.find(name, Epoch(1));
        duplicates += id != SourceTable::none && lsns[i] <= table_.at(id).durable;
      }
      by_name.push_back(seconds_since(begun) * 1e9 / sources_);
      answers_wrong_ += duplicates != expected;
    }
    figures_.check_ns = quantile(by_index, 0.5);
    figures_.check_by_name_ns = quantile(by_name, 0.5);
  }

  // As a parent does it: its journal, a checkpoint beside it, read again by another ingest.
  Result<void> restore() {
    base::PosixDisk disk;
    base::SystemRandom random;
    const std::string directory = directory_ + "/dedup-journal";
    const auto journal =
        EVODB_TRY(journal::Journal::open(disk, directory, journal::JournalOptions(), random, {}));
    ingest::IngestOptions options;
    options.sources_max = sources_;
    const auto first = ingest::Ingest::create(options, *journal);
    {
      ingest::CheckpointWriter writer(journal->id(), Position(), sources_);
      for (std::uint32_t i = 0; i < sources_; ++i) {
        const SourceState state = state_of(i);
        writer.add_mark({.source = name(i),
                         .epoch = state.epoch,
                         .durable = state.durable,
                         .persisted = state.persisted,
                         .chain = state.chain,
                         .txn = state.txn});
      }
      writer.add_unordered(ingest::UnorderedTable({}));
      writer.add_copied(ingest::Lives({}));
      (void)EVODB_TRY(first->restore_checkpoint(writer.finish()));
    }
    std::vector<double> checkpoints, restores;
    for (int round = 0; round < 3; ++round) {
      auto begun = SteadyClock::now();
      const std::string bytes = first->checkpoint();
      EVODB_TRY(ingest::write_checkpoint(disk, directory, journal->id(), bytes));
      checkpoints.push_back(seconds_since(begun));
      figures_.checkpoint_bytes_per_source = static_cast<double>(bytes.size()) / sources_;

      begun = SteadyClock::now();
      const auto second = ingest::Ingest::create(options, *journal);
      const auto read = EVODB_TRY(ingest::load_checkpoint(disk, directory, journal->id()));
      if (!read) return wrong("no checkpoint was found");
      (void)EVODB_TRY(second->restore_checkpoint(read->bytes));
      restores.push_back(seconds_since(begun));
      EVODB_TRY(check_restored(*second));
    }
    figures_.checkpoint_s = quantile(checkpoints, 0.5);
    figures_.restore_s = quantile(restores, 0.5);
    return {};
  }

  Result<void> check_restored(const ingest::Ingest& restored) {
    std::uint64_t seen = 0, different = 0;
    restored.for_each_source([&](const ingest::SourceMark& mark) {
      const auto i = static_cast<std::uint32_t>(seen++);  // the order of add()
      if (i >= sources_) return;
      const SourceState want = state_of(i);
      different += mark.source != name(i) || mark.received != want.durable ||
                   mark.durable != want.durable || mark.persisted != want.persisted ||
                   mark.received_chain != want.chain || mark.received_txn != want.txn ||
                   mark.epoch != want.epoch;
    });
    if (seen != sources_ || different != 0) {
      return wrong("of " + std::to_string(seen) + " marks restored " + std::to_string(different) +
                   " are wrong");
    }
    return {};
  }

  std::string_view name(std::uint32_t i) const {
    return std::string_view(names_).substr(i * dedup_name_bytes, dedup_name_bytes);
  }

  const std::string directory_;
  const std::uint32_t sources_;
  DedupFigures figures_;
  SourceTable table_;
  std::string names_;
  std::vector<SourceIndex> ids_;
  std::uint64_t answers_wrong_ = 0;
};

}  // namespace

Result<DedupFigures> measure_dedup(const std::string& directory, std::uint32_t sources) {
  return Dedup(directory, sources).run();
}

}  // namespace evodb::bench
