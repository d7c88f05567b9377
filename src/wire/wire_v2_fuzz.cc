// Frames and batches of wire v2. Twice: as they come (the checksum stops nearly everything), and
// with the checksum made right, so that the fuzzer sees the decoders behind it.
#include <cstdlib>
#include <string>

#include "base/assert.h"
#include "wire/change.h"
#include "wire/frame.h"

namespace {

using namespace evodb;
using namespace evodb::wire;

void walk(const ValuesView& values, std::string* again) {
  ValuesReader reader(values);
  ValueView value;
  std::uint32_t count = 0;
  while (reader.next(&value)) {
    put_value(*again, value);
    ++count;
  }
  EVODB_ASSERT(reader.ok() && count == values.count, "a batch reader let a bad value through");
  EVODB_ASSERT(*again == values.bytes, "a value has two encodings");
}

// Whatever is accepted comes out of the writer byte for byte (unless its header has later fields).
void read_batch(std::string_view body) {
  BatchReader reader(body);
  BatchWriter writer;
  writer.reset(reader.header().previous_lsn, ChainHash(0));
  std::uint32_t ref = 0;
  TableDef def;
  while (reader.next_table(&ref, &def)) writer.add_table(ref, def);
  ChangeView change;
  while (reader.next(&change)) {
    std::string key, before, after;
    walk(change.key, &key);
    walk(change.before, &before);
    walk(change.after, &after);
    writer.add_change(change.op, change.table_ref, 0, change.lsn, change.txn, change.committed_at,
                      change.key, change.before, change.after, change.reason);
  }
  if (!reader.status()) return;
  const std::size_t changes = body.size() - reader.changes_offset();
  const std::string again = writer.finish();
  EVODB_ASSERT(again.size() <= body.size() &&
                   again.substr(again.size() - changes) == body.substr(body.size() - changes),
               "changes do not come back as they were");
}

void read_frame(std::string_view bytes) {
  const Result<Frame> frame = decode_frame(bytes);
  if (!frame) return;
  if (const Batch* batch = std::get_if<Batch>(&*frame)) {
    read_batch(batch->body);
  } else if (bytes[3] == wire_minor) {
    EVODB_ASSERT(encode_frame(*frame) == bytes, "a frame has two encodings");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  read_frame(bytes);
  if (size < 2) return 0;
  std::string frame;
  encode_envelope(frame, static_cast<FrameType>(data[0]), data[1] & 1, bytes.substr(2));
  read_frame(frame);
  read_batch(bytes.substr(2));
  return 0;
}
