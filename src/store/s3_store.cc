#include "store/s3_store.h"

#include <algorithm>
#include <chrono>
#include <system_error>
#include <thread>

#include <curl/curl.h>

#include "base/assert.h"
#include "store/key.h"
#include "store/s3_xml.h"

namespace evodb::store {
namespace {

UnixMillis wall_now() {
  // A signature needs the time that the server has; this class is the real end of the store's seam.
  return UnixMillis{std::chrono::duration_cast<std::chrono::milliseconds>(
                        std::chrono::system_clock::now().time_since_epoch())
                        .count()};
}

struct Upload {
  std::string_view bytes;
  std::size_t done = 0;
};

std::size_t read_upload(char* into, std::size_t size, std::size_t count, void* opaque) {
  auto& upload = *static_cast<Upload*>(opaque);
  const std::size_t n = std::min(size * count, upload.bytes.size() - upload.done);
  std::memcpy(into, upload.bytes.data() + upload.done, n);
  upload.done += n;
  return n;
}

int seek_upload(void* opaque, curl_off_t offset, int origin) {
  auto& upload = *static_cast<Upload*>(opaque);
  if (origin != SEEK_SET || offset < 0 || static_cast<std::size_t>(offset) > upload.bytes.size()) {
    return CURL_SEEKFUNC_CANTSEEK;
  }
  upload.done = static_cast<std::size_t>(offset);
  return CURL_SEEKFUNC_OK;
}

struct Download {
  std::string bytes;
  std::uint64_t bytes_max = answer_bytes_max;
  bool too_large = false;  // the rest was not taken
};

std::size_t write_download(char* from, std::size_t size, std::size_t count, void* opaque) {
  auto& download = *static_cast<Download*>(opaque);
  if (download.bytes.size() + size * count > download.bytes_max) {
    download.too_large = true;
    return 0;  // CURLE_WRITE_ERROR
  }
  download.bytes.append(from, size * count);
  return size * count;
}

struct Head {
  std::string bucket_region;
  bool bounded = false;   // says where its body ends
  bool complete = false;  // came to its empty line
};

bool starts_with_name(std::string_view line, std::string_view name) {
  return line.size() > name.size() &&
         std::equal(name.begin(), name.end(), line.begin(), [](char want, char c) {
           return want == (c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
         });
}

std::size_t read_header(char* from, std::size_t size, std::size_t count, void* opaque) {
  constexpr std::string_view region = "x-amz-bucket-region:";
  const std::string_view line(from, size * count);
  auto& head = *static_cast<Head*>(opaque);
  if (line.starts_with("HTTP/")) {
    head = {};  // another one: behind a "100 Continue", or a connection tried again
  } else if (line == "\r\n" || line == "\n") {
    head.complete = true;
  } else if (starts_with_name(line, region)) {
    std::string_view value = line.substr(region.size());
    value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
    head.bucket_region = value.substr(0, value.find_first_of("\r\n "));
  } else if (starts_with_name(line, "content-length:") ||
             starts_with_name(line, "transfer-encoding:")) {
    head.bounded = true;
  }
  return size * count;
}

bool valid_bucket(std::string_view name) {
  return name.size() >= 3 && name.size() <= 63 && std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
                  c == '_';
         });
}

void set_up_curl() {
  static std::once_flag once;  // libcurl's own demand: once a process, before any handle
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

}  // namespace

struct S3Store::Call {
  std::string what;  // for people: "put evodb/t/x.parquet"
  std::string method;
  std::string key;  // with the prefix; "" is the bucket
  Pairs query, headers;
  std::string_view body;
  std::uint64_t answer_max = answer_bytes_max;
  bool changes = false;  // a lost answer leaves the outcome open
};

struct S3Store::Answer {
  long status = 0;
  std::string body;
  std::string bucket_region;
};

Result<std::unique_ptr<S3Store>> S3Store::open(const StoreOptions& options) {
  constexpr std::string_view scheme = "s3://";
  if (!options.url.starts_with(scheme)) {
    return fail(ErrorKind::kInvalid, "store.url '" + options.url + "' is no s3://bucket/prefix");
  }
  const std::string rest = options.url.substr(scheme.size());
  const std::string bucket = rest.substr(0, rest.find('/'));
  if (!valid_bucket(bucket)) {
    return fail(ErrorKind::kInvalid, "store.url names the bucket '" + bucket +
                                         "', which S3 does not allow: 3 to 63 of a-z 0-9 - . _");
  }
  std::string prefix = rest.size() > bucket.size() ? rest.substr(bucket.size() + 1) : "";
  while (prefix.ends_with('/')) prefix.pop_back();
  if (!prefix.empty()) EVODB_CHECK(check_key(prefix));
  if (prefix.find_first_of("?#%") != std::string::npos) {
    return fail(ErrorKind::kInvalid,
                "the prefix in store.url has one of ? # %, which Iceberg "
                "readers misread: choose another");
  }
  if (options.access_key_id.empty() || options.secret_access_key.empty()) {
    return fail(ErrorKind::kInvalid,
                "the S3 store needs keys: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
                "store.access_key_id and store.secret_access_key");
  }
  std::string endpoint = options.endpoint;
  while (endpoint.ends_with('/')) endpoint.pop_back();
  // us-east-1 is what nearly every S3 server calls itself; R2 takes it for its own "auto".
  std::string region = options.region;
  if (region.empty() || region == "auto") region = "us-east-1";
  if (endpoint.empty()) endpoint = "https://s3." + region + ".amazonaws.com";
  const std::size_t mark = endpoint.find("://");
  const std::string protocol = endpoint.substr(0, mark == std::string::npos ? 0 : mark);
  if (protocol != "http" && protocol != "https") {
    return fail(ErrorKind::kInvalid,
                "store.endpoint '" + options.endpoint + "' must begin with http:// or https://");
  }
  std::string host = endpoint.substr(mark + 3);
  if (host.empty() || host.find_first_of("/?#@ ") != std::string::npos) {
    return fail(ErrorKind::kInvalid, "store.endpoint '" + options.endpoint +
                                         "' must be scheme, host and port alone; the bucket "
                                         "belongs into store.url");
  }
  // A default port is not in the Host header that libcurl sends, so it must not be signed.
  const std::string default_port = protocol == "http" ? ":80" : ":443";
  if (host.ends_with(default_port)) host.resize(host.size() - default_port.size());

  set_up_curl();
  auto store = std::unique_ptr<S3Store>(new S3Store(options));
  store->credentials_ = {options.access_key_id, options.secret_access_key, options.session_token,
                         region, "s3"};
  store->bucket_ = bucket;
  store->prefix_ = prefix.empty() ? "" : prefix + "/";
  store->scheme_ = protocol;
  store->host_ = options.path_style ? host : bucket + "." + host;
  store->base_ = options.path_style ? "/" + bucket + "/" : "/";
  return store;
}

S3Store::S3Store(const StoreOptions& options) : options_(options) {}

S3Store::~S3Store() {
  for (void* handle : idle_) curl_easy_cleanup(handle);
}

void* S3Store::take_handle() {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      void* handle = idle_.back();
      idle_.pop_back();
      return handle;
    }
  }
  CURL* handle = curl_easy_init();
  EVODB_ASSERT(handle != nullptr, "libcurl gives a handle unless memory is out");
  return handle;
}

void S3Store::give_back(void* handle) {
  curl_easy_reset(handle);  // forgets options, keeps connections
  {
    const std::lock_guard lock(mutex_);
    if (idle_.size() < idle_connections_max) {
      idle_.push_back(handle);
      return;
    }
  }
  curl_easy_cleanup(handle);
}

Result<S3Store::Answer> S3Store::perform(const Call& call) {
  // The listing of a bucket in path style goes to "/bucket", without the slash.
  std::string path = base_ + call.key;
  if (call.key.empty() && path.size() > 1) path.pop_back();
  SignedRequest request{.method = call.method,
                        .host = host_,
                        .path = path,
                        .query = call.query,
                        .payload_sha256 = sha256_hex(call.body),
                        .headers = call.headers};
  const std::string query = canonical_query(call.query);
  const std::string url =
      scheme_ + "://" + host_ + percent_encode(path, true) + (query.empty() ? "" : "?" + query);

  curl_slist* lines = nullptr;
  const auto add_line = [&lines](const std::string& line) {
    lines = curl_slist_append(lines, line.c_str());
  };
  const auto add_headers = [&add_line](const Pairs& headers) {
    for (const auto& [name, value] : headers) {
      std::string line = name;
      line += ": ";
      line += value;
      add_line(line);
    }
  };
  add_headers(call.headers);
  add_headers(sign(credentials_, request, wall_now()));
  add_line("Expect:");  // waiting for "100 Continue" costs a round trip, and R2 a second
  if (call.method == "PUT") add_line("content-type: application/octet-stream");

  Upload upload{call.body};
  Download download{.bytes_max = call.answer_max};
  Answer answer;
  Head head;
  char detail[CURL_ERROR_SIZE] = "";
  // Room for the bytes on a slow line: a kilobyte a millisecond, on top.
  const long timeout_ms = static_cast<long>(options_.request_timeout_ms +
                                            static_cast<std::int64_t>(call.body.size() >> 10));
  CURL* curl = take_handle();
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options_.connect_timeout_ms));
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, lines);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &write_download);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &download);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, &read_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &head);
  if (call.method == "PUT") {
    curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(call.body.size()));
    curl_easy_setopt(curl, CURLOPT_READFUNCTION, &read_upload);
    curl_easy_setopt(curl, CURLOPT_READDATA, &upload);
    curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, &seek_upload);
    curl_easy_setopt(curl, CURLOPT_SEEKDATA, &upload);
  } else {
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, call.method.c_str());
  }
  const CURLcode code = curl_easy_perform(curl);
  long request_bytes = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer.status);
  curl_easy_getinfo(curl, CURLINFO_REQUEST_SIZE, &request_bytes);
  curl_slist_free_all(lines);
  give_back(curl);
  // An error may talk at any length: its status is what counts.
  const bool long_error = download.too_large && answer.status >= 300;
  if (code != CURLE_OK && !long_error) {
    return fail(transport_error(call, code, request_bytes > 0, detail));
  }
  // A connection cut within the head is a success to curl, with whatever had come: an empty object.
  // And a body without a length ends wherever it is cut.
  if (!head.complete || (!head.bounded && !download.bytes.empty())) {
    return fail(transport_error(call, CURLE_PARTIAL_FILE, true,
                                head.complete ? "the answer does not say how long it is"
                                              : "the answer was cut off within its head"));
  }
  answer.bucket_region = std::move(head.bucket_region);
  answer.body = std::move(download.bytes);
  return answer;
}

Error S3Store::transport_error(const Call& call, int code, bool sent, const char* detail) const {
  const std::string why =
      detail[0] != '\0' ? detail : curl_easy_strerror(static_cast<CURLcode>(code));
  const std::string text = "S3 " + call.what + " at " + scheme_ + "://" + host_ + ": " + why;
  switch (code) {
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return {ErrorKind::kInvalid, text + ": correct store.endpoint"};
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
      return {ErrorKind::kInvalid, text + ": the endpoint's certificate is not trusted here"};
    case CURLE_WRITE_ERROR:
      // It says nothing about what became of a change.
      return {call.changes ? ErrorKind::kOutcomeUnknown : ErrorKind::kOverLimit,
              text + ": the answer is larger than we take"};
    default: break;
  }
  if (sent && call.changes) {
    return {ErrorKind::kOutcomeUnknown, text + " (sent; it may have happened)"};
  }
  return {ErrorKind::kRetry, text};
}

Error S3Store::error_of(const Call& call, const Answer& answer) const {
  const S3Error said = parse_s3_error(answer.body);
  const std::string text = "S3 " + call.what + ": " + std::to_string(answer.status) +
                           (said.code.empty() ? "" : " " + said.code) +
                           (said.message.empty() ? "" : " (" + said.message.substr(0, 200) + ")");
  const auto invalid = [&](const std::string& advice) {
    return Error{ErrorKind::kInvalid, text + ": " + advice};
  };
  if (said.code == "SignatureDoesNotMatch") {
    return invalid("the secret key is wrong; set AWS_SECRET_ACCESS_KEY to the one of '" +
                   credentials_.access_key_id + "'");
  }
  if (said.code == "InvalidAccessKeyId" || said.code == "Unauthorized" ||
      said.code == "XAdminUserNotFound" /* versitygw's word */) {
    return invalid("the server does not know the access key '" + credentials_.access_key_id +
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
  if (said.code == "AuthorizationHeaderMalformed" || said.code == "InvalidRegion" ||
      said.code == "PermanentRedirect" || (answer.status >= 300 && answer.status < 400)) {
    const std::string region = !said.region.empty() ? said.region : answer.bucket_region;
    return invalid(region.empty() ? "set store.region and store.endpoint to the bucket's own"
                                  : "the bucket is in '" + region + "'; set store.region to it");
  }
  // Damaged or cut on the way: nothing was stored.
  if (said.code == "RequestTimeout" || said.code == "BadDigest" || said.code == "IncompleteBody" ||
      said.code == "XAmzContentSHA256Mismatch" || said.code == "OperationAborted") {
    return {ErrorKind::kRetry, text};
  }
  switch (answer.status) {
    case 403:
      return invalid("the key '" + credentials_.access_key_id + "' may not do this in bucket '" +
                     bucket_ + "'; grant it GetObject, PutObject, DeleteObject and ListBucket");
    case 404:
      return invalid("store.endpoint " + scheme_ + "://" + host_ +
                     " is no S3 server, or not its root");
    case 408: break;
    case 409:
    case 429: return {ErrorKind::kRetry, text};
    case 412: return {ErrorKind::kExists, text + ": the object exists already"};
    case 501:
      return invalid("this server lacks what EvoDB needs (conditional puts, ListObjectsV2)");
    default:
      if (answer.status < 500) return invalid("the server refuses the request");
  }
  return {call.changes ? ErrorKind::kOutcomeUnknown : ErrorKind::kRetry, text};
}

Result<void> S3Store::put(const std::string& key, std::string_view bytes, PutMode mode) {
  EVODB_CHECK(check_key(full_key(key)));
  if (bytes.size() > object_bytes_max) {
    return fail(ErrorKind::kInvalid, "an object over 5 GiB would need a multipart upload: " + key);
  }
  Call call{
      .what = "put " + key, .method = "PUT", .key = full_key(key), .body = bytes, .changes = true};
  if (mode == PutMode::kIfAbsent) call.headers = {{"if-none-match", "*"}};
  const Answer answer = EVODB_TRY(perform(call));
  if (answer.status == 200 || answer.status == 201 || answer.status == 204) return {};
  return fail(error_of(call, answer));
}

Result<void> S3Store::put_all(std::span<const NewObject> objects) {
  std::vector<Result<void>> answers(objects.size());
  const auto put_one = [&](std::size_t i) {
    answers[i] =
        left_by_an_earlier_try(put(std::string(objects[i].key), objects[i].bytes, PutMode::kIfAbsent));
  };
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
  EVODB_CHECK(check_key(full_key(key)));
  const Call call{
      .what = "get " + key, .method = "GET", .key = full_key(key), .answer_max = object_bytes_max};
  Answer answer = EVODB_TRY(perform(call));
  if (answer.status == 200) return std::move(answer.body);
  if (answer.status == 404) {
    const std::string code = parse_s3_error(answer.body).code;
    if (code == "NoSuchKey" || code == "NotFound") return fail(no_such_object(key));
  }
  return fail(error_of(call, answer));
}

Result<void> S3Store::remove(const std::string& key) {
  EVODB_CHECK(check_key(full_key(key)));
  const Call call{
      .what = "remove " + key, .method = "DELETE", .key = full_key(key), .changes = true};
  const Answer answer = EVODB_TRY(perform(call));
  if (answer.status == 200 || answer.status == 202 || answer.status == 204) return {};
  if (answer.status == 404 && parse_s3_error(answer.body).code == "NoSuchKey") return {};
  return fail(error_of(call, answer));
}

Result<std::vector<ObjectInfo>> S3Store::list(const std::string& prefix) {
  std::vector<ObjectInfo> found;
  std::string continuation;
  while (true) {
    Call call{.what = "list " + prefix,
              .method = "GET",
              .query = {{"list-type", "2"}, {"prefix", full_key(prefix)}}};
    if (!continuation.empty()) call.query.emplace_back("continuation-token", continuation);
    const Answer answer = EVODB_TRY(perform(call));
    if (answer.status != 200) return fail(error_of(call, answer));
    ListPage page = EVODB_TRY(parse_list_page(answer.body));
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
  const Call call{.what = "check of bucket " + bucket_,
                  .method = "GET",
                  .query = {{"list-type", "2"}, {"max-keys", "1"}, {"prefix", prefix_}}};
  const Answer answer = EVODB_TRY(perform(call));
  if (answer.status != 200) return fail(error_of(call, answer));
  const auto page = parse_list_page(answer.body);
  if (!page) return fail(page.error());
  return {};
}

}  // namespace evodb::store
