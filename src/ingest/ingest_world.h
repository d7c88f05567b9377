// For ingest's tests: a child that keeps a log of changes and sends pieces of it, and a landing
// side that counts what it is given.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "ingest/batch_record.h"
#include "ingest/checkpoint_store.h"
#include "ingest/ingest.h"
#include "journal/journal.h"
#include "sim/seams/fake_disk.h"
#include "sim/seams/seeded_random.h"
#include "wire/change.h"

namespace evodb::ingest {

inline wire::TableDef test_table(int n) {
  wire::TableDef def;
  def.name = "t" + std::to_string(n);
  def.columns = {{.name = "id", .declared_type = "INTEGER", .key_ordinal = 1}, {.name = "v"}};
  return def;
}

// One life of one source's log: changes 1, 2, 3, ... with the given step between LSNs.
class ChildLog {
 public:
  struct Change {
    Lsn lsn;
    int table = 0;
    std::string values;
    ChainHash chain_after;
  };

  ChildLog(std::string source, Epoch epoch) : source_(std::move(source)), epoch_(epoch) {}

  void add(std::uint64_t step, const std::string& text, int table = 0) {
    Change change;
    change.lsn = Lsn(head().value + step);
    change.table = table;
    wire::put_value(change.values,
                    ValueView::of_integer(static_cast<std::int64_t>(change.lsn.value)));
    wire::put_value(change.values, ValueView::of_text(text));
    wire::BatchWriter writer;
    writer.reset(head(), chain_at(head()));
    add_to(writer, change);
    change.chain_after = writer.chain();
    changes_.push_back(change);
  }
  Lsn head() const { return changes_.empty() ? Lsn() : changes_.back().lsn; }
  ChainHash chain_at(Lsn lsn) const {
    ChainHash chain;
    for (const Change& c : changes_) {
      if (c.lsn <= lsn) chain = c.chain_after;
    }
    return chain;
  }
  const std::vector<Change>& changes() const { return changes_; }
  void cut_back(std::size_t n) { changes_.resize(n); }

  // Changes with index [from, to), with their tables' definitions.
  std::string body(std::size_t from, std::size_t to, bool with_tables = true) const {
    wire::BatchWriter writer;
    const Lsn previous = from == 0 ? Lsn() : changes_[from - 1].lsn;
    writer.reset(previous, chain_at(previous));
    std::set<int> tables;
    for (std::size_t i = from; i < to; ++i) tables.insert(changes_[i].table);
    for (const int t : tables) {
      if (with_tables) writer.add_table(static_cast<std::uint32_t>(t), test_table(t));
    }
    for (std::size_t i = from; i < to; ++i) add_to(writer, changes_[i]);
    return writer.finish();
  }
  // Only these indices, as an unordered source sends them.
  std::string scattered(const std::vector<std::size_t>& indices) const {
    wire::BatchWriter writer;
    writer.reset(Lsn(), ChainHash());
    std::set<int> tables;
    for (const std::size_t i : indices) tables.insert(changes_[i].table);
    for (const int t : tables) writer.add_table(static_cast<std::uint32_t>(t), test_table(t));
    for (const std::size_t i : indices) add_to(writer, changes_[i]);
    return writer.finish();
  }

  wire::Hello hello(Lsn trimmed = Lsn(), WaitLevel wait = WaitLevel::kPersisted) const {
    wire::Hello hello;
    hello.source = source_;
    hello.epoch = epoch_;
    hello.wait = wait;
    hello.trimmed = trimmed;
    hello.trimmed_chain = chain_at(trimmed);
    hello.head = std::max(head(), trimmed);
    return hello;
  }
  const std::string& source() const { return source_; }
  Epoch epoch() const { return epoch_; }

 private:
  void add_to(wire::BatchWriter& writer, const Change& c) const {
    const wire::ValuesView after{.present = true, .count = 2, .bytes = c.values};
    writer.add_change(Op::kInsert, static_cast<std::uint32_t>(c.table),
                      test_table(c.table).fingerprint(), c.lsn, TxnId(c.lsn.value),
                      UnixMillis(1'000), {}, {}, after);
  }
  std::string source_;
  Epoch epoch_;
  std::vector<Change> changes_;
};

// A journal on a forgetful disk, ingest on it, and what landing would make of the journal.
class IngestWorld {
 public:
  explicit IngestWorld(std::uint64_t seed = 1) : random(seed) { open(); }

  void open() {
    ingest.reset();
    journal.reset();
    auto opened = journal::Journal::open(disk, "j", journal_options, random, nullptr);
    ASSERT_TRUE(opened) << opened.error().text;
    journal = std::move(*opened);
    ingest = Ingest::create(options, *journal);
    auto checkpoint = load_checkpoint(disk, "j", journal->id());
    ASSERT_TRUE(checkpoint) << checkpoint.error().text;
    Position from = journal->first();
    if (*checkpoint) {
      auto position = ingest->restore_checkpoint((*checkpoint)->bytes);
      ASSERT_TRUE(position) << position.error().text;
      if ((*checkpoint)->older) ASSERT_TRUE(ingest->restore_persisted());
      from = std::max(from, *position);
    }
    auto cursor = journal->read_from(from);
    journal::Record record;
    while (true) {
      auto more = cursor->next(&record);
      ASSERT_TRUE(more) << more.error().text;
      if (!*more) break;
      ASSERT_TRUE(ingest->replay(record));
    }
    effects.clear();
  }
  void crash(sim::CrashModel model) {
    disk.crash();
    ingest.reset();
    journal.reset();
    disk.restart(model, random);
    open();
  }
  bool commit() {
    auto durable = journal->commit();
    if (!durable) return false;
    ingest->on_durable(*durable, effects);
    return true;
  }
  BatchOutcome send(std::uint32_t session, const std::string& body) {
    return ingest->on_batch(SessionId(session), body, body.size() + 16, UnixMillis(5), effects);
  }
  HelloOutcome hello(std::uint32_t session, const wire::Hello& h) {
    return ingest->on_hello(SessionId(session), h, UnixMillis(5));
  }

  // Reads the journal from where it was left and lands by skip_through. Every segment must be
  // readable by itself: definitions are forgotten at each one's first record.
  void land() {
    if (landed_to < journal->first()) FAIL() << "trimmed before it landed";
    auto cursor = journal->read_from(landed_to);
    journal::Record record;
    while (*cursor->next(&record)) {
      landed_to = record.end;
      if (record.type == journal::RecordType::kTableDef) {
        base::ByteReader in(record.payload);
        auto def = wire::decode_table_def(in);
        ASSERT_TRUE(def);
        defs.insert(def->fingerprint());
        continue;
      }
      auto batch = decode_batch_record(record.payload);
      ASSERT_TRUE(batch);
      std::map<std::uint32_t, std::uint64_t> tables;
      for (const TableMapping& t : batch->tables) {
        ASSERT_TRUE(defs.contains(t.fingerprint));
        tables[t.table_ref] = t.fingerprint;
      }
      wire::BatchReader reader(batch->body);
      std::uint32_t ref = 0;
      for (wire::TableDef def; reader.next_table(&ref, &def);) {
      }
      wire::ChangeView change;
      std::uint32_t count = 0;
      while (reader.next(&change)) {
        ASSERT_TRUE(tables.contains(change.table_ref));
        if (batch->ordered && change.lsn <= batch->skip_through) continue;
        ++count;
        landed[{std::string(batch->source), batch->epoch}].push_back(
            {change.lsn, std::string(change.after.bytes)});
      }
      ASSERT_TRUE(reader.status());
      ASSERT_EQ(count, batch->change_count);
    }
  }

  struct Landed {
    Lsn lsn;
    std::string values;
  };
  sim::SeededRandom random;
  sim::FakeDisk disk;
  journal::JournalOptions journal_options{.segment_bytes = 8192, .max_bytes = 64 * 8192};
  IngestOptions options;
  std::unique_ptr<journal::Journal> journal;
  std::unique_ptr<Ingest> ingest;
  Effects effects;
  Position landed_to;
  std::set<std::uint64_t> defs;
  std::map<std::pair<std::string, Epoch>, std::vector<Landed>> landed;
};

}  // namespace evodb::ingest
