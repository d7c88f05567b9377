#include "capture/polite_writer.h"

#include "capture/capture_test_db.h"

namespace evodb::capture {
namespace {

class PoliteWriterTest : public ::testing::Test {
 protected:
  void open(const std::string& mode, PoliteOptions options = {}) {
    app_ = std::make_unique<App>(path_);
    ASSERT_EQ(app_->text("PRAGMA journal_mode = " + mode), mode);
    app_->run("CREATE TABLE IF NOT EXISTS t(n INTEGER)");
    auto db = Database::open(path_, {.busy_timeout_ms = 0, .polite = true});
    ASSERT_TRUE(db) << db.error().text;
    db_ = std::make_unique<Database>(std::move(*db));
    options.busy_timeout_ms = 0;
    writer_ = std::make_unique<PoliteWriter>(*db_, clock_, options);
    db_->set_gate(writer_.get());
  }
  Result<Transaction> begin(WriteReason reason) {
    return Transaction::begin(*db_, Transaction::Kind::kWrite, reason);
  }
  // Whether a step could be written.
  bool write(WriteReason reason, std::uint64_t bytes = 0) {
    writer_->set_trimmable(bytes);
    auto step = begin(reason);
    if (!step) {
      EXPECT_EQ(step.error().kind, ErrorKind::kRetry) << step.error().text;
      return false;
    }
    EXPECT_TRUE(db_->run("INSERT INTO t VALUES(1)"));
    const auto done = step->commit();
    EXPECT_TRUE(done) << done.error().text;
    return done.has_value();
  }
  bool is_due(std::uint64_t bytes) {
    writer_->drained();
    writer_->set_trimmable(bytes);
    return writer_->trim_is_due();
  }

  TempDir dir_;
  const std::string path_ = dir_.file("app.db");
  sim::FakeClock clock_;
  std::unique_ptr<App> app_;
  std::unique_ptr<Database> db_;
  std::unique_ptr<PoliteWriter> writer_;
};

TEST_F(PoliteWriterTest, ATrimIsDueByBytesOrWhenNobodyWroteForAWhile) {
  open("wal", {.trim_bytes = 1'000, .idle_ms = 100});
  EXPECT_FALSE(is_due(0));
  EXPECT_FALSE(is_due(999));
  EXPECT_TRUE(is_due(1'000));
  clock_.advance_ms(99);
  EXPECT_FALSE(is_due(1));
  writer_->observe(/*others_wrote=*/true);
  clock_.advance_ms(99);
  EXPECT_FALSE(is_due(1));
  writer_->observe(/*others_wrote=*/false);
  clock_.advance_ms(1);
  EXPECT_TRUE(is_due(1));
}

TEST_F(PoliteWriterTest, WalIsWrittenWhenNobodyHasATransactionOpen) {
  open("wal");
  app_->run("BEGIN; SELECT count(*) FROM t");
  EXPECT_FALSE(write(WriteReason::kSchema));
  EXPECT_EQ(writer_->stats().refusals, 1u);
  // What it has read is what it writes upon.
  app_->run("INSERT INTO t VALUES(2); COMMIT");
  EXPECT_TRUE(write(WriteReason::kSchema));
  EXPECT_EQ(app_->number("SELECT count(*) FROM t"), 2);
  EXPECT_EQ(writer_->stats().steps, 1u);
  EXPECT_EQ(writer_->stats().anyway_steps, 0u);
}

TEST_F(PoliteWriterTest, AStepThatIsGivenUpLetsEverybodyIn) {
  open("wal");
  {
    auto step = begin(WriteReason::kTrim);
    ASSERT_TRUE(step);
    ASSERT_TRUE(db_->run("INSERT INTO t VALUES(1)"));
  }
  sqlite3_busy_timeout(app_->handle(), 0);
  app_->run("INSERT INTO t VALUES(2)");
  EXPECT_EQ(app_->number("SELECT count(*) FROM t"), 1);
}

TEST_F(PoliteWriterTest, BeyondABoundAcknowledgedChangesAreTrimmedAllTheSameAFewTimesASecond) {
  open("wal", {.anyway_bytes = 5'000});
  app_->run("BEGIN; SELECT count(*) FROM t");
  EXPECT_FALSE(write(WriteReason::kTrim, 4'999));
  EXPECT_TRUE(write(WriteReason::kTrim, 5'000));
  EXPECT_FALSE(write(WriteReason::kTrim, 5'000)) << "the next one only after a while";
  clock_.advance_ms(250);
  EXPECT_TRUE(write(WriteReason::kTrim, 5'000));
  EXPECT_EQ(writer_->stats().anyway_steps, 2u);
  app_->run("COMMIT");
}

TEST_F(PoliteWriterTest, TheSchemaWaitsForAPoliteMomentButNotForEver) {
  open("wal", {.anyway_ms = 60'000});
  app_->run("BEGIN; SELECT count(*) FROM t");
  EXPECT_FALSE(write(WriteReason::kSchema));
  clock_.advance_ms(59'999);
  EXPECT_EQ(writer_->waiting_ms(WriteReason::kSchema), 59'999);
  EXPECT_FALSE(write(WriteReason::kSchema));
  clock_.advance_ms(1);
  EXPECT_TRUE(write(WriteReason::kSchema));
  app_->run("COMMIT");
}

TEST_F(PoliteWriterTest, ARollbackJournalIsWrittenOnlyWhenIdle) {
  open("delete", {.trim_bytes = 1'000, .idle_ms = 100, .long_idle_ms = 6'000});
  EXPECT_TRUE(is_due(1'000));
  EXPECT_FALSE(write(WriteReason::kTrim, 1'000)) << "it was not watched for long enough";
  clock_.advance_ms(100);
  EXPECT_FALSE(is_due(1)) << "little is not worth a lock yet";
  EXPECT_TRUE(write(WriteReason::kTrim, 1'000));
  clock_.advance_ms(5'900);
  EXPECT_TRUE(is_due(1));
  writer_->observe(/*others_wrote=*/true);
  EXPECT_FALSE(write(WriteReason::kSchema));
}

TEST_F(PoliteWriterTest, AStepEndsAfterItsTime) {
  open("wal");
  auto step = begin(WriteReason::kTrim);
  ASSERT_TRUE(step);
  EXPECT_TRUE(writer_->time_left());
  clock_.advance_ms(PoliteWriter::step_ms);
  EXPECT_FALSE(writer_->time_left());
  ASSERT_TRUE(step->commit());
  EXPECT_EQ(writer_->stats().longest_step_ms, PoliteWriter::step_ms);
}

TEST_F(PoliteWriterTest, OurOwnWritesDoNotMakeTheLogLong) {
  open("wal");
  app_->run("PRAGMA wal_autocheckpoint = 0");
  ASSERT_TRUE(db_->log_bytes());
  for (int i = 0; i < 3'000; ++i) ASSERT_TRUE(write(WriteReason::kTrim, 1));
  EXPECT_LT(*db_->log_bytes(), 3'000u * 4'096);
}

}  // namespace
}  // namespace evodb::capture
