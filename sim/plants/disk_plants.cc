// Bugs below the journal: what reaches the disk, and what recovery makes of it.
#include <algorithm>

#include "journal/segment_format.h"
#include "sim/plants/plant_list.h"
#include "sim/plants/wraps.h"

namespace evodb::sim {
namespace {

template <class Wrap>
class DiskPlant final : public Plant {
 public:
  base::Disk& disk(base::Disk& real) override { return disks_.make(real); }

 private:
  Kept<Wrap> disks_;
};

// A disk whose files of a kind are wrapped in `File`.
template <class File>
class FilesWrap : public DiskWrap {
 public:
  using DiskWrap::DiskWrap;
  Result<std::unique_ptr<base::File>> open(const std::string& path, base::OpenMode mode) override {
    auto file = EVODB_TRY(real_.open(path, mode));
    if (!File::applies(path)) return file;
    return std::unique_ptr<base::File>(std::make_unique<File>(std::move(file)));
  }
};

bool is_segment(const std::string& path) {
  return path.ends_with(".seg") || path.ends_with(".spare") || path.ends_with("new.tmp");
}

// Each sync does the work of the one before it: what was written since is not on the platter when
// it is called durable.
struct SyncsLate final : FileWrap {
  using FileWrap::FileWrap;
  static bool applies(const std::string& path) { return is_segment(path); }
  Result<void> sync() override { return ++syncs_ % 2 == 0 ? real_->sync() : Result<void>(); }
  std::uint64_t syncs_ = 0;
};

// A sync that failed is tried again; the kernel has dropped the pages, so the second one succeeds.
struct RetriesSync final : FileWrap {
  using FileWrap::FileWrap;
  static bool applies(const std::string& path) { return is_segment(path); }
  Result<void> sync() override {
    if (real_->sync()) return {};
    return real_->sync();
  }
};

// A short write is taken for a whole one.
struct ShortWriteIgnored final : FileWrap {
  using FileWrap::FileWrap;
  static bool applies(const std::string& path) { return is_segment(path); }
  Result<void> pwrite(std::uint64_t offset, std::string_view bytes) override {
    (void)real_->pwrite(offset, bytes);
    return {};
  }
};

// Whatever payload stands behind a whole header counts as that record's: its checksum is made to
// fit when recovery reads it.
struct AcceptsTorn final : FileWrap {
  using FileWrap::FileWrap;
  static bool applies(const std::string& path) { return path.ends_with(".seg"); }
  Result<std::size_t> pread(std::uint64_t offset, char* into, std::size_t n) override {
    const std::size_t got = EVODB_TRY(real_->pread(offset, into, n));
    if (offset != 0 || got <= journal::segment_header_bytes) return got;
    const auto header = journal::decode_segment_header({into, journal::segment_header_bytes});
    if (!header) return got;
    std::size_t at = journal::segment_header_bytes;
    while (at + journal::record_header_bytes <= got) {
      journal::RecordHeader record;
      const Position position(header->first.value + at - journal::segment_header_bytes);
      if (!journal::load_record_header(into + at, header->salt, position, &record)) break;
      if (record.type == journal::durable_mark) break;
      const std::size_t payload = journal::padded(record.length);
      if (at + journal::record_header_bytes + payload > got) break;
      const std::string_view bytes(into + at + journal::record_header_bytes, payload);
      record.payload_crc = journal::payload_checksum(bytes);
      journal::store_record_header(into + at, record);
      at += journal::record_header_bytes + payload;
    }
    return got;
  }
};

// Names are not synced: a new segment may be gone although its bytes are not.
struct NamesUnsynced final : DiskWrap {
  using DiskWrap::DiskWrap;
  Result<void> sync_directory(const std::string&) override { return {}; }
};

// Recovery is content with the first segments.
struct StopsInTheMiddle final : DiskWrap {
  using DiskWrap::DiskWrap;
  Result<std::vector<std::string>> list(const std::string& path) override {
    auto names = EVODB_TRY(real_.list(path));
    const auto segments = std::ranges::count_if(
        names, [](const std::string& name) { return name.ends_with(".seg"); });
    auto left = std::max<std::ptrdiff_t>(1, segments / 2);
    std::erase_if(names,
                  [&](const std::string& name) { return name.ends_with(".seg") && left-- <= 0; });
    return names;
  }
};

// A checkpoint takes its place before its bytes are on the platter.
struct CheckpointUnsynced final : FileWrap {
  using FileWrap::FileWrap;
  static bool applies(const std::string& path) { return path.find("checkpoint") != path.npos; }
  Result<void> sync() override { return {}; }
};

}  // namespace

std::vector<PlantInfo> disk_plants() {
  return {
      {"ack-before-sync", "every other sync is left for later", "power",
       make_one<DiskPlant<FilesWrap<SyncsLate>>>},
      {"failed-sync-retried", "and the second sync succeeds, with nothing to write", "disk",
       make_one<DiskPlant<FilesWrap<RetriesSync>>>},
      {"short-write-ignored", "half a group counts as written", "disk",
       make_one<DiskPlant<FilesWrap<ShortWriteIgnored>>>},
      {"torn-record-accepted", "a record's checksum is not looked at", "power",
       make_one<DiskPlant<FilesWrap<AcceptsTorn>>>},
      {"directory-not-synced", "a new segment's name may vanish", "power",
       make_one<DiskPlant<NamesUnsynced>>},
      {"recovery-stops-early", "in the middle of the segments", "kills",
       make_one<DiskPlant<StopsInTheMiddle>>},
      {"checkpoint-not-synced", "renamed before its bytes are there", "power",
       make_one<DiskPlant<FilesWrap<CheckpointUnsynced>>>},
  };
}

}  // namespace evodb::sim
