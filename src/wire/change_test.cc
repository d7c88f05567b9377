#include "wire/change.h"

#include <cmath>
#include <limits>
#include <random>

#include "base/bytes.h"
#include "base/limits.h"
#include "wire/frame.h"
#include "wire/golden_test.h"

namespace evodb::wire {
namespace {

using Random = std::mt19937_64;

// A change that owns what it holds.
struct OwnedChange {
  Op op = Op::kInsert;
  std::uint32_t table_ref = 0;
  Lsn lsn;
  TxnId txn;
  UnixMillis committed_at;
  std::optional<std::vector<Value>> key, before, after;
  std::string reason;

  friend bool operator==(const OwnedChange&, const OwnedChange&) = default;
};

std::string encode_values(const std::optional<std::vector<Value>>& values) {
  std::string out;
  if (values) {
    for (const Value& value : *values) put_value(out, value);
  }
  return out;
}

void add(BatchWriter& writer, const OwnedChange& change, std::uint64_t fingerprint) {
  const std::string key = encode_values(change.key), before = encode_values(change.before),
                    after = encode_values(change.after);
  const auto view = [](const auto& values, const std::string& bytes) {
    return values ? ValuesView{true, static_cast<std::uint32_t>(values->size()), bytes}
                  : ValuesView{};
  };
  writer.add_change(change.op, change.table_ref, fingerprint, change.lsn, change.txn,
                    change.committed_at, view(change.key, key), view(change.before, before),
                    view(change.after, after), change.reason);
}

std::optional<std::vector<Value>> read_values(const ValuesView& view) {
  if (!view.present) return std::nullopt;
  std::vector<Value> values;
  ValueView value;
  ValuesReader reader(view);
  while (reader.next(&value)) values.emplace_back(value);
  EXPECT_TRUE(reader.ok());
  EXPECT_EQ(values.size(), view.count);
  return values;
}

OwnedChange read_change(const ChangeView& view) {
  return OwnedChange{view.op,
                     view.table_ref,
                     view.lsn,
                     view.txn,
                     view.committed_at,
                     read_values(view.key),
                     read_values(view.before),
                     read_values(view.after),
                     std::string(view.reason)};
}

Value value_of(const nlohmann::json& json) {
  const std::string kind = json.at(0);
  if (kind == "integer") return Value::integer(std::stoll(json.at(1).get<std::string>()));
  if (kind == "real") return Value::real(std::bit_cast<double>(hex64(json.at(1))));
  if (kind == "text") return Value::text(from_hex(json.at(1)));
  if (kind == "blob") return Value::blob(from_hex(json.at(1)));
  if (kind == "boolean") return Value::boolean(json.at(1));
  EXPECT_EQ(kind, "null");
  return Value::null();
}

std::optional<std::vector<Value>> values_of(const nlohmann::json& change, const char* name) {
  if (!change.contains(name)) return std::nullopt;
  std::vector<Value> values;
  for (const auto& json : change.at(name)) values.push_back(value_of(json));
  return values;
}

OwnedChange change_of(const nlohmann::json& json) {
  static const std::vector<std::string> ops = {"INSERT",   "UPDATE", "DELETE", "SNAPSHOT",
                                               "OVERSIZE", "RESET",  "DROP"};
  OwnedChange change;
  const std::string op = json.at("op");
  change.op = static_cast<Op>(std::find(ops.begin(), ops.end(), op) - ops.begin());
  change.table_ref = json.at("table");
  change.lsn = Lsn(wide(json.at("lsn")));
  change.txn = TxnId(wide(json.at("txn")));
  change.committed_at = UnixMillis(std::stoll(json.at("committed_at").get<std::string>()));
  change.key = values_of(json, "key");
  change.before = values_of(json, "before");
  change.after = values_of(json, "after");
  change.reason = json.value("reason", "");
  return change;
}

TableDef table_of(const nlohmann::json& json) {
  TableDef def;
  def.name = json.at("name");
  def.schema_version = json.at("schema_version");
  for (const auto& column : json.at("columns")) {
    def.columns.push_back(
        {column.at("name"), column.at("declared_type"), column.at("key_ordinal")});
  }
  return def;
}

std::vector<Golden> golden_batches() {
  std::vector<Golden> batches = read_goldens("wire-v2");
  std::erase_if(batches, [](const Golden& g) { return g.description.at("frame") != "batch"; });
  EXPECT_GE(batches.size(), 7u);
  return batches;
}

TEST(Batch, DecodesEveryGoldenBatch) {
  for (const Golden& golden : golden_batches()) {
    SCOPED_TRACE(golden.name);
    const nlohmann::json& d = golden.description;
    const Result<Frame> frame = decode_frame(golden.bytes);
    ASSERT_TRUE(frame) << frame.error().text;
    BatchReader reader(std::get<Batch>(*frame).body);
    EXPECT_EQ(reader.header().previous_lsn.value, wide(d.at("previous_lsn")));
    EXPECT_EQ(reader.header().first_lsn.value, wide(d.at("first_lsn")));
    EXPECT_EQ(reader.header().last_lsn.value, wide(d.at("last_lsn")));
    EXPECT_EQ(reader.header().chain_after.value, hex64(d.at("chain_after")));
    EXPECT_EQ(reader.header().change_count, d.at("changes").size());

    std::map<std::uint32_t, std::uint64_t> fingerprints;
    for (const auto& known : d.at("known_tables")) {
      fingerprints[known.at("table_ref")] = hex64(known.at("fingerprint"));
    }
    for (const auto& table : d.at("tables")) {
      std::uint32_t ref = 0;
      TableDef def;
      ASSERT_TRUE(reader.next_table(&ref, &def));
      EXPECT_EQ(ref, table.at("table_ref").get<std::uint32_t>());
      EXPECT_EQ(def, table_of(table));
      EXPECT_EQ(def.fingerprint(), hex64(table.at("fingerprint")));
      fingerprints[ref] = def.fingerprint();
    }
    std::uint32_t ref = 0;
    TableDef def;
    EXPECT_FALSE(reader.next_table(&ref, &def));

    ChainHash chain(hex64(d.at("chain_before")));
    ChangeView change;
    for (const auto& json : d.at("changes")) {
      ASSERT_TRUE(reader.next(&change)) << reader.status().error().text;
      EXPECT_EQ(read_change(change), change_of(json));
      chain = fold(chain, fingerprints.at(change.table_ref), change);
    }
    EXPECT_FALSE(reader.next(&change));
    EXPECT_TRUE(reader.status());
    EXPECT_EQ(chain, reader.header().chain_after);
  }
}

TEST(Batch, EncodesEveryGoldenBatchByteForByte) {
  BatchWriter writer;
  for (const Golden& golden : golden_batches()) {
    SCOPED_TRACE(golden.name);
    const nlohmann::json& d = golden.description;
    if (!d.at("encodes")) continue;
    writer.reset(Lsn(wide(d.at("previous_lsn"))), ChainHash(hex64(d.at("chain_before"))));
    std::map<std::uint32_t, std::uint64_t> fingerprints;
    for (const auto& known : d.at("known_tables")) {
      fingerprints[known.at("table_ref")] = hex64(known.at("fingerprint"));
    }
    for (const auto& table : d.at("tables")) {
      writer.add_table(table.at("table_ref"), table_of(table));
      fingerprints[table.at("table_ref")] = hex64(table.at("fingerprint"));
    }
    for (const auto& json : d.at("changes")) {
      const OwnedChange change = change_of(json);
      add(writer, change, fingerprints.at(change.table_ref));
    }
    EXPECT_EQ(writer.chain().value, hex64(d.at("chain_after")));
    const std::size_t bytes = writer.bytes();
    const std::string body = writer.finish();
    EXPECT_EQ(body.size(), bytes);
    EXPECT_EQ(base::to_hex(encode_frame(Batch{body})), base::to_hex(golden.bytes));
  }
}

// --- random batches ------------------------------------------------------------------------------

std::string random_bytes(Random& random) {
  static constexpr std::size_t sizes[] = {0, 1, 7, 30, 31, 32, 158, 159, 1000, 70'000};
  std::string bytes(sizes[random() % std::size(sizes)], '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  return bytes;
}

std::uint64_t random_number(Random& random) {
  static constexpr std::uint64_t edges[] = {0,
                                            1,
                                            127,
                                            128,
                                            16'383,
                                            16'384,
                                            std::uint64_t{1} << 32,
                                            std::uint64_t{1} << 63,
                                            (std::uint64_t{1} << 63) - 1,
                                            ~std::uint64_t{0}};
  return random() % 2 == 0 ? edges[random() % std::size(edges)] : random() >> random() % 64;
}

Value random_value(Random& random) {
  static const double reals[] = {0.0,
                                 -0.0,
                                 1.5,
                                 std::numeric_limits<double>::infinity(),
                                 -std::numeric_limits<double>::infinity(),
                                 std::numeric_limits<double>::quiet_NaN(),
                                 std::numeric_limits<double>::denorm_min(),
                                 std::numeric_limits<double>::max()};
  switch (random() % 6) {
    case 0: return Value::null();
    case 1: return Value::integer(static_cast<std::int64_t>(random_number(random)));
    case 2:
      return Value::real(random() % 2 == 0 ? reals[random() % std::size(reals)]
                                           : std::bit_cast<double>(random()));
    case 3: return Value::text(random_bytes(random));
    case 4: return Value::blob(random_bytes(random));
    default: return Value::boolean(random() % 2 == 0);
  }
}

std::optional<std::vector<Value>> random_values(Random& random) {
  if (random() % 3 == 0) return std::nullopt;
  std::vector<Value> values(random() % 6);
  for (Value& value : values) value = random_value(random);
  return values;
}

std::vector<OwnedChange> random_changes(Random& random, Lsn previous, std::size_t count) {
  std::vector<OwnedChange> changes(count);
  std::uint64_t lsn = previous.value;
  for (OwnedChange& change : changes) {
    lsn += 1 + (random() % 4 == 0 ? random() % 100'000 : 0);
    change.op = static_cast<Op>(random() % 5);
    change.table_ref = static_cast<std::uint32_t>(random() % 3);
    change.lsn = Lsn(lsn);
    change.txn = TxnId(random_number(random));
    change.committed_at = UnixMillis(static_cast<std::int64_t>(random_number(random)));
    change.key = random_values(random);
    if (change.op == Op::kOversize) {
      change.reason = random_bytes(random);
    } else {
      change.before = random_values(random);
      change.after = random_values(random);
    }
  }
  return changes;
}

TEST(Batch, AnyChangesComeBackAsTheyWere) {
  BatchWriter writer;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const Lsn previous(random() % 2 == 0 ? 0 : random() >> 1);
    const auto changes = random_changes(random, previous, 1 + random() % 20);
    writer.reset(previous, ChainHash(random()));
    for (const OwnedChange& change : changes) add(writer, change, change.table_ref);
    const std::size_t bytes = writer.bytes();
    const ChainHash chain = writer.chain();
    const std::string body = writer.finish();
    EXPECT_EQ(body.size(), bytes);

    BatchReader reader(body);
    EXPECT_EQ(reader.header().chain_after, chain);
    ChangeView view;
    for (const OwnedChange& change : changes) {
      ASSERT_TRUE(reader.next(&view)) << reader.status().error().text;
      EXPECT_EQ(read_change(view), change);
    }
    EXPECT_FALSE(reader.next(&view));
    ASSERT_TRUE(reader.status()) << reader.status().error().text;
  }
}

TEST(Batch, TheChainDoesNotDependOnBatchesNorOnTableNumbersNorOnLabels) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    Random random(seed);
    const auto changes = random_changes(random, Lsn(0), 30);
    const auto fingerprint = [](const OwnedChange& c) { return 77 + c.table_ref; };
    BatchWriter whole;
    whole.reset(Lsn(0), ChainHash(0));
    for (const OwnedChange& change : changes) add(whole, change, fingerprint(change));

    ChainHash chain(0);
    Lsn last(0);
    BatchWriter parts;
    for (std::size_t i = 0; i < changes.size();) {
      parts.reset(last, chain);
      const std::size_t end = std::min(changes.size(), i + 1 + random() % 7);
      for (; i < end; ++i) {
        OwnedChange change = changes[i];
        const std::uint64_t print = fingerprint(change);
        change.table_ref = 2 - change.table_ref;
        change.txn = TxnId(random());
        add(parts, change, print);
      }
      chain = parts.chain();
      last = parts.last_lsn();
      parts.finish();
    }
    EXPECT_EQ(chain, whole.chain());
  }
}

TEST(Batch, TheChainNoticesEveryFieldThatItCovers) {
  OwnedChange change;
  change.lsn = Lsn(5);
  change.committed_at = UnixMillis(1000);
  change.after = {{Value::integer(1), Value::text("a")}};
  const auto chain_of = [](const OwnedChange& c, std::uint64_t print, ChainHash start) {
    BatchWriter writer;
    writer.reset(Lsn(0), start);
    add(writer, c, print);
    return writer.chain();
  };
  const ChainHash was = chain_of(change, 9, ChainHash(0));
  EXPECT_EQ(was, chain_of(change, 9, ChainHash(0)));
  EXPECT_NE(was, chain_of(change, 8, ChainHash(0)));
  EXPECT_NE(was, chain_of(change, 9, ChainHash(1)));
  OwnedChange other = change;
  other.op = Op::kSnapshot;
  EXPECT_NE(was, chain_of(other, 9, ChainHash(0)));
  other = change;
  other.lsn = Lsn(6);
  EXPECT_NE(was, chain_of(other, 9, ChainHash(0)));
  other = change;
  other.committed_at = UnixMillis(1001);
  EXPECT_NE(was, chain_of(other, 9, ChainHash(0)));
  other = change;
  other.after = {{Value::integer(1), Value::blob("a")}};
  EXPECT_NE(was, chain_of(other, 9, ChainHash(0)));
  other = change;
  std::swap(other.after, other.before);
  EXPECT_NE(was, chain_of(other, 9, ChainHash(0)));
}

TEST(Batch, DamageNeverReadsPastTheEnd) {
  BatchWriter writer;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    Random random(seed);
    writer.reset(Lsn(0), ChainHash(0));
    writer.add_table(0, TableDef{"t", 1, {{"a", "INTEGER", 1}, {"b", "", 0}}});
    for (const OwnedChange& change : random_changes(random, Lsn(0), 3)) add(writer, change, 1);
    const std::string body = writer.finish();
    for (int round = 0; round < 50; ++round) {
      const std::size_t n = random() % 4 == 0 ? random() % body.size() : body.size();
      const std::unique_ptr<char[]> damaged(new char[n]);
      std::copy_n(body.data(), n, damaged.get());
      for (std::size_t i = random() % 4; i != 0 && n != 0; --i) {
        damaged[random() % std::min<std::size_t>(n, 200)] = static_cast<char>(random());
      }
      BatchReader reader(std::string_view(damaged.get(), n));
      std::uint32_t ref = 0;
      TableDef def;
      ChangeView view;
      while (reader.next_table(&ref, &def)) {
      }
      while (reader.next(&view)) read_change(view);
      if (n < body.size()) {
        EXPECT_FALSE(reader.status());
      }
    }
  }
}

TEST(Batch, SaysWhereItIsMalformed) {
  BatchReader reader("\x0d nonsense");
  ChangeView change;
  EXPECT_FALSE(reader.next(&change));
  ASSERT_FALSE(reader.status());
  EXPECT_EQ(reader.status().error().kind, ErrorKind::kInvalid);
  EXPECT_NE(reader.status().error().text.find("malformed batch at byte"), std::string::npos);
}

TEST(Batch, AnOpenChangeIsClosedWhereItsValuesEnd) {
  std::string values;
  put_value(values, ValueView::of_integer(7));
  put_value(values, ValueView::of_text("seven"));
  BatchWriter writer;
  writer.reset(Lsn(0), ChainHash(0));
  for (std::uint64_t lsn = 1; lsn <= 3; ++lsn) {
    writer.add_change(Op::kInsert, 0, 0, Lsn(lsn), TxnId(1), UnixMillis(0), {}, {},
                      {true, 2, values});
  }
  const std::string body = writer.finish();
  BatchReader reader(body);
  ChangeView change;
  ASSERT_TRUE(reader.next_open(&change));
  EXPECT_EQ(change.after.count, 2u);
  EXPECT_EQ(change.after.bytes.substr(0, values.size()), values);
  EXPECT_EQ(change.after.bytes.end(), std::string_view(body).end());
  EXPECT_TRUE(change.content.empty());
  EXPECT_GT(reader.content_bytes_max(), 3 * values.size());
  ASSERT_TRUE(reader.close_at(&change, change.after.bytes.data() + values.size()));
  EXPECT_EQ(change.after.bytes, values);
  EXPECT_EQ(change.content.size(), 2 + values.size()) << "presence bits and a count before them";
  ASSERT_TRUE(reader.next_open(&change));
  ASSERT_TRUE(reader.close(&change)) << "without reading them";
  EXPECT_EQ(change.after.bytes, values);
  EXPECT_TRUE(reader.close(&change)) << "it is closed already";
  ASSERT_TRUE(reader.next(&change));
  EXPECT_EQ(change.lsn, Lsn(3));
  EXPECT_FALSE(reader.next_open(&change));
  EXPECT_TRUE(reader.status());

  BatchReader faulty(body);
  ASSERT_TRUE(faulty.next_open(&change));
  EXPECT_FALSE(faulty.close_at(&change, nullptr));
  EXPECT_NE(faulty.status().error().text.find("change 1 of 3: a value is malformed"),
            std::string::npos);
}

TEST(Batch, WantsItsDefinitionsReadFirst) {
  BatchWriter writer;
  writer.reset(Lsn(0), ChainHash(0));
  writer.add_table(0, TableDef{"t", 1, {}});
  writer.add_change(Op::kInsert, 0, 0, Lsn(1), TxnId(1), UnixMillis(0), {}, {}, {});
  const std::string body = writer.finish();
  BatchReader reader(body);
  ChangeView change;
  EXPECT_FALSE(reader.next(&change));
  EXPECT_FALSE(reader.status());

  BatchReader second(body);
  std::uint32_t ref = 0;
  TableDef def;
  EXPECT_TRUE(second.next_table(&ref, &def));
  constexpr std::size_t empty_insert_bytes = 6;
  EXPECT_EQ(second.changes_offset(), body.size() - empty_insert_bytes);
  EXPECT_TRUE(second.next(&change));
}

TEST(Values, AReaderNoticesMoreBytesThanValues) {
  std::string bytes;
  put_value(bytes, ValueView::of_integer(1));
  put_value(bytes, ValueView::of_integer(2));
  ValuesReader reader(ValuesView{true, 1, bytes});
  ValueView value;
  EXPECT_TRUE(reader.next(&value));
  EXPECT_FALSE(reader.next(&value));
  EXPECT_FALSE(reader.ok());
}

TEST(TableDef, RoundTripsAndNamesItself) {
  const TableDef def{"Ordérs \"x\"", 3, {{"id", "INTEGER", 2}, {"shop", "VARCHAR(20)", 1}}};
  std::string bytes;
  encode_table_def(bytes, def);
  base::ByteReader in(bytes);
  const Result<TableDef> read = decode_table_def(in);
  ASSERT_TRUE(read) << read.error().text;
  EXPECT_EQ(*read, def);
  EXPECT_TRUE(in.at_end());
  EXPECT_EQ(def.key_columns(), 2u);
  TableDef other = def;
  other.schema_version = 4;
  EXPECT_NE(def.fingerprint(), other.fingerprint());
}

TEST(TableDef, RefusesWhatIsOverALimit) {
  const auto refused = [](const TableDef& def) {
    std::string bytes;
    encode_table_def(bytes, def);
    base::ByteReader in(bytes);
    return !decode_table_def(in);
  };
  EXPECT_FALSE(refused(TableDef{std::string(base::table_name_bytes_max, 'n'), 1, {}}));
  EXPECT_TRUE(refused(TableDef{std::string(base::table_name_bytes_max + 1, 'n'), 1, {}}));
  TableDef wide{"t", 1, {}};
  for (std::size_t i = 0; i < base::columns_per_table_max; ++i) {
    wide.columns.push_back({"c" + std::to_string(i), "", 0});
  }
  EXPECT_FALSE(refused(wide));
  wide.columns.push_back({"one more", "", 0});
  EXPECT_TRUE(refused(wide));
  EXPECT_TRUE(refused(TableDef{"t", 1, {{"a", "", 1}, {"b", "", 1}}}));
  EXPECT_TRUE(refused(TableDef{"t", 1, {{"a", "", 2}, {"b", "", 0}}}));
  EXPECT_TRUE(refused(TableDef{"t", 1, {{"a", "", 0}, {"a", "", 0}}}));
}

}  // namespace
}  // namespace evodb::wire
