#include "journal/cursor.h"

#include <algorithm>

namespace evodb::journal {

std::unexpected<Error> SegmentCursor::broken(ErrorKind kind, const std::string& what) {
  const Position first = segments_.first();
  failed_ = true;
  if (position_ < first) {
    // Also where a trimmed segment's file was reused under us and no longer holds what we look for.
    error_ = Error{ErrorKind::kInvalid, "journal position " + std::to_string(position_.value) +
                                            " was trimmed away; the oldest record held is at " +
                                            std::to_string(first.value)};
  } else {
    error_ = Error{kind, "journal " + segment_.path + " at position " +
                             std::to_string(position_.value) + ": " + what};
  }
  return fail(error_);
}

Result<bool> SegmentCursor::find_more() {
  // In this order: whatever is durable lies in a segment that the list knows by then.
  const Position durable(durable_end_.load(std::memory_order_acquire));
  bool trimmed = false;
  const LiveSegment now = segments_.find(position_, &trimmed);
  if (trimmed) return broken(ErrorKind::kInvalid, "trimmed");
  const bool another = file_ == nullptr || now.header.first != segment_.header.first;
  segment_ = now;
  if (position_ > durable) {
    return broken(ErrorKind::kInvalid, "behind the end, " + std::to_string(durable.value));
  }
  if (another) {
    file_.reset();
    chunk_size_ = 0;
    auto file = disk_.open(segment_.path, base::OpenMode::kRead);
    if (!file && file.error().kind == ErrorKind::kOverLimit) {
      return fail(ErrorKind::kRetry, std::move(file).error().text);  // somebody will close one
    }
    if (!file) return broken(file.error().kind, file.error().text);
    file_ = std::move(*file);
  }
  limit_ = segment_.active ? durable : std::min(durable, segment_.end);
  return position_ < limit_;
}

Result<void> SegmentCursor::fill(std::size_t n) {
  if (chunk_size_ != 0 && position_.value + n <= chunk_first_.value + chunk_size_) return {};
  const std::size_t wanted =
      std::min<std::size_t>(limit_.value - position_.value, std::max(n, chunk_bytes));
  if (chunk_.size() < wanted || chunk_.size() > 4 * std::max(wanted, chunk_bytes)) {
    chunk_ = std::string(wanted, '\0');
  }
  chunk_size_ = 0;
  auto got = file_->pread(segment_header_bytes + (position_.value - segment_.header.first.value),
                          chunk_.data(), wanted);
  if (!got) return broken(got.error().kind, got.error().text);
  chunk_first_ = position_;
  chunk_size_ = *got;
  if (chunk_size_ < n) return broken(ErrorKind::kCorrupt, "the file is shorter than it was");
  return {};
}

Result<bool> SegmentCursor::give(Record* record) {
  const std::uint64_t left = limit_.value - position_.value;
  const char* misplaced =
      "no valid record begins here; the file was damaged, or this is no record's position";
  if (left < record_header_bytes) return broken(ErrorKind::kCorrupt, misplaced);
  EVODB_TRY(fill(record_header_bytes));
  RecordHeader header;
  const char* at = chunk_.data() + (position_.value - chunk_first_.value);
  if (!load_record_header(at, segment_.header.salt, position_, &header) ||
      header.type == durable_mark) {
    return broken(ErrorKind::kCorrupt, misplaced);
  }
  const std::uint64_t total = record_header_bytes + padded(header.length);
  if (total > left) return broken(ErrorKind::kCorrupt, "the record is longer than what is durable");
  EVODB_TRY(fill(total));
  at = chunk_.data() + (position_.value - chunk_first_.value);
  const std::string_view payload(at + record_header_bytes, padded(header.length));
  if (payload_checksum(payload) != header.payload_crc) {
    return broken(ErrorKind::kCorrupt, "the record's checksum does not hold; it is not served");
  }
  record->type = header.type;
  record->position = position_;
  record->end = Position(position_.value + total);
  record->payload = payload.substr(0, header.length);
  position_ = record->end;
  return true;
}

Result<bool> SegmentCursor::next(Record* record) {
  if (failed_) return fail(error_);
  if (file_ == nullptr || position_ >= limit_) {
    if (!EVODB_TRY(find_more())) return false;
  }
  return give(record);
}

}  // namespace evodb::journal
