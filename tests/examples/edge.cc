// What the examples in edge leave open; CONTRIBUTING.md, "Examples in headers".
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/loop.h"
#include "base/posix/poll_loop.h"
#include "capture/outbox.h"
#include "edge/follower.h"
#include "edge/path_outbox.h"
#include "edge/uplink.h"
#include "sim/seams/fake_network.h"
#include "wire/frame.h"

extern evodb::base::Loop& loop;

// --- edge/batch_assembler.h
extern BatchAssembler assembler;
extern const capture::OutboxChange change;
extern const BatchLimits limits;
extern const Lsn received;
extern const ChainHash chain;

// --- edge/chain_marks.h
extern ChainMarks marks;
extern const Lsn batch_end, persisted;
extern const Lsn trimmed;
extern const ChainHash chain, chain_there;

// --- edge/change_encoder.h
extern ChangeEncoder encoder;
extern const ClientTable table;
extern const std::vector<ClientChange> client_changes;
extern const UnixMillis now;

// --- edge/fake_parent.h
extern sim::FakeNetwork network;

// --- edge/file_outbox.h
extern const std::uint64_t wall_ms;
extern const std::vector<NewChange> changes;

// --- edge/file_watch.h
extern base::PollLoop& loop;
extern Follower follower;

// --- edge/follower.h
extern PathOutbox outbox;
extern Uplink uplink;
void report(const Error& error);

// --- edge/memory_outbox.h
extern const std::uint64_t wall_ms;
extern const std::vector<NewChange> changes;

// --- edge/outbox_witness.h
extern const std::string vfs;
extern const std::uint64_t log;
extern const Lsn head;

// --- edge/parent_link.h
extern base::Random& random;
extern LinkEvents& events;
extern const wire::Hello hello;

// --- edge/path_outbox.h
extern base::Clock& clock;
extern const std::function<void(const std::string&)> print;
extern Uplink uplink;

// --- edge/uplink.h
extern base::Random& random;
extern capture::Outbox& outbox;
extern UplinkObserver& observer;
