#include "store/curl_handle.h"

#include <mutex>

#include <curl/curl.h>

#include "base/assert.h"

namespace evodb::store {
namespace {

static_assert(CURL_ERROR_SIZE == 256);

void set_up_curl() {
  static std::once_flag once;  // libcurl's own demand: once a process, before any handle
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

}  // namespace

void CurlHandle::Cleanup::operator()(void* handle) const { curl_easy_cleanup(handle); }

CurlHandle::CurlHandle() : detail_(std::make_unique<std::array<char, 256>>()) {
  set_up_curl();
  handle_.reset(curl_easy_init());
  EVODB_ASSERT(handle_ != nullptr, "libcurl gives a handle unless memory is out");
}

void CurlHandle::begin(const std::string& url, std::int64_t timeout_ms) {
  forget();
  detail_->front() = '\0';
  CURL* curl = handle_.get();
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(timeout_ms));
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail_->data());
}

int CurlHandle::perform() { return curl_easy_perform(handle_.get()); }

std::string CurlHandle::why(int code) const {
  return detail_->front() != '\0' ? detail_->data()
                                  : curl_easy_strerror(static_cast<CURLcode>(code));
}

void CurlHandle::forget() { curl_easy_reset(handle_.get()); }

}  // namespace evodb::store
