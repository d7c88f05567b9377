// The WebSocket handshake, RFC 6455 section 4.2: is this request one, and what is answered.
//
// Any path upgrades, because clients of the first generation use any. A browser's Origin must be
// the host that it talks to (pages of other sites must not write here); everything that is no
// browser sends none. Extensions are declined: permessage-deflate costs memory a connection, and
// wire v2 compresses by itself.
#pragma once

#include <string>

#include "gate/http.h"

namespace evodb::gate {

// It asks for a WebSocket, rightly or not.
bool is_upgrade(const ParsedRequest& request);

// status 0: the handshake holds. Otherwise what to refuse it with.
HttpError check_upgrade(const ParsedRequest& request);

// REQUIRES: check_upgrade held.
void append_upgrade_response(std::string& out, const ParsedRequest& request);

// Further header lines that a refusal with this status must carry.
std::string_view upgrade_refusal_headers(int status);

}  // namespace evodb::gate
