// ObjectStore: where Parquet files and table metadata live: a local directory, or S3 and what
// speaks like it (R2). Keys are relative to the warehouse: "evodb/orders_changes/data/x.parquet".
//
//   auto store = EVODB_TRY(open_store({.url = "s3://bucket/prefix", .region = "eu-west-1"}));
//   EVODB_TRY(store->put(key, bytes, PutMode::kIfAbsent));
//
// Calls block; a store is used from several threads at once. Errors:
//   kRetry           away, throttled, full, timed out before anything was sent: try again later
//   kOutcomeUnknown  a put or remove that timed out or got a 5xx after it was sent: look first
//   kNotFound        get: the store says that there is no such object
//   kExists          put with PutMode::kIfAbsent: the store says that there is one already
//   kInvalid         credentials, bucket, endpoint or key are wrong: says which and what to do
//   kOverLimit       the answer is larger than we take; it says nothing about what is there
//   kCorrupt         fewer bytes than promised, or an answer that contradicts itself
//
// Only the store's own word counts: a "404" of something that is no object store is no kNotFound,
// and a "412" is no kExists.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "evodb/result.h"
#include "evodb/types.h"

namespace evodb::store {

enum class PutMode : std::uint8_t { kOverwrite, kIfAbsent };

struct NewObject {
  std::string_view key, bytes;
};

struct ObjectInfo {
  std::string key;
  std::uint64_t bytes = 0;
  UnixMillis modified;
};

class ObjectStore {
 public:
  virtual ~ObjectStore() = default;
  virtual Result<void> put(const std::string& key, std::string_view bytes, PutMode mode) = 0;
  // Puts objects whose names are the caller's alone: one that exists with the same bytes is what an
  // earlier try of this call left, and stays; with other bytes it is kExists. Ok: all are there, as
  // after a put() of each. An error: some may be there; it is the worst that one of them met
  // (final, then kOutcomeUnknown, then kRetry). A store that can do better than one after the other
  // does: by syncing them together, or side by side.
  virtual Result<void> put_all(std::span<const NewObject> objects);
  virtual Result<std::string> get(const std::string& key) = 0;
  // The same for an object that somebody else may have made too large to be held in memory:
  // kOverLimit, before it is, where it has more than `bytes_max`.
  virtual Result<std::string> get_at_most(const std::string& key, std::uint64_t bytes_max);
  // Whether the object has exactly these bytes. Errors as get(), kNotFound among them.
  virtual Result<bool> holds(const std::string& key, std::string_view bytes);
  // Absent is no error.
  virtual Result<void> remove(const std::string& key) = 0;
  // Every object whose key begins with `prefix`, sorted by key.
  virtual Result<std::vector<ObjectInfo>> list(const std::string& prefix) = 0;
  // The absolute location of a key, as Iceberg metadata names it ("s3://bucket/prefix/key",
  // "file:///data/warehouse/key"), and back (kInvalid: not in this warehouse).
  virtual std::string location(const std::string& key) const = 0;
  virtual Result<std::string> key_of(const std::string& location) const = 0;
  // May the place that `location` (as location("") gave it once) names be this very one, by another
  // path? And if so: from now on location() spells as that one did.
  virtual Result<bool> is_at(const std::string& location) { return location == this->location(""); }
  virtual void spell_as(const std::string& /*location*/) {}
  // One cheap call that fails when the store is away or the credentials are wrong.
  virtual Result<void> check() = 0;
};

// The errors of get() on a key that is not there, and of a conditional put on one that is. Inline,
// so that the simulator's store needs this header alone.
inline Error no_such_object(const std::string& key) {
  return Error{ErrorKind::kNotFound, "no such object: " + key};
}
inline Error object_exists(const std::string& key) {
  return Error{ErrorKind::kExists, "the object exists already: " + key};
}
inline Error object_over_limit(const std::string& key, std::uint64_t bytes_max) {
  return Error{ErrorKind::kOverLimit,
               "the object has more than " + std::to_string(bytes_max) + " bytes: " + key};
}

struct StoreOptions {
  std::string url;       // "file:evodb-data/warehouse" or "s3://bucket/prefix"
  std::string endpoint;  // S3: "http://127.0.0.1:7070", "https://<account>.r2..."; "" is AWS
  std::string region = "auto";
  std::string access_key_id, secret_access_key, session_token;
  std::int64_t connect_timeout_ms = 5'000;
  std::int64_t request_timeout_ms = 60'000;
  bool path_style = true;
  bool side_by_side = true;  // S3: objects that are put together go over connections of their own
};

inline Result<std::string> ObjectStore::get_at_most(const std::string& key,
                                                    std::uint64_t bytes_max) {
  std::string bytes = EVODB_TRY(get(key));
  if (bytes.size() > bytes_max) return fail(object_over_limit(key, bytes_max));
  return bytes;
}
inline Result<bool> ObjectStore::holds(const std::string& key, std::string_view bytes) {
  return EVODB_TRY(get(key)) == bytes;
}
// A put for put_all: what an earlier try left is no error. That it is there is not taken from an
// answer alone: it is looked at.
inline Result<void> put_or_find(ObjectStore& store, const NewObject& object) {
  const std::string key(object.key);
  auto put = store.put(key, object.bytes, PutMode::kIfAbsent);
  if (put || put.error().kind != ErrorKind::kExists) return put;
  const auto same = store.holds(key, object.bytes);
  if (same) return *same ? Result<void>() : put;
  // Nobody knows what that answer was about.
  return fail(ErrorKind::kRetry, put.error().text + ", and yet: " + same.error().text);
}
// The answer of put_all, from those of its objects.
inline Result<void> worst_of(std::span<const Result<void>> answers) {
  const auto rank = [](const Result<void>& answer) {
    if (answer) return 0;
    if (answer.error().kind == ErrorKind::kRetry) return 1;
    return answer.error().kind == ErrorKind::kOutcomeUnknown ? 2 : 3;
  };
  const Result<void>* worst = nullptr;
  for (const Result<void>& answer : answers) {
    if (worst == nullptr || rank(answer) > rank(*worst)) worst = &answer;
  }
  return worst == nullptr ? Result<void>() : *worst;
}
inline Result<void> ObjectStore::put_all(std::span<const NewObject> objects) {
  std::vector<Result<void>> answers;
  for (const NewObject& object : objects) answers.push_back(put_or_find(*this, object));
  return worst_of(answers);
}

Result<std::unique_ptr<ObjectStore>> open_store(const StoreOptions& options);

}  // namespace evodb::store
