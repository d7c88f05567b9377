// What one append writes, from what is there: pure functions, used by AppendCommit's machine.
//
//   BegunCommit begun = EVODB_TRY(begin_commit(request, base, names, store));
//   NewManifest added = added_manifest(request, begun.metadata, "evodb/t", names, store);
//   CommitPlan plan = EVODB_TRY(
//       finish_commit(request, base, std::move(begun), &added, nullptr, names, attempt, store));
//   put(added.key, added.bytes);
//   if (plan.list) put(plan.list->key, plan.list->bytes);
//   put(plan.metadata.key, plan.metadata.bytes);
//   swap_entry_to(plan.metadata.location);
//
// Every object's name holds a fresh UUID, so no name is ever used twice, by anybody.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "evodb/result.h"
#include "table/append.h"
#include "table/manifest_merge.h"
#include "table/metadata.h"

namespace evodb::table {

std::string random_uuid(base::Random& random);  // version 4, 36 characters

// The table as it was loaded; without `metadata` it does not exist yet.
struct CommitBase {
  std::optional<TableMetadata> metadata;
  std::string metadata_location;
  std::uint64_t metadata_bytes = 0;  // as text
  std::vector<ManifestFile> lines;   // the current snapshot's manifest list
};

// All but the last stay the same through every try of one commit.
struct CommitNames {
  std::int64_t snapshot_id = 0;
  std::string uuid;           // of its manifests and lists
  std::string table_uuid;     // where the table is created
  std::string metadata_uuid;  // of this try's metadata file
};

struct NewObject {
  std::string key, location, bytes;
};

struct CommitPlan {
  std::optional<NewObject> list;  // nothing: no snapshot, only the watermark moves
  NewObject metadata;
  std::vector<std::string> removable;  // keys that the table no longer refers to
  TableState after;
  CommitBase next;  // the table as this commit leaves it
};

// Is this commit in the table already? Its snapshot may have expired meanwhile, or another engine's
// may lie on top, so the table's watermark counts as well: no other commit sets the same.
Result<bool> has_landed(const AppendRequest& request, const TableMetadata& metadata,
                        std::int64_t snapshot_id);

// kFenced: a higher writer epoch has written. kInvalid: the watermark is another than expected.
Result<void> check_watermark(const AppendRequest& request, const TableMetadata& metadata);

// The metadata that follows `base`, with the schema evolved and the log extended. Errors: kInvalid.
struct BegunCommit {
  TableMetadata metadata;
  std::vector<std::string> dropped;  // locations that fell out of the metadata log
};
Result<BegunCommit> begin_commit(const AppendRequest& request, const CommitBase& base,
                                 const CommitNames& names, const store::ObjectStore& store);

// REQUIRES: the request has files.
NewManifest added_manifest(const AppendRequest& request, const TableMetadata& metadata,
                           const std::string& location_key, const CommitNames& names,
                           const store::ObjectStore& store);

// The header of every manifest that this commit writes.
ManifestHeader manifest_header(const TableMetadata& metadata);

// `added` and `merged` may be null. `attempt` counts tries, from 0.
Result<CommitPlan> finish_commit(const AppendRequest& request, const CommitBase& base,
                                 BegunCommit begun, const NewManifest* added,
                                 const NewManifest* merged, const CommitNames& names, int attempt,
                                 const store::ObjectStore& store);

}  // namespace evodb::table
