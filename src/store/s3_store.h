// S3Store: a warehouse in a bucket of S3, R2 or anything that speaks like them.
//
//   auto store = S3Store::open({.url = "s3://bucket/prefix", .endpoint = "http://127.0.0.1:7070",
//                               .access_key_id = "k", .secret_access_key = "secret"});
//
// A transport carries; what an answer means is said here. No retry happens: the caller knows what a
// lost answer means for it, we do not. But before a put's outcome is called unknown, the object is
// looked at: what is there with the same bytes was put.
//
// What is believed:
//   a put is done         2xx with an ETag and without a body; or the object is there, byte by byte
//   an object exists      412 with S3's own code
//   an object is missing  404 with S3's own code
//   an object's bytes     200, whole, not an error document, not a page of HTML
// Everything else is an error, whatever its status says.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "store/s3_transport.h"
#include "store/s3_xml.h"
#include "store/store.h"

namespace evodb::store {

inline constexpr std::uint64_t object_bytes_max = std::uint64_t{5} << 30;  // a PUT's, without parts
inline constexpr std::size_t answer_bytes_max = 16u << 20;  // a listing or an error, not an object
inline constexpr std::int64_t look_ms_max = 5'000;          // a look at what a lost answer left

// Owner: whoever opened it. Any thread. Destroyed only when no call is running.
class S3Store final : public ObjectStore {
 public:
  // Checks the options, not the server: see check(). kInvalid says which option is wrong.
  static Result<std::unique_ptr<S3Store>> open(const StoreOptions& options);
  // The same over another transport, as in the simulator.
  static Result<std::unique_ptr<S3Store>> open(const StoreOptions& options,
                                               std::unique_ptr<S3Transport> transport);

  Result<void> put(const std::string& key, std::string_view bytes, PutMode mode) override;
  // Side by side, each over a connection of its own.
  Result<void> put_all(std::span<const NewObject> objects) override;
  Result<std::string> get(const std::string& key) override;
  Result<std::string> get_at_most(const std::string& key, std::uint64_t bytes_max) override;
  Result<bool> holds(const std::string& key, std::string_view bytes) override;
  Result<void> remove(const std::string& key) override;
  Result<std::vector<ObjectInfo>> list(const std::string& prefix) override;
  std::string location(const std::string& key) const override;
  Result<std::string> key_of(const std::string& location) const override;
  Result<void> check() override;

 private:
  S3Store(StoreOptions options, std::unique_ptr<S3Transport> transport);
  S3Request request(const char* method, const std::string& what, const std::string& key) const;
  // A lost answer to a request that changes nothing is kRetry.
  Result<S3Answer> read(const S3Request& request);
  Error error_of(const S3Request& request, const S3Answer& answer) const;
  Result<ListPage> page_of(const S3Request& request, const S3Answer& answer) const;
  Result<void> put_once(const std::string& key, std::string_view bytes, PutMode mode, bool* seen);
  std::string full_key(const std::string& key) const { return prefix_ + key; }

  StoreOptions options_;
  std::unique_ptr<S3Transport> transport_;
  std::string bucket_, prefix_;  // the prefix is empty or ends with a slash
};

}  // namespace evodb::store
