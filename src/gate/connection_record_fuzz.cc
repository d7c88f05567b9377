// Connections that are handed over, from bytes that nobody checked: refused, or the same again.
#include "gate/connection_record.h"

#include "base/assert.h"
#include "wire/websocket.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto records = evodb::gate::decode_connection_records(bytes, data[0]);
  if (!records) return 0;
  std::string again;
  for (const auto& record : *records) {
    encode_connection_record(again, record);
    if (record.parser.empty()) continue;
    using evodb::wire::WsParser;
    const auto parser = WsParser::restore(WsParser::Role::kServer, 1 << 16, record.parser);
    if (!parser) continue;
    std::string saved;
    parser->save(saved);
    auto twice = WsParser::restore(WsParser::Role::kServer, 1 << 16, saved);
    EVODB_ASSERT(twice.has_value(), "what a restored parser saves is refused");
    evodb::wire::WsMessage message;
    evodb::wire::WsError error;
    std::string more("\x00\xff\x80 and on", 10);
    twice->feed(more.data(), more.size());
    while (twice->next(&message, &error) == WsParser::Step::kMessage) {
    }
  }
  const auto read = evodb::gate::decode_connection_records(again, data[0]);
  EVODB_ASSERT(read && *read == *records, "its own writing reads differently");
  return 0;
}
