"""A second decoder of wire v1, written from the tables of docs/formats/wire-v1.md and from nothing else.

Gives what evodb_differential gives (bytes in hexadecimal, 64-bit numbers as text), or None.
"""

import json
import struct
import zlib

MESSAGE_MAX, TEXT_MAX, DEPTH_MAX = 16 << 20, 4 << 20, 64
STATUSES = ["ok", "buffered", "persisted", "duplicate", "fallback"]
REASONS = ["buffer_full", "rate_limited", "invalid_sequence", "invalid_format", "internal_error",
           "shutting_down"]
OPS = ["INSERT", "UPDATE", "DELETE"]


class Refused(Exception):
    """The message is not one."""


class Bytes:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        if n > len(self.data) - self.at:
            raise Refused("cut off")
        self.at += n
        return self.data[self.at - n:self.at]

    def unpack(self, form):
        values = struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))
        return values if len(values) > 1 else values[0]


# --- binary -------------------------------------------------------------------------------------
def signed(n):
    return n - (1 << 64) if n >> 63 else n


def decode_binary(message):
    try:
        return binary(message)
    except Refused:
        return None


def binary(message):
    if len(message) > MESSAGE_MAX:
        raise Refused("too long")
    b = Bytes(message)
    magic, version, kind = b.unpack("HBB")
    if magic != 0xCDC2 or version != 1 or kind not in (1, 2, 3):
        raise Refused("no v1 message")
    flags = b.unpack("B")
    b.take(3)
    timestamp, sequence = b.unpack("QQ")
    out = {"timestamp": str(signed(timestamp)), "batch_sequence": str(sequence)}
    if kind == 1:
        return out | batch(b, flags)
    if kind == 2:
        status = b.unpack("B")
        out |= {"message": "ack", "status": STATUSES[status if status < 5 else 0]}
    else:
        reason, retry, delay, length = b.unpack("BBIH")
        text = b.take(length)
        out |= {"message": "nack", "reason": REASONS[reason if reason < 6 else 4],
                "should_retry": retry != 0, "retry_delay_ms": delay, "text": text.hex()}
    out["correlation_id"] = b.take(b.unpack("H")).hex() if flags & 2 else None
    return out


def batch(b, flags):
    source_length, count, payload_length, id_length, crc = b.unpack("HIIHI")
    source = b.take(source_length)
    correlation_id = b.take(id_length) if flags & 2 else None
    if flags & 1:
        raise Refused("compressed")
    payload = Bytes(b.take(payload_length))
    if payload.unpack("I") != count:
        raise Refused("counts differ")
    entries = []
    for _ in range(count):
        lsn, timestamp, op, *lengths = payload.unpack("QQBHHII")
        table, row_id, before, after = (payload.take(n).hex() for n in lengths)
        if op > 2:
            raise Refused("unknown op")
        entries.append({"sequence": str(lsn), "timestamp": str(signed(timestamp)), "op": op,
                        "table": table, "row_id": row_id, "before": before, "after": after})
    whole = b.data[:36] + bytes(4) + b.data[40:]
    return {"message": "batch", "retry": bool(flags & 4), "source": source.hex(),
            "correlation_id": None if correlation_id is None else correlation_id.hex(),
            "crc_right": zlib.crc32(whole) == crc,
            "trailing": len(payload.data) - payload.at + len(b.data) - b.at,
            "entries": entries}


# --- text ---------------------------------------------------------------------------------------
def refuse(what):
    raise Refused(what)


def real(text):
    value = float(text)
    return value if abs(value) != float("inf") else refuse("beyond a double")


def whole(text):
    value = int(text)
    return value if -(1 << 63) <= value < 1 << 64 else real(text)


def depth(text):
    deepest = now = 0
    quoted = escaped = False
    for c in text:
        if quoted:
            quoted = escaped or c != '"'
            escaped = c == "\\" and not escaped
        elif c == '"':
            quoted = True
        elif c in "[{":
            now += 1
            deepest = max(deepest, now)
        elif c in "]}":
            now -= 1
    return deepest


class Members:
    """An object's members; null is absent."""

    def __init__(self, value):
        self.value = value

    def get(self, name):
        return self.value.get(name)

    def number(self, name, required=False, low=0, high=1 << 64, fraction=False):
        value = self.get(name)
        if value is None:
            return refuse(name + " is missing") if required else 0
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            refuse(name + " is no number")
        if isinstance(value, float):
            if fraction:
                value = value // 1
            if value % 1 or abs(value) > 1 << 53:
                refuse(name + " is no integer")
            value = int(value)
        return value if low <= value < high else refuse(name + " is out of range")

    def time(self, name):
        return str(self.number(name, low=-(1 << 63), high=1 << 63, fraction=True))

    def maybe_time(self, name):
        return None if self.get(name) is None else self.time(name)

    def text(self, name, required=False):
        value = self.get(name)
        if value is None:
            return refuse(name + " is missing") if required else ""
        return value if isinstance(value, str) else refuse(name + " is no text")

    def hex(self, name, required=False):
        return self.text(name, required).encode().hex()

    def maybe_hex(self, name):
        return None if self.get(name) is None else self.hex(name)

    def flag(self, name):
        value = self.get(name)
        return value if isinstance(value, bool) else False if value is None else refuse(name)

    def choice(self, name, names):
        value = self.text(name, True)
        return names.index(value) if value in names else refuse(name)

    def u64(self, name, required=False):
        return str(self.number(name, required))


def decode_text(message):
    try:
        return text_message(message)
    except (Refused, ValueError, RecursionError):
        return None


def text_message(message):
    if message in (b"ping", b"pong"):
        return {"message": "ping" if message == b"ping" else "pong-word"}
    if len(message) > TEXT_MAX:
        raise Refused("too long")
    text = message.decode()
    if depth(text) > DEPTH_MAX:
        raise Refused("too deep")
    value = json.loads(text, parse_float=real, parse_int=whole, parse_constant=refuse)
    # JavaScript's strings may hold half a pair; UTF-8 cannot.
    json.dumps(value, ensure_ascii=False).encode()
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise Refused("no message")
    m = Members(value)
    kind = value["type"]
    readers = {"connect": connect, "heartbeat": heartbeat, "flush_request": said,
               "disconnect": said, "cdc_batch": cdc_batch, "status": status, "pong": pong,
               "ack": ack, "nack": nack}
    if kind not in readers:
        raise Refused("unknown type")
    return {"message": kind, "timestamp": m.time("timestamp")} | readers[kind](m)


def connect(m):
    can = m.get("capabilities")
    can = Members(can if isinstance(can, dict) else {})
    return {"source": m.hex("sourceDoId"), "shard": m.hex("sourceShardName"),
            "last_ack_sequence": m.u64("lastAckSequence"),
            "protocol_version": m.number("protocolVersion", high=1 << 32),
            "capabilities": [can.flag("binaryProtocol"), can.flag("compression"),
                             can.flag("batching"), can.u64("maxBatchSize"),
                             can.u64("maxMessageSize")],
            "correlation_id": m.maybe_hex("correlationId")}


def heartbeat(m):
    return {"source": m.hex("sourceDoId"), "last_ack_sequence": m.u64("lastAckSequence"),
            "pending_entries": m.u64("pendingEntries")}


def said(m):
    return {"source": m.hex("sourceDoId"), "reason": m.hex("reason")}


def pong(m):
    return {"server_time": m.time("serverTime")}


def ack(m):
    return {"batch_sequence": m.u64("sequenceNumber", True),
            "status": STATUSES[m.choice("status", STATUSES)],
            "correlation_id": m.maybe_hex("correlationId")}


def nack(m):
    return {"batch_sequence": m.u64("sequenceNumber", True),
            "reason": REASONS[m.choice("reason", REASONS)], "should_retry": m.flag("shouldRetry"),
            "retry_delay_ms": m.number("retryDelayMs", high=1 << 32),
            "text": m.hex("errorMessage"), "correlation_id": m.maybe_hex("correlationId")}


def status(m):
    buffer = m.get("buffer")
    buffer = Members(buffer if isinstance(buffer, dict) else {})
    utilization = buffer.get("utilization")
    if isinstance(utilization, bool) or not isinstance(utilization, (int, float, type(None))):
        raise Refused("utilization")
    m.maybe_hex("correlationId")
    return {"state": m.hex("state", True),
            "buffer": [buffer.u64("batchCount"), buffer.u64("entryCount"),
                       buffer.u64("totalSizeBytes"), buffer.maybe_time("oldestBatchTime"),
                       buffer.maybe_time("newestBatchTime")],
            "connected_children": m.u64("connectedChildren"),
            "flush_times": [m.maybe_time("lastFlushTime"), m.maybe_time("nextFlushTime")]}


def cdc_batch(m):
    entries = m.get("entries")
    if not isinstance(entries, list):
        raise Refused("entries")
    out = []
    for item in entries:
        if not isinstance(item, dict):
            raise Refused("entry")
        e = Members(item)
        row_id = e.get("rowId")
        out.append({"sequence": e.u64("sequence", True), "timestamp": e.time("timestamp"),
                    "op": e.choice("operation", OPS), "table": e.hex("table", True),
                    "row_id": {"json": "" if row_id is None else row_id},
                    "before": {"json": e.get("before")}, "after": {"json": e.get("after")}})
    return {"source": m.hex("sourceDoId"), "shard": m.hex("sourceShardName"),
            "batch_sequence": m.u64("sequenceNumber", True), "retry": m.flag("isRetry"),
            "correlation_id": m.maybe_hex("correlationId"), "entries": out}
