#include "bench/codec.h"

#include <charconv>
#include <chrono>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "bench/quantile.h"
#include "bench/rows.h"
#include "gate/v1_rows.h"
#include "wire/change.h"
#include "wire/frame.h"
#include "wire/v1/codec.h"
#include "wire/v1/text.h"

namespace evodb::bench {

namespace {

std::unexpected<Error> wrong(const char* what) {
  return fail(ErrorKind::kInternal, std::string("the codec benchmark's check failed: ") + what);
}

void put_shortest(std::string& out, double value) {
  char text[32];
  out.append(text, std::to_chars(text, text + sizeof text, value).ptr);
}

// What a pass gives, so that no compiler can leave it out.
volatile std::uint64_t sink;

class Codecs {
 public:
  explicit Codecs(const CodecOptions& options)
      : options_(options), table_(load_table(options.rows)), fingerprint_(table_.fingerprint()) {
    RowMaker rows(options.rows);
    const std::uint64_t n = std::uint64_t{options.frames} * options.batch_entries;
    for (std::uint64_t lsn = 1; lsn <= n; ++lsn) {
      std::vector<Value> row;
      ValueView value;
      for (wire::ValuesReader values(rows.row(lsn)); values.next(&value);) row.emplace_back(value);
      rows_.push_back(std::move(row));
    }
    for (std::uint32_t i = 0; i < options.frames; ++i) {
      chains_.push_back(writer_.chain());
      encode(i, frames_.emplace_back());
      make_v1(i);
    }
  }

  void encode(std::uint32_t number, std::string& frame) {
    const std::uint64_t before = std::uint64_t{number} * options_.batch_entries;
    writer_.reset(Lsn(before), chains_[number]);
    const auto columns = static_cast<std::uint32_t>(table_.columns.size());
    for (std::uint64_t lsn = before + 1; lsn <= before + options_.batch_entries; ++lsn) {
      values_.clear();
      for (const Value& value : rows_[lsn - 1]) wire::put_value(values_, value.view());
      writer_.add_change(Op::kInsert, 0, fingerprint_, Lsn(lsn),
                         TxnId(before + options_.batch_entries), time_of(lsn), {}, {},
                         {true, columns, values_});
    }
    frame.clear();
    const std::size_t start = wire::begin_frame(frame, wire::FrameType::kBatch, 0);
    writer_.finish(frame);
    wire::end_frame(frame, start);
  }

  // `see` gets every value: (its row's LSN, its column, it).
  template <class See>
  Result<void> decode(std::uint32_t number, bool checks, See see) {
    std::string_view body = std::string_view(frames_[number]).substr(wire::frame_header_bytes);
    if (checks) body = EVODB_TRY(wire::open_frame(frames_[number])).body;
    wire::BatchReader reader(body);
    ChainHash chain = chains_[number];
    wire::ChangeView change;
    while (reader.next(&change)) {
      if (checks) chain = wire::fold(chain, fingerprint_, change);
      ValueView value;
      std::size_t column = 0;
      for (wire::ValuesReader values(change.after); values.next(&value);) {
        see(change.lsn.value, column++, value);
      }
    }
    EVODB_TRY(reader.status());
    if (checks && chain != reader.header().chain_after) return wrong("the chain hash");
    return {};
  }

  Result<void> check() {
    for (std::uint32_t i = 0; i < options_.frames; ++i) {
      std::string frame;
      encode(i, frame);
      if (frame != frames_[i]) return wrong("a frame encoded twice");
      std::uint64_t seen = 0, different = 0;
      EVODB_TRY(decode(i, true, [&](std::uint64_t lsn, std::size_t column, const ValueView& v) {
        ++seen;
        if (column >= rows_[lsn - 1].size() || !(rows_[lsn - 1][column].view() == v)) ++different;
      }));
      const std::size_t expected = table_.columns.size() * options_.batch_entries;
      if (different != 0 || seen != expected) return wrong("decoded values");
      if (EVODB_TRY(v1_binary(i)) != v1_rows_bytes_[i]) return wrong("wire v1, binary");
      if (EVODB_TRY(v1_json(i)) != v1_rows_bytes_[i]) return wrong("wire v1, JSON");
      EVODB_TRY(check_translated(i));
    }
    return {};
  }

  void copy(std::uint32_t i) {
    copied_.resize(frames_[i].size());
    std::memcpy(copied_.data(), frames_[i].data(), frames_[i].size());
    asm volatile("" : : "r"(copied_.data()) : "memory");
  }
  void encode_again(std::uint32_t i) {
    encode(i, scratch_);
    sink = sink + scratch_.size();
  }
  void decode_again(std::uint32_t i, bool checks) {
    std::uint64_t sum = 0;
    const auto add = [&](std::uint64_t, std::size_t, const ValueView& value) {
      sum += static_cast<std::uint64_t>(value.integer) + value.bytes.size();
    };
    if (decode(i, checks, add)) sink = sink + sum;
  }

  // Both give the bytes of all rows.
  Result<std::size_t> v1_binary(std::uint32_t i) {
    wire::V1BatchReader reader(v1_binary_[i]);
    wire::V1Entry entry;
    std::size_t bytes = 0;
    while (reader.next(&entry)) bytes += entry.after.size();
    EVODB_TRY(reader.status());
    sink = sink + bytes;
    return bytes;
  }
  Result<std::size_t> v1_json(std::uint32_t i) {
    const auto read = EVODB_TRY(wire::read_v1_text_batch(v1_json_[i]));  // as a parent does
    std::size_t bytes = 0;
    for (const auto& row : read.rows) bytes += row.after.size();
    sink = sink + bytes;
    return bytes;
  }
  Result<gate::V1Batch> v1_to_v2(std::uint32_t i) {
    entries_.clear();
    wire::V1BatchReader reader(v1_binary_[i]);
    gate::V1RowEntry entry;
    while (reader.next(&entry)) {
      ++entry.number;
      entries_.push_back(entry);
    }
    EVODB_TRY(reader.status());
    gate::V1Batch batch = translator_.translate(entries_, v1_tables_);
    if (batch.rejected != 0 || batch.bodies.size() != 1) return wrong("wire v1: an entry rejected");
    sink = sink + batch.bodies[0].size();
    return batch;
  }

  double bytes_per_entry() const {
    std::size_t bytes = 0;
    for (const std::string& frame : frames_) bytes += frame.size();
    return static_cast<double>(bytes) / static_cast<double>(rows_.size());
  }

 private:
  static UnixMillis time_of(std::uint64_t lsn) {
    return UnixMillis(1'700'000'000'000 + static_cast<std::int64_t>(lsn));
  }

  void make_v1(std::uint32_t number) {
    std::vector<std::string> texts;
    std::vector<wire::V1Entry> entries;
    wire::V1TextBatch text;
    text.timestamp = time_of(0);
    text.source = "codec";
    const std::uint64_t before = std::uint64_t{number} * options_.batch_entries;
    texts.reserve(options_.batch_entries);
    std::size_t bytes = 0;
    for (std::uint64_t lsn = before + 1; lsn <= before + options_.batch_entries; ++lsn) {
      std::string json = "{";
      for (std::size_t column = 0; column < table_.columns.size(); ++column) {
        if (column != 0) json += ",";
        json += "\"" + table_.columns[column].name + "\":";
        const ValueView value = rows_[lsn - 1][column].view();
        switch (value.storage_class) {
          case StorageClass::kInteger: json += std::to_string(value.integer); break;
          case StorageClass::kReal: put_shortest(json, value.real); break;
          default: json += "\"" + std::string(value.bytes) + "\"";
        }
      }
      texts.push_back(json + "}");
      bytes += texts.back().size();
      entries.push_back({.sequence = lsn,
                         .timestamp = time_of(lsn),
                         .table = table_.name,
                         .row_id = "row",
                         .after = texts.back()});
      text.entries.push_back({.sequence = lsn,
                              .timestamp = time_of(lsn),
                              .op = Op::kInsert,
                              .table = table_.name,
                              .row_id = "row",
                              .before = {},
                              .after = texts.back()});
    }
    const wire::V1BatchHeader header{
        .timestamp = time_of(0), .batch_sequence = number + 1, .source = "codec"};
    wire::encode_v1_batch(v1_binary_.emplace_back(), header, entries);
    v1_json_.push_back(wire::encode_v1_text(text));
    v1_rows_bytes_.push_back(bytes);
  }

  Result<void> check_translated(std::uint32_t i) {
    const gate::V1Batch batch = EVODB_TRY(v1_to_v2(i));
    wire::BatchReader reader(batch.bodies[0]);
    std::uint32_t ref = 0;
    for (wire::TableDef def; reader.next_table(&ref, &def);) {
    }
    wire::ChangeView change;
    while (reader.next(&change)) {
      ValueView value;
      std::size_t column = 0;
      for (wire::ValuesReader values(change.after); values.next(&value); ++column) {
        if (column >= table_.columns.size()) return wrong("columns of wire v1 as wire v2");
        const ValueView expected = rows_[change.lsn.value - 1][column].view();
        // 7.0 is 7 in JSON.
        if (expected.storage_class == StorageClass::kReal) continue;
        if (!(value == expected)) {
          return wrong("a row of wire v1 as wire v2");
        }
      }
    }
    if (batch.entries != options_.batch_entries) return wrong("rows of wire v1 as wire v2");
    return reader.status();
  }

  const CodecOptions options_;
  const wire::TableDef table_;
  const std::uint64_t fingerprint_;
  std::vector<std::vector<Value>> rows_;  // LSN 1, 2, ...
  std::vector<ChainHash> chains_;         // before each frame
  std::vector<std::string> frames_, v1_binary_, v1_json_;
  std::vector<std::size_t> v1_rows_bytes_;
  wire::BatchWriter writer_;
  std::string values_, scratch_, copied_;
  std::vector<gate::V1RowEntry> entries_;
  gate::V1Tables v1_tables_;
  gate::V1RowTranslator translator_;
};

}  // namespace

Result<CodecFigures> measure_codecs(const CodecOptions& options) {
  using SteadyClock = std::chrono::steady_clock;
  Codecs codecs(options);
  EVODB_TRY(codecs.check());
  CodecFigures figures;
  figures.frame_bytes_per_entry = codecs.bytes_per_entry();

  struct Kind {
    double* figure;
    std::function<void(std::uint32_t)> frame;
    std::uint32_t every;  // the slow ones run in fewer passes
  };
  const Kind kinds[] = {
      {&figures.memcpy_ns, [&](std::uint32_t i) { codecs.copy(i); }, 1},
      {&figures.encode_ns, [&](std::uint32_t i) { codecs.encode_again(i); }, 1},
      {&figures.decode_ns, [&](std::uint32_t i) { codecs.decode_again(i, true); }, 1},
      {&figures.views_ns, [&](std::uint32_t i) { codecs.decode_again(i, false); }, 1},
      {&figures.v1_binary_ns, [&](std::uint32_t i) { (void)codecs.v1_binary(i); }, 4},
      {&figures.v1_json_ns, [&](std::uint32_t i) { (void)codecs.v1_json(i); }, 16},
      {&figures.v1_to_v2_ns, [&](std::uint32_t i) { (void)codecs.v1_to_v2(i); }, 16},
  };
  std::vector<std::vector<double>> times(std::size(kinds));
  const double entries = static_cast<double>(options.frames) * options.batch_entries;
  for (std::uint32_t pass = 0; pass < options.passes; ++pass) {
    for (std::size_t kind = 0; kind < std::size(kinds); ++kind) {
      if (pass % kinds[kind].every != 0) continue;
      const auto begun = SteadyClock::now();
      for (std::uint32_t i = 0; i < options.frames; ++i) kinds[kind].frame(i);
      const std::chrono::duration<double, std::nano> took = SteadyClock::now() - begun;
      times[kind].push_back(took.count() / entries);
    }
  }
  for (std::size_t kind = 0; kind < std::size(kinds); ++kind) {
    *kinds[kind].figure = quantile(times[kind], 0.5);
  }
  return figures;
}

}  // namespace evodb::bench
