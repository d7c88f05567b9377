// SpaceReserve: a file beside an application's database that holds disk space until it is needed.
//
//   SpaceReserve space("app.db", 4u << 20);
//   space.keep();                      // now and then: makes the file again if there is space
//   if (error.kind == ErrorKind::kNoSpace && space.release()) {
//     ...                              // the same once more
//   }
//
// Why. A trim frees space, but first it needs some: SQLite writes the pages that it changes to a
// log or journal. On a full disk everything may be acknowledged and yet nothing can be trimmed, and
// the application, whose disk it is, cannot write. The file is app.db-evodb-reserve; nothing is in
// it, and whoever needs its space may delete it.
//
// Threads: one at a time. Other processes may do the same: the file is there or not.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace evodb::capture {

class SpaceReserve {
 public:
  // 0 bytes: none is kept. A database that is not a file of this machine has none.
  SpaceReserve(const std::string& db, std::uint64_t bytes);

  // Makes it if it is absent and the disk has several times as much. False: there is none.
  bool keep();
  // False: there was none.
  bool release();
  bool is_kept() const;
  bool is_wanted() const { return bytes_ > 0; }
  // The disk has less left than this holds, or would hold.
  bool disk_is_full() const;
  const std::string& path() const { return path_; }

 private:
  // Nothing where the system does not tell.
  std::optional<std::uint64_t> free_bytes() const;

  std::string path_, directory_;
  std::uint64_t bytes_;
};

}  // namespace evodb::capture
