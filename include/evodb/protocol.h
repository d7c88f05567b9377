// The messages of EvoDB's wire protocols as plain values, for tools and tests that want to speak
// them: encode_message and decode_message.
//
//   evodb::CdcBatchMessage batch;
//   batch.entries.push_back(entry);              // a WalEntry, see below
//   std::string bytes = EVODB_TRY(evodb::encode_message(batch));          // wire v2
//   evodb::Message back = EVODB_TRY(evodb::decode_message(bytes));
//
// Everything here owns its memory. A program that moves many changes uses evodb/client.h, which
// reads and writes in place. The bytes themselves: docs/formats/wire-v2.md and wire-v1.md.
//
// Both versions share these types. A field that only one of them carries says so; the other one
// leaves it as it is here, and encoding a message that a version does not have is kInvalid.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "evodb/result.h"
#include "evodb/types.h"
#include "evodb/value.h"

namespace evodb {

enum class WireVersion : std::uint8_t { kV1 = 1, kV2 = 2 };

struct NamedValue {
  std::string name;
  Value value;
  friend bool operator==(const NamedValue&, const NamedValue&) = default;
};
using Row = std::vector<NamedValue>;  // in the order of the table's columns

struct TableColumn {
  std::string name;
  std::string declared_type;      // "INTEGER", "VARCHAR(20)", "" for none
  std::uint32_t key_ordinal = 0;  // 1, 2, ... within the key; 0: not part of it
  friend bool operator==(const TableColumn&, const TableColumn&) = default;
};

struct TableSchema {
  std::string name;
  std::uint32_t schema_version = 1;
  std::vector<TableColumn> columns;
  friend bool operator==(const TableSchema&, const TableSchema&) = default;
};

// One change of one row. (WAL: a source's log of changes; the first generation's name.)
struct WalEntry {
  Lsn lsn;               // `sequence` to the first generation
  UnixMillis timestamp;  // of the commit
  Op op = Op::kInsert;   // v1: insert, update, delete
  std::string table;

  // v2: typed columns. `before` and `after` of an entry have the same columns in the same order.
  std::optional<Row> key;  // only where no row holds it
  std::optional<Row> before;
  std::optional<Row> after;
  TxnId txn;           // v2
  std::string reason;  // v2, Op::kOversize only: why the row was not sent

  // v1: the row's name, and its contents as JSON text, "" for none.
  std::string row_id;
  std::string before_json;
  std::string after_json;

  friend bool operator==(const WalEntry&, const WalEntry&) = default;
};

struct CdcBatchMessage {
  std::vector<WalEntry> entries;  // v2: at least one, LSNs strictly growing

  // v2. Definitions of the entries' tables. May be left out when encoding: a table is then defined
  // by its entries' column names, without types and key. Decoding gives those the batch brought.
  std::vector<TableSchema> tables;
  Lsn previous_lsn;        // of the change before the first one, 0 at an epoch's start
  ChainHash chain_before;  // to encode; not on the wire
  ChainHash chain_after;   // decoded; encoding computes it

  // v1
  std::string source;
  std::string shard;  // JSON only
  std::uint64_t batch_sequence = 0;
  std::optional<std::string> correlation_id;
  bool retry = false;
  UnixMillis timestamp;
  bool json = false;  // as a text message
};

struct HelloMessage {  // v1: `connect`
  std::string source;
  Lsn trimmed;  // every change after it is held. v1: lastAckSequence
  // v2
  std::string token;
  Epoch epoch;
  bool ordered = true;
  WaitLevel wait = WaitLevel::kPersisted;
  ChainHash trimmed_chain;
  Lsn head;  // newest change held, at least `trimmed`
  std::uint32_t frame_bytes_max = 16u << 20;
  bool accepts_zstd = false;
  std::string agent;
  std::uint64_t life = 0;  // differs between two copies of a database; 0: not known
  // v1
  std::string shard;
  UnixMillis timestamp;
};

struct WelcomeMessage {    // v2; v1 answers with StatusMessage
  bool new_epoch = false;  // begin an epoch of at least `epoch_min`
  bool copy = false;       // another database streams under this name; neither: resume
  Lsn received;
  ChainHash received_chain;
  bool chain_known = true;
  TxnId received_txn;
  Lsn durable, persisted;
  Epoch epoch_min;
  std::uint64_t credit_bytes = 0;
  std::uint32_t frame_bytes_max = 16u << 20;
  std::uint32_t batch_entries_max = 10'000;
  bool accepts_zstd = false;
  std::string text;
};

enum class AckStatus : std::uint8_t {  // v1; the numbers are its wire's
  kOk = 0,
  kBuffered = 1,
  kPersisted = 2,
  kDuplicate = 3,
  kFallback = 4,
};

struct AckMessage {
  // v2: cumulative.
  Lsn durable, persisted;
  std::uint64_t credit_bytes = 0;
  // v1: of one batch.
  std::uint64_t batch_sequence = 0;
  AckStatus status = AckStatus::kOk;
  std::optional<std::string> correlation_id;
  UnixMillis timestamp;
  bool json = false;
};

// v2's reasons, then v1's.
enum class NackCause : std::uint8_t {
  kMalformed = 0,
  kGap = 1,
  kChainMismatch = 2,
  kOverCredit = 3,
  kOverLimit = 4,
  kUnavailable = 5,
  kUnauthorized = 6,
  kVersion = 7,
  kV1BufferFull = 100,
  kV1RateLimited = 101,
  kV1InvalidSequence = 102,
  kV1InvalidFormat = 103,
  kV1InternalError = 104,
  kV1ShuttingDown = 105,
};

struct NackMessage {
  NackCause reason = NackCause::kMalformed;  // of the version that is spoken
  std::uint32_t retry_after_ms = 0;
  std::string text;
  Lsn resend_after;  // v2
  // v1
  std::uint64_t batch_sequence = 0;
  bool should_retry = false;
  std::optional<std::string> correlation_id;
  UnixMillis timestamp;
  bool json = false;
};

struct PingMessage {
  std::uint64_t opaque = 0;  // v2; v1's is the bare word
};
struct PongMessage {
  std::uint64_t opaque = 0;  // v2
  // v1: with a server time it answers a heartbeat, without it is the bare word.
  UnixMillis timestamp;
  std::optional<UnixMillis> server_time;
};

struct ByeMessage {  // v1: `disconnect`
  enum class Reason : std::uint8_t { kDone = 0, kShutdown = 1, kSuperseded = 2, kError = 3 };
  Reason reason = Reason::kDone;  // v2
  std::string text;               // v1: the reason in words
  std::string source;             // v1
  UnixMillis timestamp;           // v1
};

struct HeartbeatMessage {  // v1
  std::string source;
  Lsn last_ack;
  std::uint64_t pending_entries = 0;
  UnixMillis timestamp;
};

struct FlushRequestMessage {  // v1
  std::string source;
  std::string reason;
  UnixMillis timestamp;
};

struct StatusMessage {  // v1
  UnixMillis timestamp;
  std::string state = "idle";
  std::uint64_t batches = 0, entries = 0, bytes = 0;
  double utilization = 0;
  std::uint64_t connected_children = 0;
};

// A frame of a later minor version of wire v2: ignore it.
struct UnknownMessage {
  std::uint8_t type = 0;
};

using Message = std::variant<HelloMessage, WelcomeMessage, CdcBatchMessage, AckMessage, NackMessage,
                             PingMessage, PongMessage, ByeMessage, HeartbeatMessage,
                             FlushRequestMessage, StatusMessage, UnknownMessage>;

// What one direction of one wire v2 connection has said about tables: their numbers. Without it
// every batch is encoded with all its definitions, and decoded only if it brings them.
struct WireSession {
  std::map<std::uint32_t, TableSchema> tables;
  ChainHash chain;  // after the last batch that was encoded or decoded
};

// One WebSocket message: binary, or text if is_text_message() of it.
// Errors: kInvalid (not of this version, or fields that do not fit together), kOverLimit. On an
// error `session` is as it was.
Result<std::string> encode_message(const Message& message, WireVersion version = WireVersion::kV2,
                                   WireSession* session = nullptr);

// The version shows in the first bytes. Errors: kInvalid (malformed, another major version),
// kOverLimit. A compressed wire v2 frame is kInvalid here. On an error `session` is as it was.
Result<Message> decode_message(std::string_view bytes, WireSession* session = nullptr);

// Whether these bytes travel as a WebSocket text message: wire v1's JSON, `ping` and `pong`.
bool is_text_message(std::string_view bytes);

}  // namespace evodb
