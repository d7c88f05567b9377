"""Our wire v1 decoder against the one in wire_v1_decoder.py: both take the same, as the same."""

import json
import pathlib
import struct
import zlib

import wire_v1_decoder as other

CASES = 40_000
VECTORS = pathlib.Path(__file__).resolve().parents[2] / "vectors" / "wire-v1"


# --- messages -----------------------------------------------------------------------------------
def some_bytes(rng, most=20):
    return rng.randbytes(rng.choice([0, 1, 2, rng.randrange(most), rng.randrange(10 * most)]))


def u64(rng):
    return rng.choice([0, 1, rng.getrandbits(8), rng.getrandbits(64), (1 << 64) - 1, 1 << 63])


def head(rng, kind, flags):
    zero = bytes(3) if rng.random() < 0.9 else rng.randbytes(3)
    numbers = struct.pack("<QQ", u64(rng), u64(rng))
    return struct.pack("<HBBB", 0xCDC2, 1, kind, flags) + zero + numbers


def batch(rng):
    entries = b""
    count = rng.choice([0, 1, 2, 5, 30])
    for _ in range(count):
        parts = [some_bytes(rng) for _ in range(4)]
        op = rng.choice([0, 1, 2]) if rng.random() < 0.99 else rng.getrandbits(8)
        entries += struct.pack("<QQBHHII", u64(rng), u64(rng), op, *map(len, parts))
        entries += b"".join(parts)
    flags = rng.choice([0, 2, 4, 6]) if rng.random() < 0.97 else rng.getrandbits(8)
    source, name = some_bytes(rng), some_bytes(rng)
    payload = struct.pack("<I", count) + entries + some_bytes(rng) * (rng.random() < 0.1)
    middle = struct.pack("<HIIH", len(source), count, len(payload), len(name))
    body = source + name * bool(flags & 2) + payload + some_bytes(rng) * (rng.random() < 0.1)
    message = head(rng, 1, flags) + middle + bytes(4) + body
    crc = zlib.crc32(message) if rng.random() < 0.5 else rng.getrandbits(32)
    return message[:36] + struct.pack("<I", crc) + message[40:]


def correlation(rng, flags):
    name = some_bytes(rng)
    return (struct.pack("<H", len(name)) + name) * bool(flags & 2) + some_bytes(rng)


def answer(rng):
    flags = rng.choice([0, 2])
    if rng.random() < 0.5:
        return head(rng, 2, flags) + bytes([rng.randrange(7)]) + correlation(rng, flags)
    text = some_bytes(rng)
    fixed = struct.pack("<BBIH", rng.randrange(8), rng.randrange(3), rng.getrandbits(32), len(text))
    return head(rng, 3, flags) + fixed + text + correlation(rng, flags)


def damaged(rng, message):
    message = bytearray(message)
    for _ in range(rng.choice([1, 1, 2, 5])):
        if not message:
            break
        how = rng.random()
        # Headers decide more than content does.
        at = rng.randrange(min(len(message), rng.choice([5, 70, 1 << 30])))
        if how < 0.4:
            message[at] = rng.choice([0, 1, 2, 255, message[at] ^ 1 << rng.randrange(8)])
        elif how < 0.7:
            del message[rng.randrange(len(message) + 1):]
        elif how < 0.85:
            del message[at]
        else:
            message[at:at] = rng.randbytes(rng.randrange(4))
    return bytes(message)


# --- text ---------------------------------------------------------------------------------------
FIELDS = {"connect": ["sourceDoId", "sourceShardName", "lastAckSequence", "protocolVersion",
                      "capabilities", "correlationId"],
          "heartbeat": ["sourceDoId", "lastAckSequence", "pendingEntries"],
          "flush_request": ["sourceDoId", "reason"], "disconnect": ["sourceDoId", "reason"],
          "cdc_batch": ["sourceDoId", "sourceShardName", "sequenceNumber", "isRetry",
                        "correlationId", "entries"],
          "status": ["state", "buffer", "connectedChildren", "lastFlushTime", "nextFlushTime",
                     "correlationId"],
          "pong": ["serverTime"], "ack": ["sequenceNumber", "status", "correlationId"],
          "nack": ["sequenceNumber", "reason", "errorMessage", "shouldRetry", "retryDelayMs",
                   "correlationId"]}
WORDS = {"status": other.STATUSES, "operation": other.OPS, "reason": other.REASONS}
NUMBERS = {"lastAckSequence", "protocolVersion", "pendingEntries", "sequenceNumber", "timestamp",
           "connectedChildren", "lastFlushTime", "nextFlushTime", "serverTime", "retryDelayMs",
           "sequence", "batchCount", "entryCount", "totalSizeBytes", "utilization",
           "oldestBatchTime", "newestBatchTime", "maxBatchSize", "maxMessageSize"}
FLAGS = {"isRetry", "shouldRetry", "binaryProtocol", "compression", "batching"}
NESTED = {"capabilities": ["binaryProtocol", "compression", "batching", "maxBatchSize",
                           "maxMessageSize"],
          "buffer": ["batchCount", "entryCount", "totalSizeBytes", "utilization",
                     "oldestBatchTime", "newestBatchTime"]}
ENTRY = ["sequence", "timestamp", "operation", "table", "rowId", "before", "after"]


def value(rng, level=0):
    return rng.choice([
        lambda: None, lambda: True, lambda: rng.getrandbits(64), lambda: -rng.getrandbits(63),
        lambda: rng.getrandbits(70), lambda: rng.random() * 10 ** rng.randrange(-20, 20),
        lambda: "".join(rng.choice("aé\u2028😀\"\\\n\x00 /") for _ in range(rng.randrange(5))),
        lambda: [value(rng, level + 1) for _ in range(rng.randrange(3) if level < 3 else 0)],
        lambda: {str(i): value(rng, level + 1)
                 for i in range(rng.randrange(3) if level < 3 else 0)}])()


def field(rng, name):
    if rng.random() < 0.06:
        return value(rng)
    if name in NESTED:
        return {n: field(rng, n) for n in NESTED[name] if rng.random() < 0.8}
    if name == "entries":
        return [{n: field(rng, n) for n in ENTRY if rng.random() < 0.98}
                for _ in range(rng.randrange(4))]
    if name in NUMBERS:
        small = rng.getrandbits(20)
        return rng.choice([small, small, small, u64(rng), -small, float(small), small + 0.5,
                           -small - 0.5, 1e300, -0.0, float(1 << 53)])
    if name in FLAGS:
        return rng.random() < 0.5
    if name in ("before", "after"):
        return rng.choice([None, {"a": 1, "b": "é"}, value(rng)])
    if name == "rowId" and rng.random() < 0.2:
        return rng.getrandbits(40)
    return rng.choice(WORDS.get(name, ["x", "", "naïve"]))


def text(rng):
    kind = rng.choice([*FIELDS])
    message = {"type": kind, "timestamp": field(rng, "timestamp")}
    message |= {n: field(rng, n) for n in FIELDS[kind] if rng.random() < 0.95}
    items = list(message.items())
    rng.shuffle(items)
    return json.dumps(dict(items), ensure_ascii=rng.random() < 0.5).encode()


def hostile_text(rng):
    deep = rng.randrange(60, 70)
    return rng.choice([
        b"ping", b"pong", b"Ping", b"", b"null", b"[]", b'"x"', b'{"type":5}',
        b'{"type":"pong","timestamp":NaN}', b'{"type":"pong","timestamp":1e999}',
        b'{"type":"pong","timestamp":01}', b'{"type":"pong",}', b'{"type":"pong"} x',
        b'{"type":"pong"}\0', b'{"type":"pong","x":"\xff"}', b'{"type":"pong","x":"\\ud800"}',
        b'{"type":"pong","x":"\x01"}', b'{"type":"pong","type":"ack"}',
        b'{"type":"pong","x":' + b"[" * deep + b"]" * deep + b"}",
        b'{"type":"disconnect","reason":"\\ud83d\\ude00"}'])


# --- the comparison -----------------------------------------------------------------------------
def json_of(hexadecimal):
    raw = bytes.fromhex(hexadecimal)
    return None if not raw else json.loads(raw, parse_int=other.whole)


def same(ours, theirs):
    """Rows of a JSON batch are JSON, printed anew: compared by what they mean."""
    if ours is None or theirs is None or ours.get("message") != "cdc_batch":
        return ours == theirs
    if len(ours["entries"]) != len(theirs["entries"]):
        return False
    for mine, yours in zip(ours["entries"], theirs["entries"]):
        for name in ("before", "after"):
            if json_of(mine.pop(name)) != yours.pop(name)["json"]:
                return False
        row_id, raw = yours.pop("row_id")["json"], bytes.fromhex(mine.pop("row_id"))
        if raw.decode() != row_id if isinstance(row_id, str) else json_of(raw.hex()) != row_id:
            return False
    return ours == theirs


def compare(far_side, cases):
    taken = 0
    for case, ours in zip(cases, far_side("wire-v1", cases)):
        kind, message = case[:1], case[1:]
        theirs = other.decode_binary(message) if kind == b"b" else other.decode_text(message)
        taken += theirs is not None
        before = json.dumps(ours)
        assert same(ours, theirs), f"{kind} {message!r} ({message.hex()})\nours:   {before}\n" \
                                   f"theirs: {theirs}"
    print(f"{len(cases)} messages, {taken} of them taken by both")
    return taken


def test_binary_messages_mean_the_same_to_both(far_side, rng, times):
    cases = []
    for _ in range(CASES * times):
        message = batch(rng) if rng.random() < 0.6 else answer(rng)
        cases.append(b"b" + (message if rng.random() < 0.4 else damaged(rng, message)))
    taken = compare(far_side, cases)
    assert CASES // 5 < taken < CASES * times * 4 // 5, "both kinds of messages"


def test_every_truncation_of_a_batch_means_the_same_to_both(far_side, rng, times):
    for _ in range(5 * times):
        message = batch(rng)
        compare(far_side, [b"b" + message[:n] for n in range(min(len(message), 3000) + 1)])


def test_text_messages_mean_the_same_to_both(far_side, rng, times):
    cases = []
    for _ in range(CASES * times):
        if rng.random() < 0.05:
            message = hostile_text(rng)
        else:
            message = text(rng)
            if rng.random() < 0.25:
                message = damaged(rng, message)
        cases.append(b"t" + message)
    taken = compare(far_side, cases)
    assert CASES // 5 < taken < CASES * times * 4 // 5, "both kinds of messages"


def test_golden_bytes_mean_the_same_to_both(far_side):
    cases = []
    for path in sorted(VECTORS.glob("*.hex")):
        data = bytes.fromhex("".join(path.read_text().split()))
        cases += [b"b" + data, b"t" + data]
    compare(far_side, cases)
