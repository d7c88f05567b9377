"""Those who mean harm, or are broken. Each is a function that abuses a port until it is told to stop and
then says what it did: how many the parent must have refused, by the reason it must count.

    python abusers.py NAME PORT

It says "ready", a line on stdin begins it, it says "on" once the abuse is under way, another line ends
it. The last thing it says is what it did, as JSON.

A process of its own, at the lowest priority: it stands for machines of its own, and what is measured
is what they do to the parent, not to this machine's cores.
"""

import json
import os
import pathlib
import select
import socket
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness import wire2  # noqa: E402

UNTIL_REFUSED_SECONDS = 20


class Stage:
    """Between an abuser and whoever watches it."""

    def __init__(self, port):
        self.port, self.stopping = port, threading.Event()

    def on(self):
        print("on", flush=True)
        threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self):
        sys.stdin.readline()
        self.stopping.set()


def connect_many(port, n, *, make=wire2.connect, name=None):
    out = []
    for i in range(n):
        out.append(make(port, f"{name}-{i}") if name else make(port))
        out[-1].setblocking(False)
    return out


def send_some(s, data):
    """False: the connection has ended."""
    try:
        s.send(data)
    except BlockingIOError:
        pass
    except OSError:
        return False
    return True


def until_all_ended(sockets, seconds=UNTIL_REFUSED_SECONDS):
    """Reads until every connection was ended by the parent; returns how many were, and what each
    was told."""
    poll, open_, said = select.epoll(), {s.fileno(): s for s in sockets}, {}
    for fd in open_:
        poll.register(fd, select.EPOLLIN)
    end = time.monotonic() + seconds
    while open_ and time.monotonic() < end:
        for fd, _ in poll.poll(0.1):
            try:
                data = open_[fd].recv(1 << 16)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            said[fd] = (said.get(fd, b"") + data)[-4096:]
            if not data:
                poll.unregister(fd)
                open_.pop(fd).close()
    return len(sockets) - len(open_), said


def hold(sockets, stage, step, every=0.05):
    """Calls step(socket) for each, again and again, until told to stop and the parent ended all."""
    open_ = list(sockets)
    while not stage.stopping.is_set() and open_:
        open_ = [s for s in open_ if step(s)]
        stage.stopping.wait(every)
    return until_all_ended(sockets)[0]


# --- the abuses -----------------------------------------------------------------------------------

def slow_loris(stage):
    """1,000 connections that send a request's head byte by byte and never end it."""
    n, head = 1000, b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"a" * 100_000
    sockets = connect_many(stage.port, n)
    sent = {s: 0 for s in sockets}
    stage.on()

    def step(s):
        sent[s] += 1
        return send_some(s, head[sent[s]:sent[s] + 1])

    return {"refused": {"header_time": n}, "ended": hold(sockets, stage, step, 0.1)}


def never_reads(stage):
    """30 children that send pings and 10 HTTP clients that ask and ask; none reads an answer."""
    children, clients = 30, 10
    sockets = connect_many(stage.port, children, name="deaf",
                           make=lambda port, source: wire2.open_child(port, source, 4096))
    pings = wire2.message(b"p" * 125, wire2.PING) * 100
    asking = connect_many(stage.port, clients, make=lambda port: wire2.connect(port, 4096))
    requests = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 20
    stage.on()
    open_ = {s: pings for s in sockets} | {s: requests for s in asking}
    # Sent piece by piece, as far as the kernel takes it, and never out of step with itself.
    rest = dict.fromkeys(open_, b"")
    end = time.monotonic() + UNTIL_REFUSED_SECONDS
    ended = 0
    while open_ and time.monotonic() < end:
        for s in list(open_):
            rest[s] = rest[s] or open_[s]
            try:
                rest[s] = rest[s][s.send(rest[s]):]
            except BlockingIOError:
                pass
            except OSError:
                del open_[s]
                s.close()
                ended += 1
        time.sleep(0.005)
    return {"refused": {"slow_reader": children + clients}, "ended": ended}


def one_byte_a_second(stage):
    """200 children in the middle of a frame, and 100 WebSockets in the middle of a hello."""
    in_frame, in_hello = 200, 100
    sockets = connect_many(stage.port, in_frame, make=wire2.open_child, name="slow")
    waiting = connect_many(stage.port, in_hello,
                           make=lambda port: wire2.upgrade(wire2.connect(port)))
    for s in sockets:
        s.send(wire2.ws_head(5_000) + wire2.hello("x")[:5])
    for s in waiting:
        s.send(wire2.ws_head(200) + wire2.hello("x")[:5])
    stage.on()
    ended = hold(sockets + waiting, stage, lambda s: send_some(s, b"\0"), 1)
    return {"refused": {"message_time": in_frame, "hello_time": in_hello}, "ended": ended}


def bombs(stage):
    """Batches of a few kilobytes that inflate to 64 MiB, from four children at a time: a thousand
    times and more. Half of them admit it in their zstd header."""
    import zstandard

    zeros = bytes(64 << 20)
    loud = zstandard.ZstdCompressor(level=1).compress(zeros)
    quiet = zstandard.ZstdCompressor(level=1, write_content_size=False)
    quiet = b"".join([(c := quiet.compressobj()).compress(zeros), c.flush()])
    frames = [wire2.message(wire2.frame(wire2.BATCH, b, wire2.ZSTD)) for b in (loud, quiet)]
    stage.on()
    sent = ended = 0
    while not stage.stopping.is_set():
        sockets = connect_many(stage.port, 4, make=wire2.open_child, name=f"bomb-{sent}")
        for s in sockets:
            sent += 1
            s.send(frames[sent % 2])
        ended += until_all_ended(sockets)[0]
    return {"refused": {"size": sent}, "ended": ended, "sent": sent, "bytes": len(frames[0])}


def huge_claims(stage):
    """Frames that claim 2^63 bytes (no length at all by RFC 6455), and those that claim 2^62."""
    sent, ended, rounds = 0, 0, 0
    stage.on()
    while not stage.stopping.is_set():
        sockets = connect_many(stage.port, 20, make=wire2.open_child, name=f"huge-{rounds}")
        for i, s in enumerate(sockets):
            s.send(wire2.ws_head(1 << (63 if i % 2 else 62)) + b"some of it")
        sent, rounds = sent + len(sockets), rounds + 1
        ended += until_all_ended(sockets)[0]
        time.sleep(0.05)
    return {"refused": {"frame": sent // 2, "size": sent // 2}, "ended": ended, "sent": sent}


def tiny_fragments(stage):
    """Messages in 100,000 fragments of one byte, and a flood of the smallest whole messages (pongs,
    which need no answer: who floods pings and does not read fast enough is a slow reader)."""
    flood = connect_many(stage.port, 6, make=wire2.open_child, name="flood")
    stage.on()
    sent = []

    def fragments():
        n = 0
        while not stage.stopping.is_set():
            s = wire2.open_child(stage.port, f"fragments-{n}")
            middle = wire2.ws_head(1, 0, False) + b"x"
            s.sendall(wire2.ws_head(1, wire2.BINARY, False) + b"x" + middle * 99_998)
            s.sendall(wire2.ws_head(1, 0, True) + b"x")
            n += 1
            assert until_all_ended([s])[0] == 1
        sent.append(n)

    other = threading.Thread(target=fragments)
    other.start()
    pongs = wire2.message(b"", wire2.PONG) * 20_000
    rest = dict.fromkeys(flood, pongs)
    flooded = 0
    while not stage.stopping.is_set():
        for s in select.select([], flood, [], 0.1)[1]:
            n = s.send(rest[s])
            rest[s], flooded = rest[s][n:] or pongs, flooded + n
    other.join()
    for s in flood:
        s.close()
    return {"refused": {"frame": sent[0]}, "sent": sent[0],
            "tiny messages": flooded // len(wire2.message(b"", wire2.PONG))}


def connect_storm(stage):
    """Connections that come and go as fast as two threads can, 300 that say nothing at all, and 200
    that upgrade and then say nothing."""
    silent = connect_many(stage.port, 300)
    no_hello = connect_many(stage.port, 200, make=lambda port: wire2.upgrade(wire2.connect(port)))
    stage.on()
    made = [0, 0]

    def storm(i):
        while not stage.stopping.is_set():
            s = socket.socket()
            s.connect(("127.0.0.1", stage.port))
            if made[i] % 3 == 0:
                s.send(wire2.UPGRADE)
            s.close()
            made[i] += 1

    threads = [threading.Thread(target=storm, args=[i]) for i in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    ended = until_all_ended(silent + no_hello)[0]
    return {"refused": {"header_time": 300, "hello_time": 200}, "ended": ended, "came": sum(made)}


def partial_messages(stage):
    """60 children, half a megabyte each of a message that never ends: twice the memory budget."""
    n = 60
    sockets = connect_many(stage.port, n, make=wire2.open_child, name="part")
    stage.on()
    piece = bytes(1 << 19)
    for s in sockets:
        s.setblocking(True)
        try:
            s.sendall(wire2.ws_head(1 << 20) + piece)
        except OSError:
            pass  # refused while it was sending
        s.setblocking(False)
    ended = until_all_ended(sockets)[0]
    return {"refused": {"memory or message_time": n}, "ended": ended}


def more_than_fit(stage):
    """More connections than the process has descriptors for; each asks for nothing."""
    n = 600
    sockets = []
    for _ in range(n):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(("127.0.0.1", stage.port))
        sockets.append(s)
    stage.on()
    ended, said = until_all_ended(sockets, 30)
    busy = sum(1 for text in said.values() if text.startswith(b"HTTP/1.1 503"))
    late = sum(1 for text in said.values() if text.startswith(b"HTTP/1.1 408"))
    return {"refused": {"connections_max": busy, "header_time": late}, "ended": ended,
            "told": busy + late, "sent": n}


if __name__ == "__main__":
    os.nice(19)
    stage = Stage(int(sys.argv[2]))
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(globals()[sys.argv[1]](stage)), flush=True)
