// SqliteDisk: a sqlite3_vfs over a base::Disk, so that real SQLite (the shipped outboxes and
// catalog, an application's own connection) runs on a disk that forgets, tears and fails.
//
//   FakeDisk disk;
//   SqliteDisk sqlite(disk, clock, random);
//   sqlite3_open_v2("app.db", &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, sqlite.name().c_str());
//   ... the disk is told to stop the machine; then ...
//   sqlite3_close(db);
//   sqlite.forget();
//   disk.restart(CrashModel::kTorn, random);
//
// It behaves as SQLite's own VFS for Linux: rollback journals and WAL, sectors of 4096 bytes with
// POWERSAFE_OVERWRITE, a journal's directory synced after the journal's first sync, the
// directory of a new database not. One difference: where that sync of the directory fails it says
// so; SQLite's own passes over it.
//
// Locks and WAL's shared memory live in this object: what is a process elsewhere is a connection
// here, and nobody else's files are seen. Temporary files lie in memory and are no disk calls. A
// busy handler's sleeps take no time, since nothing else runs meanwhile.
//
// SQLite draws journal nonces and WAL salts from one generator for the whole process; the
// constructor seeds that from `random`, so that one seed is one outcome as long as one SqliteDisk
// is used at a time.
//
// Threads: one. Lifetime: outlives every connection opened through it.
#pragma once

#include <map>
#include <memory>
#include <string>

#include <sqlite3.h>

#include "base/clock.h"
#include "base/disk.h"

namespace evodb::sim {

class SqliteDisk {
 public:
  SqliteDisk(base::Disk& disk, base::Clock& clock, base::Random& random);
  ~SqliteDisk();
  SqliteDisk(const SqliteDisk&) = delete;
  SqliteDisk& operator=(const SqliteDisk&) = delete;

  // For sqlite3_open_v2 and the `vfs` of options; unique in this process.
  const std::string& name() const { return name_; }

  // All processes died: their locks and their shared memory are gone. Connections of before may
  // still be closed; what they do then reaches neither the new ones nor (see FakeDisk) the disk.
  void forget() { shared_.clear(); }

 private:
  friend struct SqliteDiskCalls;  // the C functions, in the .cc
  struct Shared;                  // of all connections to one path: locks, shared memory
  struct OpenFile;

  std::shared_ptr<Shared> shared_of(const std::string& path);

  base::Disk& disk_;
  base::Clock& clock_;
  base::Random& random_;
  std::string name_;
  sqlite3_vfs vfs_{};
  std::map<std::string, std::shared_ptr<Shared>> shared_;  // by path
};

}  // namespace evodb::sim
