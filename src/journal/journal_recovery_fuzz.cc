// Recovery of a journal of which somebody changed bytes: never a crash, never a record that was not
// written, and an accepted journal works.
//
// Input: steps (u8 file and how, u16 offset, u8 value) that are written over a good two-segment
// journal; offsets wrap. So the fuzzer begins where mutations matter, behind valid checksums. Some
// steps make the checksum of the header around their offset right again: then recovery sees
// lengths, positions and proofs of durability that no disk would make up, and must still not crash,
// not serve a payload that was not written, and not accept what it cannot read.
#include <set>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "journal/journal.h"
#include "journal/segment_format.h"
#include "sim/seams/fake_disk.h"
#include "sim/seams/seeded_random.h"

namespace {

using namespace evodb;           // NOLINT(google-build-using-namespace)
using namespace evodb::journal;  // NOLINT(google-build-using-namespace)

constexpr JournalOptions options{.segment_bytes = 8192, .max_bytes = 8 * 8192};

struct Good {
  std::vector<std::pair<std::string, std::string>> files;
  std::set<std::string> payloads;
  // Where each file has headers: of the segment, then of records (found by their checksums).
  std::vector<std::vector<std::size_t>> headers;
};

std::uint32_t record_header_crc(const char* at) {
  return base::crc32c(std::string_view(at + 4, record_header_bytes - 4));
}

std::vector<std::size_t> headers_of(std::string_view bytes) {
  std::vector<std::size_t> at{0};
  for (std::size_t o = segment_header_bytes; o + record_header_bytes <= bytes.size();
       o += record_alignment) {
    if (base::load_fixed<std::uint32_t>(bytes.data() + o) == record_header_crc(bytes.data() + o)) {
      at.push_back(o);
    }
  }
  return at;
}

void make_right(std::string& bytes, std::size_t at) {
  if (at + record_header_bytes > bytes.size() || bytes.size() < 64) return;
  if (at != 0) return base::store_fixed(bytes.data() + at, record_header_crc(bytes.data() + at));
  std::string counted = bytes.substr(0, 64);
  base::store_fixed<std::uint32_t>(counted.data() + 12, 0);
  base::store_fixed(bytes.data() + 12, base::crc32c(counted));
}

Good make_good() {
  sim::FakeDisk disk;
  sim::SeededRandom random(1);
  Good good;
  auto journal = *Journal::open(disk, "j", options, random, nullptr);
  for (int i = 0; i < 12; ++i) {
    const std::string payload = std::to_string(i) + std::string(500, static_cast<char>('a' + i));
    const std::string_view part = payload;
    (void)*journal->append(RecordType::kBatch, {&part, 1});
    if (i % 2 == 1) (void)*journal->commit();
    good.payloads.insert(payload);
  }
  for (const std::string& path : disk.paths()) {
    good.files.emplace_back(path, disk.contents(path));
    good.headers.push_back(headers_of(good.files.back().second));
  }
  return good;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Good good = make_good();
  auto files = good.files;
  base::ByteReader in({reinterpret_cast<const char*>(data), size});
  std::uint8_t file, value;
  std::uint16_t offset;
  bool forged = false;
  while (in.u8(&file) && in.u16(&offset) && in.u8(&value)) {
    const std::size_t which = file % files.size();
    std::string& bytes = files[which].second;
    const std::vector<std::size_t>& headers = good.headers[which];
    if (file & 0x80) {
      bytes.resize(offset % (bytes.size() + 1));  // cut
      if (bytes.empty()) bytes.push_back(0);
    } else if (file & 0x40) {
      const std::size_t header = headers[offset / 64 % headers.size()];
      const std::size_t at = header + offset % (header == 0 ? 64 : record_header_bytes);
      if (at < bytes.size()) bytes[at] = static_cast<char>(value);
      make_right(bytes, header);
      forged = true;
    } else {
      bytes[offset % bytes.size()] = static_cast<char>(value);
    }
  }
  sim::FakeDisk disk;
  sim::SeededRandom random(2);
  for (auto& [path, bytes] : files) disk.put(path, std::move(bytes));
  auto opened = Journal::open(disk, "j", options, random, nullptr);
  if (!opened) return 0;
  Journal& journal = **opened;
  auto cursor = journal.read_from(journal.first());
  Record record;
  while (true) {
    const auto more = cursor->next(&record);
    EVODB_ASSERT(more.has_value(), "recovery accepted what a cursor refuses");
    if (!*more) break;
    const std::string payload(record.payload);
    // A forged length may leave out or add padding, which the payload's checksum covers.
    const auto near = good.payloads.lower_bound(payload);
    const auto is_near = [&](const std::string& written) {
      return payload.starts_with(written.substr(0, written.size() - 7)) &&
             payload.size() <= padded(written.size());
    };
    EVODB_ASSERT(good.payloads.contains(payload) ||
                     (forged && (payload.empty() ||  // a mark that was made a record
                                 (near != good.payloads.end() && is_near(*near)) ||
                                 (near != good.payloads.begin() && is_near(*std::prev(near))))),
                 "invented a record");
  }
  const std::string_view part = "after";
  const auto appended = journal.append(RecordType::kBatch, {&part, 1});
  if (!appended && forged) return 0;  // a full journal is one of the things a header can say
  EVODB_ASSERT(appended.has_value() && journal.commit().has_value(), "does not work any more");
  EVODB_ASSERT(*cursor->next(&record) && record.payload == "after", "not served");
  return 0;
}
