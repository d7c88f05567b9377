// Claim: one process' right to write a lakehouse, as the store itself knows it; and the pointers
// that it leaves there. With them the store is enough: whatever becomes of the catalog's file, each
// table's newest committed metadata can be found again. docs/formats/iceberg.md, "In the store".
//
//   _evodb/warehouse.json                                  which warehouse this is, and where
//   _evodb/claims/<writer epoch>.json                      who writes now: the highest one
//   _evodb/tables/<table's folder>/<epoch>-<serial>.json   the highest one names the metadata file
//
// After a swap, and before anybody is told of it:
//
//   put   claim.next_pointer(state)   a new name; so a put that comes late does no harm
//   get   claim.key()                 missing: somebody has taken over, and may not have seen our
//                                     pointer: say nothing
//   then  claim.note_pointed(...)     and remove the pointer before
//
// Whoever takes over removes the claims before its own first and reads the pointers then. So either
// we find our claim gone, or our pointer is seen.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "evodb/result.h"
#include "table/append.h"

namespace evodb::table {

inline constexpr std::string_view store_folder = "_evodb/";
inline constexpr std::string_view warehouse_key = "_evodb/warehouse.json";
inline constexpr std::string_view claims_prefix = "_evodb/claims/";
inline constexpr std::string_view pointers_prefix = "_evodb/tables/";

struct WarehouseRecord {
  std::string id;
  std::string location;  // of the warehouse, as its metadata files spell it
};
std::string encode(const WarehouseRecord& record);
Result<WarehouseRecord> decode_warehouse(std::string_view json);  // kCorrupt

struct ClaimRecord {
  std::string catalog, parent;
  std::string nonce;  // of this claim alone
  WriterEpoch writer;
};
std::string encode(const ClaimRecord& record);
Result<ClaimRecord> decode_claim(std::string_view json);  // kCorrupt

// What a pointer object says.
struct Pointer {
  std::string table;         // its name in the catalog
  std::string uuid;          // the table's
  std::string metadata_key;  // of the metadata file
  std::string catalog;       // whose swap it followed
  std::optional<Watermark> watermark;
};
std::string encode(const Pointer& pointer);
Result<Pointer> decode_pointer(std::string_view json);  // kCorrupt

// "<prefix>00000000000000000012", for listings that sort by number.
std::string claim_key(WriterEpoch writer);
struct PointerKey {
  std::string location_key;  // the table's folder
  WriterEpoch writer;
  std::uint64_t serial = 0;
};
std::string pointer_key(const PointerKey& key);
// Nothing: no pointer's name.
std::optional<PointerKey> parse_pointer_key(std::string_view key);
std::optional<WriterEpoch> parse_claim_key(std::string_view key);

// Owner: shared by all commits of one process. Any thread.
class Claim {
 public:
  explicit Claim(ClaimRecord record)
      : record_(std::move(record)), key_(claim_key(record_.writer)) {}

  const ClaimRecord& record() const { return record_; }
  const std::string& key() const { return key_; }
  bool is(std::string_view object) const;  // what a get of key() has given

  struct NewPointer {
    std::string key, bytes;
  };
  // Under a name of its own. `catalog`: whose commit it was, if not ours.
  NewPointer next_pointer(const TableState& state, const std::string& metadata_key,
                          const std::optional<std::string>& catalog = std::nullopt) {
    return pointer_of(draw(), state, metadata_key, catalog);
  }
  // The same in two steps, for who reads the catalog to know what to point at: the serial is drawn
  // before, so that whatever a commit points at later has a higher one.
  std::uint64_t draw() { return ++serial_; }
  NewPointer pointer_of(std::uint64_t serial, const TableState& state,
                        const std::string& metadata_key,
                        const std::optional<std::string>& catalog = std::nullopt) const;
  // It is in the store. Gives the key of the one that nobody needs any more: of the one before.
  std::optional<std::string> note_pointed(const TableState& state, const std::string& key);
  // What this process' newest pointers name.
  struct Pointed {
    std::string location_key, table, key, metadata_location;
  };
  std::vector<Pointed> pointed() const;

  // May files be removed that the table has let go of? Not where another catalog has written last:
  // what it refers to we may not know.
  bool may_remove(const std::string& location_key) const;
  void remove_nothing_in(const std::string& location_key);
  // May files be removed that nothing refers to? Nowhere in the first life of a catalog.
  bool may_sweep() const;
  void sweep_nothing();

 private:
  const ClaimRecord record_;
  const std::string key_;
  std::atomic<std::uint64_t> serial_{0};
  mutable std::mutex mutex_;
  std::map<std::string, Pointed> pointed_;  // by location_key
  bool sweeps_ = true;
  std::set<std::string> foreign_;
};

}  // namespace evodb::table
