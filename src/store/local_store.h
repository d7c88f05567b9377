// LocalStore: a warehouse in a directory, with the promises of an object store.
//
//   auto store = LocalStore::open("evodb-data/warehouse");
//   EVODB_TRY((*store)->put("evodb/t/data/x.parquet", bytes, PutMode::kIfAbsent));
//
// An object appears whole and synced, or not at all: temporary file, fsync, rename (or link, which
// refuses to replace), directory fsync. Objects put together are written and handed to the disk all
// at once before the first fsync waits, so that one commit of the file system's journal serves them
// all. A full disk is kRetry: the store is "away" until somebody makes room, and the journal holds
// what comes meanwhile.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "store/store.h"

namespace evodb::store {

// Owner: whoever opened it. Any thread. The directory outlives it; should it vanish (a disk that
// was unmounted), calls give kRetry and never make a new one in its place.
class LocalStore final : public ObjectStore {
 public:
  // Makes the directory if needed and removes temporary files that a crash left a day ago or
  // earlier. kInvalid: a path that cannot be a warehouse.
  static Result<std::unique_ptr<LocalStore>> open(const std::string& directory);

  Result<void> put(const std::string& key, std::string_view bytes, PutMode mode) override;
  Result<void> put_all(std::span<const NewObject> objects) override;
  Result<std::string> get(const std::string& key) override;
  Result<std::string> get_at_most(const std::string& key, std::uint64_t bytes_max) override;
  Result<bool> holds(const std::string& key, std::string_view bytes) override;
  Result<void> remove(const std::string& key) override;
  Result<std::vector<ObjectInfo>> list(const std::string& prefix) override;
  std::string location(const std::string& key) const override;
  Result<std::string> key_of(const std::string& location) const override;
  // By device and inode: a symbolic link, a bind mount, or another working directory's path.
  Result<bool> is_at(const std::string& location) override;
  // REQUIRES: is_at(location). Before others use the store.
  void spell_as(const std::string& location) override;
  Result<void> check() override;

 private:
  explicit LocalStore(std::string root);
  std::string path_of(const std::string& key) const { return root_ + "/" + key; }
  std::string temporary_path();
  Result<void> present() const;  // is the warehouse directory there?
  // One that is written but not synced; removed with this unless it was published.
  class Temporary;
  // Gives it its name; the folder is not synced.
  Result<void> publish(const Temporary& temporary, const std::string& key, PutMode mode);
  Result<void> sync_folder_of(const std::string& key);
  // Makes the folders of `key` and syncs their names, once a folder.
  Result<void> make_parents(const std::string& key);
  Result<void> walk(const std::string& folder, std::string_view prefix,
                    std::vector<ObjectInfo>& found) const;

  const std::string root_;  // absolute, no trailing slash
  std::string spelled_;     // the same, as locations name it
  std::atomic<std::uint64_t> serial_{0};
  std::mutex mutex_;
  // Folders whose names are known to survive a power loss: two a table.
  std::set<std::string> synced_folders_;
};

}  // namespace evodb::store
