#include "commands/http_client.h"

#include <curl/curl.h>

#include "store/curl_handle.h"

namespace evodb::app {

namespace {

constexpr std::size_t answer_bytes_max = 64u << 20;

std::size_t take_body(char* data, std::size_t one, std::size_t n, void* into) {
  auto& body = *static_cast<std::string*>(into);
  if (body.size() + n > answer_bytes_max) return 0;
  body.append(data, one * n);
  return n;
}

}  // namespace

Result<HttpAnswer> http_request(const std::string& method, const std::string& url,
                                std::int64_t timeout_ms) {
  if (!url.starts_with("http://") && !url.starts_with("https://")) {
    return fail(ErrorKind::kInvalid, url + " is not an http:// or https:// URL");
  }
  store::CurlHandle curl;
  HttpAnswer answer;
  curl.begin(url, timeout_ms);
  curl_easy_setopt(curl.get(), CURLOPT_NOPROXY, "*");
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, take_body);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &answer.body);
  if (method == "POST") {
    curl_easy_setopt(curl.get(), CURLOPT_POST, 1L);
    curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDSIZE, 0L);
  }
  const int code = curl.perform();
  if (code != CURLE_OK) {
    const bool nonsense = code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_URL_MALFORMAT ||
                          code == CURLE_WEIRD_SERVER_REPLY;
    return fail(nonsense ? ErrorKind::kInvalid : ErrorKind::kRetry, url + ": " + curl.why(code));
  }
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  answer.status = static_cast<int>(status);
  return answer;
}

}  // namespace evodb::app
