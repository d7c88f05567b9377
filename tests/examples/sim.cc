// What the examples in sim leave open; CONTRIBUTING.md, "Examples in headers".
#include <string>

#include "edge/uplink.h"
#include "sim/seams/seeded_random.h"
#include "store/s3_store.h"

// --- sim/cli/workers.h
extern const std::vector<HistoryOptions> histories;

// --- sim/points/lakehouse_calls.h
extern FakeStore store;
extern std::unique_ptr<table::Catalog> sqlite_catalog;

// --- sim/points/parent_model.h
extern ParentModel parent;
extern capture::Outbox& outbox;

// --- sim/points/points.h
struct AppendAndTrim : DiskWorld {
  FakeDisk& disk() override;
  Result<void> work() override;
  void forget() override;
  Result<void> recover() override;
  Result<void> go_on() override;
};

// --- sim/seams/fake_disk.h
extern base::Random& random;

// --- sim/seams/fake_loop.h
extern FakeNetwork network;

// --- sim/seams/fake_network.h
extern const std::uint64_t seed;
extern base::StreamEvents &server, &client;

// --- sim/seams/fake_s3.h
extern FakeStore objects;
extern FakeS3::Tag tag;

// --- sim/seams/fake_store.h
extern base::Clock& clock;

// --- sim/seams/sqlite_disk.h
extern base::Clock& clock;
extern base::Random& random;
extern sqlite3* db;

// --- sim/world/child_loop.h
extern FakeNetwork network;
extern FakeLoop fake_loop;
extern base::Random& random;
extern capture::Outbox& outbox;
extern edge::UplinkOptions options;
extern edge::UplinkObserver& observer;

// --- sim/world/course.h
extern const std::uint64_t seed;

// --- sim/world/faults.h
extern const std::uint64_t seed;
extern const Course course;

// --- sim/world/model_outbox.h
extern UnixMillis now;
extern base::Loop& loop;
extern base::Random& random;
extern edge::UplinkOptions options;
extern edge::UplinkObserver& observer;

// --- sim/world/oracle.h
extern const FakeStore store;
extern Oracle::Applications applications_of;
extern Oracle::Violate violate;
extern const std::string metadata_location;
extern const ModelOutbox outbox;
extern const Lsn lsn;

// --- sim/world/people.h
extern FakeNetwork network;
extern base::Random& random;
extern const std::uint64_t seed;
extern Plant& plant;
extern const People::Tell tell;
extern Strike strike;
extern const Oracle oracle;

// --- sim/world/sqlite_database.h
extern ModelOutbox model;
extern base::Clock& clock;
extern const std::uint64_t seed;
extern UnixMillis now;
extern base::Loop& loop;
extern base::Random& random;
extern edge::UplinkOptions options;
extern edge::UplinkObserver& observer;

// --- sim/world/v1_child.h
extern FakeNetwork network;
extern const std::uint64_t seed;
extern UnixMillis now;
