// The commit protocol's effects and events: what it asks of store and catalog, and their answers.
//
// A machine (AppendCommit, lake's FlushMachine, ...) gives one IoRequest at a time by next() and
// takes its IoResponse by on_response(). The parent executes requests on worker threads with
// perform(); the simulator delays them, fails them, or performs them and says that it does not
// know.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "evodb/result.h"
#include "store/store.h"
#include "table/catalog.h"

namespace evodb::table {

// Objects under new names, together: see ObjectStore::put_all.
struct PutObjects {
  struct Object {
    std::string key;
    // Shared: the same request may be made again, and one on its way outlives whoever made it.
    std::shared_ptr<const std::string> bytes;
  };
  std::vector<Object> objects;
};
struct GetObject {
  std::string key;
};
struct RemoveObject {
  std::string key;
};
struct ListObjects {
  std::string prefix;
};
struct LoadTable {
  std::string table;
};
struct SwapTable {
  WriterEpoch writer;
  std::string table;
  std::optional<std::string> expected;
  std::string metadata_location;
};

using IoRequest =
    std::variant<PutObjects, GetObject, RemoveObject, ListObjects, LoadTable, SwapTable>;

// The value that belongs to the request: put/remove/swap nothing, get bytes, list infos, load an
// optional metadata location.
struct IoValue {
  std::string bytes;
  std::vector<store::ObjectInfo> objects;
  std::optional<std::string> metadata_location;
};
using IoResponse = Result<IoValue>;

IoResponse perform(store::ObjectStore& store, Catalog& catalog, const IoRequest& request);

}  // namespace evodb::table
