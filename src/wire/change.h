// Changes as they lie in a batch: views, decoded in place, nothing copied and nothing allocated.
//
//   BatchReader reader(body);
//   ChangeView change;
//   while (reader.next(&change)) {
//     for (ValuesReader row(change.after); row.next(&value);) ...
//   }
//   if (!reader.status()) ...           // malformed: nothing of it may be used
//
// Formats: docs/formats/wire-v2.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "evodb/result.h"
#include "evodb/types.h"
#include "evodb/value.h"
#include "wire/table_def.h"
#include "wire/value_codec.h"

namespace evodb::wire {

// An encoded list of values: `count` of them in `bytes`. Absent is not the same as empty.
struct ValuesView {
  bool present = false;
  std::uint32_t count = 0;
  std::string_view bytes;
};

// Walks a ValuesView. next() is false at the end or at the first malformed value (then !ok()).
class ValuesReader {
 public:
  explicit ValuesReader(const ValuesView& values)
      : p_(values.bytes.data()), end_(p_ + values.bytes.size()), left_(values.count) {}
  bool next(ValueView* value) {
    if (left_ == 0 || !ok_) {
      ok_ = ok_ && p_ == end_;  // more bytes than values: malformed
      return false;
    }
    ValueView read;
    const char* const behind = read_value(p_, end_, &read);
    if (behind == nullptr) return ok_ = false;
    p_ = behind;
    --left_;
    *value = read;
    return true;
  }
  bool ok() const { return ok_; }
  // All values were given, and nothing follows them.
  bool at_end() const { return left_ == 0 && ok_ && p_ == end_; }

 private:
  const char* p_;
  const char* end_;
  std::uint32_t left_;
  bool ok_ = true;
};
// Whether these are just so many values: for lists that come from elsewhere than a BatchReader.
bool is_well_formed(const ValuesView& values);

void put_value(std::string& out, ValueView value);

struct ChangeView {
  Op op = Op::kInsert;
  std::uint32_t table_ref = 0;  // this session's number of a TableDef
  Lsn lsn;
  TxnId txn;
  UnixMillis committed_at;
  ValuesView key;     // present only where the row itself does not hold it (wire v1, Op::kOversize)
  ValuesView before;  // UPDATE, DELETE
  ValuesView after;   // INSERT, UPDATE, SNAPSHOT
  std::string_view reason;   // carries_reason(op): why
  std::string_view content;  // the encoded presence bits, key, before, after (and reason): what the
                             // chain covers
};

// Folds a change into the running hash of its (source, epoch). Covers op, table definition, LSN,
// commit time and content; not the transaction id, which is a label that a restarted child may
// not know again. Independent of batch boundaries and of a session's table numbers.
ChainHash fold(ChainHash chain, std::uint64_t table_fingerprint, const ChangeView& change);

// The body of a batch frame, after the frame's header.
struct BatchHeader {
  Lsn previous_lsn;  // of the change before the first one here, 0 at an epoch's start
  Lsn first_lsn;
  Lsn last_lsn;
  ChainHash chain_after;  // after the last change
  std::uint32_t change_count = 0;
};

class BatchReader {
 public:
  // `body` outlives the reader and every view that it gives.
  explicit BatchReader(std::string_view body);
  const BatchHeader& header() const { return header_; }
  // The definitions that this batch brings, decoded: (table_ref, def). Read them first: next()
  // refuses to start before. False at their end.
  bool next_table(std::uint32_t* table_ref, TableDef* def);
  // Offset in the body at which the changes begin (behind the definitions).
  std::size_t changes_offset() const;
  // Checks order (LSNs strictly grow and lie within the header's), counts, and every value's
  // encoding. False at the end or at the first fault.
  bool next(ChangeView* change) { return next_open(change) && close(change); }
  // For who reads every value anyway, and would rather not have it read twice: as next(), but where
  // a change has an `after`, the last of its lists, nobody has looked at that yet: `after.bytes`
  // begins with its values and goes on to the body's end, and `content` is empty. Before the next
  // call comes close(), or close_at() with where its values end; of a closed change they do
  // nothing.
  bool next_open(ChangeView* change);
  bool close(ChangeView* change);
  // False, and a fault, if `end` is nullptr: a value was malformed.
  bool close_at(ChangeView* change, const char* end);
  // The content of the open change has at most so many bytes.
  std::size_t content_bytes_max() const {
    return static_cast<std::size_t>(in_.here() - content_) + in_.remaining();
  }
  // ok, or kInvalid with what is wrong and where. Meaningful once next() gave false.
  Result<void> status() const;

 private:
  bool at_end();                          // false; sets the fault that only shows there
  bool set_fault(std::string_view what);  // false
  bool set_change_fault(std::string_view what);

  base::ByteReader in_;
  BatchHeader header_;
  std::uint32_t tables_left_ = 0;
  std::uint32_t changes_left_ = 0;
  std::size_t changes_offset_ = 0;
  const char* content_ = nullptr;  // of the open change; nullptr: none is open
  Lsn last_;
  TxnId txn_;
  UnixMillis time_;
  bool faulty_ = false;
  std::string fault_;
};

// Builds a batch body. Reused from batch to batch: reset() keeps its memory.
//
//   writer.reset(previous_lsn, chain);
//   writer.add_table(ref, def);                   // only those this session has not sent
//   writer.add_change(Op::kInsert, ref, def.fingerprint(), lsn, txn, time, {}, {}, after);
//   std::string body = writer.finish();           // values: encoded by put_value
//   writer.finish(out);                           // the same, between begin_frame and end_frame
class BatchWriter {
 public:
  void reset(Lsn previous_lsn, ChainHash chain);
  void add_table(std::uint32_t table_ref, const TableDef& def);
  // REQUIRES: lsn greater than the one before.
  void add_change(Op op, std::uint32_t table_ref, std::uint64_t table_fingerprint, Lsn lsn,
                  TxnId txn, UnixMillis committed_at, const ValuesView& key,
                  const ValuesView& before, const ValuesView& after, std::string_view reason = {});
  std::uint32_t change_count() const { return change_count_; }
  std::size_t bytes() const;  // of the body, if finished now
  ChainHash chain() const { return chain_; }
  Lsn last_lsn() const { return last_; }
  // Appends the body; the writer must be reset() before it is used again.
  // REQUIRES: change_count() > 0.
  void finish(std::string& out);
  std::string finish();

 private:
  std::size_t header_bytes() const;

  std::string tables_;
  std::string changes_;
  std::uint32_t table_count_ = 0;
  std::uint32_t change_count_ = 0;
  Lsn previous_, first_, last_;
  TxnId txn_;
  UnixMillis time_;
  ChainHash chain_;
};

}  // namespace evodb::wire
