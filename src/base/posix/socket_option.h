// set_socket_option: asks for an integer option of a socket that nothing depends on. Refused by
// sockets of another kind (a Unix socket knows no TCP option), which is no error.
#pragma once

#include <sys/socket.h>

namespace evodb::base {

inline void set_socket_option(int fd, int level, int name, int value) {
  (void)setsockopt(fd, level, name, &value, sizeof value);
}

}  // namespace evodb::base
