// Wraps: each interface of the product that plants are put around, forwarded call by call. A plant
// overrides the one call that its bug is in.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/disk.h"
#include "base/loop.h"
#include "capture/outbox.h"
#include "ingest/ingest.h"
#include "journal/journal.h"
#include "lake/flush_machine.h"
#include "lake/lake.h"
#include "lake/landed_filter.h"
#include "store/store.h"
#include "table/catalog.h"

namespace evodb::sim {

class FileWrap : public base::File {
 public:
  explicit FileWrap(std::unique_ptr<base::File> real) : real_(std::move(real)) {}
  Result<void> pwrite(std::uint64_t offset, std::string_view bytes) override {
    return real_->pwrite(offset, bytes);
  }
  Result<std::size_t> pread(std::uint64_t offset, char* into, std::size_t n) override {
    return real_->pread(offset, into, n);
  }
  Result<void> sync() override { return real_->sync(); }
  Result<std::uint64_t> size() override { return real_->size(); }
  Result<void> truncate(std::uint64_t size) override { return real_->truncate(size); }

 protected:
  std::unique_ptr<base::File> real_;
};

class DiskWrap : public base::Disk {
 public:
  explicit DiskWrap(base::Disk& real) : real_(real) {}
  Result<std::unique_ptr<base::File>> open(const std::string& path, base::OpenMode mode) override {
    return real_.open(path, mode);
  }
  Result<bool> exists(const std::string& path) override { return real_.exists(path); }
  Result<void> rename(const std::string& from, const std::string& to) override {
    return real_.rename(from, to);
  }
  Result<void> unlink(const std::string& path) override { return real_.unlink(path); }
  Result<void> make_directories(const std::string& path) override {
    return real_.make_directories(path);
  }
  Result<void> sync_directory(const std::string& path) override {
    return real_.sync_directory(path);
  }
  Result<std::vector<std::string>> list(const std::string& path) override {
    return real_.list(path);
  }

 protected:
  base::Disk& real_;
};

class JournalWrap : public journal::Journal {
 public:
  explicit JournalWrap(std::unique_ptr<journal::Journal> real) : real_(std::move(real)) {}
  journal::JournalId id() const override { return real_->id(); }
  Result<Appended> append(journal::RecordType type,
                          std::span<const std::string_view> parts) override {
    return real_->append(type, parts);
  }
  Result<Appended> append_together(std::span<const journal::RecordParts> records) override {
    return real_->append_together(records);
  }
  std::uint64_t segment_of_next(std::size_t bytes) const override {
    return real_->segment_of_next(bytes);
  }
  std::size_t segment_space_bytes() const override { return real_->segment_space_bytes(); }
  Result<Position> commit() override { return real_->commit(); }
  bool has_pending() const override { return real_->has_pending(); }
  Position durable_end() const override { return real_->durable_end(); }
  Position appended_end() const override { return real_->appended_end(); }
  Position first() const override { return real_->first(); }
  bool trimmed() const override { return real_->trimmed(); }
  std::uint64_t held_bytes() const override { return real_->held_bytes(); }
  std::uint64_t free_bytes() const override { return real_->free_bytes(); }
  bool poisoned() const override { return real_->poisoned(); }
  std::unique_ptr<journal::JournalCursor> read_from(Position position) override {
    return real_->read_from(position);
  }
  Result<void> trim(Position position) override { return real_->trim(position); }

 protected:
  std::unique_ptr<journal::Journal> real_;
};

class IngestWrap : public ingest::Ingest {
 public:
  explicit IngestWrap(std::unique_ptr<ingest::Ingest> real) : real_(std::move(real)) {}
  Result<Position> restore_checkpoint(std::string_view bytes) override {
    return real_->restore_checkpoint(bytes);
  }
  Result<void> restore_persisted() override { return real_->restore_persisted(); }
  Result<void> replay(const journal::Record& record) override { return real_->replay(record); }
  void restore_landed(const std::vector<ingest::LandedMark>& marks) override {
    real_->restore_landed(marks);
  }
  std::string checkpoint() const override { return real_->checkpoint(); }
  Position checkpoint_position() const override { return real_->checkpoint_position(); }
  ingest::HelloOutcome on_hello(ingest::SessionId session, const wire::Hello& hello,
                                UnixMillis now) override {
    return real_->on_hello(session, hello, now);
  }
  ingest::BatchOutcome on_batch(ingest::SessionId session, std::string_view body,
                                std::size_t frame_bytes, UnixMillis now,
                                ingest::Effects& effects) override {
    return real_->on_batch(session, body, frame_bytes, now, effects);
  }
  Result<void> on_hello_unordered(ingest::SessionId session, std::string_view source) override {
    return real_->on_hello_unordered(session, source);
  }
  ingest::BatchOutcome on_batch_unordered(ingest::SessionId session,
                                          std::span<const std::string> bodies,
                                          std::size_t frame_bytes, std::uint64_t token,
                                          UnixMillis now, ingest::Effects& effects) override {
    return real_->on_batch_unordered(session, bodies, frame_bytes, token, now, effects);
  }
  void for_each_copied(
      const std::function<void(const ingest::Lives::Copied&)>& visit) const override {
    real_->for_each_copied(visit);
  }
  ingest::BatchLimits batch_limits() const override { return real_->batch_limits(); }
  void on_disconnect(ingest::SessionId session) override { real_->on_disconnect(session); }
  void on_landing_begins() override { real_->on_landing_begins(); }
  void on_all_landed(Position landed_through, ingest::Effects& effects) override {
    real_->on_all_landed(landed_through, effects);
  }
  void on_durable(Position durable_end, ingest::Effects& effects) override {
    real_->on_durable(durable_end, effects);
  }
  void on_persisted(std::string_view source, Epoch epoch, Lsn lsn,
                    ingest::Effects& effects) override {
    real_->on_persisted(source, epoch, lsn, effects);
  }
  void on_space(ingest::Effects& effects) override { real_->on_space(effects); }
  std::string save_sessions() override { return real_->save_sessions(); }
  Result<void> restore_sessions(std::string_view saved, const NewSessionId& new_id) override {
    return real_->restore_sessions(saved, new_id);
  }
  ingest::IngestStats stats() const override { return real_->stats(); }
  void for_each_source(const std::function<void(const ingest::SourceMark&)>& visit) const override {
    real_->for_each_source(visit);
  }

 protected:
  std::unique_ptr<ingest::Ingest> real_;
};

class LakeWrap : public lake::Lake {
 public:
  explicit LakeWrap(std::unique_ptr<lake::Lake> real) : real_(std::move(real)) {}
  void add_table(table::TableState state) override { real_->add_table(std::move(state)); }
  void set_landed_filter(std::unique_ptr<lake::LandedFilter> filter) override {
    real_->set_landed_filter(std::move(filter));
  }
  void add_waiting_table(const std::string& name, const std::string& location_key,
                         const Error& why) override {
    real_->add_waiting_table(name, location_key, why);
  }
  bool any_waits() const override { return real_->any_waits(); }
  bool last_is_aside() const override { return real_->last_is_aside(); }
  std::vector<std::string> last_definitions() const override { return real_->last_definitions(); }
  void release_aside() override { real_->release_aside(); }
  bool has_room() const override { return real_->has_room(); }
  Result<void> on_record(const journal::Record& record, UnixMillis wall,
                         base::MonotonicMillis now) override {
    return real_->on_record(record, wall, now);
  }
  std::unique_ptr<lake::FlushJob> next_flush(base::MonotonicMillis now) override {
    return real_->next_flush(now);
  }
  std::optional<base::MonotonicMillis> next_deadline() const override {
    return real_->next_deadline();
  }
  void on_flush_done(lake::FlushId flush, Result<table::TableState> result,
                     base::MonotonicMillis now) override {
    real_->on_flush_done(flush, std::move(result), now);
  }
  Position request_flush() override { return real_->request_flush(); }
  Position landed_through() const override { return real_->landed_through(); }
  void take_persisted(std::vector<lake::PersistedMark>* marks) override {
    real_->take_persisted(marks);
  }
  lake::LakeStats stats(base::MonotonicMillis now) const override { return real_->stats(now); }

 protected:
  std::unique_ptr<lake::Lake> real_;
};

class CatalogWrap : public table::Catalog {
 public:
  explicit CatalogWrap(table::Catalog& real) : real_(real) {}
  using Catalog::claim;
  Result<table::WriterEpoch> claim(table::WriterEpoch at_least) override {
    return real_.claim(at_least);
  }
  Result<table::WriterEpoch> claim_above(table::WriterEpoch held,
                                         table::WriterEpoch at_least) override {
    return real_.claim_above(held, at_least);
  }
  Result<std::vector<table::TableEntry>> list() override { return real_.list(); }
  Result<std::optional<std::string>> load(const std::string& table) override {
    return real_.load(table);
  }
  Result<void> swap(table::WriterEpoch writer, const std::string& table,
                    const std::optional<std::string>& expected,
                    const std::string& metadata_location) override {
    return real_.swap(writer, table, expected, metadata_location);
  }
  Result<std::optional<std::string>> property(const std::string& key) override {
    return real_.property(key);
  }
  Result<void> reopen() override { return real_.reopen(); }
  Result<void> set_property(table::WriterEpoch writer, const std::string& key,
                            const std::string& value) override {
    return real_.set_property(writer, key, value);
  }

 protected:
  table::Catalog& real_;
};

class EncoderWrap : public lake::FileEncoder {
 public:
  explicit EncoderWrap(lake::FileEncoder& real) : real_(real) {}
  Result<std::vector<lake::EncodedFile>> encode(const lake::FlushJob& job,
                                                std::uint64_t file_bytes_max) override {
    return real_.encode(job, file_bytes_max);
  }

 protected:
  lake::FileEncoder& real_;
};

class OutboxWrap : public capture::Outbox {
 public:
  explicit OutboxWrap(capture::Outbox& real) : real_(real) {}
  Result<capture::OutboxState> state() override { return real_.state(); }
  Result<void> read(Lsn after, capture::ChangeSink& sink) override {
    return real_.read(after, sink);
  }
  void resume_group(TxnId label) override { real_.resume_group(label); }
  Result<void> trim(Epoch epoch, Lsn through, ChainHash chain) override {
    return real_.trim(epoch, through, chain);
  }
  Result<Epoch> begin_epoch(Epoch at_least) override { return real_.begin_epoch(at_least); }
  Result<Epoch> begin_as(const std::string& source, Epoch at_least) override {
    return real_.begin_as(source, at_least);
  }
  Result<Lsn> head() override { return real_.head(); }
  bool wants_trim(Lsn acknowledged) override { return real_.wants_trim(acknowledged); }

 protected:
  capture::Outbox& real_;
};

class StoreWrap : public store::ObjectStore {
 public:
  explicit StoreWrap(store::ObjectStore& real) : real_(real) {}
  Result<void> put(const std::string& key, std::string_view bytes, store::PutMode mode) override {
    return real_.put(key, bytes, mode);
  }
  Result<void> put_all(std::span<const store::NewObject> objects) override {
    return real_.put_all(objects);
  }
  Result<std::string> get(const std::string& key) override { return real_.get(key); }
  Result<bool> holds(const std::string& key, std::string_view bytes) override {
    return real_.holds(key, bytes);
  }
  Result<void> remove(const std::string& key) override { return real_.remove(key); }
  Result<std::vector<store::ObjectInfo>> list(const std::string& prefix) override {
    return real_.list(prefix);
  }
  std::string location(const std::string& key) const override { return real_.location(key); }
  Result<std::string> key_of(const std::string& location) const override {
    return real_.key_of(location);
  }
  Result<bool> is_at(const std::string& location) override { return real_.is_at(location); }
  void spell_as(const std::string& location) override { real_.spell_as(location); }
  Result<void> check() override { return real_.check(); }

 protected:
  store::ObjectStore& real_;
};

class LoopWrap : public base::Loop {
 public:
  explicit LoopWrap(base::Loop& real) : real_(real) {}
  void post(std::function<void()> work) override { real_.post(std::move(work)); }
  base::Clock& clock() override { return real_.clock(); }
  base::TimerId after(std::int64_t delay_ms, std::function<void()> work) override {
    return real_.after(delay_ms, std::move(work));
  }
  void cancel(base::TimerId timer) override { real_.cancel(timer); }
  Result<std::string> listen(const std::string& address, base::StreamEvents& events) override {
    return real_.listen(address, events);
  }
  void stop_listening() override { real_.stop_listening(); }
  Result<base::StreamId> dial(const std::string& host, std::uint16_t port,
                              base::StreamEvents& events) override {
    return real_.dial(host, port, events);
  }
  std::size_t write(base::StreamId stream, std::string_view bytes) override {
    return real_.write(stream, bytes);
  }
  void pause_reading(base::StreamId stream, bool paused) override {
    real_.pause_reading(stream, paused);
  }
  void close(base::StreamId stream, bool abort) override { real_.close(stream, abort); }
  Result<void> rest_sockets(bool rest) override { return real_.rest_sockets(rest); }
  void give_stream(base::StreamId stream, base::StreamEvents& events) override {
    real_.give_stream(stream, events);
  }
  Result<std::string> give_listeners(base::StreamEvents& events) override {
    return real_.give_listeners(events);
  }

 protected:
  base::Loop& real_;
};

}  // namespace evodb::sim
