// CurlTransport: S3Transport over libcurl, signed by sigv4.h.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "store/curl_handle.h"
#include "store/s3_transport.h"
#include "store/sigv4.h"
#include "store/store.h"

namespace evodb::store {

inline constexpr std::size_t idle_connections_max = 16;  // four flushes of four objects

// Owner: whoever made it. Any thread: each exchange takes a connection of its own from a small
// pool. Destroyed only when no exchange is running.
class CurlTransport final : public S3Transport {
 public:
  // Checks the options, not the server. kInvalid says which option is wrong.
  static Result<std::unique_ptr<CurlTransport>> open(const StoreOptions& options,
                                                     const std::string& bucket);
  Result<S3Answer> exchange(const S3Request& request) override;
  std::string endpoint() const override { return scheme_ + "://" + host_; }

 private:
  explicit CurlTransport(const StoreOptions& options) : options_(options) {}
  Error failure(const S3Request& request, int code, bool sent, const std::string& why) const;
  CurlHandle take_handle();
  void give_back(CurlHandle handle);

  StoreOptions options_;
  Credentials credentials_;
  std::string scheme_, host_, base_;  // base_ is the path before the key: "/bucket/" or "/"
  std::mutex mutex_;
  std::vector<CurlHandle> idle_;  // kept with their connections
};

}  // namespace evodb::store
