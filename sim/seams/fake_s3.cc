#include "sim/seams/fake_s3.h"

#include <array>
#include <cstdio>
#include <ctime>
#include <utility>

namespace evodb::sim {
namespace {

using store::S3Answer;
using Oddity = FakeS3::Oddity;

constexpr std::array<std::string_view, static_cast<std::size_t>(Oddity::kCount)> names = {
    "long-error", "page-error",  "empty-error", "error-in-200", "page-in-200", "long-200",
    "no-tag",     "foreign-404", "foreign-412", "redirect",     "304",         "cut-off"};

constexpr char page[] = "<!DOCTYPE html><html><body>We will be back soon</body></html>";

S3Answer error(long status, const std::string& code) {
  return {.status = status,
          .body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>" + code +
                  "</Code><Message>m</Message></Error>",
          .content_type = "application/xml"};
}

Result<S3Answer> odd_answer(Oddity oddity) {
  switch (oddity) {
    case Oddity::kLongError: return S3Answer{.status = 500, .body = "at line", .cut = true};
    case Oddity::kPageError:
      return S3Answer{.status = 502, .body = page, .content_type = "text/html"};
    case Oddity::kEmptyError: return S3Answer{.status = 503};
    case Oddity::kErrorInOk: return error(200, "InternalError");
    case Oddity::kPageInOk:
      return S3Answer{.status = 200, .body = page, .content_type = "text/html"};
    case Oddity::kLongOk: return S3Answer{.status = 200, .body = "so", .cut = true};
    case Oddity::kNoTag: return S3Answer{.status = 204};
    case Oddity::kForeign404:
      return S3Answer{.status = 404, .body = page, .content_type = "text/html"};
    case Oddity::kForeign412:
      return S3Answer{.status = 412, .body = page, .content_type = "text/html"};
    case Oddity::kRedirect: return S3Answer{.status = 302, .location = "http://elsewhere/"};
    case Oddity::kNotModified: return S3Answer{.status = 304};
    case Oddity::kCutOff:
    case Oddity::kCount: break;
  }
  return fail(ErrorKind::kOutcomeUnknown, "the answer was cut off");
}

// What a FakeStore's error looks like on the wire, or that nothing comes at all.
Result<S3Answer> answer_of(const Error& why) {
  switch (why.kind) {
    case ErrorKind::kNotFound: return error(404, "NoSuchKey");
    case ErrorKind::kExists: return error(412, "PreconditionFailed");
    case ErrorKind::kInvalid: return error(403, "AccessDenied");
    default: return fail(why);
  }
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else {
      out += c;
    }
  }
  return out;
}

std::string iso_time(UnixMillis at) {
  const std::time_t seconds = static_cast<std::time_t>(at.value / 1'000);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[40];
  const std::size_t n = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text + n, sizeof text - n, ".%03dZ", static_cast<int>(at.value % 1'000));
  return text;
}

}  // namespace

std::string_view oddity_name(FakeS3::Oddity oddity) {
  return names[static_cast<std::size_t>(oddity)];
}

Result<S3Answer> FakeS3::exchange(const store::S3Request& request) {
  const auto odd = draw_(request);
  if (!odd) return carry_out(request);
  if (odd->carried_out) (void)carry_out(request);
  return odd_answer(odd->what);
}

Result<S3Answer> FakeS3::carry_out(const store::S3Request& request) {
  if (request.method == "PUT") {
    const auto mode =
        request.headers.empty() ? store::PutMode::kOverwrite : store::PutMode::kIfAbsent;
    const auto put = store_.put(request.key, request.body, mode);
    if (!put) return answer_of(put.error());
    return S3Answer{.status = 200, .etag = tag_(request.body)};
  }
  if (request.method == "DELETE") {
    const auto removed = store_.remove(request.key);
    if (!removed) return answer_of(removed.error());
    return S3Answer{.status = 204};
  }
  if (request.method == "HEAD") {
    const auto bytes = store_.head(request.key);
    if (!bytes && bytes.error().kind == ErrorKind::kNotFound) return S3Answer{.status = 404};
    if (!bytes) return answer_of(bytes.error());
    return S3Answer{.status = 200, .etag = tag_(*bytes), .content_length = bytes->size()};
  }
  if (request.key.empty()) {
    std::string prefix;
    for (const auto& [name, value] : request.query) {
      if (name == "prefix") prefix = value;
    }
    const auto listed = store_.list(prefix);
    if (!listed) return answer_of(listed.error());
    return S3Answer{.status = 200, .body = listing(*listed), .content_type = "application/xml"};
  }
  auto bytes = store_.get(request.key);
  if (!bytes) return answer_of(bytes.error());
  return S3Answer{
      .status = 200, .body = *std::move(bytes), .content_type = "application/octet-stream"};
}

std::string FakeS3::listing(const std::vector<store::ObjectInfo>& objects) const {
  std::string xml = "<ListBucketResult><IsTruncated>false</IsTruncated>";
  for (const auto& object : objects) {
    xml += "<Contents><Key>" + escaped(object.key) + "</Key><LastModified>" +
           iso_time(object.modified) + "</LastModified><Size>" + std::to_string(object.bytes) +
           "</Size></Contents>";
  }
  return xml + "</ListBucketResult>";
}

}  // namespace evodb::sim
