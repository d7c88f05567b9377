#include "store/sigv4.h"

#include <algorithm>
#include <array>
#include <ctime>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/assert.h"
#include "base/bytes.h"

namespace evodb::store {
namespace {

constexpr std::string_view algorithm = "AWS4-HMAC-SHA256";

std::string hmac_sha256(std::string_view key, std::string_view message) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int length = 0;
  const unsigned char* done = HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                                   reinterpret_cast<const unsigned char*>(message.data()),
                                   message.size(), digest.data(), &length);
  EVODB_ASSERT(done != nullptr && length == 32, "HMAC-SHA256 is in every OpenSSL");
  return std::string(reinterpret_cast<const char*>(digest.data()), length);
}

std::string amz_date(UnixMillis now) {
  const std::time_t seconds = static_cast<std::time_t>(now.value / 1000);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &parts);
  return text;
}

// Header values are signed without their outer spaces, inner runs of spaces folded into one.
std::string with_single_spaces(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c == ' ' && (out.empty() || out.back() == ' ')) continue;
    out.push_back(c);
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

}  // namespace

std::string sha256_hex(std::string_view bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int length = 0;
  const int done =
      EVP_Digest(bytes.data(), bytes.size(), digest.data(), &length, EVP_sha256(), nullptr);
  EVODB_ASSERT(done == 1 && length == 32, "SHA-256 is in every OpenSSL");
  return base::to_hex(std::string_view(reinterpret_cast<const char*>(digest.data()), length));
}

std::string md5_hex(std::string_view bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int length = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), &length, EVP_md5(), nullptr) != 1) {
    return "";
  }
  return base::to_hex(std::string_view(reinterpret_cast<const char*>(digest.data()), length));
}

std::string percent_encode(std::string_view text, bool keep_slash) {
  static constexpr char digits[] = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '~' || (c == '/' && keep_slash);
    if (plain) {
      out.push_back(c);
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out.push_back('%');
      out.push_back(digits[byte >> 4]);
      out.push_back(digits[byte & 15]);
    }
  }
  return out;
}

std::string canonical_query(const Pairs& query) {
  Pairs encoded;
  for (const auto& [name, value] : query) {
    encoded.emplace_back(percent_encode(name, false), percent_encode(value, false));
  }
  std::sort(encoded.begin(), encoded.end());
  std::string out;
  for (const auto& [name, value] : encoded) {
    if (!out.empty()) out.push_back('&');
    out += name;
    out += '=';
    out += value;
  }
  return out;
}

Pairs sign(const Credentials& credentials, const SignedRequest& request, UnixMillis now) {
  const std::string date_time = amz_date(now);
  const std::string date = date_time.substr(0, 8);
  Pairs added = {{"x-amz-content-sha256", request.payload_sha256}, {"x-amz-date", date_time}};
  if (!credentials.session_token.empty()) {
    added.emplace_back("x-amz-security-token", credentials.session_token);
  }

  Pairs headers = request.headers;
  headers.insert(headers.end(), added.begin(), added.end());
  headers.emplace_back("host", request.host);
  std::sort(headers.begin(), headers.end());
  std::string canonical_headers, signed_names;
  for (const auto& [name, value] : headers) {
    canonical_headers += name + ":" + with_single_spaces(value) + "\n";
    signed_names += (signed_names.empty() ? "" : ";") + name;
  }

  const std::string canonical = request.method + "\n" + percent_encode(request.path, true) + "\n" +
                                canonical_query(request.query) + "\n" + canonical_headers + "\n" +
                                signed_names + "\n" + request.payload_sha256;
  const std::string scope =
      date + "/" + credentials.region + "/" + credentials.service + "/aws4_request";
  const std::string to_sign =
      std::string(algorithm) + "\n" + date_time + "\n" + scope + "\n" + sha256_hex(canonical);

  std::string key = hmac_sha256("AWS4" + credentials.secret_access_key, date);
  key = hmac_sha256(key, credentials.region);
  key = hmac_sha256(key, credentials.service);
  key = hmac_sha256(key, "aws4_request");
  added.emplace_back("authorization", std::string(algorithm) +
                                          " Credential=" + credentials.access_key_id + "/" + scope +
                                          ",SignedHeaders=" + signed_names +
                                          ",Signature=" + base::to_hex(hmac_sha256(key, to_sign)));
  return added;
}

}  // namespace evodb::store
