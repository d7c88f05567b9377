// CurlHandle: one libcurl easy handle with the settings that every request of ours has: HTTP only,
// no signals, a time limit, and libcurl's own words for what went wrong.
//
//   CurlHandle curl;
//   curl.begin("http://127.0.0.1:8787/status", 5'000);
//   curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, &take_body);
//   if (const int code = curl.perform(); code != CURLE_OK) say(curl.why(code));
//
// Owner: whoever made it; one thread at a time. What options point to must live until forget() or
// the next begin().
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

namespace evodb::store {

class CurlHandle {
 public:
  CurlHandle();

  void begin(const std::string& url, std::int64_t timeout_ms);
  void* get() const { return handle_.get(); }  // a CURL*
  int perform();                               // a CURLcode
  std::string why(int code) const;
  // Every option; connections are kept for the next request.
  void forget();

 private:
  struct Cleanup {
    void operator()(void* handle) const;
  };
  std::unique_ptr<void, Cleanup> handle_;
  std::unique_ptr<std::array<char, 256>> detail_;  // libcurl holds its address
};

}  // namespace evodb::store
