// Plant: one known bug, put around the shipped rooms through their seams. The proof that the
// simulator would notice: a plant that no history catches means that the oracle is blind there.
//
//   const PlantInfo* info = EVODB_TRY(find_plant("ack-before-sync"));
//   const std::unique_ptr<Plant> plant = info->make();   // one for each history
//   World world({.seed = 7, .plant = plant.get()});
//
// Plants exist in the simulator's build only. Each is a decorator of an interface that the product
// has anyway (disk, clock, journal, ingest, lake, catalog, store calls, outbox); the product has no
// branch for them. Default hooks give everything back as it is.
//
// Every hook is called once for each life of a process; what it gives must live as long as the
// plant. Threads: the world's only one.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/disk.h"
#include "base/loop.h"
#include "capture/outbox.h"
#include "capture/sqlite_outbox.h"
#include "edge/uplink.h"
#include "evodb/result.h"
#include "lake/flush_machine.h"
#include "parent/parent.h"
#include "store/s3_transport.h"
#include "table/catalog.h"
#include "table/io.h"

namespace evodb::sim {

class Plant : public parent::RoomWraps {
 public:
  // --- of the parent's process
  virtual base::Disk& disk(base::Disk& real) { return real; }
  virtual base::Clock& clock(base::Clock& real) { return real; }
  virtual table::Catalog& catalog(table::Catalog& real) { return real; }
  virtual lake::FileEncoder& encoder(lake::FileEncoder& real) { return real; }
  virtual void parent_options(parent::ParentOptions&) {}
  virtual base::Loop& loop(base::Loop& real) { return real; }
  // Of what is done with the store beside flushes: recovery, opening a lakehouse.
  virtual store::ObjectStore& store(store::ObjectStore& real) { return real; }
  // --- of the store, where a history reaches it as an S3 server (once a world)
  virtual std::unique_ptr<store::S3Transport> s3(std::unique_ptr<store::S3Transport> real) {
    return real;
  }
  // --- of every call of a flush to store or catalog
  virtual void before_io(table::IoRequest&) {}
  virtual void after_io(const table::IoRequest&, table::IoResponse&, store::ObjectStore&) {}
  // False: this flush does not go on now; it is asked again.
  virtual bool may_go_on(const lake::FlushMachine&) { return true; }
  // How much longer recovery's and sweeping's work with the store takes.
  virtual std::int64_t store_work_takes_ms() { return 0; }
  // --- of an edge's process
  virtual void edge_options(edge::UplinkOptions&) {}
  virtual capture::Outbox& outbox(capture::Outbox& real) { return real; }
  virtual void sqlite_options(capture::SqliteOutboxOptions&) {}
};

struct PlantInfo {
  std::string_view name, about;
  std::string_view profile;  // in whose histories it is looked for
  std::unique_ptr<Plant> (*make)();
};

// All of them, in the order of the rooms.
std::span<const PlantInfo> plants();
// Errors: kInvalid (no such plant).
Result<const PlantInfo*> find_plant(std::string_view name);

}  // namespace evodb::sim
