// What the examples in src/base leave open; CONTRIBUTING.md, "Examples in headers".
#include <string_view>
#include <thread>
#include <variant>

#include "base/clock.h"

// --- base/backoff.h
extern Random& random;

// --- base/chunked_slab.h
struct Connection {};
extern Connection connection;
void look_at(const Connection& connection);

// --- base/disk.h
extern Disk& disk;
extern std::string_view bytes;

// --- base/loop.h
extern Loop& loop;

// --- base/overloaded.h
struct Ping {};
struct Pong {};
extern std::variant<Ping, Pong> message;

// --- base/posix/epoll_loop.h
extern StreamEvents& gate;

// --- base/posix/poll_loop.h
extern int fd;

// --- base/sqlite_log.h
extern sqlite3* db;
void run(const char* statement);

// --- base/timer.h
extern Loop& loop;
void try_again();
