// ConnectionRecord: a connection as bytes, for the process that takes it over.
// docs/formats/hand-over.md.
//
// Ages instead of points in time: the two processes count ticks from different beginnings.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "evodb/result.h"
#include "gate/connection.h"
#include "wire/frame.h"

namespace evodb::gate {

struct ConnectionRecord {
  ConnectionState state = ConnectionState::kHttp;  // never kFree or kHttpWaiting
  bool said_hello = false, pinged = false, new_epoch = false, served = false;
  bool hibernated = false;             // v2
  bool disconnecting = false;          // v1: closes once nothing is pending
  std::uint64_t since_ms = 0;          // ages
  std::uint64_t message_since_ms = 0;  // of the message in parts
  std::optional<std::uint64_t> auto_response_ms;
  std::string source;            // v1: the session's; else ""
  std::optional<wire::Ack> ack;  // waits behind `output`
  bool ack_is_last = false;
  std::string output;               // what the kernel has not taken
  std::optional<std::string> http;  // a request in parts
  bool continue_given = false;      // its "100 Continue" is out
  std::string parser;               // WsParser::save
  std::vector<std::string> tags;    // of a WebSocket, for the application
  std::string attachment;

  friend bool operator==(const ConnectionRecord& a, const ConnectionRecord& b);
};

inline constexpr std::size_t record_part_bytes_max = std::size_t{1} << 30;  // of one string

void encode_connection_record(std::string& out, const ConnectionRecord& record);

// Errors: kInvalid (damaged: structure, an impossible state, bytes behind the last one).
Result<std::vector<ConnectionRecord>> decode_connection_records(std::string_view bytes,
                                                                std::uint64_t count);

}  // namespace evodb::gate
