#include "journal/segment_writer.h"

#include <algorithm>

namespace evodb::journal {
namespace {

const char zeros[256u << 10] = {};

}  // namespace

Result<void> SegmentWriter::resume(const SegmentHeader& header, std::uint64_t file_bytes) {
  header_ = header;
  file_ = EVODB_TRY(disk_.open(path(), base::OpenMode::kReadWrite));
  allocated_ = file_bytes;
  return {};
}

Result<void> SegmentWriter::begin(const SegmentHeader& header) {
  const std::string name = segment_name(header.first);
  const std::string made = directory_ + "/" + (spares_.empty() ? "new.tmp" : spares_.back());
  std::unique_ptr<base::File> file;
  std::uint64_t allocated = segment_header_bytes;
  if (spares_.empty()) {
    // Left over where an earlier attempt met a full disk.
    if (EVODB_TRY(disk_.exists(made))) EVODB_TRY(disk_.unlink(made));
    file = EVODB_TRY(disk_.open(made, base::OpenMode::kCreate));
  } else {
    file = EVODB_TRY(disk_.open(made, base::OpenMode::kReadWrite));
    allocated = std::max<std::uint64_t>(allocated, EVODB_TRY(file->size()));
  }
  EVODB_TRY(file->pwrite(0, encode_segment_header(header)));
  // From here on a failure is final, a full disk included: a sync must not be repeated.
  const auto finish = [&]() -> Result<void> {
    EVODB_TRY(file->sync());
    EVODB_TRY(disk_.rename(made, directory_ + "/" + name));
    return disk_.sync_directory(directory_);
  };
  if (auto finished = finish(); !finished) {
    return fail(ErrorKind::kInternal, std::move(finished.error().text));
  }
  if (!spares_.empty()) spares_.pop_back();
  file_ = std::move(file);
  header_ = header;
  allocated_ = allocated;
  return {};
}

Result<void> SegmentWriter::write(std::uint64_t offset, std::string_view bytes) {
  EVODB_TRY(file_->pwrite(offset, bytes));
  allocated_ = std::max<std::uint64_t>(allocated_, offset + bytes.size());
  return {};
}

Result<void> SegmentWriter::zero_ahead(std::uint64_t offset) {
  // Only when the file had to grow for this very group: then this sync pays for the file's new
  // size anyway, and the next chunk of records finds its blocks.
  if (allocated_ > offset + page_bytes || allocated_ >= header_.segment_bytes) return {};
  const std::uint64_t end = std::min(allocated_ + zero_chunk_bytes, header_.segment_bytes);
  while (allocated_ < end) {
    const std::size_t n = std::min<std::uint64_t>(sizeof zeros, end - allocated_);
    auto written = file_->pwrite(allocated_, {zeros, n});
    if (!written) {
      // Zeros are a convenience: a full disk matters only when records do not fit.
      if (written.error().kind == ErrorKind::kNoSpace) return {};
      return written;
    }
    allocated_ += n;
  }
  return {};
}

Result<void> SegmentWriter::retire(const std::string& path, std::uint64_t segment_bytes,
                                   bool keep) {
  keep = keep && spares_.size() < spares_max && segment_bytes == header_.segment_bytes;
  if (keep) {
    const std::string stem = path.substr(path.rfind('/') + 1, 16);
    EVODB_TRY(disk_.rename(path, directory_ + "/" + stem + ".spare"));
    spares_.push_back(stem + ".spare");
  } else {
    EVODB_TRY(disk_.unlink(path));
  }
  return disk_.sync_directory(directory_);
}

}  // namespace evodb::journal
