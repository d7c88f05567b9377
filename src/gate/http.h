// HTTP/1.1 requests without I/O: bytes in, requests or one clear refusal out.
//
//   HttpParser parser({.head_bytes_max = 16384, .body_bytes_max = 65536});
//   parser.feed(bytes);
//   while (parser.next(&request, &error) == HttpParser::Step::kRequest) answer(request);
//
// Strict where leniency is how requests are smuggled (RFC 9112 sections 2.2, 5.1, 6.3 and 11.2):
// lines end with CR LF only, no folded headers, no space before a colon, one Host, one
// Content-Length, never beside Transfer-Encoding. Bodies need a Content-Length; chunked ones are
// refused with 411. An error ends the connection: what follows cannot be told apart any more.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace evodb::gate {

struct HttpLimits {
  std::size_t head_bytes_max = 16u << 10;
  std::size_t body_bytes_max = 64u << 10;
};

inline constexpr std::size_t http_header_count_max = 100;

// Borrows from the parser; valid until its next feed() or next().
struct ParsedRequest {
  std::string_view method;
  std::string_view target;  // as it came
  std::string_view path;    // without the query; "/" for an absolute target without a path
  std::string_view query;   // without the '?'
  std::string_view body;
  bool http_1_0 = false;
  bool keep_alive = true;
  // For a WebSocket upgrade.
  bool connection_upgrade = false;
  bool upgrade_websocket = false;
  std::string_view host;
  std::string_view origin;
  bool has_origin = false;
  std::string_view websocket_key;
  std::string_view websocket_version;
};

// Status and one line for a person, saying what to do.
struct HttpError {
  int status = 400;
  const char* text = "";
};

class HttpParser {
 public:
  explicit HttpParser(const HttpLimits& limits) : limits_(limits) {}

  // REQUIRES: no request is out that is still used.
  void feed(std::string_view bytes) { buffer_.append(bytes); }

  enum class Step : std::uint8_t {
    kNeedMore,
    kRequest,
    kContinue,  // the head said "Expect: 100-continue": answer that, once, then call again
    kError,     // refuse and close; the parser gives nothing else from now on
  };
  Step next(ParsedRequest* request, HttpError* error);

  // Behind the request that next() gave last: after an upgrade, the first WebSocket bytes.
  std::string_view rest() const { return std::string_view(buffer_).substr(consumed_); }
  // Something of a request is here, but not all of it.
  bool in_request() const { return consumed_ < buffer_.size(); }
  std::size_t held_bytes() const { return buffer_.capacity(); }

  // A new parser in another one's place: its rest(), and whether it gave kContinue for that.
  bool continue_given() const { return continue_given_; }
  void go_on_from(std::string_view rest, bool continue_given) {
    buffer_ = std::string(rest);
    continue_given_ = continue_given;
  }

 private:
  struct HeadInfo;
  bool find_head_end(HttpError* error);
  static const char* parse_head(std::string_view head, ParsedRequest* request, HeadInfo* info,
                                int* status);

  HttpLimits limits_;
  std::string buffer_;
  std::size_t consumed_ = 0;  // of requests that were given
  std::size_t scanned_ = 0;   // no end of a head before here
  std::size_t head_end_ = 0;  // behind the empty line, 0: not found yet
  bool continue_given_ = false;
  bool failed_ = false;
};

// Appends a response. `extra`: further header lines, each ending in CR LF. For HEAD, the length is
// that of the body, which is left out.
void append_http_response(std::string& out, int status, std::string_view content_type,
                          std::string_view body, bool keep_alive, bool head_only,
                          std::string_view extra = {});

std::string_view http_reason(int status);  // "Not Found"; "Status" for one that we do not know

}  // namespace evodb::gate
