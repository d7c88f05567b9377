#include "sim/world/parent_life.h"

namespace evodb::sim {

namespace {

parent::ParentOptions options_of(const ParentLife::Surroundings& around) {
  parent::ParentOptions options = ParentLife::options(around.course);
  if (around.say) options.say = around.say;
  around.plant.parent_options(options);
  return options;
}

}  // namespace

parent::ParentOptions ParentLife::options(const Course& course) {
  parent::ParentOptions options;
  options.listen = "parent:8787";
  options.journal_directory = "data/journal";
  options.gate.frame_bytes_max = 16u << 10;
  options.gate.hibernate_after_ms = 2'000;
  options.ingest.session_credit_bytes = 12u << 10;
  options.ingest.inflight_bytes_max = 32u << 10;
  options.ingest.journal_reserve_bytes = 16u << 10;
  options.ingest.gap_bytes_max = 8u << 10;
  options.ingest.gap_runs_per_source = 8;
  options.journal.segment_bytes = 20u << 10;
  options.journal.max_bytes = 100u << 10;
  options.journal.pending_bytes_max = 64u << 10;
  options.lake.buffer_bytes_max = course.buffer_bytes;
  options.lake.buffer_entries_max = 300;
  options.lake.flush_threshold_entries = 40;
  options.lake.buffer_age_ms_max = 300;
  options.lake.flushes_max = 2;
  options.flush.retry_ms_max = 2'000;
  options.flush.snapshots_max = options.flush.metadata_files_max = course.snapshots_max;
  options.orphan_age_ms_min = 3'600'000;
  options.tend_ms = course.tend_ms;
  if (course.tend_ms < 10'000) options.sick_retry_ms = options.refused_retry_ms = 2'000;
  options.store_health.probe_retry_ms_max = 2'000;
  return options;
}

ParentLife::ParentLife(const Surroundings& around)
    : loop_(around.network, "parent"),
      journal_io_(loop_, around.random, around.course.sync_ms_max),
      landing_(loop_, around.random, 1),
      runner_(loop_, around.random, around.lakehouse, around.plant),
      seams_{around.plant.loop(loop_),
             journal_io_,
             landing_,
             runner_,
             around.plant.disk(around.disk),
             around.plant.clock(loop_.clock()),
             around.random,
             around.plant.encoder(around.encoder),
             &around.plant},
      options_(options_of(around)),
      parent_(std::make_unique<parent::Parent>(seams_, options_)) {}

ParentLife::~ParentLife() { die(FakeLoop::Crash::kReset); }

Result<void> ParentLife::start() {
  return parent_->start([this](Result<std::string> address) {
    if (address) {
      open_ = true;
    } else {
      failure_ = address.error();
    }
  });
}

void ParentLife::stop(std::function<void()> done) {
  if (!handing_over_) return parent_->stop(10'000, std::move(done));
  loop_.after(10, [this, done = std::move(done)]() mutable { stop(std::move(done)); });
}

void ParentLife::hand_over(std::function<void(const Result<void>&)> said) {
  handing_over_ = true;
  parent_->hand_over({.landing_ms_max = 2'000, .answers_ms_max = 2'000},
                     [this, said = std::move(said)](Result<parent::HandedOver> handed) {
                       if (!handed) {
                         handing_over_ = false;
                         return said(fail(handed.error()));
                       }
                       open_ = false;
                       parent_ = std::make_unique<parent::Parent>(seams_, options_);
                       const auto began = parent_->adopt(*std::move(handed),
                                                         [this, said](Result<std::string> address) {
                                                           handing_over_ = false;
                                                           if (!address) {
                                                             failure_ = address.error();
                                                             return;
                                                           }
                                                           open_ = true;
                                                           parent_->resume();
                                                           said({});
                                                         });
                       if (began) return;
                       handing_over_ = false;
                       lost_ = began.error();
                     });
}

void ParentLife::die(FakeLoop::Crash how) {
  open_ = false;
  loop_.crash(how);
  parent_.reset();
}

}  // namespace evodb::sim
