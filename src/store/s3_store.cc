#include "store/s3_store.h"

#include <algorithm>
#include <system_error>
#include <thread>

#include "store/curl_transport.h"
#include "store/key.h"
#include "store/sigv4.h"

namespace evodb::store {
namespace {

bool valid_bucket(std::string_view name) {
  return name.size() >= 3 && name.size() <= 63 && std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
                  c == '_';
         });
}

struct Place {
  std::string bucket, prefix;  // the prefix without a slash at its end
};

Result<Place> parse_url(const std::string& url) {
  constexpr std::string_view scheme = "s3://";
  if (!url.starts_with(scheme)) {
    return fail(ErrorKind::kInvalid, "store.url '" + url + "' is no s3://bucket/prefix");
  }
  const std::string rest = url.substr(scheme.size());
  Place place{.bucket = rest.substr(0, rest.find('/'))};
  if (!valid_bucket(place.bucket)) {
    return fail(ErrorKind::kInvalid, "store.url names the bucket '" + place.bucket +
                                         "', which S3 does not allow: 3 to 63 of a-z 0-9 - . _");
  }
  if (rest.size() > place.bucket.size()) place.prefix = rest.substr(place.bucket.size() + 1);
  while (place.prefix.ends_with('/')) place.prefix.pop_back();
  if (!place.prefix.empty()) EVODB_TRY(check_key(place.prefix));
  if (place.prefix.find_first_of("?#%") != std::string::npos) {
    return fail(ErrorKind::kInvalid,
                "the prefix in store.url has one of ? # %, which Iceberg "
                "readers misread: choose another");
  }
  return place;
}

// What an entity tag says of most objects: MD5 in hex. Empty where it is something else (parts, or
// keys of KMS, where it only looks like one: a difference proves nothing).
std::string_view md5_in(std::string_view etag) {
  if (etag.starts_with('"') && etag.ends_with('"') && etag.size() > 1) {
    etag = etag.substr(1, etag.size() - 2);
  }
  const bool hex = etag.size() == 32 && std::all_of(etag.begin(), etag.end(), [](char c) {
                     return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
                   });
  return hex ? etag : std::string_view();
}

bool is_md5_of(std::string_view etag, std::string_view bytes) {
  const std::string_view said = md5_in(etag);
  return !said.empty() && said == md5_hex(bytes);
}

bool is_page(const S3Answer& answer) {
  return answer.content_type.find("text/html") != std::string::npos;
}

bool is_blank(std::string_view body) {
  return body.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

// The server says that the object is there, or is not, in its own words.
bool says_exists(const S3Answer& answer) {
  return answer.status == 412 && parse_s3_error(answer.body).code == "PreconditionFailed";
}
bool says_missing(const S3Answer& answer) {
  if (answer.status != 404) return false;
  const std::string code = parse_s3_error(answer.body).code;
  return code == "NoSuchKey" || code == "NotFound";
}

}  // namespace

Result<std::unique_ptr<S3Store>> S3Store::open(const StoreOptions& options) {
  const Place place = EVODB_TRY(parse_url(options.url));
  return open(options, EVODB_TRY(CurlTransport::open(options, place.bucket)));
}

Result<std::unique_ptr<S3Store>> S3Store::open(const StoreOptions& options,
                                               std::unique_ptr<S3Transport> transport) {
  const Place place = EVODB_TRY(parse_url(options.url));
  auto store = std::unique_ptr<S3Store>(new S3Store(options, std::move(transport)));
  store->bucket_ = place.bucket;
  store->prefix_ = place.prefix.empty() ? "" : place.prefix + "/";
  return store;
}

S3Store::S3Store(StoreOptions options, std::unique_ptr<S3Transport> transport)
    : options_(std::move(options)), transport_(std::move(transport)) {}

S3Request S3Store::request(const char* method, const std::string& what,
                           const std::string& key) const {
  return {.what = what + " " + key,
          .method = method,
          .key = full_key(key),
          .answer_bytes_max = answer_bytes_max,
          .timeout_ms = options_.request_timeout_ms};
}

Result<S3Answer> S3Store::read(const S3Request& request) {
  auto answer = transport_->exchange(request);
  if (!answer && answer.error().kind == ErrorKind::kOutcomeUnknown) {
    return fail(ErrorKind::kRetry, std::move(answer).error().text);
  }
  if (answer && answer->cut && answer->status < 300) {
    return fail(ErrorKind::kOverLimit,
                "S3 " + request.what + ": the answer is larger than we take");
  }
  return answer;
}

// What the caller of a request must do after an answer that is no success, whatever its status.
Error S3Store::error_of(const S3Request& request, const S3Answer& answer) const {
  const S3Error said = parse_s3_error(answer.body);
  const bool changes = request.method == "PUT" || request.method == "DELETE";
  const ErrorKind no_word = changes ? ErrorKind::kOutcomeUnknown : ErrorKind::kRetry;
  const std::string text =
      "S3 " + request.what + ": " + std::to_string(answer.status) +
      (said.code.empty() ? (is_page(answer) ? " (a page of HTML)" : "") : " " + said.code) +
      (said.message.empty() ? "" : " (" + said.message.substr(0, 200) + ")");
  const auto invalid = [&](const std::string& advice) {
    return Error{ErrorKind::kInvalid, text + ": " + advice};
  };
  const std::string key_id = options_.access_key_id;
  if (said.code == "SignatureDoesNotMatch") {
    return invalid("the secret key is wrong; set AWS_SECRET_ACCESS_KEY to the one of '" + key_id +
                   "'");
  }
  if (said.code == "InvalidAccessKeyId" || said.code == "Unauthorized" ||
      said.code == "XAdminUserNotFound" /* versitygw's word */) {
    return invalid("the server does not know the access key '" + key_id +
                   "'; set AWS_ACCESS_KEY_ID");
  }
  if (said.code == "NoSuchBucket") {
    return invalid("create the bucket '" + bucket_ + "' or name another in store.url");
  }
  if (said.code == "RequestTimeTooSkewed") return invalid("set this machine's clock right (NTP)");
  if (said.code == "ExpiredToken" || said.code == "InvalidToken" ||
      said.code == "TokenRefreshRequired") {
    return invalid("the session token has expired; set new keys and a new AWS_SESSION_TOKEN");
  }
  // The names of a new bucket are still on their way around the world.
  if (said.code == "TemporaryRedirect") return {ErrorKind::kRetry, text};
  if (said.code == "AuthorizationHeaderMalformed" || said.code == "InvalidRegion" ||
      said.code == "PermanentRedirect" || (answer.status >= 300 && answer.status < 400)) {
    const std::string region = !said.region.empty() ? said.region : answer.bucket_region;
    if (!region.empty()) {
      return invalid("the bucket is in '" + region + "'; set store.region to it");
    }
    // Nobody asked for "not modified".
    if (answer.status == 304) return {no_word, text};
    return invalid((answer.location.empty()
                        ? std::string()
                        : "it sends us to " + answer.location.substr(0, 200) + "; ") +
                   "set store.region and store.endpoint to the bucket's own");
  }
  // Damaged or cut on the way: nothing was stored.
  if (said.code == "RequestTimeout" || said.code == "BadDigest" || said.code == "IncompleteBody" ||
      said.code == "XAmzContentSHA256Mismatch" || said.code == "OperationAborted") {
    return {ErrorKind::kRetry, text};
  }
  switch (answer.status) {
    case 403:
      return invalid("the key '" + key_id + "' may not do this in bucket '" + bucket_ +
                     "'; grant it GetObject, PutObject, DeleteObject and ListBucket");
    case 404:
      return invalid("store.endpoint " + transport_->endpoint() +
                     " is no S3 server, or not its root");
    case 408: return {no_word, text};
    case 409:
      // Two conditional puts of one key met. Of somebody who is no S3 server it means nothing.
      return {said.code.empty() ? no_word : ErrorKind::kRetry, text};
    case 412: return {no_word, text + ": not the word of an S3 server"};
    case 429: return {ErrorKind::kRetry, text};
    case 405:
    case 501:
      return invalid("this server lacks what EvoDB needs (conditional puts, ListObjectsV2)");
    default: break;
  }
  // 2xx that is no success: an error document, a page, or nothing where something is promised.
  if (answer.status < 300) {
    return {no_word, text + ": the status says yes, the answer does not"};
  }
  if (answer.status < 500) return invalid("the server refuses the request");
  return {no_word, text};
}

// `seen`: the server says in its own words whether this put is done. Else only a look tells.
Result<void> S3Store::put_once(const std::string& key, std::string_view bytes, PutMode mode,
                               bool* seen) {
  S3Request put = request("PUT", "put", key);
  put.body = bytes;
  // Room for the bytes on a slow line: a kilobyte a millisecond, on top.
  put.timeout_ms += static_cast<std::int64_t>(bytes.size() >> 10);
  if (mode == PutMode::kIfAbsent) put.headers = {{"if-none-match", "*"}};
  *seen = false;
  const S3Answer answer = EVODB_TRY(transport_->exchange(put));
  if (says_exists(answer)) {
    *seen = true;
    return fail(object_exists(key));
  }
  const bool done = answer.status == 200 || answer.status == 201 || answer.status == 204;
  if (done && !answer.cut && is_blank(answer.body)) {
    // Every S3 server gives the tag of what it has stored; who gives none may be somebody else.
    if (!answer.etag.empty()) return {};
    return fail(ErrorKind::kOutcomeUnknown, "S3 put " + key + ": " + std::to_string(answer.status) +
                                                " without an ETag: not the word of an S3 server");
  }
  return fail(error_of(put, answer));
}

Result<void> S3Store::put(const std::string& key, std::string_view bytes, PutMode mode) {
  EVODB_TRY(check_key(full_key(key)));
  if (bytes.size() > object_bytes_max) {
    return fail(ErrorKind::kInvalid, "an object over 5 GiB would need a multipart upload: " + key);
  }
  bool seen = false;
  auto put = put_once(key, bytes, mode, &seen);
  if (put || seen || put.error().kind != ErrorKind::kOutcomeUnknown) return put;
  // The object is what tells. That it is not there tells nothing: the request may still be on its
  // way, and then it is the caller who must look again.
  const auto same = holds(key, bytes);
  if (same && *same) return {};
  if (same && mode == PutMode::kIfAbsent) return fail(object_exists(key));
  return fail(ErrorKind::kOutcomeUnknown, put.error().text + " (sent; it may have happened)");
}

Result<void> S3Store::put_all(std::span<const NewObject> objects) {
  if (!options_.side_by_side) return ObjectStore::put_all(objects);
  std::vector<Result<void>> answers(objects.size());
  const auto put_one = [&](std::size_t i) { answers[i] = put_or_find(*this, objects[i]); };
  std::vector<std::jthread> others;
  for (std::size_t i = 1; i < objects.size(); ++i) {
    try {
      others.emplace_back(put_one, i);
    } catch (const std::system_error&) {  // no thread to be had: one after the other, then
      put_one(i);
    }
  }
  if (!objects.empty()) put_one(0);
  others.clear();
  return worst_of(answers);
}

Result<std::string> S3Store::get(const std::string& key) {
  return get_at_most(key, object_bytes_max);
}

Result<std::string> S3Store::get_at_most(const std::string& key, std::uint64_t bytes_max) {
  EVODB_TRY(check_key(full_key(key)));
  S3Request get = request("GET", "get", key);
  get.answer_bytes_max = bytes_max;
  S3Answer answer = EVODB_TRY(read(get));
  if (says_missing(answer)) return fail(no_such_object(key));
  if (answer.status != 200) return fail(error_of(get, answer));
  // None of our objects looks like this, and a proxy's excuse does.
  if (is_page(answer) || !parse_s3_error(answer.body).code.empty()) {
    return fail(error_of(get, answer));
  }
  return std::move(answer.body);
}

// Size and tag prove it mostly, for the price of a HEAD; otherwise the bytes themselves do.
Result<bool> S3Store::holds(const std::string& key, std::string_view bytes) {
  EVODB_TRY(check_key(full_key(key)));
  S3Request head = request("HEAD", "look at", key);
  head.timeout_ms = std::min(head.timeout_ms, look_ms_max);
  const S3Answer answer = EVODB_TRY(read(head));
  if (answer.status == 404) return fail(no_such_object(key));  // or no bucket: a HEAD cannot say
  // Without a length, or as a page, it is somebody else's answer.
  if (answer.status != 200 || !answer.content_length || is_page(answer)) {
    return fail(error_of(head, answer));
  }
  if (*answer.content_length != bytes.size()) return false;
  if (is_md5_of(answer.etag, bytes)) return true;
  return EVODB_TRY(get(key)) == bytes;
}

Result<void> S3Store::remove(const std::string& key) {
  EVODB_TRY(check_key(full_key(key)));
  const S3Request remove = request("DELETE", "remove", key);
  const S3Answer answer = EVODB_TRY(transport_->exchange(remove));
  const bool done = answer.status == 200 || answer.status == 202 || answer.status == 204;
  if (done && !answer.cut && is_blank(answer.body)) return {};
  if (says_missing(answer)) return {};
  return fail(error_of(remove, answer));
}

Result<ListPage> S3Store::page_of(const S3Request& request, const S3Answer& answer) const {
  const bool excuse = is_page(answer) || !parse_s3_error(answer.body).code.empty();
  if (answer.status != 200 || excuse) return fail(error_of(request, answer));
  auto page = parse_list_page(answer.body);
  if (page) return page;
  // Nothing is damaged: what answers is something else.
  return fail(ErrorKind::kInvalid, "S3 " + request.what + ": " + page.error().text);
}

Result<std::vector<ObjectInfo>> S3Store::list(const std::string& prefix) {
  std::vector<ObjectInfo> found;
  std::string continuation;
  while (true) {
    S3Request list = request("GET", "list", prefix);
    list.key.clear();
    list.query = {{"list-type", "2"}, {"prefix", full_key(prefix)}};
    if (!continuation.empty()) list.query.emplace_back("continuation-token", continuation);
    const S3Answer answer = EVODB_TRY(read(list));
    ListPage page = EVODB_TRY(page_of(list, answer));
    for (ObjectInfo& object : page.objects) {
      if (!object.key.starts_with(prefix_)) {
        return fail(ErrorKind::kCorrupt, "S3 list " + prefix + ": the server listed '" +
                                             object.key + "', which was not asked for");
      }
      object.key.erase(0, prefix_.size());
      // A "folder" that some consoles make is no object of ours.
      if (!object.key.empty() && !object.key.ends_with('/')) found.push_back(std::move(object));
    }
    if (!page.truncated) break;
    if (page.continuation == continuation) {
      return fail(ErrorKind::kCorrupt, "S3 list " + prefix + ": the server repeats a page");
    }
    continuation = std::move(page.continuation);
  }
  std::sort(found.begin(), found.end(),
            [](const ObjectInfo& a, const ObjectInfo& b) { return a.key < b.key; });
  return found;
}

std::string S3Store::location(const std::string& key) const {
  return "s3://" + bucket_ + "/" + full_key(key);
}

Result<std::string> S3Store::key_of(const std::string& location) const {
  const std::string root = this->location("");
  std::string_view rest = location;
  // Java's readers also write s3a and s3n.
  for (const std::string_view other : {"s3a://", "s3n://", "s3://"}) {
    if (rest.starts_with(other)) {
      rest.remove_prefix(other.size());
      break;
    }
  }
  const std::string_view ours = std::string_view(root).substr(5);
  if (rest.size() == location.size() || !rest.starts_with(ours) || rest.size() == ours.size()) {
    return fail(ErrorKind::kInvalid, "'" + location + "' is not in the warehouse " + root +
                                         ": was the warehouse moved?");
  }
  return std::string(rest.substr(ours.size()));
}

Result<void> S3Store::check() {
  // A listing, not a HEAD: the answer to a HEAD has no body that says what is wrong.
  S3Request check = request("GET", "check of bucket", "");
  check.what = "check of bucket " + bucket_;
  check.key.clear();
  check.query = {{"list-type", "2"}, {"max-keys", "1"}, {"prefix", prefix_}};
  const S3Answer answer = EVODB_TRY(read(check));
  EVODB_TRY(page_of(check, answer));
  return {};
}

}  // namespace evodb::store
