"""The least of a wire v2 child, from docs/formats/wire-v2.md, for tests that must do what no honest
client does. WebSocket frames are masked with zeros: allowed, and cheap.

    s = open_child(port, "source-1")
    s.sendall(message(batch_frame(...)))
"""

import socket
import struct

import xxhash
from crc32c import crc32c

TABLE = [("id", "INTEGER", 1), ("body", "TEXT", 0)]
HELLO, WELCOME, BATCH, ACK, NACK = 1, 2, 3, 4, 5
ZSTD = 1


def varint(n):
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def string(text):
    raw = text.encode()
    return varint(len(raw)) + raw


def frame(kind, body, flags=0):
    head = bytes([0xE5, 0xDB, 2, 0, kind, flags])
    return head + struct.pack("<I", crc32c(head + bytes(4) + body)) + body


def hello(source, head=0, frame_bytes_max=1 << 20):
    return frame(HELLO, string("") + string(source) + varint(1) + bytes([1, 0]) + varint(0)
                 + bytes(8) + varint(head) + varint(frame_bytes_max) + string("evodb-abuse"))


def ack_durable(frame_bytes):
    return read_varint(frame_bytes, 10)[0]


class Batches:
    """The batches of one source: each holds one inserted row, and goes on where the last one ended."""

    def __init__(self, table="abuse"):
        self.definition = string(table) + varint(1) + varint(len(TABLE)) + b"".join(
            string(name) + string(kind) + varint(key) for name, kind, key in TABLE)
        self.fingerprint = xxhash.xxh64_intdigest(self.definition, seed=0)
        self.lsn = self.chain = 0

    def next(self, body):
        previous, self.lsn = self.lsn, self.lsn + 1
        values = b"\xf9" + varint(self.lsn * 2 - 31) if self.lsn * 2 >= 31 else bytes(
            [self.lsn * 2 << 3 | 1])
        text = body.encode()
        values += (bytes([len(text) << 3 | 3]) if len(text) < 31
                   else b"\xfb" + varint(len(text) - 31)) + text
        content = b"\x04\x02" + values
        committed_at = 1_700_000_000_000
        prefix = struct.pack("<5Q", self.chain, self.fingerprint, self.lsn, committed_at, 0)
        self.chain = xxhash.xxh64_intdigest(content, seed=xxhash.xxh64_intdigest(prefix, seed=0))
        head = varint(previous) + varint(1) + varint(0) + struct.pack("<Q", self.chain)
        head += varint(1) + varint(1 if previous == 0 else 0)
        out = varint(len(head)) + head
        if previous == 0:
            out += varint(0) + self.definition
        return frame(BATCH, out + b"\x00\x00\x01" + varint(2) + varint(committed_at * 2) + content)


# --- WebSocket ------------------------------------------------------------------------------------

TEXT, BINARY, PING, PONG = 1, 2, 9, 10


def ws_head(length, opcode=BINARY, final=True):
    """A frame's head, with a mask of zeros behind it. The length is what is claimed."""
    first = opcode | (0x80 if final else 0)
    if length < 126:
        return bytes([first, 0x80 | length, 0, 0, 0, 0])
    if length < 1 << 16:
        return struct.pack(">BBH", first, 0x80 | 126, length) + bytes(4)
    return struct.pack(">BBQ", first, 0x80 | 127, length) + bytes(4)


def message(payload, opcode=BINARY):
    return ws_head(len(payload), opcode) + payload


UPGRADE = (b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")


def take_messages(buffer):
    """What a server sent, whole messages only: (opcode, payload) each. Takes them from `buffer`."""
    out = []
    while len(buffer) >= 2:
        length, at = buffer[1] & 0x7F, 2
        if length == 126:
            if len(buffer) < 4:
                break
            length, at = struct.unpack_from(">H", buffer, 2)[0], 4
        elif length == 127:
            if len(buffer) < 10:
                break
            length, at = struct.unpack_from(">Q", buffer, 2)[0], 10
        if len(buffer) < at + length:
            break
        out.append((buffer[0] & 0x0F, bytes(buffer[at:at + length])))
        del buffer[:at + length]
    return out


def connect(port, receive_buffer=None, seconds=10):
    s = socket.socket()
    if receive_buffer:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    s.settimeout(seconds)
    s.connect(("127.0.0.1", port))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def upgrade(s):
    s.sendall(UPGRADE)
    head = b""
    while b"\r\n\r\n" not in head:
        piece = s.recv(4096)
        if not piece:
            raise ConnectionError(f"no upgrade: {head!r}")
        head += piece
    if not head.startswith(b"HTTP/1.1 101"):
        raise ConnectionError(f"no upgrade: {head[:100]!r}")
    return s


def open_child(port, source, receive_buffer=None):
    """A connection that has said hello and read its welcome."""
    s = upgrade(connect(port, receive_buffer))
    s.sendall(message(hello(source)))
    buffer = bytearray()
    while True:
        piece = s.recv(4096)
        if not piece:
            raise ConnectionError("no welcome")
        buffer += piece
        for opcode, payload in take_messages(buffer):
            if opcode == BINARY and payload[4] == WELCOME:
                return s
            raise ConnectionError(f"no welcome but {payload!r}")
