"""A new process that misbehaves, for `evodb upgrade --binary`. docs/upgrade.md has the messages.

As a script it stands where the new binary would, with the channel on descriptor 3:

    hand_over.py MANNER REAL_BINARY ...     MANNER is one of the functions below

It never is the real one: a man in the middle starts that, and passes on what is said.
"""

import array
import os
import signal
import socket
import struct
import subprocess
import sys
import time

READY, REFUSED, BYTES, DESCRIPTORS, END, PREPARED, GO, TAKEN = range(1, 9)
RIGHTS = socket.CMSG_SPACE(253 * 4)


def hear(channel):
    """(kind, body, descriptors); kind 0: the other end is gone."""
    data, ancillary, _, _ = channel.recvmsg(70_000, RIGHTS)
    descriptors = array.array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(content[:len(content) - len(content) % 4])
    return (data[0] if data else 0), data[1:], list(descriptors)


def say(channel, kind, body=b"", descriptors=()):
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
    channel.sendmsg([bytes([kind]), body], rights if descriptors else [])


def ready(channel, version=1, contents=1):
    say(channel, READY, struct.pack("<II", version, contents) + b"9.9.9")


def take_all(channel):
    while True:
        kind, _, descriptors = hear(channel)
        for fd in descriptors:
            os.close(fd)
        if kind in (END, 0):
            return


# --- manners --------------------------------------------------------------------------------------

def crashes(channel, _):
    os.abort()


def hangs(channel, _):
    time.sleep(600)


def talks_nonsense(channel, _):
    channel.send(b"\xffnonsense")
    time.sleep(600)


def is_of_another_format(channel, _):
    ready(channel, contents=99)
    time.sleep(600)


def refuses(channel, _):
    say(channel, REFUSED, b"not today")


def hangs_when_ready(channel, _):
    ready(channel)
    time.sleep(600)


def hangs_with_everything_in_its_hands(channel, _):
    ready(channel)
    take_all(channel)
    time.sleep(600)


def crashes_with_everything_in_its_hands(channel, _):
    ready(channel)
    take_all(channel)
    os.abort()


def prepared_and_gone(channel, _):
    ready(channel)
    take_all(channel)
    say(channel, PREPARED)
    os.abort()


def prepared_too_late(channel, _):
    ready(channel)
    take_all(channel)
    time.sleep(1.25)  # of a pause of 1.5 s, of which a quarter must be left
    say(channel, PREPARED)
    if hear(channel)[0] == GO:
        os.abort()


def go_and_gone(channel, _):
    ready(channel)
    take_all(channel)
    say(channel, PREPARED)
    assert hear(channel)[0] == GO
    os.abort()


def go_and_hangs(channel, _):
    ready(channel)
    take_all(channel)
    say(channel, PREPARED)
    assert hear(channel)[0] == GO
    time.sleep(600)


def _between(channel, command):
    """Starts the real new process; passes on what both say until it is prepared."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    os.dup2(theirs.fileno(), 9)  # not 3: that is the old one's until the new one has its own
    real = subprocess.Popen(["/bin/sh", "-c", 'exec "$0" "$@" 3<&9 3>&9 9>&-', *command],
                            pass_fds=[9])
    theirs.close()
    os.close(9)
    kind, body, _ = hear(ours)
    say(channel, kind, body)
    while kind != END:
        kind, body, descriptors = hear(channel)
        say(ours, kind, body, descriptors)
        for fd in descriptors:
            os.close(fd)
    kind, body, _ = hear(ours)
    assert kind == PREPARED, (kind, body)
    return ours, real


def real_one_killed_when_prepared(channel, command):
    _, real = _between(channel, command)
    real.kill()
    real.wait()


def real_one_is_heard_late(channel, command):
    ours, _ = _between(channel, command)
    say(channel, PREPARED)
    kind, body, _ = hear(channel)
    say(ours, kind, body)
    kind, body, _ = hear(ours)
    time.sleep(2.5)  # longer than the pause of 1.5 s
    say(channel, kind, body)


def old_one_killed_when_prepared(channel, command):
    ours, _ = _between(channel, command)
    os.kill(os.getppid(), signal.SIGKILL)
    while hear(channel)[0] != 0:
        pass
    ours.close()  # as the old one's end did


def main():
    channel = socket.socket(fileno=3)
    channel.setblocking(True)
    globals()[sys.argv[1]](channel, sys.argv[2:])


if __name__ == "__main__":
    main()
