// evodb-instructions WORKLOAD: a small, fixed piece of work of one or more rooms, in one thread and
// in memory, whose instructions scripts/instructions counts under callgrind. What is counted is
// what happens inside evodb_measured; all else (making the input, checking the outcome) is not.
//
//   ingest     masked WebSocket frames ▶ gate ▶ ingest ▶ journal ▶ acks: 200 batches of 100 rows
//   handshake  upgrade, hello, welcome, end: 500 connections
//   codec      wire v2 encoded and decoded: 200 batches of 100 rows
//   land       the journal's records ▶ columns ▶ Parquet: 20,000 rows of 4 columns
//   dedup      20,000 sources: added, asked for, marked, checkpoint, restored
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "bench/in_memory.h"
#include "bench/rows.h"
#include "gate/gate.h"
#include "ingest/ingest.h"
#include "ingest/source_table.h"
#include "journal/journal.h"
#include "lake/flush_job.h"
#include "lake/lake.h"
#include "lake/parquet_encoder.h"
#include "wire/change.h"
#include "wire/frame.h"
#include "wire/websocket.h"

// The name that callgrind is told.
extern "C" __attribute__((noinline)) void evodb_measured(const std::function<void()>& work) {
  work();
  asm volatile("" : : : "memory");
}

namespace evodb::bench {

namespace {

constexpr std::uint32_t batch_entries = 100;

std::unexpected<Error> wrong(const std::string& what) {
  return fail(ErrorKind::kInternal, "the workload did not do its work: " + what);
}

// One child's frames, encoded ahead.
class Frames {
 public:
  explicit Frames(RowKind rows) : table_(load_table(rows)), rows_(rows) {}

  std::string hello(const std::string& source) {
    wire::Hello hello;
    hello.source = source;
    hello.epoch = Epoch(1);
    hello.head = Lsn(1u << 30);
    hello.frame_bytes_max = 1u << 20;
    return masked(wire::encode_frame(hello));
  }
  // The next 100 rows, as a binary frame of wire v2.
  std::string batch() {
    writer_.reset(Lsn(last_), chain_);
    if (last_ == 0) writer_.add_table(0, table_);
    const std::uint64_t end = last_ + batch_entries;
    for (std::uint64_t lsn = last_ + 1; lsn <= end; ++lsn) {
      writer_.add_change(Op::kInsert, 0, table_.fingerprint(), Lsn(lsn), TxnId(end),
                         UnixMillis(1'700'000'000'000 + static_cast<std::int64_t>(lsn)), {}, {},
                         rows_.row(lsn));
    }
    chain_ = writer_.chain();
    last_ = end;
    std::string frame;
    const std::size_t start = wire::begin_frame(frame, wire::FrameType::kBatch, 0);
    writer_.finish(frame);
    wire::end_frame(frame, start);
    return frame;
  }
  static std::string masked(std::string_view frame) {
    std::string out;
    const std::uint32_t mask = 0x5bd1e995;
    wire::encode_ws_frame(out, wire::WsOpcode::kBinary, frame, &mask);
    return out;
  }

 private:
  wire::TableDef table_;
  RowMaker rows_;
  wire::BatchWriter writer_;
  ChainHash chain_;
  std::uint64_t last_ = 0;
};

constexpr std::string_view upgrade =
    "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

// A parent up to its journal; every batch is committed at once.
class Parent final : public gate::GateHandlers {
 public:
  Result<void> start() {
    journal_ = EVODB_TRY(journal::Journal::open(disk_, "j", {}, random_, nullptr));
    ingest_ = ingest::Ingest::create({}, *journal_);
    gate_ = gate::Gate::create(loop, *ingest_, *this, {});
    (void)EVODB_TRY(gate_->listen("127.0.0.1:1"));
    return {};
  }
  void on_http(const gate::HttpRequest&, std::function<void(gate::HttpResponse)>) override {}
  void on_appended() override { appended_ = true; }
  void on_flush_requested() override {}
  BufferStatus buffer_status() override { return {}; }

  base::StreamId connect(std::string hello) {
    const base::StreamId id = loop.connect();
    std::string request(upgrade);
    loop.send(id, request);
    loop.send(id, hello);
    loop.run_posted();
    return id;
  }
  void send(base::StreamId id, std::span<char> bytes) {
    loop.send(id, bytes);
    loop.run_posted();
    if (!std::exchange(appended_, false)) return;
    const auto end = journal_->commit();
    if (!end) return;
    effects_.clear();
    ingest_->on_durable(*end, effects_);
    gate_->deliver(effects_);
    loop.run_posted();
  }
  journal::Journal& journal() { return *journal_; }
  ingest::IngestStats stats() const { return ingest_->stats(); }

  HandDrivenLoop loop;

 private:
  MemoryDisk disk_;
  CountingRandom random_;
  std::unique_ptr<journal::Journal> journal_;
  std::unique_ptr<ingest::Ingest> ingest_;
  std::unique_ptr<gate::Gate> gate_;
  ingest::Effects effects_;
  bool appended_ = false;
};

Result<void> run_ingest() {
  constexpr int children = 4, batches = 50;
  Parent parent;
  EVODB_TRY(parent.start());
  std::vector<base::StreamId> streams;
  std::vector<std::vector<std::string>> frames(children);
  for (int child = 0; child < children; ++child) {
    Frames made(RowKind::kPayload200);
    for (int i = 0; i < batches; ++i) frames[child].push_back(Frames::masked(made.batch()));
    streams.push_back(parent.connect(made.hello("shop-" + std::to_string(child))));
  }
  evodb_measured([&] {
    for (int i = 0; i < batches; ++i) {
      for (int child = 0; child < children; ++child) parent.send(streams[child], frames[child][i]);
    }
  });
  const auto stats = parent.stats();
  if (stats.batches != children * batches || parent.journal().has_pending()) {
    return wrong(std::to_string(stats.batches) + " batches are durable");
  }
  return {};
}

Result<void> run_handshake() {
  constexpr int connections = 500;
  Parent parent;
  EVODB_TRY(parent.start());
  Frames made(RowKind::kPayload200);
  std::vector<std::string> hellos;
  for (int i = 0; i < connections; ++i) hellos.push_back(made.hello("shop-" + std::to_string(i)));
  std::uint64_t welcomed = 0;
  evodb_measured([&] {
    for (const std::string& hello : hellos) {
      const base::StreamId id = parent.connect(hello);
      welcomed += parent.stats().sessions;
      parent.loop.hang_up(id);
    }
  });
  if (welcomed != connections) return wrong(std::to_string(welcomed) + " were welcomed");
  return {};
}

Result<void> run_codec() {
  constexpr std::uint32_t batches = 200;
  const wire::TableDef table = load_table(RowKind::kPayload200);
  const std::uint64_t fingerprint = table.fingerprint();
  const std::string text(190, 'x');
  std::uint64_t seen = 0, broken = 0;
  evodb_measured([&] {
    wire::BatchWriter writer;
    std::string values, frame;
    ChainHash chain;
    for (std::uint64_t first = 1; first <= batches * batch_entries; first += batch_entries) {
      writer.reset(Lsn(first - 1), chain);
      for (std::uint64_t lsn = first; lsn < first + batch_entries; ++lsn) {
        values.clear();
        wire::put_value(values, ValueView::of_integer(static_cast<std::int64_t>(lsn)));
        wire::put_value(values, ValueView::of_text(text));
        writer.add_change(Op::kInsert, 0, fingerprint, Lsn(lsn), TxnId(first), UnixMillis(1), {},
                          {}, {true, 2, values});
      }
      frame.clear();
      const std::size_t start = wire::begin_frame(frame, wire::FrameType::kBatch, 0);
      writer.finish(frame);
      wire::end_frame(frame, start);

      const auto envelope = wire::open_frame(frame);
      wire::BatchReader reader(envelope ? envelope->body : std::string_view());
      for (wire::ChangeView change; reader.next(&change);) {
        chain = wire::fold(chain, fingerprint, change);
        ValueView value;
        for (wire::ValuesReader row(change.after); row.next(&value);) ++seen;
      }
      broken += !reader.status() || chain != reader.header().chain_after;
    }
  });
  if (broken != 0 || seen != 2ull * batches * batch_entries) return wrong("values were not read");
  return {};
}

Result<void> run_land() {
  constexpr int batches = 200;
  Parent parent;
  EVODB_TRY(parent.start());
  Frames made(RowKind::kTyped4);
  const base::StreamId stream = parent.connect(made.hello("shop"));
  for (int i = 0; i < batches; ++i) {
    std::string frame = Frames::masked(made.batch());
    parent.send(stream, frame);
  }
  const auto cursor = parent.journal().read_from(Position(0));
  const auto lake =
      lake::Lake::create({}, {"parent", table::WriterEpoch(1), parent.journal().id()});
  lake::ParquetEncoder encoder;
  Result<void> read;
  std::uint64_t rows = 0;
  evodb_measured([&] {
    const base::MonotonicMillis now(1'000);
    journal::Record record;
    for (;;) {
      const auto more = cursor->next(&record);
      if (!more || !*more) break;
      read = lake->on_record(record, UnixMillis(1'700'000'000'000), now);
      if (!read) return;
    }
    (void)lake->request_flush();
    while (const auto job = lake->next_flush(now)) {
      const auto files = encoder.encode(*job, 128u << 20);
      if (!files) return;
      for (const auto& file : *files) rows += static_cast<std::uint64_t>(file.metrics.record_count);
    }
  });
  EVODB_TRY(read);
  if (rows != batches * batch_entries) return wrong(std::to_string(rows) + " rows were encoded");
  return {};
}

Result<void> run_dedup() {
  constexpr std::uint32_t sources = 20'000;
  std::vector<std::string> names;
  for (std::uint32_t i = 0; i < sources; ++i)
    names.push_back("db-" + std::to_string(1'000'000 + i));
  MemoryDisk disk;
  CountingRandom random;
  const auto journal = EVODB_TRY(journal::Journal::open(disk, "j", {}, random, nullptr));
  const auto first = ingest::Ingest::create({}, *journal);
  const auto second = ingest::Ingest::create({}, *journal);
  wire::Hello hello;
  hello.epoch = Epoch(1);
  hello.head = Lsn(100);
  std::uint64_t found = 0;
  Result<Position> restored = Position();
  evodb_measured([&] {
    ingest::SourceTable table;
    for (const std::string& name : names) {
      ingest::SourceState state;
      state.epoch = Epoch(1);
      state.received = state.durable = Lsn(50);
      table.put(table.add(name, Epoch(1)), state);
    }
    for (const std::string& name : names) {
      const ingest::SourceIndex id = table.find(name, Epoch(1));
      found += id != ingest::SourceTable::none && table.at(id).durable == Lsn(50);
    }
    for (std::uint32_t i = 0; i < sources; ++i) {
      hello.source = names[i];
      found += first->on_hello(ingest::SessionId(i), hello, UnixMillis(1)).accepted;
    }
    restored = second->restore_checkpoint(first->checkpoint());
  });
  EVODB_TRY(restored);
  if (found != 2ull * sources || second->stats().sources != sources) return wrong("marks are lost");
  return {};
}

}  // namespace

}  // namespace evodb::bench

int main(int argc, char** argv) {
  using namespace evodb::bench;
  const std::pair<std::string_view, evodb::Result<void> (*)()> workloads[] = {
      {"ingest", run_ingest}, {"handshake", run_handshake}, {"codec", run_codec},
      {"land", run_land},     {"dedup", run_dedup},
  };
  for (const auto& [name, run] : workloads) {
    if (argc != 2 || name != argv[1]) continue;
    const auto done = run();
    if (done) return 0;
    std::fprintf(stderr, "evodb-instructions: %s: %s\n", argv[1], done.error().text.c_str());
    return 1;
  }
  for (const auto& [name, run] : workloads) std::printf("%s\n", std::string(name).c_str());
  return argc == 1 ? 0 : 2;
}
