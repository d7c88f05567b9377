// S3Store: a warehouse in a bucket of S3, R2 or anything that speaks like them.
//
//   auto store = S3Store::open({.url = "s3://bucket/prefix", .endpoint = "http://127.0.0.1:7070",
//                               .access_key_id = "k", .secret_access_key = "secret"});
//
// libcurl carries, sigv4.h signs. No retry happens here: the caller knows what a lost answer means
// for it, we do not. What a status means is said once, in error_of().
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "store/sigv4.h"
#include "store/store.h"

namespace evodb::store {

inline constexpr std::size_t idle_connections_max = 16;  // four flushes of four objects
inline constexpr std::uint64_t object_bytes_max = std::uint64_t{5} << 30;  // a PUT's, without parts
inline constexpr std::size_t answer_bytes_max = 16u << 20;  // a listing or an error, not an object

// Owner: whoever opened it. Any thread: each call takes a connection of its own from a small pool.
// Destroyed only when no call is running.
class S3Store final : public ObjectStore {
 public:
  // Checks the options, not the server: see check(). kInvalid says which option is wrong.
  static Result<std::unique_ptr<S3Store>> open(const StoreOptions& options);
  ~S3Store() override;

  Result<void> put(const std::string& key, std::string_view bytes, PutMode mode) override;
  // Side by side, each over a connection of its own.
  Result<void> put_all(std::span<const NewObject> objects) override;
  Result<std::string> get(const std::string& key) override;
  Result<void> remove(const std::string& key) override;
  Result<std::vector<ObjectInfo>> list(const std::string& prefix) override;
  std::string location(const std::string& key) const override;
  Result<std::string> key_of(const std::string& location) const override;
  Result<void> check() override;

 private:
  struct Call;
  struct Answer;
  explicit S3Store(const StoreOptions& options);
  Result<Answer> perform(const Call& call);
  Error error_of(const Call& call, const Answer& answer) const;
  Error transport_error(const Call& call, int code, bool sent, const char* detail) const;
  std::string full_key(const std::string& key) const { return prefix_ + key; }
  void* take_handle();
  void give_back(void* handle);

  StoreOptions options_;
  Credentials credentials_;
  std::string bucket_, prefix_;       // the prefix is empty or ends with a slash
  std::string scheme_, host_, base_;  // base_ is the path before the key: "/bucket/" or "/"
  std::mutex mutex_;
  std::vector<void*> idle_;  // CURL*, kept with their connections
};

}  // namespace evodb::store
