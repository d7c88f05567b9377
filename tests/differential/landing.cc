// landing: cases are JSON: a batch of one source's changes for one table, or {"flush": true}, which
// lands what came. The directory gets a warehouse and a catalog.db, for readers to look into.
//
//   {"source": "s", "epoch": 1, "table": {"name": "t", "columns": [["id", "INTEGER", 1], ...]},
//    "changes": [{"op": 0, "lsn": 5, "before": [value, ...], "after": [...], "at": ms,
//                 "reason": "why a table begins anew"}]}
//   value: ["null"], ["integer", "-5"], ["real", bits], ["text", hex], ["blob", hex],
//          ["boolean", true], as in vectors/README.md
#include <nlohmann/json.hpp>

#include "base/posix/system_clock.h"
#include "differential.h"
#include "ingest/batch_record.h"
#include "lake/flush_machine.h"
#include "lake/lake.h"
#include "lake/parquet_encoder.h"
#include "store/local_store.h"
#include "table/catalog.h"
#include "table/io.h"
#include "wire/change.h"

namespace evodb::differential {
namespace {

using Json = nlohmann::json;

std::string bytes_of(const std::string& hexadecimal) {
  std::string out;
  for (std::size_t i = 0; i + 1 < hexadecimal.size(); i += 2) {
    out.push_back(static_cast<char>(std::stoi(hexadecimal.substr(i, 2), nullptr, 16)));
  }
  return out;
}

void put(std::string& out, const Json& value) {
  const std::string kind = value[0];
  if (kind == "null") return wire::put_value(out, ValueView::null());
  if (kind == "boolean") return wire::put_value(out, ValueView::of_boolean(value[1].get<bool>()));
  const std::string text = value[1];
  if (kind == "integer") return wire::put_value(out, ValueView::of_integer(std::stoll(text)));
  if (kind == "real") {
    const double real = std::bit_cast<double>(std::uint64_t{std::stoull(text, nullptr, 16)});
    return wire::put_value(out, ValueView::of_real(real));
  }
  const std::string bytes = bytes_of(text);
  wire::put_value(out, kind == "text" ? ValueView::of_text(bytes) : ValueView::of_blob(bytes));
}

wire::ValuesView values(const Json& change, const char* name, std::string& bytes) {
  if (!change.contains(name) || change[name].is_null()) return {};
  for (const Json& value : change[name]) put(bytes, value);
  return {true, static_cast<std::uint32_t>(change[name].size()), bytes};
}

class Lakehouse {
 public:
  explicit Lakehouse(const std::string& directory)
      : store_(*store::LocalStore::open(directory + "/warehouse")),
        catalog_(*table::open_sqlite_catalog(directory + "/catalog.db", "evodb", "evodb")),
        lake_(lake::Lake::create({}, {"parent", *catalog_->claim(), journal::JournalId(1)})) {}

  void add(const Json& batch) {
    wire::TableDef def{.name = batch["table"]["name"]};
    for (const Json& c : batch["table"]["columns"]) def.columns.push_back({c[0], c[1], c[2]});
    std::string payload;
    wire::encode_table_def(payload, def);
    record(journal::RecordType::kTableDef, payload);
    wire::BatchWriter writer;
    const auto& changes = batch["changes"];
    writer.reset(Lsn(changes[0]["lsn"].get<std::uint64_t>() - 1), ChainHash());
    for (const Json& c : changes) {
      std::string before, after;
      const auto before_values = values(c, "before", before);
      const auto after_values = values(c, "after", after);
      writer.add_change(static_cast<Op>(c["op"].get<int>()), 0, def.fingerprint(),
                        Lsn(c["lsn"].get<std::uint64_t>()), TxnId(c["lsn"].get<std::uint64_t>()),
                        UnixMillis(c["at"].get<std::int64_t>()), {}, before_values, after_values,
                        c.value("reason", ""));
    }
    const Lsn last = writer.last_lsn();
    const std::string body = writer.finish();
    const std::string source = batch["source"];
    payload.clear();
    ingest::encode_batch_record_prefix(payload,
                                       {.source = source,
                                        .epoch = Epoch(batch.value("epoch", 1u)),
                                        .received_at = UnixMillis(1'700'000'000'456),
                                        .last_lsn = last,
                                        .change_count = static_cast<std::uint32_t>(changes.size()),
                                        .tables = {{0, def.fingerprint()}}});
    record(journal::RecordType::kBatch, payload + body);
  }
  std::string flush() {
    lake_->request_flush();
    while (auto job = lake_->next_flush(clock_.monotonic())) {
      lake::FlushMachine machine(std::move(job), encoder_, *store_, clock_, random_, {});
      for (auto step = machine.next(); step.io; step = machine.next()) {
        machine.on_response(table::perform(*store_, *catalog_, *step.io));
      }
      const auto outcome = machine.outcome();
      if (!outcome) return outcome.error().text;
      lake_->on_flush_done(machine.id(), outcome, clock_.monotonic());
    }
    return "";
  }
  std::string trouble;

 private:
  void record(journal::RecordType type, std::string_view payload) {
    const Position end(end_.value + payload.size() + 40);
    const auto done =
        lake_->on_record({type, end_, end, payload}, UnixMillis(0), clock_.monotonic());
    if (!done) trouble = done.error().text;
    end_ = end;
  }

  base::SystemClock clock_;
  base::SystemRandom random_;
  std::unique_ptr<store::LocalStore> store_;
  std::unique_ptr<table::Catalog> catalog_;
  lake::ParquetEncoder encoder_;
  std::unique_ptr<lake::Lake> lake_;
  Position end_;
};

}  // namespace

int landing(const char* directory) {
  Lakehouse lakehouse(directory);
  for (std::string input; next_case(&input);) {
    const Json said = Json::parse(input);
    if (said.contains("flush")) {
      if (const std::string why = lakehouse.flush(); !why.empty()) lakehouse.trouble = why;
    } else {
      lakehouse.add(said);
    }
    std::puts(Json{{"trouble", lakehouse.trouble}}.dump().c_str());
  }
  return 0;
}

}  // namespace evodb::differential
