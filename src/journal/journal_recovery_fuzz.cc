// Recovery of a journal of which somebody changed bytes: never a crash, never a record that was not
// written, and an accepted journal works.
//
// Input: triples (u8 file, u16 offset, u8 value) that are written over a good two-segment journal;
// offsets wrap. So the fuzzer begins where mutations matter, behind valid checksums.
#include <set>

#include "base/assert.h"
#include "base/bytes.h"
#include "journal/journal.h"
#include "sim/seams/fake_disk.h"
#include "sim/seams/seeded_random.h"

namespace {

using namespace evodb;           // NOLINT(google-build-using-namespace)
using namespace evodb::journal;  // NOLINT(google-build-using-namespace)

constexpr JournalOptions options{.segment_bytes = 8192, .max_bytes = 8 * 8192};

struct Good {
  std::vector<std::pair<std::string, std::string>> files;
  std::set<std::string> payloads;
};

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
  for (const std::string& path : disk.paths()) good.files.emplace_back(path, disk.contents(path));
  return good;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Good good = make_good();
  auto files = good.files;
  base::ByteReader in({reinterpret_cast<const char*>(data), size});
  std::uint8_t file, value;
  std::uint16_t offset;
  while (in.u8(&file) && in.u16(&offset) && in.u8(&value)) {
    std::string& bytes = files[file % files.size()].second;
    if (file & 0x80) {
      bytes.resize(offset % (bytes.size() + 1));  // cut
      if (bytes.empty()) bytes.push_back(0);
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
    EVODB_ASSERT(good.payloads.contains(std::string(record.payload)), "invented a record");
  }
  const std::string_view part = "after";
  const auto appended = journal.append(RecordType::kBatch, {&part, 1});
  EVODB_ASSERT(appended.has_value() && journal.commit().has_value(), "does not work any more");
  EVODB_ASSERT(*cursor->next(&record) && record.payload == "after", "not served");
  return 0;
}
