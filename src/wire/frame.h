// Wire v2 frames: what one binary WebSocket message holds. The specification is
// docs/formats/wire-v2.md.
//
// Every frame: magic, major and minor version, type, flags, CRC32C over the whole frame with the
// checksum's own bytes as zero, body. Unknown trailing fields of a later minor version are skipped;
// an unknown type of a later minor version is ignored by the receiver; another major is refused.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "evodb/result.h"
#include "evodb/types.h"

namespace evodb::wire {

inline constexpr std::uint8_t wire_major = 2;
inline constexpr std::uint8_t wire_minor = 0;

// Bytes before the body: magic (2), major, minor, type, flags, CRC32C (4).
inline constexpr std::uint8_t frame_magic[2] = {0xe5, 0xdb};
inline constexpr std::size_t frame_header_bytes = 10;

// Limits of single fields; those that other rooms share stand in base/limits.h.
inline constexpr std::size_t token_bytes_max = 4096;
inline constexpr std::size_t agent_bytes_max = 256;
inline constexpr std::size_t text_bytes_max = 1024;  // longer text is cut by encode_frame

enum class FrameType : std::uint8_t {
  kHello = 1,
  kWelcome = 2,
  kBatch = 3,
  kAck = 4,
  kNack = 5,
  kPing = 6,
  kPong = 7,
  kBye = 8,
  kSubscribe = 9,     // reserved: subscriptions
  kUnsubscribe = 10,  // reserved
  kEvent = 11,        // reserved
};

enum FrameFlags : std::uint8_t {
  kFlagZstd = 1,  // the body is one zstd frame; only if the receiver offered it
};

// First frame of a child.
struct Hello {
  static constexpr FrameType type = FrameType::kHello;
  static constexpr const char* name = "hello";
  std::string_view token;  // "" until tokens exist
  std::string_view source;
  Epoch epoch;
  bool ordered = true;  // false: LSNs may come in any order, the parent uses its window
  WaitLevel wait = WaitLevel::kPersisted;
  Lsn trimmed;                        // the child holds every change after this one
  ChainHash trimmed_chain;            // the chain there
  Lsn head;                           // the newest change that the child holds, or `trimmed`
  std::uint32_t frame_bytes_max = 0;  // the largest frame that the child takes
  bool accepts_zstd = false;
  std::string_view agent;  // "evodb-edge/0.1.0", for people
  // A random number of the process that speaks and of the database that it speaks for: it differs
  // between two copies that both stream. 0: not known.
  std::uint64_t life = 0;
};

enum class WelcomeVerdict : std::uint8_t {
  kResume = 0,    // go on after `received`
  kNewEpoch = 1,  // the two histories differ: begin an epoch of at least `epoch_min`
  kCopy = 2,      // another database streams under this name: take another one, or wait
};

struct Welcome {
  static constexpr FrameType type = FrameType::kWelcome;
  static constexpr const char* name = "welcome";
  WelcomeVerdict verdict = WelcomeVerdict::kResume;
  Lsn received;  // send what lies after this
  ChainHash received_chain;
  bool chain_known = true;  // false: rebuilt from the lakehouse; the child's chain is adopted
  TxnId received_txn;       // label of the change at `received`, 0 if unknown
  Lsn durable;
  Lsn persisted;
  Epoch epoch_min;  // kNewEpoch only
  std::uint64_t credit_bytes = 0;
  std::uint32_t frame_bytes_max = 0;
  std::uint32_t batch_entries_max = 0;
  bool accepts_zstd = false;
  std::string_view text;  // for people: why a new epoch
};

// Cumulative. Credit: bytes of batch frames that may be sent and not yet be durable, counted from
// `durable` of this very ack.
struct Ack {
  static constexpr FrameType type = FrameType::kAck;
  static constexpr const char* name = "ack";
  Lsn durable;
  Lsn persisted;
  std::uint64_t credit_bytes = 0;
};

enum class NackReason : std::uint8_t {
  kMalformed = 0,      // this frame; resending the same bytes is useless
  kGap = 1,            // resend from `resend_after`
  kChainMismatch = 2,  // the histories differ: a new epoch is needed
  kOverCredit = 3,     // wait `retry_after_ms`, then resend from `resend_after`
  kOverLimit = 4,      // a limit that the text names
  kUnavailable = 5,    // the parent cannot take it now (journal failed, shutting down)
  kUnauthorized = 6,
  kVersion = 7,  // no common protocol version
};

struct Nack {
  static constexpr FrameType type = FrameType::kNack;
  static constexpr const char* name = "nack";
  NackReason reason = NackReason::kMalformed;
  Lsn resend_after;
  std::uint32_t retry_after_ms = 0;
  std::string_view text;
};

struct Ping {
  static constexpr FrameType type = FrameType::kPing;
  static constexpr const char* name = "ping";
  std::uint64_t opaque = 0;
};
struct Pong {
  static constexpr FrameType type = FrameType::kPong;
  static constexpr const char* name = "pong";
  std::uint64_t opaque = 0;
};

enum class ByeReason : std::uint8_t { kDone = 0, kShutdown = 1, kSuperseded = 2, kError = 3 };
struct Bye {
  static constexpr FrameType type = FrameType::kBye;
  static constexpr const char* name = "bye";
  ByeReason reason = ByeReason::kDone;
  std::string_view text;
};

// A batch's body, still encoded: read it with BatchReader.
struct Batch {
  static constexpr FrameType type = FrameType::kBatch;
  static constexpr const char* name = "batch";
  std::string_view body;
};

// A frame of a later minor version whose type this build does not know: ignore it. The last of the
// variant.
struct UnknownFrame {
  std::uint8_t type = 0;
};

// Where a new one belongs: CONTRIBUTING.md, "A new frame".
using Frame = std::variant<Hello, Welcome, Batch, Ack, Nack, Ping, Pong, Bye, UnknownFrame>;

// What lies on the wire before the body is looked at. For the zstd flag: the owner of a
// decompressor inflates `body` and calls decode_body.
struct FrameEnvelope {
  std::uint8_t major = 0, minor = 0;
  std::uint8_t type = 0;
  std::uint8_t flags = 0;
  std::string_view body;
};

// True if `bytes` begin like a frame of wire v2 or of a later major version; nothing else is
// checked. `bytes[2]` is then the major version.
bool has_frame_magic(std::string_view bytes);

// Errors: kInvalid (malformed, bad checksum, other major version), kOverLimit (too long).
Result<FrameEnvelope> open_frame(std::string_view bytes);
Result<Frame> decode_body(const FrameEnvelope& envelope, std::string_view body);
// open_frame + decode_body; a frame with kFlagZstd is kInvalid here.
Result<Frame> decode_frame(std::string_view bytes);

void encode_frame(std::string& out, const Frame& frame);
std::string encode_frame(const Frame& frame);
// A frame around a body that is encoded already, for example one that a compressor gave.
void encode_envelope(std::string& out, FrameType type, std::uint8_t flags, std::string_view body);
// The same for a body that is appended to `out` between the two calls; `start` is what the first
// one gave.
std::size_t begin_frame(std::string& out, FrameType type, std::uint8_t flags);
void end_frame(std::string& out, std::size_t start);

}  // namespace evodb::wire
