#include "journal/recovery.h"

#include <algorithm>

#include "base/bytes.h"

namespace evodb::journal {
namespace {

// Where reading a segment's records stops, and what was seen on the way.
struct Walk {
  std::size_t offset = segment_header_bytes;
  std::uint64_t records = 0;
  Position proven;
  bool clean = false;  // stopped at a durable mark
};

Position position_at(const SegmentHeader& header, std::size_t offset) {
  return Position(header.first.value + (offset - segment_header_bytes));
}

Walk walk_records(std::string_view bytes, const SegmentHeader& header) {
  Walk walk;
  walk.proven = header.first;  // a segment is made only after the one before it was synced
  while (bytes.size() - walk.offset >= record_header_bytes) {
    RecordHeader record;
    const char* at = bytes.data() + walk.offset;
    if (!load_record_header(at, header.salt, position_at(header, walk.offset), &record)) break;
    if (record.type == durable_mark) {
      walk.proven = std::max(walk.proven, record.position);
      walk.clean = true;
      break;
    }
    const std::size_t space = bytes.size() - walk.offset - record_header_bytes;
    if (padded(record.length) > space) break;
    const std::string_view payload(at + record_header_bytes, padded(record.length));
    if (payload_checksum(payload) != record.payload_crc) break;
    walk.proven = std::max(walk.proven, record.synced_through);
    walk.offset += record_header_bytes + payload.size();
    ++walk.records;
  }
  return walk;
}

// Headers of this segment's records at or behind an offset at which reading stopped.
struct Remains {
  Position proven;                // highest synced_through of any
  std::size_t proven_offset = 0;  // of the header that says so
  std::size_t headers_end = 0;    // behind the last header found; 0: none
  std::size_t records_end = 0;    // behind its payload
};

Remains search_remains(std::string_view bytes, const SegmentHeader& header, std::size_t from) {
  Remains remains;
  for (std::size_t o = from; o + record_header_bytes <= bytes.size(); o += record_alignment) {
    RecordHeader record;
    if (!load_record_header(bytes.data() + o, header.salt, position_at(header, o), &record)) {
      continue;
    }
    if (record.synced_through > remains.proven) {
      remains.proven = record.synced_through;
      remains.proven_offset = o;
    }
    remains.headers_end = o + record_header_bytes;
    if (record.type != durable_mark) {
      remains.records_end = std::min(bytes.size(), o + record_header_bytes + padded(record.length));
    }
  }
  return remains;
}

std::unexpected<Error> damaged(const std::string& path, const std::string& what) {
  return fail(ErrorKind::kCorrupt,
              "journal damaged: " + path + " " + what +
                  ". Nothing was changed. Restore the file from a copy, or move the journal "
                  "directory aside to begin a new journal: children that wait for persisted "
                  "resend what the lakehouse does not have.");
}

Result<std::vector<RecoveredSegment>> read_headers(base::Disk& disk, const std::string& directory,
                                                   std::vector<std::string> names) {
  std::vector<RecoveredSegment> segments;
  for (std::string& name : names) {
    const std::string path = directory + "/" + name;
    auto file = EVODB_TRY(disk.open(path, base::OpenMode::kRead));
    RecoveredSegment segment;
    segment.file_bytes = EVODB_TRY(file->size());
    std::string page(segment_header_bytes, '\0');
    page.resize(EVODB_TRY(file->pread(0, page.data(), page.size())));
    auto header = decode_segment_header(page);
    if (!header) {
      if (header.error().kind == ErrorKind::kInvalid) {
        return fail(ErrorKind::kInvalid, path + ": " + header.error().text);
      }
      return damaged(path, "is no segment: " + header.error().text);
    }
    segment.header = *header;
    Position named;
    parse_segment_name(name, &named);
    if (named != segment.header.first) {
      return damaged(path, "says that it begins at " + base::hex16(segment.header.first.value));
    }
    if (segment.file_bytes > segment.header.segment_bytes) {
      return damaged(path, "is longer than its header allows");
    }
    if (!segments.empty()) {
      const SegmentHeader& before = segments.back().header;
      if (segment.header.journal != before.journal) {
        return damaged(path, "belongs to another journal than " + segments.back().name);
      }
      if (segment.header.ordinal != before.ordinal + 1) {
        return damaged(path, "is number " + std::to_string(segment.header.ordinal) +
                                 " but follows number " + std::to_string(before.ordinal) +
                                 ": a segment is missing");
      }
    }
    segment.name = std::move(name);
    segments.push_back(std::move(segment));
  }
  return segments;
}

// Decides about the end of the log in the last segment; see the format's page for the four rules.
Result<void> read_tail(const std::string& path, std::string_view bytes, const Walk& walk,
                       const JournalOptions& options, RecoveredJournal& found) {
  RecoveredSegment& last = found.segments.back();
  const SegmentHeader& header = last.header;
  const Remains remains = search_remains(bytes, header, walk.offset);
  if (remains.proven > last.end) {
    return damaged(path, "has no valid record at offset " + std::to_string(walk.offset) +
                             ", but the one at offset " + std::to_string(remains.proven_offset) +
                             " proves that everything up to position " +
                             std::to_string(remains.proven.value) + " had been synced");
  }
  if (options.known_id == header.journal && options.known_durable > last.end) {
    return damaged(path, "ends at position " + std::to_string(last.end.value) +
                             ", but a checkpoint knows everything up to " +
                             std::to_string(options.known_durable.value) + " as durable");
  }
  found.proven = std::min(walk.proven, last.end);
  const std::size_t unproven_bytes = last.end.value - found.proven.value;
  found.unproven = bytes.substr(walk.offset - unproven_bytes, unproven_bytes);
  if (remains.records_end > walk.offset) found.torn_bytes = remains.records_end - walk.offset;
  const std::size_t slot_end = std::min(bytes.size(), walk.offset + record_header_bytes);
  const std::string_view slot = bytes.substr(walk.offset, slot_end - walk.offset);
  const bool blank = slot.find_first_not_of('\0') == std::string_view::npos;
  const bool only_the_mark = walk.clean && remains.headers_end <= slot_end;
  if ((!blank || remains.headers_end != 0) && !only_the_mark) {
    found.zero_from = walk.offset;
    found.zero_to = std::max(remains.headers_end, slot_end);
  }
  return {};
}

}  // namespace

Result<RecoveredJournal> read_journal(base::Disk& disk, const std::string& directory,
                                      const JournalOptions& options) {
  RecoveredJournal found;
  std::vector<std::string> segment_names;
  for (std::string& name : EVODB_TRY(disk.list(directory))) {
    Position first;
    if (parse_segment_name(name, &first)) {
      segment_names.push_back(std::move(name));
    } else if (name.ends_with(".spare")) {
      found.spares.push_back(std::move(name));
    } else if (name == "new.tmp") {
      found.leftovers.push_back(std::move(name));
    }
  }
  std::sort(segment_names.begin(), segment_names.end());
  found.segments = EVODB_TRY(read_headers(disk, directory, std::move(segment_names)));
  for (std::size_t i = 0; i < found.segments.size(); ++i) {
    RecoveredSegment& segment = found.segments[i];
    const std::string path = directory + "/" + segment.name;
    const std::string bytes = EVODB_TRY(base::read_whole_file(disk, path));
    if (bytes.size() < segment_header_bytes) return damaged(path, "became shorter meanwhile");
    const Walk walk = walk_records(bytes, segment.header);
    segment.end = position_at(segment.header, walk.offset);
    segment.records = walk.records;
    if (i + 1 == found.segments.size()) {
      EVODB_TRY(read_tail(path, bytes, walk, options, found));
    } else if (segment.end != found.segments[i + 1].header.first) {
      return damaged(path, "has no valid record at offset " + std::to_string(walk.offset) +
                               " (position " + std::to_string(segment.end.value) + "), but " +
                               found.segments[i + 1].name +
                               " exists, so it was synced up to there");
    }
  }
  return found;
}

Result<void> repair_journal(base::Disk& disk, const std::string& directory,
                            const RecoveredJournal& found) {
  for (const std::string& name : found.leftovers) {
    EVODB_TRY(disk.unlink(directory + "/" + name));
  }
  if (found.segments.empty()) return {};
  const RecoveredSegment& last = found.segments.back();
  auto file = EVODB_TRY(disk.open(directory + "/" + last.name, base::OpenMode::kReadWrite));
  if (found.zero_to > found.zero_from) {
    EVODB_TRY(file->pwrite(found.zero_from, std::string(found.zero_to - found.zero_from, '\0')));
  }
  if (!found.unproven.empty()) {
    // Written again, since an earlier life's sync of these pages may have failed: the kernel then
    // takes them for clean, and a sync alone would succeed without writing them.
    EVODB_TRY(file->pwrite(segment_header_bytes + (found.proven.value - last.header.first.value),
                           found.unproven));
  }
  EVODB_TRY(file->sync());
  return disk.sync_directory(directory);
}

}  // namespace evodb::journal
