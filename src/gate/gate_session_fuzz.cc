// A whole connection fed arbitrary bytes over a fake network: bounded memory, no acknowledgement
// for what was not sent, nothing left behind when it is gone.
//
// First byte: bit 0: start behind an upgrade; bit 1: wrap each record as a masked WebSocket
// message; bit 2: say hello first; bit 3: everything is durable at once; the rest is the network's
// seed. Then records: u16 length, bytes.
#include <array>
#include <cstdint>
#include <cstdlib>

#include "gate/gate_test_world.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace evodb;
  using namespace evodb::gate;
  if (size < 1 || size > 32768) return 0;
  const std::uint8_t mode = data[0];
  std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);

  GateWorld w({.frame_bytes_max = 1u << 20, .output_bytes_max = 1u << 20}, mode >> 4);
  auto client = w.client();
  if (mode & 5) client->upgrade();
  if (mode & 4) client->hello();
  std::size_t delivered = 0;
  while (bytes.size() >= 2 && !client->closed()) {
    const std::size_t wanted = static_cast<unsigned char>(bytes[0]) |
                               static_cast<std::size_t>(static_cast<unsigned char>(bytes[1])) << 8;
    bytes.remove_prefix(2);
    const std::string_view record = bytes.substr(0, wanted);
    bytes.remove_prefix(record.size());
    if (mode & 2) {
      client->send(TestClient::message_bytes(
          wanted & 1 ? wire::WsOpcode::kText : wire::WsOpcode::kBinary, record));
    } else {
      client->send(record);
    }
    if (w.gate->stats().held_bytes > 8u << 20) std::abort();
    if (w.gate->stats().hibernated > w.gate->stats().children) std::abort();
    // An application, as it likes.
    for (const ConnectionId id : w.gate->list()) {
      const std::array<std::string_view, 2> tags{"all", record.substr(0, 8)};
      (void)w.gate->set_tags(id, tags);
      (void)w.gate->set_attachment(id, record);
    }
    if (mode & 16) (void)w.gate->broadcast(wire::WsOpcode::kBinary, record, "all");
    if (mode & 8) {
      ingest::Effects effects;
      for (; delivered < w.ingest.batches.size(); ++delivered) {
        const auto& batch = w.ingest.batches[delivered];
        if (batch.unordered) {
          effects.batches.push_back({batch.session, batch.token, false});
        } else {
          const bool last = delivered % 2 == 0;
          effects.acks.push_back({batch.session, {Lsn(delivered + 1), Lsn(0), 1}, last});
        }
      }
      w.gate->deliver(effects);
    }
  }
  client.reset();
  w.network.run_for(60'000);
  const GateStats stats = w.gate->stats();
  if (stats.connections != 0 || stats.websockets != 0 || stats.children != 0 ||
      stats.held_bytes != 0 || stats.hibernated != 0 || stats.tags_bytes != 0 ||
      stats.attachments_bytes != 0 || !w.ingest.sessions.empty()) {
    std::abort();
  }
  return 0;
}
