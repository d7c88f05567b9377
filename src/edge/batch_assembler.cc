#include "edge/batch_assembler.h"

#include "wire/frame.h"

namespace evodb::edge {
namespace {

std::size_t def_bytes_max(const wire::TableDef& def) {
  std::size_t bytes = 32 + def.name.size();
  for (const wire::ColumnDef& c : def.columns) {
    bytes += 16 + c.name.size() + c.declared_type.size();
  }
  return bytes;
}

}  // namespace

void BatchAssembler::begin_session() {
  refs_.clear();
  table_bytes_ = table_bytes_sent_ = 0;
  refs_sent_ = 0;
}

void BatchAssembler::begin_batch(Lsn previous, ChainHash chain) {
  writer_.reset(previous, chain);
  if (refs_.size() == refs_sent_) return;
  std::erase_if(refs_, [this](const auto& entry) { return entry.second >= refs_sent_; });
  table_bytes_ = table_bytes_sent_;
}

std::size_t BatchAssembler::encoded_bytes_max(const capture::OutboxChange& change) {
  constexpr std::size_t envelope_bytes_max = 1 + 5 + 3 * 10 + 1 + 4 * 5;
  return envelope_bytes_max + change.key.bytes.size() + change.before.bytes.size() +
         change.after.bytes.size() + change.reason.size();
}

std::size_t BatchAssembler::frame_bytes() const {
  return wire::frame_header_bytes + writer_.bytes();
}

bool BatchAssembler::fits(const capture::OutboxChange& change, const BatchLimits& limits) const {
  if (writer_.change_count() == 0) return true;
  if (writer_.change_count() >= limits.entries) return false;
  std::size_t bytes = frame_bytes() + encoded_bytes_max(change);
  if (!refs_.contains(change.table_fingerprint)) bytes += def_bytes_max(*change.table);
  return bytes <= limits.bytes;
}

bool BatchAssembler::add(const capture::OutboxChange& change) {
  auto found = refs_.find(change.table_fingerprint);
  if (found == refs_.end()) {
    const std::size_t bytes = def_bytes_max(*change.table);
    if (refs_.size() >= tables_max) return false;
    if (!refs_.empty() && table_bytes_ + bytes > table_bytes_max) return false;
    const auto ref = static_cast<std::uint32_t>(refs_.size());
    found = refs_.emplace(change.table_fingerprint, ref).first;
    table_bytes_ += bytes;
    writer_.add_table(ref, *change.table);
  }
  writer_.add_change(change.op, found->second, change.table_fingerprint, change.lsn, change.txn,
                     change.committed_at, change.key, change.before, change.after, change.reason);
  return true;
}

void BatchAssembler::finish(std::string& out) {
  const Lsn last = writer_.last_lsn();
  const ChainHash chain = writer_.chain();
  const std::size_t frame = wire::begin_frame(out, wire::FrameType::kBatch, 0);
  writer_.finish(out);
  wire::end_frame(out, frame);
  refs_sent_ = static_cast<std::uint32_t>(refs_.size());
  table_bytes_sent_ = table_bytes_;
  writer_.reset(last, chain);
}

}  // namespace evodb::edge
