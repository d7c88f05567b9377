// FakeParent: a strict parent of a few hundred lines for edge's tests: it checks every batch as the
// real one does (order, chain hash, definitions, credit) and keeps what it took, so that a test can
// compare it with what was sent. For tests only.
//
//   FakeParent parent(network, "parent");          // listens on parent:8787; or on a real loop
//   parent.options.durable_ms = 5;
//   network.run_for(1000);
//   auto& entries = parent.lives["db1"][1].entries;   // what epoch 1 of db1 brought, each LSN once
//
// A broken rule of the protocol lands in `violations`; a test ends with EXPECT_THAT(violations,
// IsEmpty()).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "sim/seams/fake_loop.h"
#include "wire/change.h"
#include "wire/frame.h"
#include "wire/websocket.h"

namespace evodb::edge {

struct FakeParentOptions {
  std::int64_t durable_ms = 2;     // after receipt
  std::int64_t persisted_ms = 20;  // after receipt; not below durable_ms
  std::uint64_t credit_bytes = 4u << 20;
  std::uint32_t batch_entries_max = 10'000;
  std::uint32_t frame_bytes_max = 16u << 20;
  std::set<std::string> copies;  // sources that are told that they are one
  bool say_nothing = false;      // accepts, and never answers
  std::string http_answer;       // instead of an upgrade
  std::string first_message;     // instead of a welcome: sent as binary
};

// Of stats; "": there is none.
inline std::string text_of(const std::optional<Error>& error) { return error ? error->text : ""; }

class FakeParent final : public base::StreamEvents {
 public:
  struct Entry {
    Op op;
    std::string table;
    TxnId txn;
    std::string content;
    std::string before, after;                   // encoded values, "" if absent
    bool operator==(const Entry& other) const {  // the label may differ, see TxnId
      return op == other.op && table == other.table && content == other.content;
    }
  };
  // One (source, epoch).
  struct Life {
    std::map<std::uint64_t, Entry> entries;
    Lsn received, durable, persisted;
    ChainHash chain;
    TxnId txn;
    bool rebuilt = false;
    Lsn landed;  // what the lakehouse had when the journal was lost
  };
  struct Batch {
    Lsn previous, first, last;
    std::uint32_t changes = 0;
    std::size_t frame_bytes = 0;
    std::int64_t at_ms = 0;
  };

  FakeParent(sim::FakeNetwork& network, const std::string& name = "parent");
  // On a loop of any kind. crash() and lose_journal() are for the fake one.
  FakeParent(base::Loop& loop, const std::string& listen_on);
  ~FakeParent() override;
  const std::string& address() const { return address_; }

  // Answers the next batch so, and does not take it.
  void refuse_next(wire::Nack nack) { refusals_.push_back(nack); }
  // The journal is gone: marks are what was persisted, chains are unknown.
  void lose_journal();
  void set_credit(std::uint64_t bytes);  // and tells it
  void say_bye(wire::ByeReason reason);
  void crash();  // kill -9 and a start: what was not durable is forgotten
  std::size_t sessions() const { return connections_.size(); }

  FakeParentOptions options;
  std::map<std::string, std::map<std::uint64_t, Life>> lives;
  std::vector<std::string> violations;
  std::vector<Batch> batches;       // all that came, also refused and known ones
  std::vector<wire::Hello> hellos;  // their views are gone, their numbers stay
  std::uint64_t over_credit = 0, pings = 0;
  // The chain at each batch end, by source, epoch and LSN: what a journal would give back.
  std::map<std::string, std::map<std::uint64_t, std::map<std::uint64_t, ChainHash>>> chains;
  wire::NackReason hello_refusal = wire::NackReason::kVersion;
  std::string hello_refusal_text;  // not empty: hellos are refused with it

 private:
  struct InFlight {
    Lsn last;
    std::size_t bytes;
  };
  struct Connection {
    bool upgraded = false, said_hello = false;
    std::string head, source, output;
    std::uint64_t epoch = 0;
    wire::WsParser parser{wire::WsParser::Role::kServer, 16u << 20};
    std::map<std::uint32_t, std::uint64_t> tables;  // number to fingerprint
    std::map<std::uint32_t, std::string> table_names;
    std::vector<InFlight> inflight;
    std::uint64_t granted = 0, granted_before = 0;
  };

  void on_accept(base::StreamId stream, std::string_view) override { connections_[stream.value]; }
  void on_connected(base::StreamId) override {}
  void on_data(base::StreamId stream, std::span<char> bytes) override;
  void on_writable(base::StreamId stream) override;
  void on_closed(base::StreamId stream, std::string_view) override {
    connections_.erase(stream.value);
  }
  void message(base::StreamId stream, const wire::WsMessage& message);
  void hello(base::StreamId stream, const wire::Hello& hello);
  void batch(base::StreamId stream, std::string_view body, std::size_t frame_bytes);
  void new_epoch(base::StreamId stream, const wire::Hello& hello, const char* why);
  void became_durable(const std::string& source, std::uint64_t epoch, Lsn last);
  void became_persisted(const std::string& source, std::uint64_t epoch, Lsn last);
  void ack(base::StreamId stream);
  void send(base::StreamId stream, const wire::Frame& frame);
  void send_raw(base::StreamId stream, std::string_view bytes);
  void drop(base::StreamId stream);
  void violated(std::string what) { violations.push_back(std::move(what)); }
  Life& life(const Connection& c) { return lives[c.source][c.epoch]; }

  std::unique_ptr<sim::FakeLoop> own_;
  base::Loop& loop_;
  std::string address_;
  std::map<std::uint32_t, Connection> connections_;
  std::vector<wire::Nack> refusals_;
};

}  // namespace evodb::edge
