"""Inputs that a fuzzer would be long in finding: golden bytes, and sessions that go well.

    seeds.py DIRECTORY     writes DIRECTORY/<target>/seed-*; scripts/fuzz-corpus begins with them
"""

import pathlib
import struct
import sys
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[1]
OUT = pathlib.Path(sys.argv[1])


def put(target, seeds):
    folder = OUT / target
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in seeds.items():
        (folder / f"seed-{name}").write_bytes(data)


def golden(folder):
    return {p.stem: bytes.fromhex("".join(p.read_text().split()))
            for p in sorted((ROOT / "vectors" / folder).glob("*.hex"))
            if p.stat().st_size < 8192}


# --- bytes that are parsed ----------------------------------------------------------------------
put("wire_v1_fuzz", golden("wire-v1"))
v2 = golden("wire-v2")
put("wire_v2_fuzz", v2 | {"body-" + n: b[4:6] + b[10:] for n, b in v2.items()})


def websocket(opcode, payload, mask=None, fin=True):
    head = bytes([opcode | 0x80 * fin])
    n, m = len(payload), 0x80 if mask else 0
    head += bytes([m | n]) if n < 126 else bytes([m | 126]) + struct.pack(">H", n)
    if mask:
        head += mask
        payload = bytes(b ^ mask[i % 4] for i, b in enumerate(payload))
    return head + payload


for_role = {}
for role, mask in ((1, b"\1\2\3\4"), (0, None)):
    for name, frames in {
            "text": websocket(1, "naïve".encode(), mask),
            "parts": websocket(1, b"na\xc3", mask, False) + websocket(9, b"p", mask)
            + websocket(0, b"\xafve", mask),
            "long": websocket(2, b"x" * 300, mask), "close": websocket(8, b"\x03\xe8bye", mask),
            "two": websocket(2, b"", mask) + websocket(10, b"pong", mask)}.items():
        for_role[f"{name}-{role}"] = bytes([role | 6]) + frames
put("websocket_fuzz", for_role)

UPGRADE = (b"GET / HTTP/1.1\r\nHost: parent\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
           b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
put("http_fuzz", {
    "upgrade": UPGRADE, "post": b"POST /flush HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    "chunks": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "two": b"GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\nHEAD /d HTTP/1.0\r\n\r\n",
    "expect": b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na"})
put("iceberg_request_fuzz", {
    "table": b"GET v1/namespaces/evodb/tables/a%20b%2Fc%C3%A9+d?snapshots=refs",
    "levels": b"HEAD v1/namespaces/a%1Fb", "rename": b"POST v1/tables/rename",
    "pages": b"GET v1/namespaces/evodb/tables?pageToken=6162&pageSize=7",
    "children": b"GET v1/namespaces?parent=a%1Fb&pageToken=", "config": b"GET v1/config?warehouse=x",
    "views": b"GET v1/namespaces/evodb/views/v", "tokens": b"POST v1/oauth/tokens"})
ROW = b'{"a":1,"b":[true,null,"x\\u00e9"],"c":-1.5e3,"d":{"e":"\\ud83d\\ude00"}}'
put("v1_json_fuzz", {"row": ROW, "list": b"[1,2.5,\"x\"]", "text": b'"\\ud800"', "big": b"1e999"})
put("v1_rows_fuzz", {"row": b"\x80" + ROW + ROW, "one": b"\0" + ROW})
put("parent_url_fuzz", {"v6": b"ws://[::1]:8787/a?b", "name": b"ws://host:1/", "no": b"wss://h"})
put("naming_fuzz", {"pair": b"Album\0album", "nested": b"_before.x\0_unfit.\xc3\x9f",
                    "long": b"n" * 300, "greek": "ΑΩ Привет".encode()})
put("config_fuzz", {
    "file": b'listen = "127.0.0.1:1"\n[buffer]\nmax_age_ms = 5\nmax_bytes="64MiB"\n'
            b'[store]\nurl="s3://b/p"\npath_style = false # no\n',
    "forms": b"gate.idle_ping_ms = 1_000\njournal = { segment_bytes = 0x100000 }\nlisten = '''\nx'''\n",
    "other": b"[[a]]\nb = 1979-05-27T07:32:00Z\nc = [1, 2]\nd = 1.5\n"})
xml = b"<?xml version='1.0'?><ListBucketResult><IsTruncated>true</IsTruncated>" \
      b"<NextContinuationToken>t&amp;1</NextContinuationToken><Contents><Key>a/b</Key>" \
      b"<LastModified>2023-11-14T22:13:20.123Z</LastModified><ETag>&quot;e&quot;</ETag>" \
      b"<Size>5</Size></Contents></ListBucketResult>"
put("s3_xml_fuzz", {"list": xml, "error": b"<Error><Code>SlowDown</Code><Message>m</Message></Error>",
                    "time": b"2023-11-14T22:13:20.123Z"})
put("inflate_fuzz", {f"{level}-{n}": zlib.compress(bytes(range(n)) * 9, level)[2:-4]
                     for level in (0, 1, 9) for n in (1, 40, 250)})
put("gate_inflate_fuzz", {"honest": b"\1hello hello hello", "changed": b"\3\x04\0\xffhello hello"})
put("avro_fuzz", {"schema": b"\5\0" + b'{"type":"record","name":"r","fields":[{"name":"a","type":'
                  b'["null",{"type":"array","items":"long"}],"field-id":1}]}'})
put("index_sql_fuzz", {
    "index": b'CREATE UNIQUE INDEX "i" ON t(a COLLATE NOCASE, lower(b) DESC) WHERE c > 0',
    "generated": b"CREATE TABLE t(a INT, b AS (a+1) STORED, c GENERATED ALWAYS AS (b) VIRTUAL)"})
put("journal_recovery_fuzz", {"forged": bytes([0x40, 0x24, 0, 1, 0x41, 0x60, 0, 9]),
                              "cut": bytes([0x81, 0, 9, 0])})
for name in ("batch_ordered", "batch_unordered"):
    put("batch_record_fuzz", {name: (ROOT / f"vectors/journal/{name}.bin").read_bytes()})
checkpoint = (ROOT / "vectors/journal/checkpoint.ckpt").read_bytes()
put("checkpoint_format_fuzz", {"golden": checkpoint[12:]})

# --- what one process hands over to the next (docs/formats/hand-over.md) --------------------------


def text(raw):
    return bytes([len(raw)]) + raw


def record(state, flags, rest=b"", age=7):
    return struct.pack("<BH", state, flags) + bytes([age]) + rest


IN_FRAME = b"\x0f" + text(b"") + b"\2\1\2\3\4" + b"\xe8\7" + b"\3" + b"\2" + text(b"abc")
CONNECTIONS = {
    "http": record(1, 256 | 512, text(b"POST / HTTP/1.1\r\nHost: a")), "plain": record(3, 0),
    "child": record(4, 1 | 64 | 128 | 4096, b"\5\4\x80\1" + text(b"\x82\0")),
    "asleep": record(4, 1 | 32 | 2048 | 8192 | 16384, b"\x90\3" + b"\2" + text(b"room:7")
                     + text(b"user") + text(b"attached")),
    "parts": record(4, 1 | 1024, b"\x22" + text(IN_FRAME)),
    "head": record(4, 1 | 1024, b"\1" + text(b"\0" + text(b"\x82\xfe\1"))),
    "control": record(5, 1 | 16 | 1024, text(b"old") + b"\1"
                      + text(b"\x0f" + text(b"") + b"\x09\1\2\3\4\5\2" + text(b"pi") + b"\1" + text(b"na"))),
    "closing": record(6, 128, text(b"last words"))}
put("connection_record_fuzz",
    {name: b"\1" + one for name, one in CONNECTIONS.items()}
    | {"all": bytes([len(CONNECTIONS)]) + b"".join(CONNECTIONS.values()), "none": b"\0"})
SESSIONS = (b"\2" + text(b"definition") + text(b"other") + b"\3"
            + struct.pack("<IBB", 7, 0, 0) + text(b"shop") + b"\3" + b"\x80\1\0" + b"\2\0\1\5\0"
            + struct.pack("<IBB", 1, 1, 2) + text(b"x") + b"\0\0" + b"\x08\2" + b"\0"
            + struct.pack("<IBB", 9, 2, 1) + text(b"old") + b"\0\0" + b"\0")
put("session_records_fuzz", {"three": SESSIONS, "none": b"\0\0"})
put("hand_over_format_fuzz", {
    "some": struct.pack("<QQ", 77, 1 << 20) + b"\3\0\1\x84\7" + text(b"connections")
    + text(SESSIONS), "none": bytes(19)})

# --- sessions: an uplink whose parent is the fuzzer ------------------------------------------------
UP, WAIT, GROW, BIG = b"\1", bytes([8, 200, 0]), bytes([9, 0x25]), bytes([9, 0x8F])
WELCOME, ACK = bytes([4, 0, 1, 4, 4, 255]), bytes([5, 1, 1, 200])
PONG, HANG_UP = bytes([7, 1]), bytes([10, 1])


def nack(reason, lsn):
    return bytes([6, reason, lsn])


uplink = {
    "plain": UP + WELCOME + GROW + ACK + WAIT + GROW + ACK + WAIT,
    "gap": UP + WELCOME + GROW + WAIT + nack(1, 4) + WAIT + PONG + WAIT + ACK + WAIT,
    "credit": UP + WELCOME + GROW + WAIT + nack(0x73, 4) + PONG + WAIT + WAIT + ACK,
    "held-ack": UP + WELCOME + GROW + WAIT + GROW + WAIT + nack(0xF1, 0) + ACK + WAIT + PONG + WAIT,
    "wild": UP + WELCOME + GROW + WAIT + bytes([5, 7, 7, 255]) + WAIT + GROW + WAIT + WAIT,
    "chain": UP + WELCOME + GROW + WAIT + nack(2, 0) + WAIT + UP + WELCOME + GROW + ACK + WAIT,
    "epoch": UP + bytes([4, 1, 1, 4, 4, 255]) + WAIT + UP + WELCOME + GROW + ACK,
    "epoch-max": UP + bytes([4, 17, 1, 4, 4, 255]) + WAIT + UP + WELCOME + GROW + ACK,
    "pings": UP + WELCOME + b"\x0b" + bytes([14, 1]) * 3, "big": UP + WELCOME + BIG * 3 + WAIT + ACK,
    "frame-pings": UP + WELCOME + b"\x0b" + bytes([14, 0]) * 3 + WAIT,
    "bye": UP + WELCOME + bytes([7, 10]) + WAIT + UP + WELCOME + GROW + ACK,
    "never": UP + GROW + nack(0xFB, 1) + WAIT, "http": bytes([0, 20]) + b"HTTP/1.1 503 no\r\n\r\n",
    "reconnect": UP + WELCOME + GROW + ACK + WAIT + HANG_UP + WAIT * 3 + UP
    + bytes([4, 4, 1, 4, 4, 255]) + WAIT + UP + WELCOME + ACK,
    "text": UP + WELCOME + bytes([2, 0x01, 3]) + b"abc", "close": UP + bytes([2, 8, 2, 3, 0xE8])}
put("uplink_fuzz", {f"{n}-{m}": bytes([m]) + s for n, s in uplink.items() for m in (0, 1, 6)})

# --- sessions: a parent whose children are the fuzzer ----------------------------------------------
COMMIT, LEAVE = b"\x08", b"\x8b"


def hello(what, trimmed=0, head=200):
    return bytes([4, what, trimmed, head])


def batch(start, n, how=1):
    return bytes([5, start, n, how])


def v1(what, n, lsn, row=b""):
    return bytes([6, what, n, lsn, len(row)]) + row


def text(which, n, content=b""):
    return bytes([7, which << 2, n]) + content


def second(step):
    return bytes([step[0] | 0x10]) + step[1:]


parent = {
    "plain": UP + hello(4) + batch(0, 3) + COMMIT + batch(4, 3) + COMMIT + bytes([9, 4, 8]),
    "again": UP + hello(4) + batch(0, 3) * 2 + COMMIT + batch(0, 3) + COMMIT,
    "gap": UP + hello(4) + batch(0, 3) + batch(10, 3) + COMMIT + batch(4, 2) + COMMIT,
    "bad": UP + hello(4) + batch(0, 3, 3) + COMMIT + batch(0, 3, 5),
    "two": UP + second(UP) + hello(4) + second(hello(5)) + batch(0, 3) + second(batch(0, 5)) + COMMIT,
    "superseded": UP + hello(4) + batch(0, 3) + second(UP) + second(hello(4)) + COMMIT
    + second(batch(4, 1)) + COMMIT,
    "full": UP + hello(4) + b"".join(batch(i * 32, 31) for i in range(5)) + COMMIT + b"\x0d"
    + batch(160, 31) + COMMIT,
    "v1": UP + v1(0, 3, 5) + COMMIT + v1(0, 3, 5) + COMMIT + v1(8, 2, 9) + COMMIT,
    "v1-row": UP + v1(16, 3, 5, ROW) + COMMIT,
    "v1-text": UP + text(0, 1) + text(1, 0) + text(5, 9) + COMMIT + text(5, 9) + COMMIT + text(3, 0),
    "unordered": UP + hello(20) + batch(3, 3) + COMMIT + batch(0, 2) + COMMIT,
    "restart": UP + hello(4) + batch(0, 3) + COMMIT + LEAVE + UP + hello(4, 4) + batch(4, 2) + COMMIT,
    "disk": UP + hello(4) + batch(0, 3) + b"\x8e" + COMMIT + b"\x0e" + COMMIT + batch(4, 3) + COMMIT,
    "disk-full": UP + hello(4) + batch(0, 3) + b"\xce" + COMMIT + b"\x0e" + COMMIT + COMMIT,
    "told-late": UP + hello(4) + batch(0, 3) + b"\x88" + batch(4, 3) + COMMIT + batch(8, 1) + COMMIT,
    "http": bytes([15, 6]) + b"status" + bytes([15, 3]) + b"big", "slow": UP + b"\x8c" + hello(4)
    + batch(0, 3) + COMMIT + b"\x0c" + WAIT, "epoch": UP + hello(4, 50, 20) + UP + hello(12, 5),
    "ws": UP + bytes([2, 9, 4]) + b"ping" + bytes([2, 0x81, 3]) + b"abc" + bytes([2, 0x80, 1]) + b"d"}
put("parent_session_fuzz", {f"{n}-{m}": bytes([m]) + s for n, s in parent.items() for m in (0, 3)})
put("gate_session_fuzz", {n: bytes([m]) + struct.pack("<H", len(d)) + d for n, m, d in [
    ("http", 0, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), ("upgrade", 0, UPGRADE),
    ("frame", 7, v2["hello"] if "hello" in v2 else b""), ("text", 3, b'{"type":"connect"}')]})

# --- rows of outbox files: see fuzz/hostile_sqlite.h for values -------------------------------------
small = lambda n: bytes([n << 3])  # noqa: E731
blob = lambda b: bytes([len(b) << 3 | 6]) + b  # noqa: E731
put("file_outbox_fuzz", {
    "row": b"\1" + small(6) + small(6) + small(1) + blob(b"\4\1\1\1"),
    "bad-op": b"\1" + small(6) + small(6) + small(9) + blob(b"\4\1\1\1"),
    "damaged": b"\2" + small(3) + blob(b"\4\1\2\x0e\x0e"), "mark": b"\5" + small(3),
    "table": b"\4" + blob(b"\1t\1\1\1v\0\0"), "gone": b"\7" + small(2)})
put("outbox_row_fuzz", {
    "insert": b"\0" + small(9) + small(1) + small(0) + small(5) + small(1) * 6,
    "half": b"\2" + small(3) + small(5) + small(1), "column": b"\5" + small(1) * 2 + blob(b"x")
    + blob(b"") + small(16), "split": b"\x1e" + small(1), "mark": b"\6" + small(3)})
