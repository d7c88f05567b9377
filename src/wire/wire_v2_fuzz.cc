// Frames and batches of wire v2. Twice: as they come (the checksum stops nearly everything), and
// with the checksum made right, so that the fuzzer sees the decoders behind it.
#include <cstdlib>
#include <string>

#include "base/assert.h"
#include "wire/change.h"
#include "wire/frame.h"
#include "wire/value_codec.h"

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

// Who reads the values of `after` himself sees what everybody else sees, faults included.
void read_open(std::string_view body) {
  BatchReader reader(body), open(body);
  std::uint32_t ref = 0;
  TableDef def;
  while (reader.next_table(&ref, &def)) {
  }
  while (open.next_table(&ref, &def)) {
  }
  ChangeView change, other;
  for (;;) {
    const bool there = reader.next(&change);
    bool other_there = open.next_open(&other);
    if (other_there && other.after.present) {
      const char* p = other.after.bytes.data();
      const char* const end = p + other.after.bytes.size();
      EVODB_ASSERT(end == body.data() + body.size(), "open values go on to the body's end");
      ValueView value;
      for (std::uint32_t i = 0; i < other.after.count && p != nullptr; ++i) {
        p = read_value(p, end, &value);
      }
      other_there = open.close_at(&other, p);
    } else if (other_there) {
      other_there = open.close(&other);
    }
    EVODB_ASSERT(there == other_there, "one way of reading finds a fault");
    if (!there) break;
    EVODB_ASSERT(change.content == other.content && change.after.bytes == other.after.bytes &&
                     change.lsn == other.lsn && open.close(&other),
                 "two ways of reading, two changes");
  }
  EVODB_ASSERT(reader.status().has_value() == open.status().has_value(), "two ends");
  if (!reader.status()) {
    EVODB_ASSERT(reader.status().error().text == open.status().error().text, "two faults");
  }
}

void read_frame(std::string_view bytes) {
  const Result<Frame> frame = decode_frame(bytes);
  if (!frame) return;
  if (const Batch* batch = std::get_if<Batch>(&*frame)) {
    read_batch(batch->body);
    read_open(batch->body);
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
