// V1Child: a client of the first generation, as docs/formats/wire-v1.md describes the ones in the
// field: no epoch, no chain, batches numbered anew by every process, a retry under a new number,
// any order after a refusal. What it was not acknowledged it sends again. Its log outlives its
// process.
//
//   V1Child child(network, "v1-0", seed, {.wrong_percent = 5});
//   child.write(now);                 // the application's next change
//   child.restart();                  // kill -9, and a new process
//   child.send_again();               // its note of what was acknowledged is lost with the process
//
// Some of its entries are no rows: JSON that is none, no table's name, no sequence. They must be in
// the rejects, and land nobody else there. Some have times that no reader can show.
//
// Independent of src/edge: it speaks through evodb/protocol.h and the WebSocket codec only.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "evodb/protocol.h"
#include "sim/seams/fake_loop.h"
#include "sim/seams/seeded_random.h"
#include "sim/world/landed_rows.h"
#include "wire/websocket.h"

namespace evodb::sim {

struct V1ChildOptions {
  std::uint32_t wrong_percent = 0;  // of its entries
};

class V1Child final : public Application, private base::StreamEvents {
 public:
  V1Child(FakeNetwork& network, std::string source, std::uint64_t seed,
          const V1ChildOptions& options = {});
  ~V1Child() override;

  void write(UnixMillis now);
  void restart();
  void send_again();
  const std::string& source() const { return source_; }
  bool all_acknowledged() const { return noted_.size() == entries_.size(); }
  std::uint64_t changes() const { return entries_.size(); }
  // Of those it was told, at any time, that they are safe: their numbers, which are their LSNs but
  // for those that were sent without.
  const std::set<std::uint64_t>& acknowledged() const { return acknowledged_; }
  bool has_lsn(std::uint64_t number) const { return wrong_[number - 1] != Wrong::kNoSequence; }
  // Whether one without an LSN has been seen in the rejects.
  bool is_rejected(std::uint64_t number) const { return rejected_.contains(number); }
  std::uint64_t refusals_without_id() const { return refusals_without_id_; }
  // Since the last acknowledgement: who is refused so often is refused for ever.
  bool is_hopeless() const { return refusals_in_a_row_ > refusals_max; }
  std::uint64_t refusals_of_another() const { return refusals_of_another_; }
  bool wrote(const std::string& table, const LandedRow& row) const override;
  bool labelled(const LandedRow&) const override { return true; }  // it knows no transactions
  std::string describe() const;

 private:
  static constexpr std::size_t batch_entries_max = 6;
  static constexpr std::size_t batches_max = 4;  // on their way
  static constexpr std::uint64_t refusals_max = 1'000;

  bool wrote_reject(const LandedRow& row) const;
  void dial();
  void end();  // the connection; another is dialled after a while
  void pump();
  void send(wire::WsOpcode opcode, std::string_view payload);
  void take(const wire::WsMessage& message);
  void on_ack(const AckMessage& ack);
  void on_nack(const NackMessage& nack);

  void on_accept(base::StreamId, std::string_view) override {}
  void on_connected(base::StreamId stream) override;
  void on_data(base::StreamId stream, std::span<char> bytes) override;
  void on_writable(base::StreamId) override { write_out(); }
  void on_closed(base::StreamId stream, std::string_view why) override;
  void write_out();

  FakeNetwork& network_;
  std::string source_;
  SeededRandom random_;
  enum class Wrong : std::uint8_t { kNothing, kNoJson, kNoTable, kNoSequence, kNoTime };

  V1ChildOptions options_;
  std::vector<WalEntry> entries_;  // the n-th has LSN n, from 1
  std::vector<Wrong> wrong_;
  std::set<std::uint64_t> acknowledged_;
  std::set<std::uint64_t> noted_;  // of these, what it remembers
  mutable std::set<std::uint64_t> rejected_;
  std::uint64_t refusals_in_a_row_ = 0;
  std::uint64_t refusals_without_id_ = 0, refusals_of_another_ = 0;

  // Of one process.
  std::unique_ptr<FakeLoop> loop_;
  std::uint64_t batch_number_ = 1;
  // Of one connection.
  std::optional<base::StreamId> stream_;
  std::uint64_t life_ = 0;
  bool open_ = false;
  std::string head_, output_, input_;
  wire::WsParser parser_{wire::WsParser::Role::kClient, 1u << 20};
  struct Sent {
    std::uint64_t sequence = 0;
    std::vector<std::uint64_t> lsns;
  };
  std::map<std::string, Sent> under_way_;  // by correlation id
  bool paused_ = false;
  std::string last_nack_;
};

}  // namespace evodb::sim
