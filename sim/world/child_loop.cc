#include "sim/world/child_loop.h"

#include "base/bytes.h"
#include "base/hash.h"

namespace evodb::sim {
namespace {

constexpr std::size_t sent_bytes_max = 256u << 10;
constexpr std::size_t frame_header_bytes = 10;
constexpr unsigned char hello_type = 1, batch_type = 3;

void seal(std::string& frame) {
  frame.replace(6, 4, 4, '\0');
  std::string crc;
  base::put_u32(crc, base::crc32c(frame));
  frame.replace(6, 4, crc);
}

// What a child of minor version 1 would have sent: fields that we do not know behind those that we
// do.
std::string as_newer_minor(std::string_view frame) {
  std::string newer(frame);
  newer[3] = 1;
  if (newer[4] == batch_type) {
    // A batch grows inside its header, whose length stands before it (below 128 here).
    const auto header_bytes = static_cast<unsigned char>(newer[frame_header_bytes]);
    if (header_bytes >= 126) return newer;
    newer[frame_header_bytes] = static_cast<char>(header_bytes + 2);
    newer.insert(frame_header_bytes + 1 + header_bytes, "\x2a\x01");
  } else {
    newer += "\x07";
  }
  seal(newer);
  return newer;
}

std::string unknown_frame() {
  // Magic, 2.1, type 77, no flags, room for the CRC.
  std::string frame("\xe5\xdb\x02\x01\x4d\x00\x00\x00\x00\x00", frame_header_bytes);
  frame += "from a later time";
  seal(frame);
  return frame;
}

}  // namespace

Result<base::StreamId> ChildLoop::dial(const std::string& host, std::uint16_t port,
                                       base::StreamEvents& events) {
  events_ = &events;
  sent_.clear();
  head_.clear();
  output_.clear();
  handshake_over_ = false;
  parser_ = wire::WsParser(wire::WsParser::Role::kServer, 16u << 20);
  return loop_.dial(host, port, *this);
}

std::size_t ChildLoop::write(base::StreamId stream, std::string_view bytes) {
  if (!newer_minor_) {
    const std::size_t taken = loop_.write(stream, bytes);
    if (sent_.size() < sent_bytes_max) sent_.append(bytes.substr(0, taken));
    return taken;
  }
  // Back pressure as a socket has it: nothing is taken while something waits.
  if (!output_.empty()) return 0;
  translate(bytes);
  if (sent_.size() < sent_bytes_max) sent_ += output_;
  output_.erase(0, loop_.write(stream, output_));
  return bytes.size();
}

void ChildLoop::on_writable(base::StreamId stream) {
  output_.erase(0, loop_.write(stream, output_));
  if (output_.empty()) events_->on_writable(stream);
}

void ChildLoop::close(base::StreamId stream, bool abort) {
  if (!output_.empty()) (void)loop_.write(stream, output_);
  loop_.close(stream, abort);
}

void ChildLoop::translate(std::string_view bytes) {
  std::string input(bytes);
  if (!handshake_over_) {
    head_ += input;
    const auto end = head_.find("\r\n\r\n");
    if (end == std::string::npos) {
      output_ += input;
      return;
    }
    handshake_over_ = true;
    const std::size_t of_head = input.size() - (head_.size() - end - 4);
    output_ += input.substr(0, of_head);
    input.erase(0, of_head);
  }
  parser_.feed(input.data(), input.size());
  wire::WsMessage message;
  wire::WsError error;
  const std::uint32_t mask = 0x5bd1e995;
  while (parser_.next(&message, &error) == wire::WsParser::Step::kMessage) {
    const bool frame =
        message.opcode == wire::WsOpcode::kBinary && message.payload.size() > frame_header_bytes;
    if (!frame) {
      wire::encode_ws_frame(output_, message.opcode, message.payload, &mask);
      continue;
    }
    wire::encode_ws_frame(output_, message.opcode, as_newer_minor(message.payload), &mask);
    if (message.payload[4] == hello_type) {
      wire::encode_ws_frame(output_, message.opcode, unknown_frame(), &mask);
    }
  }
}

Replayer::Replayer(FakeNetwork& network, std::string bytes)
    : loop_(network, "replayer"), bytes_(std::move(bytes)) {
  if (!loop_.dial("parent", 8787, *this)) done_ = true;
}

void Replayer::on_writable(base::StreamId stream) {
  bytes_.erase(0, loop_.write(stream, bytes_));
  if (!bytes_.empty()) return;
  done_ = true;
  loop_.close(stream, false);
}

}  // namespace evodb::sim
