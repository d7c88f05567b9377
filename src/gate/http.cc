#include "gate/http.h"

#include <algorithm>
#include <cstring>

#include "base/ascii.h"
#include "base/assert.h"

namespace evodb::gate {
namespace {

constexpr std::size_t method_bytes_max = 32;

bool is_token_char(char c) {
  const auto u = static_cast<unsigned char>(c);
  if (u >= '0' && u <= '9') return true;
  if ((u | 0x20) >= 'a' && (u | 0x20) <= 'z') return true;
  return u != 0 && std::strchr("!#$%&'*+-.^_`|~", c) != nullptr;
}

bool is_token(std::string_view s) { return !s.empty() && std::ranges::all_of(s, is_token_char); }

bool is_field_value(std::string_view s) {
  return std::ranges::all_of(s, [](char c) {
    const auto u = static_cast<unsigned char>(c);
    return u == '\t' || (u >= 0x20 && u != 0x7f);
  });
}

std::string_view trim(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

// True if a comma-separated list of tokens names `wanted`.
bool list_has(std::string_view list, std::string_view wanted) {
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    if (base::equal_ignoring_case(trim(list.substr(0, comma)), wanted)) return true;
    if (comma == std::string_view::npos) return false;
    list.remove_prefix(comma + 1);
  }
  return false;
}

const char* set_once(std::string_view* field, bool* seen, std::string_view value,
                     const char* twice) {
  if (*seen) return twice;
  *seen = true;
  *field = value;
  return nullptr;
}

}  // namespace

struct HttpParser::HeadInfo {
  std::uint64_t content_length = 0;
  bool has_length = false, has_host = false, has_key = false, has_version = false;
  bool transfer_encoding = false, chunked = false;
  bool expect_continue = false;
  bool connection_close = false, connection_keep_alive = false;
};

HttpParser::Step HttpParser::next(ParsedRequest* request, HttpError* error) {
  const auto refuse = [&](int status, const char* text) {
    failed_ = true;
    *error = {status, text};
    return Step::kError;
  };
  if (failed_) return refuse(400, "the connection has failed before");
  if (consumed_ > 0) {  // drop what was given; `rest()` moves to the front
    buffer_.erase(0, consumed_);
    consumed_ = 0;
    if (buffer_.empty() && buffer_.capacity() > limits_.head_bytes_max) buffer_.shrink_to_fit();
  }
  if (head_end_ == 0) {
    if (!find_head_end(error)) {
      if (error->text[0] != 0) {
        failed_ = true;
        return Step::kError;
      }
      return Step::kNeedMore;
    }
  }
  if (head_end_ > limits_.head_bytes_max) {
    return refuse(431, "the request's header lines are too long; send fewer or shorter ones");
  }
  *request = {};
  HeadInfo info;
  int status = 400;
  const char* fault =
      parse_head(std::string_view(buffer_).substr(0, head_end_), request, &info, &status);
  if (fault != nullptr) return refuse(status, fault);
  if (info.content_length > limits_.body_bytes_max) {
    return refuse(413, "the request's body is too large; this server needs none");
  }
  const auto length = static_cast<std::size_t>(info.content_length);
  if (buffer_.size() - head_end_ < length) {
    if (info.expect_continue && !continue_given_) {
      continue_given_ = true;
      return Step::kContinue;
    }
    return Step::kNeedMore;
  }
  request->body = std::string_view(buffer_).substr(head_end_, length);
  consumed_ = head_end_ + length;
  head_end_ = scanned_ = 0;
  continue_given_ = false;
  return Step::kRequest;
}

// Looks only at bytes that were not looked at before, so that one byte at a time costs no more.
bool HttpParser::find_head_end(HttpError* error) {
  *error = {400, ""};
  if (scanned_ == 0) {
    // Empty lines before a request are left over from sloppy clients (RFC 9112 section 2.2).
    std::size_t skip = 0;
    while (buffer_.size() - skip >= 2 && buffer_[skip] == '\r' && buffer_[skip + 1] == '\n') {
      skip += 2;
    }
    buffer_.erase(0, skip);
    if (buffer_.empty() || buffer_ == "\r") return false;
    if (!is_token_char(buffer_[0])) {
      *error = {400, buffer_[0] == 0x16
                         ? "this port speaks plain HTTP, not TLS; use http:// or ws://"
                         : "this is not an HTTP request; use an HTTP or WebSocket client"};
      return false;
    }
  }
  while (scanned_ < buffer_.size()) {
    const void* found = std::memchr(buffer_.data() + scanned_, '\n', buffer_.size() - scanned_);
    if (found == nullptr) {
      scanned_ = buffer_.size();
      break;
    }
    const auto at = static_cast<std::size_t>(static_cast<const char*>(found) - buffer_.data());
    scanned_ = at + 1;
    if (at == 0 || buffer_[at - 1] != '\r') {
      *error = {400, "a header line ends with LF alone; end lines with CR LF"};
      return false;
    }
    if (at >= 3 && buffer_[at - 2] == '\n') {
      head_end_ = at + 1;
      return true;
    }
    if (scanned_ > limits_.head_bytes_max) break;
  }
  if (scanned_ > limits_.head_bytes_max) {
    *error = {431, "the request's header lines are too long; send fewer or shorter ones"};
  }
  return false;
}

namespace {

const char* parse_request_line(std::string_view line, ParsedRequest* request, int* status) {
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == std::string_view::npos || last == first) {
    return "the request line must be: METHOD TARGET HTTP/1.1";
  }
  request->method = line.substr(0, first);
  request->target = line.substr(first + 1, last - first - 1);
  const std::string_view version = line.substr(last + 1);
  if (!is_token(request->method) || request->method.size() > method_bytes_max) {
    return "the request's method is not a word";
  }
  const bool shaped = version.size() == 8 && version.starts_with("HTTP/") && version[5] >= '0' &&
                      version[5] <= '9' && version[6] == '.' && version[7] >= '0' &&
                      version[7] <= '9';
  if (!shaped) return "the request line must end with HTTP/1.1";
  if (version[5] != '1') {
    *status = 505;
    return "this HTTP version is not spoken here; use HTTP/1.1";
  }
  request->http_1_0 = version[7] == '0';
  if (request->target.empty() ||
      !std::ranges::all_of(request->target, [](char c) { return c > 0x20 && c < 0x7f; })) {
    return "the request's target has a character that must be percent-encoded";
  }
  std::string_view path = request->target;
  const std::size_t scheme = path.find("://");
  if (path[0] != '/' && scheme != std::string_view::npos &&
      (base::equal_ignoring_case(path.substr(0, scheme), "http") ||
       base::equal_ignoring_case(path.substr(0, scheme), "https"))) {
    path.remove_prefix(scheme + 3);
    const std::size_t begin = path.find_first_of("/?");
    path = begin == std::string_view::npos ? std::string_view() : path.substr(begin);
    if (path.empty()) path = "/";
  } else if (path[0] != '/' && path != "*") {
    return "the request's target must begin with /";
  }
  const std::size_t question = path.find('?');
  request->path = path.substr(0, question);
  if (request->path.empty()) request->path = "/";
  if (question != std::string_view::npos) request->query = path.substr(question + 1);
  return nullptr;
}

bool parse_length(std::string_view digits, std::uint64_t* length) {
  if (digits.empty() || digits.size() > 18) return false;
  std::uint64_t n = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9') return false;
    n = n * 10 + static_cast<std::uint64_t>(c - '0');
  }
  *length = n;
  return true;
}

}  // namespace

const char* HttpParser::parse_head(std::string_view head, ParsedRequest* request, HeadInfo* info,
                                   int* status) {
  std::size_t eol = head.find("\r\n");
  if (const char* fault = parse_request_line(head.substr(0, eol), request, status)) return fault;
  head.remove_prefix(eol + 2);
  for (std::size_t count = 0; !head.starts_with("\r\n"); ++count) {
    if (count == http_header_count_max) {
      *status = 431;
      return "the request has too many header lines; 100 are allowed";
    }
    eol = head.find("\r\n");
    EVODB_ASSERT(eol != std::string_view::npos, "a head ends with an empty line");
    const std::string_view line = head.substr(0, eol);
    head.remove_prefix(eol + 2);
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) {
      return "a header line is not of the form Name: value";
    }
    const std::string_view name = line.substr(0, colon);
    const std::string_view value = trim(line.substr(colon + 1));
    if (!is_field_value(value)) return "a header's value has a control character";
    const auto is = [&](std::string_view known) { return base::equal_ignoring_case(name, known); };
    const char* fault = nullptr;
    std::string_view text;
    if (is("host")) {
      fault = set_once(&request->host, &info->has_host, value, "two Host headers; send one");
    } else if (is("content-length")) {
      fault = set_once(&text, &info->has_length, value, "two Content-Length headers; send one");
      if (fault == nullptr && !parse_length(value, &info->content_length)) {
        fault = "Content-Length is not a number";
      }
    } else if (is("transfer-encoding")) {
      info->transfer_encoding = true;
      info->chunked = base::equal_ignoring_case(value, "chunked");
    } else if (is("connection")) {
      info->connection_close |= list_has(value, "close");
      info->connection_keep_alive |= list_has(value, "keep-alive");
      request->connection_upgrade |= list_has(value, "upgrade");
    } else if (is("upgrade")) {
      request->upgrade_websocket |= list_has(value, "websocket");
    } else if (is("origin")) {
      fault =
          set_once(&request->origin, &request->has_origin, value, "two Origin headers; send one");
    } else if (is("sec-websocket-key")) {
      fault = set_once(&request->websocket_key, &info->has_key, value,
                       "two Sec-WebSocket-Key headers; send one");
    } else if (is("sec-websocket-version")) {
      fault = set_once(&request->websocket_version, &info->has_version, value,
                       "two Sec-WebSocket-Version headers; send one");
    } else if (is("expect")) {
      if (!base::equal_ignoring_case(value, "100-continue")) {
        *status = 417;
        return "the only expectation known here is 100-continue";
      }
      info->expect_continue = !request->http_1_0;
    }
    if (fault != nullptr) return fault;
  }
  if (info->transfer_encoding) {
    if (info->has_length || request->http_1_0) {
      return "Transfer-Encoding beside Content-Length or in HTTP/1.0; send Content-Length alone";
    }
    *status = info->chunked ? 411 : 501;
    return info->chunked ? "chunked request bodies are not taken; send Content-Length"
                         : "this transfer coding is not known; send Content-Length";
  }
  if (!info->has_host && !request->http_1_0) return "an HTTP/1.1 request needs a Host header";
  request->keep_alive = request->http_1_0 ? info->connection_keep_alive && !info->connection_close
                                          : !info->connection_close;
  return nullptr;
}

void append_http_response(std::string& out, int status, std::string_view content_type,
                          std::string_view body, bool keep_alive, bool head_only,
                          std::string_view extra) {
  out.append("HTTP/1.1 ").append(std::to_string(status)).append(" ");
  out.append(http_reason(status)).append("\r\n");
  if (status != 204) {  // it has no content, not an empty one (RFC 9110, section 8.6)
    out.append("Content-Type: ").append(content_type);
    out.append("\r\nContent-Length: ").append(std::to_string(body.size())).append("\r\n");
  }
  out.append("X-Content-Type-Options: nosniff\r\n").append(extra);
  out.append(keep_alive ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n");
  if (!head_only && status != 204) out.append(body);
}

std::string_view http_reason(int status) {
  switch (status) {
    case 200: return "OK";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 411: return "Length Required";
    case 413: return "Content Too Large";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 426: return "Upgrade Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    default: return "Status";
  }
}

}  // namespace evodb::gate
