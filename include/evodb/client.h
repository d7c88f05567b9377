// The client library: sends an application's own changes to an EvoDB parent, exactly once.
//
//   evodb::RpcClientOptions options;
//   options.url = "ws://127.0.0.1:8787";
//   options.child_id = "shop-7";
//   options.outbox.file = "shop-7.outbox";          // "" keeps them in memory
//   auto client = EVODB_TRY(evodb::create_rpc_client(options));
//   EVODB_TRY(client->register_table({"orders", {{"id", "INTEGER", 1}, {"total", "REAL", 0}}}));
//   EVODB_TRY(client->connect());                    // needs no parent to be there
//   evodb::ClientChange order{.table = "orders"};
//   order.after = {evodb::Value::integer(1), evodb::Value::real(9.5)};
//   evodb::Lsn lsn = EVODB_TRY(client->send(order));
//   EVODB_TRY(client->flush(5'000));                 // everything sent is acknowledged
//
// What send() took is in the outbox until the parent has it at the level waited for; a lost
// connection is dialled again with full jitter (100 ms to 10 s), and what the parent has already is
// not landed twice. A full outbox makes send() fail with kOverLimit, and nothing is lost.
//
// To follow a whole SQLite database instead of sending changes by hand, see `evodb edge`.
//
// Threads: all methods from any thread, none from inside a callback but send, send_batch and
// get_stats. Callbacks run on the client's own thread (one, from connect() to disconnect()) and
// must be short: nothing is sent meanwhile.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "evodb/result.h"
#include "evodb/types.h"
#include "evodb/value.h"

namespace evodb {

struct ClientColumn {
  std::string name;
  std::string declared_type;      // "INTEGER", "VARCHAR(20)", ... decides the lakehouse column
  std::uint32_t key_ordinal = 0;  // 1, 2, ... within the key; 0: not part of it
};

struct ClientTable {
  std::string name;
  std::vector<ClientColumn> columns;
};

// Values stand in the order of the table's columns.
struct ClientChange {
  Op op = Op::kInsert;                     // not kOversize
  std::string table;                       // registered
  std::vector<Value> before;               // UPDATE (if known), DELETE
  std::vector<Value> after;                // INSERT, UPDATE, SNAPSHOT
  std::vector<Value> key;                  // in key order; only where no row above holds it
  std::optional<UnixMillis> committed_at;  // now, if absent
  // Not "": a change of the same id among the last dedup.max_entries is taken for a repetition of
  // it and not sent again.
  std::string id;
};

struct ClientBatching {
  std::uint32_t max_size = 100;
  std::size_t max_bytes = 1'000'000;
  std::int64_t max_delay_ms = 50;  // with nothing in flight: at once
};

// For applications that repeat a send() whose outcome they did not see. Remembered by this object
// only, not in the outbox: after a restart every id is new.
struct ClientDedup {
  std::size_t max_entries = 10'000;  // 0: ids mean nothing
};

struct ClientOutbox {
  std::string file;                     // "": memory, which ends with this object
  std::uint64_t max_bytes = 64u << 20;  // about; changes not yet acknowledged
  bool sync = true;  // file: send() returns when the disk has it. false: power loss may take some
};

struct ClientStats {
  bool connected = false;
  std::uint64_t messages_sent = 0;  // batches, sent again ones too
  std::uint64_t bytes_sent = 0;
  Lsn last_ack_lsn;        // durable at the parent
  Lsn last_persisted_lsn;  // in the lakehouse
  std::uint64_t pending_batches = 0;
  std::uint64_t reconnects = 0;
  std::uint64_t held_bytes = 0;     // in the outbox
  std::optional<Error> last_error;  // nothing once connected again
};

struct RpcClientOptions {
  std::string url;       // "ws://host[:8787][/path]"
  std::string child_id;  // the source's name, 1 to 256 bytes; one client a name at a time
  std::string token;
  WaitLevel wait = WaitLevel::kPersisted;  // how long the outbox keeps a change
  ClientBatching batching;
  ClientDedup dedup;
  ClientOutbox outbox;
  std::function<void(const ClientStats&)> on_stats;
  std::int64_t stats_interval_ms = 1'000;
};

enum class BatchStage : std::uint8_t {
  kDurable = 0,    // synced in the parent's journal
  kPersisted = 1,  // in a committed lakehouse snapshot
  kFailed = 2,     // see `error`; the changes stay in the outbox and go out after connect(), unless
                   // it is in memory and ends
};
// Called once for each level up to the one waited for, in order, or with kFailed as the last call.
// `error` is null but for kFailed.
using BatchCompletion = std::function<void(BatchStage stage, Lsn last_lsn, const Error* error)>;

class RpcClient {
 public:
  virtual ~RpcClient() = default;  // disconnects

  // Before the first change of the table. The same name again, with other columns, is a new version
  // for changes from then on. Errors: kInvalid.
  virtual Result<void> register_table(const ClientTable& table) = 0;

  // Begins to dial; does not wait. Connected already: nothing happens. After a terminal error:
  // tries again. Errors: kOverLimit (no descriptors).
  virtual Result<void> connect() = 0;

  // Puts changes into the outbox, all of them or none; they get consecutive LSNs and one
  // transaction id. Gives the last LSN. Errors: kInvalid (an unknown table, values that do not fit
  // it), kOverLimit (outbox full; a row over 8 MiB), kRetry (the outbox file's disk), and the error
  // that ended the connection for good, until connect().
  virtual Result<Lsn> send(const ClientChange& change) = 0;
  virtual Result<Lsn> send_batch(const std::vector<ClientChange>& changes,
                                 BatchCompletion completion = {}) = 0;

  // Waits until everything sent before is acknowledged at the level waited for. Errors: kRetry (not
  // within `deadline_ms`), the terminal error.
  virtual Result<void> flush(std::int64_t deadline_ms) = 0;

  // Says bye. What is not acknowledged stays in the outbox; connect() goes on with it.
  virtual void disconnect() = 0;

  virtual ClientStats get_stats() = 0;
};

// Opens the outbox; does not connect. Errors: kInvalid (url, child_id, batching; another source's
// outbox file), kRetry (the outbox file is in use by another process), kCorrupt.
Result<std::unique_ptr<RpcClient>> create_rpc_client(RpcClientOptions options);

}  // namespace evodb
