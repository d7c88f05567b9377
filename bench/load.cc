#include "bench/load.h"

#include <chrono>
#include <deque>
#include <memory>
#include <utility>

#include "base/assert.h"
#include "base/posix/epoll_loop.h"
#include "wire/change.h"
#include "wire/frame.h"
#include "wire/websocket.h"

namespace evodb::bench {

namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::int64_t resend_ms_min = 20;

double ms_between(SteadyClock::time_point a, SteadyClock::time_point b) {
  return std::chrono::duration<double, std::milli>(b - a).count();
}

struct Run {
  const LoadOptions& options;
  base::EpollLoop& loop;
  std::vector<wire::TableDef> tables;
  std::vector<std::uint64_t> fingerprints;
  RowMaker rows;
  LoadResult result;
  std::uint32_t welcomed = 0, done = 0;
  bool started = false;
  SteadyClock::time_point begun{};
  Error error{ErrorKind::kInternal, ""};
};

std::vector<wire::TableDef> load_tables(RowKind rows, std::uint32_t count) {
  std::vector<wire::TableDef> tables;
  for (std::uint32_t i = 0; i < count; ++i) {
    tables.push_back(load_table(rows));
    if (count > 1) tables.back().name += "_" + std::to_string(i);
  }
  return tables;
}

class Child : public base::StreamEvents {
 public:
  Child(Run& run, std::uint32_t number, std::uint64_t share)
      : run_(run),
        source_(run.options.prefix + "-" + std::to_string(number)),
        share_(share),
        number_(number),
        parser_(wire::WsParser::Role::kClient, 1u << 20) {}

  Result<void> dial() {
    stream_ = EVODB_TRY(run_.loop.dial(run_.options.host, run_.options.port, *this));
    return {};
  }

  void on_accept(base::StreamId, std::string_view) override {}

  void on_connected(base::StreamId) override {
    send("GET / HTTP/1.1\r\nHost: " + run_.options.host +
         "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: "
         "dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n");
  }

  void on_data(base::StreamId, std::span<char> bytes) override {
    std::string input(bytes.begin(), bytes.end());
    if (!upgraded_) {
      head_ += input;
      const auto end = head_.find("\r\n\r\n");
      if (end == std::string::npos) return;
      if (!head_.starts_with("HTTP/1.1 101")) return fail_run("refused: " + head_.substr(0, 200));
      upgraded_ = true;
      input = head_.substr(end + 4);
      wire::Hello hello;
      hello.source = source_;
      hello.epoch = Epoch(1);
      hello.wait = run_.options.until;
      hello.head = Lsn(share_);
      hello.frame_bytes_max = 1u << 20;
      hello.agent = "evodb-bench";
      send_message(wire::encode_frame(hello));
    }
    parser_.feed(input.data(), input.size());
    wire::WsMessage message;
    wire::WsError error;
    for (;;) {
      const auto step = parser_.next(&message, &error);
      if (step == wire::WsParser::Step::kNeedMore) break;
      if (step == wire::WsParser::Step::kError) return fail_run(error.text);
      if (message.opcode == wire::WsOpcode::kClose) return fail_run("closed by the parent");
      if (message.opcode == wire::WsOpcode::kBinary) on_frame(message.payload);
    }
    fill_window();
  }

  void on_writable(base::StreamId) override {
    const std::size_t taken = run_.loop.write(stream_, waiting_);
    waiting_.erase(0, taken);
    fill_window();
  }

  void on_closed(base::StreamId, std::string_view why) override {
    if (!finished_) fail_run("connection lost: " + std::string(why));
  }

  void fill_window() {
    while (run_.started && !waits_ && credit_ > 0 && sent_ < share_ &&
           in_flight_.size() < run_.options.window && waiting_.empty() &&
           (in_flight_.empty() || in_flight_bytes_ + last_bytes_ <= credit_)) {
      send_batch();
    }
  }
  std::uint64_t sent() const { return sent_; }

 private:
  struct InFlight {
    std::uint64_t before = 0, last = 0;  // LSNs: the last one before it, its last one
    ChainHash chain_before;
    std::size_t bytes = 0;
    SteadyClock::time_point sent;
  };

  void fail_run(const std::string& text) {
    if (run_.error.text.empty()) run_.error = {ErrorKind::kInvalid, source_ + ": " + text};
  }

  void send(std::string_view bytes) {
    if (!waiting_.empty()) {
      waiting_ += bytes;
      return;
    }
    const std::size_t taken = run_.loop.write(stream_, bytes);
    waiting_.append(bytes.substr(taken));
  }

  void send_message(std::string_view frame) {
    out_.clear();
    const std::uint32_t mask = 0x5bd1e995u ^ static_cast<std::uint32_t>(sent_);
    wire::encode_ws_frame(out_, wire::WsOpcode::kBinary, frame, &mask);
    send(out_);
  }

  void on_frame(std::string_view bytes) {
    auto frame = wire::decode_frame(bytes);
    if (!frame) return fail_run(frame.error().text);
    if (const auto* welcome = std::get_if<wire::Welcome>(&*frame)) {
      if (welcome->verdict != wire::WelcomeVerdict::kResume || welcome->received.value != 0) {
        return fail_run("the parent knows this source already");
      }
      credit_ = welcome->credit_bytes;
      ++run_.welcomed;
    } else if (const auto* ack = std::get_if<wire::Ack>(&*frame)) {
      on_ack(*ack);
    } else if (const auto* nack = std::get_if<wire::Nack>(&*frame)) {
      on_nack(*nack);
    } else if (const auto* bye = std::get_if<wire::Bye>(&*frame)) {
      fail_run("bye: " + std::string(bye->text));
    }
  }

  // The parent has no room, and what came behind the refused batch left a gap: all of it again, in
  // a while.
  void on_nack(const wire::Nack& nack) {
    if (nack.reason != wire::NackReason::kOverCredit && nack.reason != wire::NackReason::kGap) {
      return fail_run("nack: " + std::string(nack.text));
    }
    ++run_.result.refused;
    while (!in_flight_.empty() && in_flight_.back().before >= nack.resend_after.value) {
      sent_ = in_flight_.back().before;
      chain_ = in_flight_.back().chain_before;
      in_flight_bytes_ -= in_flight_.back().bytes;
      in_flight_.pop_back();
      --batches_;
    }
    if (std::exchange(waits_, true)) return;
    run_.loop.after(std::max<std::int64_t>(nack.retry_after_ms, resend_ms_min), [this] {
      waits_ = false;
      fill_window();
    });
  }

  void on_ack(const wire::Ack& ack) {
    credit_ = ack.credit_bytes;
    const auto now = SteadyClock::now();
    const bool waited = !in_flight_.empty();
    while (!in_flight_.empty() && in_flight_.front().last <= ack.durable.value) {
      in_flight_bytes_ -= in_flight_.front().bytes;
      if (run_.result.durable_ack_ms.size() < 100'000) {
        run_.result.durable_ack_ms.push_back(ms_between(in_flight_.front().sent, now));
      }
      in_flight_.pop_front();
    }
    if (waited && in_flight_.empty() && run_.options.on_window_empty) {
      if (auto done = run_.options.on_window_empty(); !done) return fail_run(done.error().text);
    }
    const Lsn mark = run_.options.until == WaitLevel::kDurable ? ack.durable : ack.persisted;
    if (!finished_ && mark.value >= share_) {
      finished_ = true;
      ++run_.done;
    }
  }

  void send_batch() {
    const ChainHash chain_before = chain_;
    writer_.reset(Lsn(sent_), chain_);
    // Each child begins elsewhere, and tells of a table when it comes to it.
    const auto table = static_cast<std::uint32_t>((batches_ + number_) % run_.tables.size());
    if (batches_ < run_.tables.size()) writer_.add_table(table, run_.tables[table]);
    ++batches_;
    const std::uint64_t end = std::min(share_, sent_ + run_.options.batch_entries);
    for (std::uint64_t lsn = sent_ + 1; lsn <= end; ++lsn) {
      writer_.add_change(Op::kInsert, table, run_.fingerprints[table], Lsn(lsn), TxnId(end),
                         UnixMillis(1'700'000'000'000 + static_cast<std::int64_t>(lsn)), {}, {},
                         run_.rows.row(lsn, number_));
    }
    chain_ = writer_.chain();
    frame_.clear();
    const std::size_t frame = wire::begin_frame(frame_, wire::FrameType::kBatch, 0);
    writer_.finish(frame_);
    wire::end_frame(frame_, frame);
    const auto begun = SteadyClock::now();
    send_message(frame_);
    last_bytes_ = frame_.size();
    in_flight_bytes_ += frame_.size();
    in_flight_.push_back({sent_, end, chain_before, frame_.size(), begun});
    run_.result.wire_bytes += frame_.size();
    ++run_.result.batches;
    sent_ = end;
  }

  Run& run_;
  std::string source_;
  std::uint64_t share_, number_, batches_ = 0;
  base::StreamId stream_;
  wire::WsParser parser_;
  wire::BatchWriter writer_;
  std::string head_, out_, frame_, waiting_;
  std::deque<InFlight> in_flight_;
  std::size_t in_flight_bytes_ = 0, last_bytes_ = 0;
  std::uint64_t sent_ = 0, credit_ = 0;
  ChainHash chain_;
  bool upgraded_ = false, waits_ = false, finished_ = false;
};

}  // namespace

std::vector<std::string> load_table_names(RowKind rows, std::uint32_t tables) {
  std::vector<std::string> names;
  for (const auto& table : load_tables(rows, tables)) names.push_back(table.name + "_changes");
  return names;
}

Result<LoadResult> run_load(const LoadOptions& options) {
  EVODB_ASSERT(options.connections > 0 && options.entries >= options.connections,
               "every connection sends something");
  auto loop = EVODB_TRY(base::EpollLoop::create());
  Run run{options, *loop, load_tables(options.rows, options.tables), {}, RowMaker(options.rows),
          {}};
  for (const auto& table : run.tables) run.fingerprints.push_back(table.fingerprint());

  std::vector<std::unique_ptr<Child>> children;
  for (std::uint32_t i = 0; i < options.connections; ++i) {
    children.push_back(std::make_unique<Child>(run, i, options.share_of(i)));
    EVODB_TRY(children.back()->dial());
  }
  const auto deadline = SteadyClock::now() + std::chrono::milliseconds(options.timeout_ms);
  const auto stopped = [&] { return options.stop != nullptr && options.stop->load(); };
  while (run.done < options.connections && run.error.text.empty() && !stopped()) {
    if (SteadyClock::now() > deadline) {
      return fail(ErrorKind::kRetry,
                  "not acknowledged within " + std::to_string(options.timeout_ms) + " ms");
    }
    loop->run_once(100);
    if (run.started || run.welcomed < options.connections) continue;
    run.started = true;
    if (options.on_connected) options.on_connected();
    run.begun = SteadyClock::now();
    for (const auto& child : children) child->fill_window();
  }
  if (!run.error.text.empty() && !stopped()) return fail(run.error);
  for (const auto& child : children) run.result.entries += child->sent();
  run.result.seconds = ms_between(run.begun, SteadyClock::now()) / 1e3;
  return std::move(run.result);
}

}  // namespace evodb::bench
