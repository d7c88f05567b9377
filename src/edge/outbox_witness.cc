#include "edge/outbox_witness.h"

#include <cstring>
#include <utility>

#include <sqlite3.h>

#include "base/bytes.h"
#include "base/hash.h"

namespace evodb::edge {
namespace {

constexpr std::string_view magic = "EvODBwt1";
// log, epoch, trimmed, head, log_bytes behind the magic, then CRC32C of all before it.
constexpr std::size_t record_bytes = 8 + 5 * 8 + 4;
// Each record in a sector of its own: what tears one leaves the other.
constexpr sqlite3_int64 slot_bytes = 4096;

std::string encode(const Witnessed& seen) {
  std::string out(magic);
  for (const std::uint64_t field :
       {seen.log, seen.epoch.value, seen.trimmed.value, seen.head.value, seen.log_bytes}) {
    base::put_u64(out, field);
  }
  base::put_u32(out, base::crc32c(out));
  return out;
}

std::optional<Witnessed> decode(std::string_view bytes) {
  if (!bytes.starts_with(magic)) return std::nullopt;
  const std::string_view body = bytes.substr(0, record_bytes - 4);
  if (base::load_fixed<std::uint32_t>(bytes.data() + body.size()) != base::crc32c(body)) {
    return std::nullopt;
  }
  const auto field = [&](std::size_t i) {
    return base::load_fixed<std::uint64_t>(bytes.data() + magic.size() + i * 8);
  };
  return Witnessed{.log = field(0),
                   .epoch = Epoch(field(1)),
                   .trimmed = Lsn(field(2)),
                   .head = Lsn(field(3)),
                   .log_bytes = field(4)};
}

}  // namespace

Result<std::unique_ptr<OutboxWitness>> OutboxWitness::open(const std::string& vfs,
                                                           const std::string& database) {
  sqlite3_vfs* const files = sqlite3_vfs_find(vfs.empty() ? nullptr : vfs.c_str());
  if (files == nullptr) return fail(ErrorKind::kInvalid, "SQLite knows no VFS '" + vfs + "'");
  std::unique_ptr<OutboxWitness> witness(new OutboxWitness(database + "-head"));
  const std::string& path = witness->path_;
  witness->name_ = std::make_unique<char[]>(path.size() + 4);
  std::memcpy(witness->name_.get(), path.data(), path.size());
  witness->space_ = std::make_unique<char[]>(static_cast<std::size_t>(files->szOsFile));
  auto* const file = reinterpret_cast<sqlite3_file*>(witness->space_.get());
  // As a journal: SQLite gives those the owner and the rights of their database.
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MAIN_JOURNAL;
  int got = 0;
  const int code = files->xOpen(files, witness->name_.get(), file, flags, &got);
  if (file->pMethods != nullptr) witness->file_ = file;
  if (code != SQLITE_OK || (got & SQLITE_OPEN_READWRITE) == 0) {
    return fail((code & 0xff) == SQLITE_IOERR ? ErrorKind::kRetry : ErrorKind::kInvalid,
                "cannot open '" + path + "' for writing (" + sqlite3_errstr(code) +
                    "); check its and its directory's rights");
  }
  return witness;
}

OutboxWitness::~OutboxWitness() {
  if (file_ != nullptr) file_->pMethods->xClose(file_);
}

Result<std::optional<Witnessed>> OutboxWitness::slot(int index) {
  char bytes[record_bytes];
  const int code =
      file_->pMethods->xRead(file_, bytes, static_cast<int>(record_bytes), index * slot_bytes);
  if (code == SQLITE_IOERR_SHORT_READ) return std::optional<Witnessed>();
  if (code != SQLITE_OK) {
    return fail(ErrorKind::kRetry,
                "the disk of '" + path_ + "' failed: " + std::string(sqlite3_errstr(code)));
  }
  return decode({bytes, record_bytes});
}

Result<std::optional<Witnessed>> OutboxWitness::find(std::uint64_t log) {
  for (int index = 0; index < 2; ++index) {
    const auto seen = EVODB_TRY(slot(index));
    if (!seen || seen->log != log) continue;
    log_ = log;
    slot_ = index;
    return seen;
  }
  return std::optional<Witnessed>();
}

void OutboxWitness::write(const Witnessed& seen) {
  if (seen.log != log_) slot_ = 1 - slot_;
  log_ = seen.log;
  const std::string bytes = encode(seen);
  static_cast<void>(file_->pMethods->xWrite(file_, bytes.data(), static_cast<int>(bytes.size()),
                                            slot_ * slot_bytes));
}

}  // namespace evodb::edge
