// The two XML answers of S3 that we read: ListObjectsV2 and Error.
//
// A reader of elements and text, nothing more: no attributes, no namespaces, no entities but the
// five of XML and numeric ones, no DTD. What it does not know it skips; nesting is bounded.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "evodb/result.h"
#include "store/store.h"

namespace evodb::store {

struct ListPage {
  std::vector<ObjectInfo> objects;
  bool truncated = false;
  std::string continuation;  // the token for the next page, when truncated
};

// kCorrupt: not a ListBucketResult, or one that says "truncated" without a token.
Result<ListPage> parse_list_page(std::string_view xml);

struct S3Error {
  std::string code, message, region;  // empty where absent
};
// Leniently: an Error element at any depth counts (servers wrap it in a response of their own), and
// so does what stands before the place where a document breaks off. Anything else gives empty
// fields.
S3Error parse_s3_error(std::string_view xml);

// "2026-11-24T08:35:10.123Z" in milliseconds since 1970; 0 if it is not one.
UnixMillis parse_iso_time(std::string_view text);

}  // namespace evodb::store
