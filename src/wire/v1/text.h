// Wire v1's text messages: `ping` and `pong` as they are, everything else JSON.
//
//   Result<V1TextMessage> message = decode_v1_text(text);
//   std::string answer = encode_v1_text(V1Pong{heartbeat.timestamp, now});
//
// Owned values: the JSON library stays inside text.cc, and so do its exceptions. Integers are
// exact up to 64 bits. Numbers that JSON writes as 5.0 or 1e3 are taken as integers where one is
// wanted; a time's fraction is dropped.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "evodb/result.h"
#include "evodb/types.h"
#include "wire/v1/codec.h"

namespace evodb::wire {

// A parsed document takes many times its text; the old client promises at most 4 MB a message.
inline constexpr std::size_t v1_text_bytes_max = 4u << 20;
inline constexpr std::size_t v1_text_depth_max = 64;

struct V1TextPing {};  // the bare word
struct V1TextPong {};  // the bare word

struct V1Connect {
  UnixMillis timestamp;
  std::string source;  // may be empty: then the connection's header names it
  std::string shard;   // "" for none
  std::uint64_t last_ack_sequence = 0;
  std::uint32_t protocol_version = 1;
  // Capabilities.
  bool binary_protocol = false;
  bool compression = false;
  bool batching = false;
  std::uint64_t max_batch_size = 0;
  std::uint64_t max_message_size = 0;
  std::optional<std::string> correlation_id;
};

struct V1Heartbeat {
  UnixMillis timestamp;
  std::string source;
  std::uint64_t last_ack_sequence = 0;
  std::uint64_t pending_entries = 0;
};

struct V1FlushRequest {
  UnixMillis timestamp;
  std::string source;
  std::string reason;
};

struct V1Disconnect {
  UnixMillis timestamp;
  std::string source;
  std::string reason;
};

struct V1TextEntry {
  std::uint64_t sequence = 0;
  UnixMillis timestamp;
  Op op = Op::kInsert;
  std::string table;
  std::string row_id;  // a number in JSON is taken as its text
  std::string before;  // JSON text; empty: absent or null
  std::string after;
};

struct V1TextBatch {
  UnixMillis timestamp;
  std::string source;
  std::string shard;
  std::uint64_t batch_sequence = 0;
  bool retry = false;
  std::optional<std::string> correlation_id;
  std::vector<V1TextEntry> entries;
};

// Answers.
struct V1Status {
  UnixMillis timestamp;
  std::string state = "idle";  // idle, receiving, flushing, recovering, error
  std::uint64_t batch_count = 0, entry_count = 0, total_size_bytes = 0;
  double utilization = 0;
  std::optional<UnixMillis> oldest_batch_time, newest_batch_time;
  std::uint64_t connected_children = 0;
  std::optional<UnixMillis> last_flush_time, next_flush_time;
  std::optional<std::string> correlation_id;
};

struct V1Pong {          // to a heartbeat
  UnixMillis timestamp;  // theirs
  UnixMillis server_time;
};

struct V1TextAck {
  UnixMillis timestamp;
  std::uint64_t batch_sequence = 0;
  V1AckStatus status = V1AckStatus::kOk;
  std::optional<std::string> correlation_id;
};

struct V1TextNack {
  UnixMillis timestamp;
  std::uint64_t batch_sequence = 0;
  V1NackReason reason = V1NackReason::kInternalError;
  bool should_retry = false;
  std::uint32_t retry_delay_ms = 0;
  std::string text;
  std::optional<std::string> correlation_id;
};

using V1TextMessage =
    std::variant<V1TextPing, V1TextPong, V1Connect, V1Heartbeat, V1FlushRequest, V1Disconnect,
                 V1TextBatch, V1Status, V1Pong, V1TextAck, V1TextNack>;

// Errors: kInvalid (not JSON, no or an unknown `type`, a field that is missing or of the wrong
// kind), kOverLimit (too long, too deep).
Result<V1TextMessage> decode_v1_text(std::string_view text);
// Text that is not UTF-8 gets replacement characters. `before` and `after` are put in as they are.
std::string encode_v1_text(const V1TextMessage& message);

// --- for a parent: what is wrong with one entry is that entry's alone ---------------------------

// What a NACK needs to reach its sender, as far as a text can be read: it may be no JSON, or go on
// for too long.
struct V1TextHead {
  std::string type;
  std::optional<std::string> correlation_id;
  std::uint64_t batch_sequence = 0;
};
V1TextHead peek_v1_text(std::string_view text);

struct V1TextRow {
  V1TextEntry entry;                 // without its rows
  std::string_view before, after;    // JSON as it came, not looked at; empty: absent or null
  std::string_view whole;            // all of the entry
  std::optional<std::string> fault;  // why it is none; `entry` is as far as it could be read
};
struct V1TextRows {
  V1TextBatch batch;  // source, sequence and correlation id: nothing else is used of it
  std::vector<V1TextRow> rows;
};
inline constexpr std::size_t v1_entries_max = 200'000;  // a message

// A `cdc_batch`. Views of `text`, which may be longer than v1_text_bytes_max: only the entries' own
// fields are parsed here, and one after the other. A time that no 64 bits hold is the nearest that
// they do. Errors: kInvalid (a fault outside of the entries), kOverLimit (v1_entries_max).
Result<V1TextRows> read_v1_text_batch(std::string_view text);

std::string_view v1_ack_status_name(V1AckStatus status);    // "ok", "buffered", ...
std::string_view v1_nack_reason_name(V1NackReason reason);  // "buffer_full", ...

}  // namespace evodb::wire
