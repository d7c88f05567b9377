// FakeS3: an S3 server in memory, in front of a FakeStore, that answers as real servers, proxies
// and load balancers have answered: at length, with a page of HTML, with an error under a 200.
//
//   auto transport = std::make_unique<FakeS3>(objects, tag, [](const store::S3Request&) {
//     return std::optional(FakeS3::Odd{FakeS3::Oddity::kLongError, /*carried_out=*/true});
//   });
//   auto s3 = EVODB_TRY(store::S3Store::open({.url = "s3://warehouse"}, std::move(transport)));
//
// The bytes between are S3Store's own business: this is the end of its seam (s3_transport.h).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "sim/seams/fake_store.h"
#include "store/s3_transport.h"

namespace evodb::sim {

// One thread. The store outlives it.
class FakeS3 final : public store::S3Transport {
 public:
  enum class Oddity : std::uint8_t {
    kLongError,    // a 500 that talks longer than anybody listens
    kPageError,    // a 502 with a page of HTML
    kEmptyError,   // a 503 without a word
    kErrorInOk,    // a 200 with an error document, as CompleteMultipartUpload has
    kPageInOk,     // a 200 with somebody's sign-in page
    kLongOk,       // a 200 that talks longer than anybody listens
    kNoTag,        // a 200 that says nothing
    kForeign404,   // not found, says a proxy
    kForeign412,   // precondition failed, says a proxy
    kRedirect,     // to somewhere else
    kNotModified,  // although nobody asked
    kCutOff,       // no whole answer
    kCount,
  };
  struct Odd {
    Oddity what = Oddity::kEmptyError;
    bool carried_out = false;  // the request; else nobody who could has seen it
  };
  // Which odd answer a request gets, if any.
  using Draw = std::function<std::optional<Odd>(const store::S3Request&)>;
  // The entity tag of an object's bytes.
  using Tag = std::function<std::string(std::string_view)>;

  FakeS3(FakeStore& store, Tag tag, Draw draw)
      : store_(store), tag_(std::move(tag)), draw_(std::move(draw)) {}

  Result<store::S3Answer> exchange(const store::S3Request& request) override;
  std::string endpoint() const override { return "http://fake"; }

 private:
  Result<store::S3Answer> carry_out(const store::S3Request& request);
  std::string listing(const std::vector<store::ObjectInfo>& objects) const;

  FakeStore& store_;
  Tag tag_;
  Draw draw_;
};

std::string_view oddity_name(FakeS3::Oddity oddity);

}  // namespace evodb::sim
