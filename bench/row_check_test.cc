// A benchmark that cannot fail measures nothing: a row with another value, or none, is seen.
#include "bench/row_check.h"

#include <memory>
#include <string>
#include <vector>

#include <arrow/api.h>
#include <arrow/io/memory.h>
#include <gtest/gtest.h>
#include <parquet/arrow/writer.h>

namespace evodb::bench {
namespace {

struct TypedRow {
  std::string source;
  std::int64_t lsn = 0, id = 0;
  double amount = 0;
  std::string customer;
  std::int64_t kind = 0;
};

// As RowMaker makes it, by its description.
TypedRow right_row(std::int64_t lsn) {
  return {
      "load-3", lsn, lsn, static_cast<double>(lsn) / 7, "customer-" + std::to_string(lsn % 5000),
      lsn % 97};
}

std::string parquet_of(const std::vector<TypedRow>& rows) {
  arrow::StringBuilder sources, customers;
  arrow::Int64Builder epochs, lsns, ids, kinds;
  arrow::DoubleBuilder amounts;
  for (const TypedRow& row : rows) {
    EXPECT_TRUE(sources.Append(row.source).ok() && epochs.Append(1).ok() &&
                lsns.Append(row.lsn).ok() && ids.Append(row.id).ok() &&
                amounts.Append(row.amount).ok() && kinds.Append(row.kind).ok());
    EXPECT_TRUE(
        (row.customer.empty() ? customers.AppendNull() : customers.Append(row.customer)).ok());
  }
  const auto schema = arrow::schema(
      {arrow::field("_source", arrow::utf8()), arrow::field("_epoch", arrow::int64()),
       arrow::field("_lsn", arrow::int64()), arrow::field("id", arrow::int64()),
       arrow::field("amount", arrow::float64()), arrow::field("customer", arrow::utf8()),
       arrow::field("kind", arrow::int64())});
  const auto table = arrow::Table::Make(
      schema, {*sources.Finish(), *epochs.Finish(), *lsns.Finish(), *ids.Finish(),
               *amounts.Finish(), *customers.Finish(), *kinds.Finish()});
  const auto out = *arrow::io::BufferOutputStream::Create();
  EXPECT_TRUE(parquet::arrow::WriteTable(*table, arrow::default_memory_pool(), out, 2).ok());
  return (*out->Finish())->ToString();
}

Result<void> check(const std::vector<TypedRow>& rows, int* seen = nullptr) {
  int ignored = 0;
  int& count = seen == nullptr ? ignored : *seen;
  return check_rows(parquet_of(rows), RowKind::kTyped4,
                    [&](std::string_view, Epoch, Lsn) { ++count; });
}

TEST(RowCheck, GivesEveryRowThatIsAsItWasSent) {
  int seen = 0;
  const auto checked = check({right_row(1), right_row(2), right_row(98)}, &seen);
  EXPECT_TRUE(checked) << checked.error().text;
  EXPECT_EQ(seen, 3);
}

TEST(RowCheck, SeesEachWrongValue) {
  std::vector<TypedRow> wrong(6, right_row(5));
  wrong[0].id = 6;
  wrong[1].amount = 0.7142857;
  wrong[2].customer = "customer-6";
  wrong[3].customer = "";  // null
  wrong[4].kind = 4;
  wrong[5].lsn = 6;  // a row under another's name
  for (const TypedRow& row : wrong) {
    const auto checked = check({right_row(1), right_row(2), row});
    ASSERT_FALSE(checked);
    EXPECT_EQ(checked.error().kind, ErrorKind::kCorrupt);
    EXPECT_NE(checked.error().text.find("is not what was sent"), std::string::npos)
        << checked.error().text;
  }
}

TEST(RowCheck, RefusesWhatIsNoDataFile) {
  EXPECT_FALSE(check_rows("no Parquet", RowKind::kTyped4, [](std::string_view, Epoch, Lsn) {}));
  EXPECT_FALSE(check_rows(parquet_of({right_row(1)}), RowKind::kTyped20,
                          [](std::string_view, Epoch, Lsn) {}))
      << "columns are missing";
}

}  // namespace
}  // namespace evodb::bench
