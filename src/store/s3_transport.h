// S3Transport: the seam under S3Store through which one request travels and one answer comes back.
//
//   Result<S3Answer> answer = transport.exchange({.method = "PUT", .key = "p/x", .body = bytes});
//
// It carries and signs and knows nothing of what an answer means: that is S3Store's. The real one
// is CurlTransport; the simulator's answers what real servers, proxies and load balancers have
// answered.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "evodb/result.h"

namespace evodb::store {

struct S3Request {
  std::string what;  // for people: "put evodb/t/x.parquet"
  std::string method;
  std::string key;  // within the bucket; "" is the bucket itself
  std::vector<std::pair<std::string, std::string>> query, headers;
  std::string_view body;  // borrowed until the answer is there
  std::uint64_t answer_bytes_max = 0;
  std::int64_t timeout_ms = 0;
};

// As far as it was taken. Header values are as they came.
struct S3Answer {
  long status = 0;
  std::string body;
  bool cut = false;  // the body was longer than answer_bytes_max; the rest was not taken
  std::string bucket_region, etag, content_type, location;
  std::optional<std::uint64_t> content_length;  // what a HEAD says
};

// Any thread.
class S3Transport {
 public:
  virtual ~S3Transport() = default;
  // Errors: kRetry (nothing was sent), kOutcomeUnknown (something was, and no whole answer came),
  // kInvalid (the endpoint cannot be spoken to as it is; says what to change).
  virtual Result<S3Answer> exchange(const S3Request& request) = 0;
  // For texts: "http://127.0.0.1:7070".
  virtual std::string endpoint() const = 0;
};

}  // namespace evodb::store
