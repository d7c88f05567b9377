// Every single bit of small journals and outboxes, one at a time: said to be damage, or harmless.
#include <algorithm>
#include <utility>

#include "capture/install.h"
#include "capture/sqlite_outbox.h"
#include "edge/file_outbox.h"
#include "ingest/checkpoint_store.h"
#include "parent/recovery.h"
#include "sim/points/points.h"
#include "sim/points/sqlite_app.h"
#include "sim/seams/fake_clock.h"
#include "sim/seams/seeded_random.h"
#include "sim/seams/sqlite_disk.h"
#include "wire/change.h"

namespace evodb::sim {
namespace {

using Files = std::map<std::string, std::string>;

Files files_of(const FakeDisk& disk) {
  Files files;
  for (const std::string& path : disk.paths()) files[path] = disk.contents(path);
  return files;
}

enum class Outcome : std::uint8_t { kRefused, kHarmless, kUnseen, kWrong };

struct Seen {
  Outcome outcome = Outcome::kWrong;
  std::string what;
};

// `look` gets a disk with the files, one bit of them flipped, and says what came of it.
template <class Look>
void flip_each(const Files& files, const std::string& path, const Extent& extent, Report& report,
               Look look) {
  const std::uint64_t bits = files.at(path).size() * 8;
  for (std::uint64_t bit = 0; bit < bits; bit += extent.stride) {
    FakeDisk disk;
    for (const auto& [name, bytes] : files) disk.put(name, bytes);
    disk.flip_bit(path, bit);
    ++report.flips;
    const Seen seen = look(disk);
    report.flips_refused += seen.outcome == Outcome::kRefused ? 1 : 0;
    report.flips_unseen += seen.outcome == Outcome::kUnseen ? 1 : 0;
    if (seen.outcome == Outcome::kWrong) {
      report.violate("bit " + std::to_string(bit % 8) + " of byte " + std::to_string(bit / 8) +
                     " of " + path + ": " + seen.what);
    }
  }
}

// --- the journal and its checkpoints ------------------------------------------------------------

constexpr journal::JournalOptions journal_options{.segment_bytes = 8192, .max_bytes = 6 * 8192};

struct RecoveredParent {
  std::vector<std::string> records;
  std::vector<std::string> marks;
  friend bool operator==(const RecoveredParent&, const RecoveredParent&) = default;
};

Result<RecoveredParent> recover(FakeDisk& disk, const char* flip_path = nullptr,
                                std::uint64_t flip_bit = 0) {
  SeededRandom random(9);
  auto recovered = EVODB_TRY(parent::recover_journal(disk, "j", journal_options, {}, random));
  if (flip_path != nullptr) disk.flip_bit(flip_path, flip_bit);
  RecoveredParent found;
  const auto cursor = recovered.journal->read_from(recovered.journal->first());
  journal::Record record;
  while (EVODB_TRY(cursor->next(&record))) found.records.emplace_back(record.payload);
  recovered.ingest->for_each_source([&](const ingest::SourceMark& mark) {
    found.marks.push_back(
        mark.source + " " + std::to_string(mark.epoch.value) + " " +
        std::to_string(mark.durable.value) + " " + std::to_string(mark.persisted.value) + " " +
        std::to_string(mark.durable_chain.value) + " " + std::to_string(mark.received_txn.value));
  });
  return found;
}

// A parent that took batches of one source, trimmed a segment behind a checkpoint, wrote another
// checkpoint, took more, and was stopped in peace.
Files small_parent() {
  FakeDisk disk;
  SeededRandom random(4);
  auto journal = *journal::Journal::open(disk, "j", journal_options, random, nullptr);
  auto ingest = ingest::Ingest::create({}, *journal);
  const wire::TableDef def{"t", 1, {{"id", "INTEGER", 1}, {"v", "", 0}}};
  wire::Hello hello;
  hello.source = "shop";
  hello.epoch = Epoch(1);
  (void)ingest->on_hello(ingest::SessionId(1), hello, UnixMillis(5));
  ingest::Effects effects;
  Lsn last;
  ChainHash chain;
  for (int i = 0; i < 17; ++i) {
    wire::BatchWriter writer;
    writer.reset(last, chain);
    if (i == 0) writer.add_table(0, def);
    std::string row;
    wire::put_value(row, ValueView::of_integer(i));
    wire::put_value(row, ValueView::of_text(std::string(700, static_cast<char>('a' + i))));
    last = Lsn(last.value + 1);
    writer.add_change(Op::kInsert, 0, def.fingerprint(), last, TxnId(last.value), UnixMillis(9), {},
                      {}, {true, 2, row});
    chain = writer.chain();
    const std::string body = writer.finish();
    (void)ingest->on_batch(ingest::SessionId(1), body, body.size() + 16, UnixMillis(5), effects);
    ingest->on_durable(*journal->commit(), effects);
    if (i == 6 || i == 12) {
      ingest->on_persisted("shop", Epoch(1), Lsn(last.value - 1), effects);
      (void)ingest::write_checkpoint(disk, "j", journal->id(), ingest->checkpoint());
    }
    if (i == 12) (void)journal->trim(ingest->checkpoint_position());
  }
  journal.reset();
  disk.restart(CrashModel::kKilled, random);
  return files_of(disk);
}

bool names_its_place(const Error& error, const std::string& path) {
  // A segment's error names its file; a checkpoint's or the directory's names the directory.
  return error.text.find(path) != std::string::npos || error.text.find("j") != std::string::npos;
}

Seen look_at_parent(FakeDisk& disk, const std::string& path, const RecoveredParent& whole) {
  const std::uint64_t before = disk.mutations();
  const auto found = recover(disk);
  if (found) {
    if (*found == whole) return {Outcome::kHarmless, ""};
    return {Outcome::kWrong, found->records == whole.records ? "other marks" : "other records"};
  }
  const ErrorKind kind = found.error().kind;
  if (kind != ErrorKind::kCorrupt && kind != ErrorKind::kInvalid) {
    return {Outcome::kWrong, "refused as something else: " + found.error().text};
  }
  if (!names_its_place(found.error(), path)) {
    return {Outcome::kWrong, "refused without a name: " + found.error().text};
  }
  // The journal may have been opened, and its mark written, before a checkpoint was found damaged.
  if (path.ends_with(".seg") && disk.mutations() != before) {
    return {Outcome::kWrong, "refused, and yet something was changed"};
  }
  return {Outcome::kRefused, ""};
}

// Rot under a running parent: what a cursor then gives is what was written, or an error.
void flip_under_a_reader(const Files& files, const std::string& path, const RecoveredParent& whole,
                         const Extent& extent, Report& report) {
  const std::uint64_t bits = files.at(path).size() * 8;
  for (std::uint64_t bit = 0; bit < bits; bit += extent.stride) {
    FakeDisk disk;
    for (const auto& [name, bytes] : files) disk.put(name, bytes);
    ++report.flips;
    const auto found = recover(disk, path.c_str(), bit);
    if (!found && found.error().kind == ErrorKind::kCorrupt) {
      ++report.flips_refused;
    } else if (!found || *found != whole) {
      report.violate("bit " + std::to_string(bit) + " of " + path +
                     " under a reader: " + (found ? "other records" : found.error().text));
    }
  }
}

// --- the client library's own outbox ------------------------------------------------------------

struct Contents {
  std::string state;
  std::vector<std::string> changes;
  friend bool operator==(const Contents&, const Contents&) = default;
};

struct Collect final : capture::ChangeSink {
  bool take(const capture::OutboxChange& c) override {
    std::string text = std::to_string(c.lsn.value) + " " + std::to_string(static_cast<int>(c.op)) +
                       " " + c.table->name + " " + std::to_string(c.table->schema_version) + " " +
                       std::to_string(c.table_fingerprint) + " " +
                       std::to_string(c.committed_at.value);
    for (const auto* values : {&c.key, &c.before, &c.after}) {
      text += values->present ? " [" + std::string(values->bytes) + "]" : " -";
    }
    changes.push_back(std::move(text));
    return true;
  }
  std::vector<std::string> changes;
};

Result<Contents> contents_of(capture::Outbox& outbox) {
  const auto state = EVODB_TRY(outbox.state());
  Contents contents;
  contents.state = state.source + " " + std::to_string(state.epoch.value) + " " +
                   std::to_string(state.trimmed.value) + " " +
                   std::to_string(state.trimmed_chain.value) + " " +
                   std::to_string(state.head.value);
  Collect collect;
  EVODB_TRY(outbox.read(state.trimmed, collect));  // as an uplink does
  contents.changes = std::move(collect.changes);
  return contents;
}

class SqlitePlace {
 public:
  explicit SqlitePlace(FakeDisk& disk) : sqlite(disk, clock, random_) {
    (void)disk.make_directories("edge");
  }
  FakeClock clock;

 private:
  SeededRandom random_{6};

 public:
  SqliteDisk sqlite;
};

constexpr char outbox_path[] = "edge/o.db";

Result<Contents> read_file_outbox(FakeDisk& disk) {
  SqlitePlace place(disk);
  auto outbox = EVODB_TRY(
      edge::FileOutbox::open(outbox_path, "shop", Epoch(3), {.vfs = place.sqlite.name()}));
  return contents_of(*outbox);
}

// Pages of 512 bytes, so that there are few bits and all of them can be flipped.
Files small_file_outbox(bool closed) {
  FakeDisk disk;
  SqlitePlace place(disk);
  SqliteApp(outbox_path, place.sqlite.name()).run("PRAGMA page_size=512;VACUUM");
  auto outbox =
      *edge::FileOutbox::open(outbox_path, "shop", Epoch(3), {.vfs = place.sqlite.name()});
  const wire::TableDef def{"t", 1, {{"id", "INTEGER", 1}}};
  for (int i = 1; i <= (closed ? 8 : 4); ++i) {
    std::string row;
    wire::put_value(row,
                    ValueView::of_text(std::string(i == 5 ? 900 : 40, static_cast<char>('a' + i))));
    const edge::NewChange change{.op = Op::kInsert,
                                 .table = &def,
                                 .table_fingerprint = def.fingerprint(),
                                 .after = {true, 1, row},
                                 .committed_at = UnixMillis(70 + i)};
    (void)outbox->append({&change, 1});
    if (i == 3) (void)outbox->trim(Epoch(3), Lsn(2), ChainHash(99));
  }
  if (!closed) disk.crash();
  outbox.reset();
  SeededRandom random(1);
  disk.restart(CrashModel::kKilled, random);
  return files_of(disk);
}

// --- the outbox in an application's database ----------------------------------------------------

Files small_application(ParentModel* parent) {
  FakeDisk disk;
  SqlitePlace place(disk);
  {
    SqliteApp app(outbox_path, place.sqlite.name());
    app.run("PRAGMA page_size=512;CREATE TABLE g(id INTEGER PRIMARY KEY,v)");
    SeededRandom random(8);
    (void)capture::install({.db = outbox_path, .source = "shop", .vfs = place.sqlite.name()},
                           place.clock, random);
    app.run("INSERT INTO g VALUES(1,'tea'),(2,5),(3,1.5)");
    auto outbox = *capture::SqliteOutbox::open(outbox_path, {.vfs = place.sqlite.name()});
    (void)parent->connect(*outbox);
    (void)parent->receive(*outbox);
    (void)outbox->trim(outbox->state()->epoch, parent->received(), parent->chain());
    app.run("UPDATE g SET v='milk' WHERE id=2;DELETE FROM g WHERE id=3");
    (void)parent->receive(*outbox);
    // The triggers go: their SQL is most of the file, and theirs is the application's side.
    outbox.reset();
    std::string names;
    app.run("CREATE TEMP TABLE gone AS SELECT name FROM main.sqlite_schema WHERE type='trigger'");
    for (;;) {
      const std::string name = app.text("SELECT name FROM temp.gone LIMIT 1");
      if (name.empty()) break;
      app.run("DROP TRIGGER main." + name + ";DELETE FROM temp.gone WHERE name='" + name + "'");
    }
    app.run("DROP TABLE temp.gone;VACUUM");
  }
  return files_of(disk);
}

Result<Contents> read_application(FakeDisk& disk) {
  SqlitePlace place(disk);
  auto outbox = EVODB_TRY(capture::SqliteOutbox::open(outbox_path, {.vfs = place.sqlite.name()}));
  return contents_of(*outbox);
}

// Whether a parent that has everything notices, as it does at every connect.
bool parent_notices(FakeDisk& disk, ParentModel parent) {
  SqlitePlace place(disk);
  auto outbox = capture::SqliteOutbox::open(outbox_path, {.vfs = place.sqlite.name()});
  if (!outbox) return true;
  const auto renewed = parent.connect(**outbox);
  return !renewed || *renewed;
}

}  // namespace

void run_bit_flips_journal(const Extent& extent, Report& report) {
  const Files files = small_parent();
  FakeDisk disk;
  for (const auto& [name, bytes] : files) disk.put(name, bytes);
  const auto whole = recover(disk);
  if (!whole) return report.violate("without a flip: " + whole.error().text);
  for (const auto& [path, bytes] : files) {
    flip_each(files, path, extent, report, [&, &path = path](FakeDisk& spoiled) {
      return look_at_parent(spoiled, path, *whole);
    });
    if (path.ends_with(".seg")) flip_under_a_reader(files, path, *whole, extent, report);
  }
}

void run_bit_flips_outbox(const Extent& extent, Report& report) {
  const auto note = [&](const std::string& what, const Report& part) {
    report.flips += part.flips;
    report.flips_refused += part.flips_refused;
    report.flips_unseen += part.flips_unseen;
    for (const std::string& text : part.violations) report.violate(what + ": " + text);
    report.violation_count += part.violation_count - part.violations.size();
    report.notes.push_back(what + ": " + std::to_string(part.flips) + " flips, " +
                           std::to_string(part.flips_refused) + " refused, " +
                           std::to_string(part.flips_unseen) + " unseen");
  };
  const auto look_at_file = [](const Contents& whole) {
    return [&whole](FakeDisk& disk) -> Seen {
      const auto found = read_file_outbox(disk);
      if (!found) return {Outcome::kRefused, ""};
      if (*found == whole) return {Outcome::kHarmless, ""};
      return {Outcome::kWrong,
              found->state + ", " + std::to_string(found->changes.size()) + " changes"};
    };
  };
  for (const bool closed : {true, false}) {
    const Files files = small_file_outbox(closed);
    FakeDisk disk;
    for (const auto& [name, bytes] : files) disk.put(name, bytes);
    const auto whole = read_file_outbox(disk);
    if (!whole) return report.violate("without a flip: " + whole.error().text);
    for (const auto& [path, bytes] : files) {
      // The database of the killed one is that of the closed one, but for what its log has newer.
      if (!closed && path == outbox_path) continue;
      Report part("");
      flip_each(files, path, extent, part, look_at_file(*whole));
      note("FileOutbox, " + std::string(closed ? "closed" : "killed") + ": " + path, part);
    }
  }

  ParentModel parent;
  const Files files = small_application(&parent);
  FakeDisk disk;
  for (const auto& [name, bytes] : files) disk.put(name, bytes);
  const auto whole = read_application(disk);
  if (!whole) return report.violate("without a flip: " + whole.error().text);
  Report unsent("");
  std::uint64_t at_connect = 0;
  flip_each(files, outbox_path, extent, unsent, [&](FakeDisk& spoiled) -> Seen {
    const Files before = files_of(spoiled);
    const auto found = read_application(spoiled);
    if (!found) return {Outcome::kRefused, ""};
    if (*found == *whole) return {Outcome::kHarmless, ""};
    FakeDisk again;
    for (const auto& [name, bytes] : before) again.put(name, bytes);
    const bool noticed = parent_notices(again, parent);
    at_connect += noticed ? 1 : 0;
    return {Outcome::kUnseen, ""};
  });
  note("SqliteOutbox", unsent);
  report.notes.push_back("SqliteOutbox: " + std::to_string(at_connect) +
                         " of the unseen ones are noticed by a parent that has the changes before");
}

}  // namespace evodb::sim
