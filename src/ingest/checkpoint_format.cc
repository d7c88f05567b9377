#include "ingest/checkpoint_format.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/limits.h"

namespace evodb::ingest {
namespace {

constexpr char magic[] = "EVCK";
constexpr std::uint32_t version = 2;
// Runs of unordered sources had ages, when these were forgotten after a while.
constexpr std::uint32_t version_with_ages = 1;
constexpr std::size_t crc_offset = 8;
constexpr std::uint8_t flag_chain_known = 1, flag_mark_rebuilt = 2;

std::unexpected<Error> malformed(const char* what) {
  return fail(ErrorKind::kCorrupt, std::string("the checkpoint of marks is damaged: ") + what);
}

bool read_mark(base::ByteReader& in, CheckpointMark* mark) {
  std::uint8_t flags = 0;
  if (!in.string(&mark->source, base::source_name_bytes_max) || !in.varint(&mark->epoch.value) ||
      !in.u8(&flags) || !in.varint(&mark->durable.value) || !in.varint(&mark->persisted.value) ||
      !in.u64(&mark->chain.value) || !in.varint(&mark->txn.value)) {
    return false;
  }
  mark->rebuilt = (flags & flag_mark_rebuilt) != 0;
  return flags <= (flag_chain_known | flag_mark_rebuilt);
}

bool read_unordered(base::ByteReader& in, bool ages, CheckpointContents::Unordered* source) {
  std::uint64_t runs = 0;
  const std::size_t run_bytes_min = ages ? 3 : 2;
  if (!in.string(&source->source, base::source_name_bytes_max) || !in.varint(&runs) ||
      runs > in.remaining() / run_bytes_min) {
    return false;
  }
  std::uint64_t at = 0;
  for (std::uint64_t i = 0; i < runs; ++i) {
    std::uint64_t gap = 0, more = 0, age = 0;
    if (!in.varint(&gap) || !in.varint(&more) || (ages && !in.varint(&age))) return false;
    if (gap > UINT64_MAX - at || more > UINT64_MAX - at - gap) return false;
    if (i > 0 && gap == 0 && !ages) return false;  // two runs that touch are one
    const std::uint64_t first = at + gap, last = first + more;
    if (last == UINT64_MAX && i + 1 != runs) return false;
    if (i > 0 && gap == 0) {
      source->runs.back().last = Lsn(last);
    } else {
      source->runs.push_back({Lsn(first), Lsn(last)});
    }
    at = last + 1;
  }
  return true;
}

bool read_copied(base::ByteReader& in, Lives::Copied* copied) {
  std::uint64_t copies = 0, since = 0;
  if (!in.string(&copied->source, base::source_name_bytes_max) || !in.u64(&copied->original) ||
      !in.varint(&copies) || copies > Lives::lives_max) {
    return false;
  }
  copied->copies.resize(copies);
  for (std::uint64_t& life : copied->copies) {
    if (!in.u64(&life)) return false;
  }
  if (!in.varint(&since) || !in.string(&copied->agent, Lives::agent_bytes_max)) return false;
  copied->since = UnixMillis(base::unzigzag(since));
  return true;
}

}  // namespace

CheckpointWriter::CheckpointWriter(journal::JournalId journal, Position position,
                                   std::uint64_t marks) {
  constexpr std::size_t mark_bytes_usual = 48;
  out_.reserve(64 + std::min<std::uint64_t>(marks, 1u << 26) * mark_bytes_usual);
  out_.append(magic, 4);
  base::put_u32(out_, version);
  base::put_u32(out_, 0);
  base::put_u64(out_, journal.value);
  base::put_u64(out_, position.value);
  base::put_varint(out_, marks);
}

void CheckpointWriter::add_mark(const CheckpointMark& mark) {
  // There may be millions of them, and the loop waits: two appends each.
  base::put_string(out_, mark.source);
  char raw[4 * base::varint_bytes_max + 1 + sizeof mark.chain.value];
  char* p = base::store_varint(raw, mark.epoch.value);
  *p++ = static_cast<char>(mark.rebuilt ? flag_mark_rebuilt : flag_chain_known);
  p = base::store_varint(p, mark.durable.value);
  p = base::store_varint(p, mark.persisted.value);
  base::store_fixed(p, mark.chain.value);
  p = base::store_varint(p + sizeof mark.chain.value, mark.txn.value);
  out_.append(raw, static_cast<std::size_t>(p - raw));
}

void CheckpointWriter::add_unordered(const UnorderedTable& table) {
  std::uint64_t count = 0;
  table.for_each([&](SourceIndex, std::string_view, std::uint64_t) { ++count; });
  base::put_varint(out_, count);
  table.for_each([&](SourceIndex id, std::string_view name, std::uint64_t runs) {
    base::put_string(out_, name);
    base::put_varint(out_, runs);
    std::uint64_t at = 0;
    table.for_each_run(id, [&](const LsnRun& run) {
      base::put_varint(out_, run.first.value - at);
      base::put_varint(out_, run.last.value - run.first.value);
      at = run.last.value + 1;
    });
  });
}

void CheckpointWriter::add_copied(const Lives& lives) {
  base::put_varint(out_, lives.sources_with_copies());
  lives.for_each_copied([&](const Lives::Copied& c) {
    base::put_string(out_, c.source);
    base::put_u64(out_, c.original);
    base::put_varint(out_, c.copies.size());
    for (const std::uint64_t life : c.copies) base::put_u64(out_, life);
    base::put_varint(out_, base::zigzag(c.since.value));
    base::put_string(out_, c.agent);
  });
}

std::string CheckpointWriter::finish() {
  base::store_fixed(out_.data() + crc_offset,
                    base::crc32c(std::string_view(out_).substr(crc_offset + 4)));
  return std::move(out_);
}

Result<CheckpointContents> read_checkpoint(std::string_view bytes) {
  if (bytes.size() < crc_offset + 4 || bytes.substr(0, 4) != magic) return malformed("no header");
  if (base::load_fixed<std::uint32_t>(bytes.data() + crc_offset) !=
      base::crc32c(bytes.substr(crc_offset + 4))) {
    return malformed("its checksum does not hold");
  }
  const auto found = base::load_fixed<std::uint32_t>(bytes.data() + 4);
  if (found != version && found != version_with_ages) {
    return fail(ErrorKind::kInvalid, "the checkpoint of marks has a later format");
  }
  base::ByteReader in(bytes.substr(crc_offset + 4));
  CheckpointContents contents;
  std::uint64_t marks = 0, unordered = 0;
  constexpr std::size_t mark_bytes_min = 14;
  in.u64(&contents.journal.value);
  in.u64(&contents.position.value);
  if (!in.varint(&marks) || marks > in.remaining() / mark_bytes_min) return malformed("marks");
  contents.marks.resize(marks);
  for (CheckpointMark& mark : contents.marks) {
    if (!read_mark(in, &mark)) return malformed("a mark");
  }
  if (!in.varint(&unordered) || unordered > in.remaining()) return malformed("unordered sources");
  for (std::uint64_t i = 0; i < unordered; ++i) {
    if (!read_unordered(in, found == version_with_ages, &contents.unordered.emplace_back())) {
      return malformed("an unordered source");
    }
  }
  std::uint64_t copied = 0;
  if (found != version_with_ages && (!in.varint(&copied) || copied > in.remaining())) {
    return malformed("sources with copies");
  }
  for (std::uint64_t i = 0; i < copied; ++i) {
    if (!read_copied(in, &contents.copied.emplace_back())) {
      return malformed("a source with copies");
    }
  }
  if (!in.at_end()) return malformed("bytes follow its end");
  return contents;
}

}  // namespace evodb::ingest
