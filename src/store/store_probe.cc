#include "store/store_probe.h"

#include <algorithm>
#include <string>

#include "base/bytes.h"

namespace evodb::store {
namespace {

std::unexpected<Error> while_doing(const std::string& what, const Error& error) {
  // Nobody's data depends on this object: an outcome that is not known is tried again.
  const ErrorKind kind = error.kind == ErrorKind::kOutcomeUnknown ? ErrorKind::kRetry : error.kind;
  return fail(kind, "the probe's " + what + ": " + error.text);
}

std::unexpected<Error> not_kept(const std::string& what) {
  return fail(ErrorKind::kInvalid, "this store cannot hold a lakehouse: " + what);
}

Result<void> expect_bytes(ObjectStore& store, const std::string& key, const std::string& bytes,
                          const std::string& otherwise) {
  const auto got = store.get(key);
  if (!got && got.error().kind == ErrorKind::kNotFound) {
    return not_kept("what was put is not there when it is read right afterwards");
  }
  if (!got) return while_doing("get", got.error());
  return *got == bytes ? Result<void>() : not_kept(otherwise);
}

Result<void> try_promises(ObjectStore& store, const std::string& key, const std::string& first,
                          const std::string& second) {
  if (auto put = store.put(key, first, PutMode::kIfAbsent); !put) {
    return while_doing("put", put.error());
  }
  EVODB_TRY(expect_bytes(store, key, first, "it gives back other bytes than were put"));
  const auto again = store.put(key, second, PutMode::kIfAbsent);
  if (again) {
    return not_kept(
        "it does not honour conditional puts (If-None-Match): a second put-if-absent of one object "
        "succeeded, so two writers would overwrite each other's commits. Use a store that has them "
        "(S3, R2, MinIO, versitygw), or update this one");
  }
  if (again.error().kind != ErrorKind::kExists) {
    return while_doing("conditional put", again.error());
  }
  EVODB_TRY(expect_bytes(store, key, first, "a put-if-absent that it refused replaced the object"));
  const auto listed = store.list(std::string(probe_folder) + "/");
  if (!listed) return while_doing("list", listed.error());
  const auto seen = std::ranges::find(*listed, key, &ObjectInfo::key);
  if (seen == listed->end() || seen->bytes != first.size()) {
    return fail(ErrorKind::kRetry, "the probe's list: what was put is not listed right afterwards");
  }
  if (auto put = store.put(key, second, PutMode::kOverwrite); !put) {
    return while_doing("replacing put", put.error());
  }
  return expect_bytes(store, key, second, "a put that succeeded did not replace the object");
}

}  // namespace

Result<void> probe_store(ObjectStore& store, std::uint64_t nonce) {
  EVODB_TRY(store.check());
  std::string name;
  base::put_u64(name, nonce);
  name = base::to_hex(name);
  const std::string key = std::string(probe_folder) + "/" + name;
  auto kept = try_promises(store, key, "probe " + name, "probed " + name);
  const auto removed = store.remove(key);
  if (!kept) return kept;
  if (!removed) return while_doing("remove", removed.error());
  const auto gone = store.get(key);
  if (gone) return not_kept("what was removed is still there");
  if (gone.error().kind != ErrorKind::kNotFound) return while_doing("last get", gone.error());
  return {};
}

}  // namespace evodb::store
