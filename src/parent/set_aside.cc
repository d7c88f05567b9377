#include "parent/set_aside.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/limits.h"

namespace evodb::parent {
namespace {

constexpr std::string_view set_aside_magic = "EVODBSA1";
constexpr std::uint64_t header_bytes = 20;
// u32 length, u8 type, u64 position, u64 end; behind the payload a u32 CRC32C of all that.
constexpr std::size_t head_bytes = 21;
constexpr std::uint32_t payload_bytes_max = 1u << 30;
// A definition is written again so often: who reads forgets one that is further back.
constexpr std::uint64_t definition_reach_bytes = 256u << 20;

std::string encode(journal::RecordType type, Position position, Position end,
                   std::string_view payload) {
  std::string out;
  out.reserve(head_bytes + payload.size() + 4);
  base::put_u32(out, static_cast<std::uint32_t>(payload.size()));
  out.push_back(static_cast<char>(type));
  base::put_u64(out, position.value);
  base::put_u64(out, end.value);
  out += payload;
  base::put_u32(out, base::crc32c(out));
  return out;
}

struct Found {
  journal::RecordType type = journal::RecordType::kBatch;
  Position position, end;
  std::string payload;
  std::uint64_t next = 0;  // offset behind it
};

// The record at `offset`; false: none that is whole.
Result<bool> read_record(base::File& file, std::uint64_t offset, Found* found) {
  std::string bytes(head_bytes, '\0');
  if (EVODB_TRY(file.pread(offset, bytes.data(), head_bytes)) != head_bytes) return false;
  const auto length = base::load_fixed<std::uint32_t>(bytes.data());
  if (length > payload_bytes_max) return false;
  const std::size_t rest = std::size_t{length} + sizeof(std::uint32_t);
  bytes.resize(head_bytes + rest);
  if (EVODB_TRY(file.pread(offset + head_bytes, bytes.data() + head_bytes, rest)) != rest) {
    return false;
  }
  const std::string_view sealed = std::string_view(bytes).substr(0, head_bytes + length);
  if (base::load_fixed<std::uint32_t>(bytes.data() + sealed.size()) != base::crc32c(sealed)) {
    return false;
  }
  found->type = static_cast<journal::RecordType>(bytes[4]);
  found->position = Position(base::load_fixed<std::uint64_t>(bytes.data() + 5));
  found->end = Position(base::load_fixed<std::uint64_t>(bytes.data() + 13));
  found->payload = bytes.substr(head_bytes, length);
  found->next = offset + bytes.size();
  return true;
}

}  // namespace

class SetAside::Cursor final : public journal::JournalCursor {
 public:
  Cursor(SetAside& aside, Position from, std::unique_ptr<journal::JournalCursor> journal)
      : aside_(aside),
        file_(aside.file_),
        end_(aside.end_),
        from_(from),
        journal_(std::move(journal)) {}

  Result<bool> next(journal::Record* record) override {
    while (file_) {
      if (offset_ < end_ && !EVODB_TRY(read_record(*file_, offset_, &found_))) {
        return fail(ErrorKind::kCorrupt, "what was set aside for tables that wait (" +
                                             aside_.path() + ") is damaged at byte " +
                                             std::to_string(offset_));
      }
      if (offset_ >= end_ || found_.position >= from_) {
        file_.reset();
        aside_.cut(offset_, last_, last_end_);
        break;
      }
      offset_ = found_.next;
      if (found_.type == journal::RecordType::kBatch) {
        last_ = found_.position;
        last_end_ = found_.end;
      }
      position_ = found_.end;
      *record = {found_.type, found_.position, found_.end, found_.payload};
      return true;
    }
    return journal_->next(record);
  }
  Position position() const override { return file_ ? position_ : journal_->position(); }

 private:
  SetAside& aside_;
  std::shared_ptr<base::File> file_;
  const std::uint64_t end_;
  const Position from_;
  std::unique_ptr<journal::JournalCursor> journal_;
  std::uint64_t offset_ = header_bytes;
  Position position_;
  Position last_, last_end_;  // of the newest batch that came from the file
  Found found_;
};

Result<std::unique_ptr<SetAside>> SetAside::open(base::Disk& disk, const std::string& directory,
                                                 journal::JournalId journal,
                                                 std::uint64_t bytes_max) {
  std::unique_ptr<SetAside> opened(new SetAside(disk, directory, journal, bytes_max));
  EVODB_TRY(opened->recover());
  return opened;
}

Result<void> SetAside::recover() {
  if (!EVODB_TRY(disk_.exists(path()))) return {};
  file_ = EVODB_TRY(disk_.open(path(), base::OpenMode::kReadWrite));
  std::string header(header_bytes, '\0');
  const bool whole = EVODB_TRY(file_->pread(0, header.data(), header_bytes)) == header_bytes &&
                     std::string_view(header).starts_with(set_aside_magic) &&
                     base::load_fixed<std::uint32_t>(header.data() + 16) ==
                         base::crc32c(std::string_view(header).substr(0, 16));
  const bool ours = whole && base::load_fixed<std::uint64_t>(
                                 header.data() + set_aside_magic.size()) == journal_.value;
  if (!ours) return clear();
  end_ = header_bytes;
  for (Found found; EVODB_TRY(read_record(*file_, end_, &found));) {
    end_ = found.next;
    if (found.type != journal::RecordType::kBatch) continue;
    last_ = found.position;
    last_end_ = found.end;
  }
  EVODB_TRY(file_->truncate(end_));
  return file_->sync();
}

Result<void> SetAside::create() {
  std::string header(set_aside_magic);
  base::put_u64(header, journal_.value);
  base::put_u32(header, base::crc32c(header));
  EVODB_TRY(base::write_file_atomically(disk_, path(), header));
  file_ = EVODB_TRY(disk_.open(path(), base::OpenMode::kReadWrite));
  end_ = header_bytes;
  return {};
}

Result<bool> SetAside::append(const journal::Record& record,
                              const std::vector<std::string>& definitions) {
  if (end_ != 0 && record.position <= last_ && last_end_.value != 0) return true;
  if (is_full()) return false;
  if (end_ == 0) EVODB_TRY(create());
  if (has_tail_) {
    // Now, and for good: records that were cut must not follow upon newer ones after a crash.
    EVODB_TRY(file_->truncate(end_));
    EVODB_TRY(file_->sync());
    has_tail_ = false;
  }
  std::string bytes;
  for (const std::string& definition : definitions) {
    const auto [at, fresh] = defined_at_.try_emplace(base::xxh64(definition), 0);
    if (!fresh && record.position.value - at->second < definition_reach_bytes) continue;
    at->second = record.position.value;
    bytes += encode(journal::RecordType::kTableDef, record.position, record.position, definition);
  }
  bytes += encode(record.type, record.position, record.end, record.payload);
  auto written = file_->pwrite(end_, bytes);
  if (!written) {
    defined_at_.clear();  // what of them is there nobody knows
    return fail(std::move(written).error());
  }
  end_ += bytes.size();
  last_ = record.position;
  last_end_ = record.end;
  synced_ = false;
  return true;
}

void SetAside::cut(std::uint64_t end, Position last, Position last_end) {
  if (end == end_) return;
  end_ = end;
  last_ = last;
  last_end_ = last_end;
  has_tail_ = true;
  defined_at_.clear();
}

Result<void> SetAside::sync() {
  if (synced_) return {};
  EVODB_TRY(file_->sync());
  synced_ = true;
  return {};
}

Result<void> SetAside::clear() {
  file_.reset();
  end_ = 0;
  has_tail_ = false;
  last_ = last_end_ = Position();
  synced_ = true;
  defined_at_.clear();
  if (!EVODB_TRY(disk_.exists(path()))) return {};
  EVODB_TRY(disk_.unlink(path()));
  return disk_.sync_directory(directory_);
}

std::unique_ptr<journal::JournalCursor> SetAside::cursor_before(
    Position from, std::unique_ptr<journal::JournalCursor> journal) {
  if (end_ == 0) return journal;
  return std::make_unique<Cursor>(*this, from, std::move(journal));
}

}  // namespace evodb::parent
