// PoliteVfs: a sqlite3_vfs of one connection's own, over another one, through which that connection
// reads and writes an application's database without ever standing in the application's way.
//
//   auto vfs = EVODB_TRY(PoliteVfs::create(""));     // over the machine's files
//   ...                                              // open a connection, by vfs->name()
//   if (vfs->shut_readers_out()) {                   // to write, in WAL mode
//     ...                                            // BEGIN IMMEDIATE, the statements, COMMIT
//     vfs->let_readers_in();
//   }
//   do {                                             // to read, with a rollback journal
//     vfs->begin_look();
//     ...                                            // BEGIN, SELECT, COMMIT
//   } while (!vfs->end_look());                      // false: what was read may be torn
//
// Why. SQLite's locks cannot say "after you". Under WAL a deferred transaction of the application
// that has read fails with SQLITE_BUSY_SNAPSHOT when it writes, no matter how long it would wait,
// if anybody committed in between. Under a rollback journal its COMMIT fails with SQLITE_BUSY at
// once (busy_timeout 0) if anybody reads in that moment. Both happen to an application that ran
// well alone, because we came.
//
// WAL. Every transaction, reading or writing, holds one of the five read slots of the wal-index in
// shared mode from its first statement to its end. shut_readers_out() takes all five exclusively in
// one call: it succeeds only if nobody has a transaction open, and until let_readers_in() nobody
// can open one: SQLite's readers back off for microseconds to milliseconds and try again by
// themselves, for ten seconds; they do not fail and no busy handler is asked. So no snapshot of the
// application's begins before our commit and writes after it. While the slots are held this object
// answers our own connection's requests for them itself, as exclusive implies shared.
//
// Rollback journal. Between begin_look() and end_look() SQLite's request for a SHARED lock is
// granted without taking one. What is read may therefore be torn; end_look() tells. It is one
// committed state if nobody writes now (nobody holds PENDING, no hot journal), the file's change
// counter stands where it stood, and every page that was read still has the bytes that were read:
// pages that were changed and changed back in between differ from what was read. The page cache is
// dropped before each look, and after it, so nothing outlives a look that did not hold.
//
// Threads: the connection's. Lifetime: outlives the connection. One connection at a time.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include <sqlite3.h>

#include "evodb/result.h"

namespace evodb::capture {

class PoliteVfs {
 public:
  enum class Users : std::uint8_t { kNone, kSome, kUnknown };

  // `base`: a registered VFS, "" the default. Errors: kInvalid (there is none of that name).
  static Result<std::unique_ptr<PoliteVfs>> create(const std::string& base);
  ~PoliteVfs();
  PoliteVfs(const PoliteVfs&) = delete;
  PoliteVfs& operator=(const PoliteVfs&) = delete;

  const std::string& name() const { return name_; }

  // This connection uses a write-ahead log. Known after its first transaction.
  bool in_wal_mode() const { return wal_; }

  // WAL. False: somebody has a transaction open (or it is not WAL). REQUIRES: no transaction of
  // this connection.
  bool shut_readers_out();
  // REQUIRES: no transaction of this connection. Does nothing where they are not shut out.
  void let_readers_in();

  // Rollback journal; in WAL mode a look is an ordinary read transaction and always holds.
  // REQUIRES: no transaction of this connection.
  void begin_look();
  // False: what was read since begin_look() is no committed state: forget it, the schema that was
  // read with it too (PRAGMA writable_schema=RESET), and look again. REQUIRES: no transaction, no
  // statement that is at a row.
  bool end_look();
  bool looking() const { return looking_; }
  // Whether what was read so far holds. REQUIRES: looking.
  bool holds() { return !broken_ && (!looked_ || sealed_ || pages_hold()); }
  // holds(), and if so: from then on each page that is read is proved at once, and what is not of
  // the same committed state fails with SQLITE_BUSY. So what is read after seal() needs no later
  // check, and costs little where it was read before.
  bool seal();
  // Nothing can be taken from a look while this is so, and nobody is there to repair it: an
  // application died while it wrote. A transaction outside of a look repairs it.
  bool hot_journal();

  // The database's header as it lies there: changes with each commit under a rollback journal.
  std::int64_t change_counter();

  // Rollback journal: whether another process holds any lock, without taking one. Connections of
  // this very process are seen from RESERVED on. kUnknown where the system does not tell.
  Users users();
  // The same while this connection writes: whether another process holds a lock beside it.
  Users others();

  // The database became another kind of file while it was looked at: this connection answers
  // SQLITE_IOERR from now on. Open another one.
  bool broken() const { return broken_; }

  // SHARED locks that were really taken in rollback mode outside of write transactions; tests.
  std::uint64_t real_locks() const { return real_locks_; }
  // Sleeps as the VFS below does.
  void sleep_us(int us) { below_->xSleep(below_, us); }

 private:
  friend struct PoliteVfsCalls;  // the C functions, in the .cc

  explicit PoliteVfs(sqlite3_vfs* below);
  bool is_wal_file() const;
  bool nobody_writes();
  bool journal_is_hot() const;
  bool pages_hold();
  bool read_same(sqlite3_int64 at, int bytes, std::uint64_t hash);
  bool same_version();
  int descriptor();  // one of this process that SQLite has open on the database, or -1

  sqlite3_vfs* const below_;
  std::string name_;
  sqlite3_vfs vfs_{};
  std::string path_;              // of the database, as SQLite resolved it
  sqlite3_file* file_ = nullptr;  // the one below
  bool wal_ = false;
  bool shut_ = false;  // we hold all read slots
  bool looking_ = false;
  bool granted_ = false;  // SQLite believes that it has a SHARED lock
  bool looked_ = false;   // ... it did so in this look
  bool sealed_ = false;
  bool forget_pages_ = false;
  bool broken_ = false;
  // What was read in this look: offset and length, and the hash of the bytes.
  std::map<std::pair<sqlite3_int64, int>, std::uint64_t> pages_;
  std::uint64_t real_locks_ = 0;
  int descriptor_ = -1;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace evodb::capture
