// The worked examples of "Authenticating Requests: Using the Authorization Header" in Amazon's S3
// API reference, whose keys, dates and signatures are published there.
#include "store/sigv4.h"

#include <gtest/gtest.h>

namespace evodb::store {
namespace {

const Credentials example{.access_key_id = "AKIAIOSFODNN7EXAMPLE",
                          .secret_access_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                          .session_token = "",
                          .region = "us-east-1"};
const UnixMillis may_24_2013{1'369'353'600'000};
const std::string empty_sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

std::string value_of(const Pairs& headers, const std::string& name) {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return "";
}

std::string authorization(const SignedRequest& request) {
  return value_of(sign(example, request, may_24_2013), "authorization");
}

TEST(SigV4, SignsAmazonsGetObjectExample) {
  EXPECT_EQ(authorization({.method = "GET",
                           .host = "examplebucket.s3.amazonaws.com",
                           .path = "/test.txt",
                           .payload_sha256 = empty_sha256,
                           .headers = {{"range", "bytes=0-9"}}}),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
            "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
            "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST(SigV4, SignsAmazonsPutObjectExampleWithADollarInItsKey) {
  EXPECT_EQ(authorization({.method = "PUT",
                           .host = "examplebucket.s3.amazonaws.com",
                           .path = "/test$file.text",
                           .payload_sha256 = sha256_hex("Welcome to Amazon S3."),
                           .headers = {{"date", "Fri, 24 May 2013 00:00:00 GMT"},
                                       {"x-amz-storage-class", "REDUCED_REDUNDANCY"}}}),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
            "SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class,"
            "Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

TEST(SigV4, SignsAmazonsBucketLifecycleExampleWithAnEmptyQueryValue) {
  EXPECT_EQ(authorization({.method = "GET",
                           .host = "examplebucket.s3.amazonaws.com",
                           .path = "/",
                           .query = {{"lifecycle", ""}},
                           .payload_sha256 = empty_sha256}),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
            "SignedHeaders=host;x-amz-content-sha256;x-amz-date,"
            "Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
}

TEST(SigV4, SignsAmazonsListObjectsExample) {
  EXPECT_EQ(authorization({.method = "GET",
                           .host = "examplebucket.s3.amazonaws.com",
                           .path = "/",
                           .query = {{"prefix", "J"}, {"max-keys", "2"}},
                           .payload_sha256 = empty_sha256}),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
            "SignedHeaders=host;x-amz-content-sha256;x-amz-date,"
            "Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

TEST(SigV4, SendsTheSessionTokenAndSignsIt) {
  Credentials session = example;
  session.session_token = "token";
  const Pairs added =
      sign(session, {.method = "GET", .host = "h", .path = "/", .payload_sha256 = empty_sha256},
           may_24_2013);
  EXPECT_EQ(value_of(added, "x-amz-security-token"), "token");
  EXPECT_NE(value_of(added, "authorization").find("x-amz-security-token,"), std::string::npos);
}

TEST(SigV4, EncodesKeysAsS3CanonicalizesThem) {
  EXPECT_EQ(percent_encode("/a=b/c d/é+~._-%", true), "/a%3Db/c%20d/%C3%A9%2B~._-%25");
  EXPECT_EQ(percent_encode("a/b", false), "a%2Fb");
  EXPECT_EQ(canonical_query({{"prefix", "x/y"}, {"list-type", "2"}}), "list-type=2&prefix=x%2Fy");
}

}  // namespace
}  // namespace evodb::store
