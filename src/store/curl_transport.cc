#include "store/curl_transport.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include <curl/curl.h>

#include "base/ascii.h"
#include "base/posix/system_clock.h"

namespace evodb::store {
namespace {

constexpr std::uint64_t error_bytes_max = 64u << 10;

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
  S3Answer answer;
  std::uint64_t bytes_max = 0;
  int status = 0;         // of the head that is being read
  bool bounded = false;   // its head says where its body ends
  bool complete = false;  // its head came to its empty line
};

std::size_t write_download(char* from, std::size_t size, std::size_t count, void* opaque) {
  auto& download = *static_cast<Download*>(opaque);
  const std::size_t n = size * count;
  std::string& body = download.answer.body;
  // An error may talk at any length; what we read of it fits into far less.
  const std::uint64_t bytes_max =
      download.status >= 300 ? std::min(download.bytes_max, error_bytes_max) : download.bytes_max;
  if (body.size() + n > bytes_max) {
    body.append(from, static_cast<std::size_t>(bytes_max) - body.size());
    download.answer.cut = true;
    return 0;  // CURLE_WRITE_ERROR
  }
  body.append(from, n);
  return n;
}

// The value of a header line, if it is of that name (with its colon).
std::optional<std::string_view> value_of(std::string_view line, std::string_view name) {
  if (!base::equal_ignoring_case(line.substr(0, name.size()), name)) return std::nullopt;
  line.remove_prefix(name.size());
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  return line.substr(0, line.find_last_not_of(" \t\r\n") + 1);
}

std::size_t read_header(char* from, std::size_t size, std::size_t count, void* opaque) {
  const std::string_view line(from, size * count);
  auto& download = *static_cast<Download*>(opaque);
  S3Answer& answer = download.answer;
  if (line.starts_with("HTTP/")) {
    // Another one: behind a "100 Continue", or a connection tried again.
    answer = {};
    download.bounded = download.complete = false;
    const std::size_t space = line.find(' ');
    download.status = space == std::string_view::npos ? 0 : std::atoi(from + space);
  } else if (line == "\r\n" || line == "\n") {
    download.complete = true;
  } else if (const auto region = value_of(line, "x-amz-bucket-region:")) {
    answer.bucket_region = *region;
  } else if (const auto etag = value_of(line, "etag:")) {
    answer.etag = *etag;
  } else if (const auto type = value_of(line, "content-type:")) {
    answer.content_type = *type;
  } else if (const auto location = value_of(line, "location:")) {
    answer.location = *location;
  } else if (const auto length = value_of(line, "content-length:")) {
    // One that is no number, or too large for one, says nothing: curl then reads to the end.
    std::uint64_t n = 0;
    const char* const end = length->data() + length->size();
    if (const auto read = std::from_chars(length->data(), end, n);
        read.ec == std::errc() && read.ptr == end) {
      answer.content_length = n;
      download.bounded = true;
    }
  } else if (value_of(line, "transfer-encoding:")) {
    download.bounded = true;
  }
  return size * count;
}

}  // namespace

Result<std::unique_ptr<CurlTransport>> CurlTransport::open(const StoreOptions& options,
                                                           const std::string& bucket) {
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

  auto transport = std::unique_ptr<CurlTransport>(new CurlTransport(options));
  transport->credentials_ = {options.access_key_id, options.secret_access_key,
                             options.session_token, region, "s3"};
  transport->scheme_ = protocol;
  transport->host_ = options.path_style ? host : bucket + "." + host;
  transport->base_ = options.path_style ? "/" + bucket + "/" : "/";
  return transport;
}

CurlHandle CurlTransport::take_handle() {
  const std::lock_guard lock(mutex_);
  if (idle_.empty()) return CurlHandle();
  CurlHandle handle = std::move(idle_.back());
  idle_.pop_back();
  return handle;
}

void CurlTransport::give_back(CurlHandle handle) {
  handle.forget();
  const std::lock_guard lock(mutex_);
  if (idle_.size() < idle_connections_max) idle_.push_back(std::move(handle));
}

Result<S3Answer> CurlTransport::exchange(const S3Request& request) {
  // The listing of a bucket in path style goes to "/bucket", without the slash.
  std::string path = base_ + request.key;
  if (request.key.empty() && path.size() > 1) path.pop_back();
  const SignedRequest to_sign{.method = request.method,
                              .host = host_,
                              .path = path,
                              .query = request.query,
                              .payload_sha256 = sha256_hex(request.body),
                              .headers = request.headers};
  const std::string query = canonical_query(request.query);
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
  add_headers(request.headers);
  // A signature needs the time that the server has; this class is the real end of the store's seam.
  add_headers(sign(credentials_, to_sign, base::SystemClock().wall()));
  add_line("Expect:");  // waiting for "100 Continue" costs a round trip, and R2 a second
  if (request.method == "PUT") add_line("content-type: application/octet-stream");

  Upload upload{request.body};
  Download download{.bytes_max = request.answer_bytes_max};
  CurlHandle handle = take_handle();
  handle.begin(url, request.timeout_ms);
  CURL* const curl = handle.get();
  curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
                   static_cast<long>(std::min(options_.connect_timeout_ms, request.timeout_ms)));
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, lines);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &write_download);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &download);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, &read_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &download);
  if (request.method == "PUT") {
    curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    curl_easy_setopt(curl, CURLOPT_READFUNCTION, &read_upload);
    curl_easy_setopt(curl, CURLOPT_READDATA, &upload);
    curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, &seek_upload);
    curl_easy_setopt(curl, CURLOPT_SEEKDATA, &upload);
  } else if (request.method == "HEAD") {
    curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
  } else {
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  }
  const int code = handle.perform();
  const std::string why = code == CURLE_OK ? "" : handle.why(code);
  long status = 0, request_bytes = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(curl, CURLINFO_REQUEST_SIZE, &request_bytes);
  curl_slist_free_all(lines);
  give_back(std::move(handle));
  S3Answer& answer = download.answer;
  answer.status = status;
  if (code != CURLE_OK && !answer.cut) {
    return fail(failure(request, code, request_bytes > 0, why));
  }
  // A connection cut within the head is a success to curl, with whatever had come: an empty object.
  // And a body without a length ends wherever it is cut.
  if (!download.complete || (!download.bounded && !answer.body.empty())) {
    return fail(failure(request, CURLE_PARTIAL_FILE, true,
                        download.complete ? "the answer does not say how long it is"
                                          : "the answer was cut off within its head"));
  }
  return std::move(answer);
}

Error CurlTransport::failure(const S3Request& request, int code, bool sent,
                             const std::string& why) const {
  const std::string text = "S3 " + request.what + " at " + endpoint() + ": " + why;
  if (sent) return {ErrorKind::kOutcomeUnknown, text};
  switch (code) {
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return {ErrorKind::kInvalid, text + ": correct store.endpoint"};
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
      return {ErrorKind::kInvalid, text + ": the endpoint's certificate is not trusted here"};
    default: return {ErrorKind::kRetry, text};
  }
}

}  // namespace evodb::store
