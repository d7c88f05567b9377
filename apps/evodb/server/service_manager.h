// What systemd wants to know (sd_notify(3)), where it asks: NOTIFY_SOCKET. Elsewhere nothing.
#pragma once

#include <string>

namespace evodb::app {

// "READY=1", "MAINPID=42". A service manager that does not listen is no reason to stop.
void tell_service_manager(const std::string& state);

}  // namespace evodb::app
