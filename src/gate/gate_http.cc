// HTTP: requests to the handlers, their answers, refusals, upgrades.
#include <algorithm>
#include <utility>

#include "gate/gate_impl.h"
#include "gate/upgrade.h"

namespace evodb::gate {
namespace {

// Larger bodies leave as their reader takes them, and further requests wait for that.
constexpr std::size_t answer_at_once_bytes_max = 64u << 10;

bool is_answered(std::string_view method) {
  for (const char* known : {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}) {
    if (method == known) return true;
  }
  return false;
}

}  // namespace

void GateImpl::http_data(StreamId s, std::string_view bytes) {
  Connection& c = at(s);
  Active& a = active(c);
  if (!a.http) {
    a.http.emplace(HttpLimits{options_.header_bytes_max, options_.body_bytes_max});
    if (c.served) c.since = wheel_.now();  // a further request has its own time
  }
  a.http->feed(bytes);
  http_next(s);
}

// Answers requests one after the other, until one waits for its handler.
void GateImpl::http_next(StreamId s) {
  Connection& c = at(s);
  while (c.state == ConnectionState::kHttp && c.active && c.active->http) {
    ParsedRequest request;
    HttpError error;
    switch (c.active->http->next(&request, &error)) {
      case HttpParser::Step::kNeedMore:
        if (!c.active->http->in_request()) {
          c.active->http.reset();
          if (draining_) close_after_output(s);
        }
        return;
      case HttpParser::Step::kContinue: send(s, "HTTP/1.1 100 Continue\r\n\r\n"); break;
      case HttpParser::Step::kRequest: http_request(s, request); break;
      case HttpParser::Step::kError:
        ++(error.status == 431   ? stats_.refused_header_size
           : error.status == 413 ? stats_.refused_size
                                 : stats_.refused_malformed_http);
        http_refuse(s, error.status, error.text);
        return;
    }
  }
}

void GateImpl::http_request(StreamId s, const ParsedRequest& request) {
  Connection& c = at(s);
  if (is_upgrade(request)) {
    const HttpError error = check_upgrade(request);
    if (error.status != 0) {
      ++stats_.refused_websocket;
      http_refuse(s, error.status, error.text, upgrade_refusal_headers(error.status));
      return;
    }
    http_upgrade(s, request, c.active->http->rest());
    return;
  }
  ++stats_.http_requests;
  const bool head_only = request.method == "HEAD";
  const bool keep_alive = request.keep_alive && !draining_;
  if (!is_answered(request.method)) {
    out_.reserve(256);
    append_http_response(out_, 405, "text/plain; charset=utf-8",
                         "this method is not answered here; use GET, HEAD or POST\n", keep_alive,
                         false, "Allow: GET, HEAD, POST\r\n");
    c.served = true;
    if (!keep_alive) close_after_output(s);
    return;
  }
  c.state = ConnectionState::kHttpWaiting;
  const HttpRequest asked{request.method, request.path, request.query, request.body};
  handlers_.on_http(asked, [this, alive = std::weak_ptr<int>(alive_), s, generation = c.generation,
                            head_only, keep_alive](HttpResponse response) {
    if (alive.expired()) return;
    http_respond(s, generation, head_only, keep_alive, std::move(response));
  });
  // The answer comes later: meanwhile the kernel's window holds further requests.
  if (c.state == ConnectionState::kHttpWaiting) loop_.pause_reading(s, true);
}

void GateImpl::http_respond(StreamId s, std::uint32_t generation, bool head_only, bool keep_alive,
                            HttpResponse response) {
  Connection& c = at(s);
  if (c.generation != generation || c.state != ConnectionState::kHttpWaiting) return;
  const bool later = begun_ != s.value;
  if (later && begun_ != no_stream) {
    // Answered from within another connection's event: after that.
    loop_.post([this, alive = std::weak_ptr<int>(alive_), s, generation, head_only, keep_alive,
                response = std::move(response)]() mutable {
      if (alive.expired()) return;
      http_respond(s, generation, head_only, keep_alive, std::move(response));
    });
    return;
  }
  if (later) begin(s);
  ++c.generation;  // a second answer finds nobody
  keep_alive = keep_alive && !draining_;
  const bool in_pieces = !head_only && response.body.size() > answer_at_once_bytes_max;
  std::string bytes;
  append_http_response(bytes, response.status, response.content_type, response.body, keep_alive,
                       head_only || in_pieces, response.headers);
  send(s, bytes);
  if (in_pieces) {
    Active& a = active(c);
    a.answer = std::make_unique<HttpAnswer>(
        HttpAnswer{std::move(response.body), 0, keep_alive, std::move(response.kept)});
    a.message_since = c.since = wheel_.now();
    on_answer_deadline(s);
    if (later) settle(s);  // else the event's own
    return;
  }
  http_answered(s, keep_alive);
  if (!later) return;  // within on_http: the caller goes on
  if (c.state == ConnectionState::kHttp) {
    loop_.pause_reading(s, false);
    http_next(s);
  }
  settle(s);
}

void GateImpl::http_answered(StreamId s, bool keep_alive) {
  Connection& c = at(s);
  c.served = true;
  c.state = ConnectionState::kHttp;
  c.since = wheel_.now();
  if (!keep_alive) return close_after_output(s);
  arm(s, options_.header_ms_max);
}

void GateImpl::http_give_answer(StreamId s) {
  Connection& c = at(s);
  HttpAnswer& answer = *c.active->answer;
  const std::size_t n = loop_.write(s, answer.rest());
  stats_.bytes_out += n;
  answer.sent += n;
  if (n > 0) c.since = wheel_.now();
  if (!answer.rest().empty()) return;
  const bool keep_alive = answer.keep_alive && !draining_;
  c.active->answer.reset();
  http_answered(s, keep_alive);
  if (!keep_alive) return;
  // Not at once: the answer to a request that is here already may be as large.
  loop_.post([this, alive = std::weak_ptr<int>(alive_), s, generation = c.generation] {
    if (!alive.expired() && !let_go_ && at(s).generation == generation) http_go_on(s);
  });
}

void GateImpl::http_go_on(StreamId s) {
  if (at(s).state != ConnectionState::kHttp) return;
  loop_.pause_reading(s, false);
  begin(s);
  http_next(s);
  settle(s);
}

// A reader that takes nothing, or would take for ever.
void GateImpl::on_answer_deadline(StreamId s) {
  Connection& c = at(s);
  const std::int64_t ms = std::min(ms_left(c.since, closing_ms_max),
                                   ms_left(c.active->message_since, options_.message_ms_max));
  if (ms > 0) return arm(s, ms);
  ++stats_.refused_slow_reader;
  begun_ = no_stream;
  out_.clear();
  destroy(s, true);
}

void GateImpl::http_refuse(StreamId s, int status, std::string_view text,
                           std::string_view headers) {
  std::string bytes;
  append_http_response(bytes, status, "text/plain; charset=utf-8", std::string(text) + "\n", false,
                       false, headers);
  send(s, bytes);
  close_after_output(s);
}

void GateImpl::http_upgrade(StreamId s, const ParsedRequest& request, std::string_view rest) {
  Connection& c = at(s);
  std::string bytes;
  append_upgrade_response(bytes, request);
  send(s, bytes);
  std::string first(rest);
  c.active->http.reset();
  c.state = ConnectionState::kWebSocket;
  c.since = wheel_.now();
  ++stats_.websockets;
  arm(s, options_.hello_ms_max);
  if (draining_) {
    websocket_close(s, wire::WsClose::kGoingAway, drain_text_);
  } else if (!first.empty()) {
    websocket_data(s, first);
  }
}

}  // namespace evodb::gate
