#include "store/store.h"

#include "store/local_store.h"
#include "store/s3_store.h"

namespace evodb::store {

Result<std::unique_ptr<ObjectStore>> open_store(const StoreOptions& options) {
  if (options.url.starts_with("s3://")) return EVODB_TRY(S3Store::open(options));
  if (options.url.starts_with("file:")) {
    std::string directory = options.url.substr(5);
    if (directory.starts_with("///")) directory.erase(0, 2);  // file:///abs
    return EVODB_TRY(LocalStore::open(directory));
  }
  return fail(ErrorKind::kInvalid,
              "store.url '" + options.url + "' must be file:DIRECTORY or s3://bucket/prefix");
}

}  // namespace evodb::store
