// A small HTTP client for the commands that ask a parent: one request, one answer, a deadline.
#pragma once

#include <cstdint>
#include <string>

#include "evodb/result.h"

namespace evodb::app {

struct HttpAnswer {
  int status = 0;
  std::string body;
};

// `method` "GET" or "POST" without a body. Errors: kRetry (nobody answers, or not in time),
// kInvalid (not an http:// or https:// URL, or what answers does not speak HTTP).
Result<HttpAnswer> http_request(const std::string& method, const std::string& url,
                                std::int64_t timeout_ms);

}  // namespace evodb::app
