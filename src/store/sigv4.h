// AWS Signature Version 4, by the book: the Authorization header of one S3 request.
//
//   SignedRequest r{.method = "PUT", .host = "127.0.0.1:7070", .path = "/bucket/a=b/x.parquet",
//                   .payload_sha256 = sha256_hex(body), .headers = {{"if-none-match", "*"}}};
//   for (auto& [name, value] : sign(credentials, r, now)) send(name, value);  // and r.headers
//
// Ours, because libcurl's own mis-signs keys with '=' in the versions that Debian 12 carries.
// Source: "Signature Version 4 signing process" of Amazon's S3 API reference.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "evodb/types.h"

namespace evodb::store {

struct Credentials {
  std::string access_key_id, secret_access_key, session_token;
  std::string region = "us-east-1";
  std::string service = "s3";
};

using Pairs = std::vector<std::pair<std::string, std::string>>;

struct SignedRequest {
  std::string method;
  std::string host;            // as the Host header says it, with a port that is not the default
  std::string path;            // not encoded; begins with a slash
  Pairs query;                 // not encoded, any order
  std::string payload_sha256;  // lower-case hex
  Pairs headers;               // further ones to sign; lower-case names
};

// The headers to add: x-amz-date, x-amz-content-sha256, x-amz-security-token where there is a
// session, authorization. Host is signed too but is the transport's to send.
Pairs sign(const Credentials& credentials, const SignedRequest& request, UnixMillis now);

// RFC 3986 percent-encoding as S3 canonicalizes it: all but A-Z a-z 0-9 - . _ ~ (and '/').
std::string percent_encode(std::string_view text, bool keep_slash);
// "a=1&b=2", encoded and sorted: the query that is signed is the query that is sent.
std::string canonical_query(const Pairs& query);

std::string sha256_hex(std::string_view bytes);
// What most entity tags are. Empty where this OpenSSL has no MD5 (FIPS).
std::string md5_hex(std::string_view bytes);

}  // namespace evodb::store
