#include "sim/world/course.h"

#include <algorithm>
#include <array>

namespace evodb::sim {
namespace {

// A feature: one kind of fault, or of circumstance, that a history has or has not.
struct Feature {
  std::string_view profile;  // the one that has it for sure
  std::uint32_t percent;     // how often others have it
  void (*apply)(Course&, base::Random&);
};

std::uint32_t one_of(base::Random& random, std::initializer_list<std::uint32_t> choices) {
  return choices.begin()[random.below(choices.size())];
}

constexpr std::array<Profile, 28> all_profiles = {{
    {"swarm", "any of the others' features, each by chance"},
    {"calm", "nothing goes wrong at all"},
    {"kills", "parent and edges are killed"},
    {"power", "machines lose power, often in the middle of a disk call"},
    {"network", "cuts, partitions, slow readers, small windows"},
    {"store", "a store that fails, lies, is late, is away"},
    {"odd-answers",
     "an S3 server, and proxies that answer in its place: at length, HTML, 200 with "
     "an error inside"},
    {"catalog", "swaps with lost answers, and commits of other engines"},
    {"disk", "failing syncs, EIO, short writes, full disks"},
    {"clocks", "wall clocks jump both ways"},
    {"disaster", "the parent's whole disk is lost"},
    {"bit-rot", "bits of the journal flip"},
    {"restores", "databases go back to backups, lose their last transactions, are copied"},
    {"twins", "two processes for one database, replayed sessions"},
    {"zombies", "a parent that was replaced goes on writing"},
    {"full-journal", "the store stays away until the journal is full"},
    {"overload", "busy applications, slow disks, little memory"},
    {"stops", "orderly stops, often"},
    {"v1", "clients of the first generation"},
    {"v1-crowd",
     "many of them, with gaps and entries that are no rows, who send again what was acknowledged"},
    {"odd-values", "values that do not fit, rows that cannot land"},
    {"upgrades", "parents that hand over, children of a later minor version, LSNs beyond 32 bits"},
    {"churn", "sources that come and go by the thousand"},
    {"sqlite",
     "one edge's database is real SQLite, with capture's triggers, on a disk that forgets"},
    {"operator",
     "catalog file and data directory are lost, restored from older copies, copied; the bucket is "
     "not"},
    {"other-engines", "another engine changes columns, renames and drops tables"},
    {"copies", "databases are copied and both stream, as children say that know their lives"},
    {"people",
     "one edge's database is real SQLite that people restore, replace, empty and migrate"},
}};

constexpr std::array<Feature, 21> features = {{
    {"kills", 55,
     [](Course& c, base::Random& r) {
       c.rate(Fault::kParentKill) = one_of(r, {80, 150, 500});
       c.rate(Fault::kEdgeKill) = one_of(r, {150, 400});
     }},
    {"power", 50,
     [](Course& c, base::Random& r) {
       c.rate(Fault::kParentPowerLoss) = one_of(r, {150, 300, 800});
       c.rate(Fault::kCrashAmidWrite) = one_of(r, {2, 3, 6});  // asked once a start
     }},
    {"network", 60,
     [](Course& c, base::Random& r) {
       c.rate(Fault::kCut) = one_of(r, {60, 120, 400});
       c.rate(Fault::kPartition) = one_of(r, {120, 300});
       c.rate(Fault::kSlowReader) = one_of(r, {0, 200, 500});
       c.delay_us_max = one_of(r, {500, 500, 20'000, 150'000});
       c.window_bytes = one_of(r, {64u << 10, 64u << 10, 4u << 10, 700});
     }},
    {"store", 50,
     [](Course& c, base::Random& r) {
       c.rate(Fault::kStoreOutage) = one_of(r, {0, 250, 500});
       c.rate(Fault::kStoreError) = one_of(r, {0, 12, 30});       // asked every call
       c.rate(Fault::kStoreAmbiguous) = one_of(r, {10, 20, 60});  // the same
       c.rate(Fault::kStoreLate) = one_of(r, {0, 7, 40});         // the same
       c.rate(Fault::kListLag) = one_of(r, {0, 400});
     }},
    {"catalog", 35,
     [](Course& c, base::Random& r) {
       c.rate(Fault::kCatalogError) = one_of(r, {0, 30});      // asked every call
       c.rate(Fault::kCatalogAmbiguous) = one_of(r, {8, 30});  // the same
       c.rate(Fault::kForeignCommit) = one_of(r, {0, 100, 300});
     }},
    {"disk", 25,
     [](Course& c, base::Random& r) {
       c.rate(Fault::kSyncError) = one_of(r, {0, 250, 600});
       c.rate(Fault::kDiskError) = one_of(r, {250, 600});
       c.rate(Fault::kDiskFull) = one_of(r, {0, 300});
     }},
    {"clocks", 25,
     [](Course& c, base::Random& r) { c.rate(Fault::kClockJump) = one_of(r, {100, 250}); }},
    {"disaster", 15, [](Course& c, base::Random&) { c.rate(Fault::kJournalLost) = 350; }},
    {"bit-rot", 8,
     [](Course& c, base::Random& r) { c.rate(Fault::kBitRot) = one_of(r, {150, 400}); }},
    {"restores", 25,
     [](Course& c, base::Random& r) {
       c.rate(Fault::kRestore) = one_of(r, {0, 300, 600});
       c.rate(Fault::kEdgePowerLoss) = one_of(r, {150, 400});
       c.rate(Fault::kCopy) = one_of(r, {0, 800});
     }},
    {"twins", 15,
     [](Course& c, base::Random& r) {
       c.rate(Fault::kTwin) = one_of(r, {150, 400});
       c.rate(Fault::kReplay) = one_of(r, {0, 150, 400});
     }},
    {"zombies", 12,
     [](Course& c, base::Random& r) { c.rate(Fault::kZombie) = one_of(r, {200, 400}); }},
    {"full-journal", 10,
     [](Course& c, base::Random&) {
       c.fills_journal = true;
       c.pause_ms_max = 40;
     }},
    {"overload", 25,
     [](Course& c, base::Random& r) {
       c.pause_ms_max = 40;
       c.sync_ms_max = one_of(r, {3, 300, 1'500});
       c.buffer_bytes = one_of(r, {32u << 10, 12u << 10});
     }},
    {"stops", 30,
     [](Course& c, base::Random& r) { c.rate(Fault::kParentStop) = one_of(r, {120, 250}); }},
    {"v1", 20,
     [](Course& c, base::Random& r) {
       c.v1_children = one_of(r, {1, 2});
       c.v1_wrong_percent = one_of(r, {0, 0, 5, 30});
       c.rate(Fault::kSendsAgain) = one_of(r, {0, 200, 500});
     }},
    {"odd-values", 30, [](Course& c, base::Random&) { c.odd_values = true; }},
    {"upgrades", 15,
     [](Course& c, base::Random& r) {
       c.rate(Fault::kNewerMinor) = one_of(r, {1, 2});  // asked once a process of an edge
       c.first_lsn = r.below(2) == 0 ? 0 : (1ull << 32) - 100 - r.below(200);
       c.rate(Fault::kHandOver) = one_of(r, {40, 120, 300});
     }},
    {"churn", 3, [](Course& c, base::Random& r) { c.visitors = one_of(r, {30, 100, 300}); }},
    {"sqlite", 11, [](Course& c, base::Random&) { c.sqlite = true; }},
    {"", 40, [](Course& c, base::Random&) { c.slow_table_ms_max = 600; }},
}};

}  // namespace

std::span<const Profile> profiles() { return all_profiles; }

Result<Course> draw_course(std::string_view profile, std::uint64_t seed) {
  if (std::ranges::find(all_profiles, profile, &Profile::name) == all_profiles.end()) {
    return fail(ErrorKind::kInvalid,
                "no profile is called '" + std::string(profile) + "'; see --list-profiles");
  }
  SeededRandom random(seed * 0x9e3779b97f4a7c15u + 17);
  Course course;
  course.edges = 1 + static_cast<std::uint32_t>(random.below(4));
  if (random.below(3) == 0) course.edges = 3;
  for (const Feature& feature : features) {
    // Drawn for every feature, so that a profile changes its own and no other.
    const bool by_chance = random.below(100) < feature.percent;
    SeededRandom own(random.next());
    const bool forced =
        feature.profile == profile || (profile == "v1-crowd" && feature.profile == "v1");
    if (forced || (by_chance && profile != "calm")) feature.apply(course, own);
  }
  // Drawn from a stream of its own: the courses of earlier seeds stay as they were.
  SeededRandom odd(seed * 0xd1342543de82ef95u + 29);
  if (profile == "odd-answers" || (odd.below(100) < 15 && profile != "calm")) {
    course.speaks_s3 = true;
    course.rate(Fault::kOddAnswer) = one_of(odd, {6, 15, 40});  // asked every request
  }
  // Four young kinds of fault, only where they are asked for: their histories still find faults that
  // are open (docs/TESTING.md).
  SeededRandom of_operator(seed * 0xa0761d6478bd642fu + 31);
  if (profile == "operator") {
    course.tend_ms = 1'000;
    course.rate(Fault::kCatalogLost) = one_of(of_operator, {0, 150, 400});
    course.rate(Fault::kCatalogRestored) = one_of(of_operator, {0, 100, 300});
    course.rate(Fault::kDataLost) = one_of(of_operator, {0, 400});
    course.rate(Fault::kDataRestored) = one_of(of_operator, {0, 200});
    course.rate(Fault::kDataCopied) = one_of(of_operator, {0, 0, 250});
    // Of two parents on one catalog there is a profile of its own. And whoever looks for pointers
    // must see them: stores whose listings lag are no place to lose a catalog with.
    course.rate(Fault::kZombie) = course.rate(Fault::kListLag) = 0;
  }
  SeededRandom of_engines(seed * 0xe7037ed1a0b428dbu + 37);
  if (profile == "other-engines") {
    course.tend_ms = 1'000;
    course.rate(Fault::kForeignColumns) = one_of(of_engines, {40, 100, 300});
    course.rate(Fault::kForeignTable) = one_of(of_engines, {0, 150, 400});
    // A request that comes seconds late would make a table anew that was renamed since.
    if (course.rate(Fault::kForeignTable) > 0) {
      course.rate(Fault::kListLag) = course.rate(Fault::kStoreLate) = 0;
      course.rate(Fault::kCatalogAmbiguous) = 0;
    }
  }
  SeededRandom of_copies(seed * 0x8ebc6af09c88c6e3u + 41);
  if (profile == "copies") {
    course.knows_copies = true;
    course.rate(Fault::kCopy) = one_of(of_copies, {150, 400});
    course.rate(Fault::kReplay) = 0;
    course.rate(Fault::kRestore) = course.rate(Fault::kEdgePowerLoss) = 0;
  }
  SeededRandom of_people(seed * 0x589965cc75374cc3u + 43);
  if (profile == "people") {
    course.people = true;
    course.sqlite = false;  // the simulator has one real database at a time
    course.rate(Fault::kPeople) = one_of(of_people, {40, 100, 250});
  }
  if (profile == "churn") course.visitors = 1'200;
  if (profile == "v1-crowd") {
    course.v1_children = 12;
    course.v1_wrong_percent = 10;
    course.rate(Fault::kSendsAgain) = 250;
  }
  if (random.below(8) == 0) course.snapshots_max = 100;
  const bool may_wait_durable = random.below(100) < 60;
  if (course.loses_journals()) {
    // What a database lost to a backup had sent cannot be told without the journal, and clients of
    // the first generation keep nothing once it is durable.
    if (profile == "restores") {
      course.keep_journals();
    } else {
      course.rate(Fault::kRestore) = course.rate(Fault::kCopy) =
          course.rate(Fault::kEdgePowerLoss) = 0;
    }
    if (profile == "v1" || profile == "v1-crowd") course.keep_journals();
    if (course.loses_journals()) course.v1_children = 0;
  }
  course.wait_durable = may_wait_durable && !course.loses_journals();
  return course;
}

}  // namespace evodb::sim
