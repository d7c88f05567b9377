"""Clients as they should be, which say how long their acknowledgements take. A process of its own, so
that no test keeps it from its clock:

    python healthy.py PORT PREFIX CLIENTS ROW_BYTES REST_MS FILE

Each client sends a row, waits for its durable ack, rests a moment, and goes on. A large row is sent in
pieces, so that memory for messages in parts is theirs too. FILE gets a record of two doubles an
ack: when the row was sent (time.monotonic), and after how many milliseconds it was acknowledged.
SIGTERM ends it; it prints what was acknowledged as JSON. A connection that is lost ends it at once,
with status 1: nobody may refuse these.
"""

import heapq
import json
import os
import pathlib
import select
import signal
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness import wire2  # noqa: E402

WHOLE_BYTES_MAX = 10_000  # a frame larger than this is sent in pieces


class Client:
    def __init__(self, port, source):
        self.source = source
        self.socket = wire2.open_child(port, self.source)
        self.batches = wire2.Batches("healthy")
        self.buffer = bytearray()
        self.sent_at, self.acked = 0.0, 0

    def send(self, row):
        frame = wire2.message(self.batches.next(row))
        self.sent_at = time.monotonic()
        if len(frame) > WHOLE_BYTES_MAX:
            self.socket.sendall(frame[:len(frame) // 3])
            time.sleep(0.002)
            frame = frame[len(frame) // 3:]
        self.socket.sendall(frame)

    def receive(self):
        """True: the row that was sent is acknowledged."""
        piece = self.socket.recv(1 << 16)
        now = time.monotonic()
        if not piece:
            raise ConnectionError("closed by the parent")
        self.buffer += piece
        for opcode, payload in wire2.take_messages(self.buffer):
            if opcode == wire2.BINARY and payload[4] == wire2.ACK:
                self.acked = max(self.acked, wire2.ack_durable(payload))
            elif opcode == wire2.PING:
                self.socket.sendall(wire2.message(payload, wire2.PONG))
            else:
                raise ConnectionError(f"not an ack: {opcode} {payload[:200]!r}")
        return now if self.acked == self.batches.lsn and self.sent_at else None


def run(clients, row, rest_seconds, out):
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    poll = select.epoll()
    by_fd = {c.socket.fileno(): c for c in clients}
    for fd in by_fd:
        poll.register(fd, select.EPOLLIN)
    due = [(time.monotonic() + i * 0.001, i) for i in range(len(clients))]
    while not stopping or any(c.acked < c.batches.lsn for c in clients):
        now = time.monotonic()
        while due and due[0][0] <= now and not stopping:
            clients[heapq.heappop(due)[1]].send(row)
        wait = max(due[0][0] - time.monotonic(), 0) if due and not stopping else 0.05
        for fd, _ in poll.poll(wait):
            client = by_fd[fd]
            at = client.receive()
            if at:
                took = (at - client.sent_at) * 1000
                out.write(struct.pack("<dd", client.sent_at, took))
                client.sent_at = 0.0
                heapq.heappush(due, (time.monotonic() + rest_seconds, clients.index(client)))


def main():
    port, prefix, path = int(sys.argv[1]), sys.argv[2], sys.argv[6]
    count, row_bytes, rest_ms = map(int, sys.argv[3:6])
    try:  # it stands for machines of its own: whenever it has something to do, it runs
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        pass
    clients = [Client(port, f"{prefix}-{i}") for i in range(count)]
    with open(path, "wb", buffering=16 * 64) as out:
        print("on", flush=True)
        try:
            run(clients, "x" * row_bytes, rest_ms / 1000, out)
        except (ConnectionError, TimeoutError) as error:
            print(json.dumps({"error": str(error)}), flush=True)
            sys.exit(1)
    print(json.dumps({c.source: c.acked for c in clients}), flush=True)


if __name__ == "__main__":
    main()
