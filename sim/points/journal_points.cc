// The journal: append, commit and trim; and change-over from one segment, one set of options and
// one format to the next.
#include <utility>

#include "base/bytes.h"
#include "base/hash.h"
#include "journal/journal_world.h"
#include "journal/segment_format.h"
#include "sim/points/points.h"

namespace evodb::sim {
namespace {

using journal::JournalOptions;
using journal::JournalWorld;

// What differs between lives of one journal.
struct Life {
  JournalOptions options;
  int steps = 0;
  bool closes = false;  // with its destructor; else it is killed
};

// Small segments: a few steps fill one, a few more and one is trimmed and used again.
constexpr JournalOptions small{.segment_bytes = 8192, .max_bytes = 5 * 8192};
constexpr JournalOptions larger{.segment_bytes = 16384, .max_bytes = 5 * 16384};
constexpr JournalOptions fewer{.segment_bytes = 8192, .max_bytes = 4 * 8192};

class JournalLives final : public DiskWorld {
 public:
  JournalLives(std::uint64_t seed, const std::vector<Life>& lives)
      : world_(seed, lives.front().options), lives_(lives) {}

  FakeDisk& disk() override { return world_.disk; }

  Result<void> work() override {
    for (const Life& life : lives_) {
      world_.options = life.options;
      for (int left = life.steps; left > 0;) {
        // Poisoned, or it did not start: what a supervisor does.
        for (int tries = 0; !world_.journal || world_.journal->poisoned(); ++tries) {
          kill();
          const auto opened = world_.open();
          if (world_.disk.crashed()) return off();
          if (!opened && tries > 3) return opened;
          // Once more where a read failed on purpose: the next one does not.
          if (opened && !world_.check()) EVODB_TRY(world_.check());
        }
        world_.step();
        if (world_.disk.crashed()) return off();
        recycled_ = recycled_ || recycles();
        --left;
      }
      if (life.closes) {
        world_.forget();
      } else {
        kill();
      }
    }
    return {};
  }
  void forget() override { world_.forget(); }

  Result<void> recover() override {
    EVODB_TRY(world_.open());
    return world_.check();
  }
  Result<void> go_on() override {
    for (int i = 0; i < 4; ++i) world_.step();
    EVODB_TRY(world_.commit() ? Result<void>() : off());
    return world_.check();
  }

  bool recycled() const { return recycled_; }

 private:
  static std::unexpected<Error> off() {
    return fail(ErrorKind::kInternal, "the disk is off or fails");
  }
  void kill() {
    if (!world_.journal) return;
    const bool was_off = world_.disk.crashed();
    world_.disk.crash();
    world_.forget();
    if (!was_off) world_.disk.resume();
  }
  bool recycles() {
    for (const std::string& path : world_.disk.paths()) {
      if (path.ends_with(".spare")) spare_seen_ = true;
    }
    return spare_seen_;
  }

  JournalWorld world_;
  const std::vector<Life>& lives_;
  bool spare_seen_ = false, recycled_ = false;
};

void enumerate_lives(const std::vector<Life>& lives, std::uint64_t seeds, const Extent& extent,
                     Report& report) {
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    JournalLives undisturbed(seed, lives);
    if (const auto done = undisturbed.work(); !done) report.violate(done.error().text);
    if (!undisturbed.recycled()) report.violate("no segment was used again: no such workload");
    enumerate_disk([&] { return std::make_unique<JournalLives>(seed, lives); }, extent, report);
  }
}

// A small journal of several segments, closed.
std::unique_ptr<JournalWorld> small_journal() {
  auto world = std::make_unique<JournalWorld>(11, small);
  (void)world->open();
  for (int i = 0; i < 14; ++i) world->step();
  (void)world->commit();
  world->forget();
  return world;
}

std::string with_version(std::string segment, std::uint32_t version) {
  base::store_fixed(segment.data() + 8, version);
  base::store_fixed<std::uint32_t>(segment.data() + 12, 0);
  base::store_fixed(segment.data() + 12, base::crc32c(std::string_view(segment).substr(0, 64)));
  return segment;
}

// Any one segment says that a later program wrote it: that is refused and nothing is touched, so
// that the later program finds everything as it was.
void refuse_later_formats(Report& report) {
  const auto world = small_journal();
  for (const std::string& path : world->disk.paths()) {
    if (!path.ends_with(".seg")) continue;
    const std::string ours = world->disk.contents(path);
    for (const std::uint32_t version : {0u, journal::format_version + 1, 0xffffffffu}) {
      ++report.failures;
      const std::string what = path + " of format " + std::to_string(version);
      const std::string theirs = with_version(ours, version);
      world->disk.put(path, theirs);
      const std::uint64_t before = world->disk.mutations();
      const auto opened = world->open();
      if (opened) {
        report.violate(what + " was opened");
      } else if (opened.error().kind != ErrorKind::kInvalid ||
                 opened.error().text.find(path) == std::string::npos ||
                 opened.error().text.find("format " + std::to_string(version)) ==
                     std::string::npos) {
        report.violate(what + " is refused with: " + opened.error().text);
      }
      world->forget();
      if (world->disk.mutations() != before || world->disk.contents(path) != theirs) {
        report.violate(what + " was refused, but something was changed");
      }
    }
    world->disk.put(path, ours);
  }
  auto fine = world->open();
  if (fine) fine = world->check();
  if (!fine) report.violate("the version that wrote it: " + fine.error().text);
}

}  // namespace

void run_journal(const Extent& extent, Report& report) {
  static const std::vector<Life> one_life = {{small, 60, true}};
  enumerate_lives(one_life, 3, extent, report);
}

void run_journal_change_over(const Extent& extent, Report& report) {
  static const std::vector<Life> lives = {
      {small, 16, true}, {larger, 16, false}, {small, 12, false}, {fewer, 16, true}};
  enumerate_lives(lives, 3, extent, report);
  refuse_later_formats(report);
}

}  // namespace evodb::sim
