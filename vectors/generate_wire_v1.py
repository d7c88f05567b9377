#!/usr/bin/env python3
"""Golden messages of wire v1, from the tables in docs/formats/wire-v1.md alone.

    python3 vectors/generate_wire_v1.py          # writes vectors/wire-v1/
    python3 vectors/generate_wire_v1.py --check  # fails if the files differ

Shares no code with src/wire. IEEE CRC-32 is zlib's.
"""

import json
import pathlib
import struct
import sys
import zlib

FOLDER = pathlib.Path(__file__).parent / "wire-v1"
OPS = ["INSERT", "UPDATE", "DELETE"]
NOW = 1_700_000_000_000
VECTORS = {}


def head(kind, flags, timestamp, sequence, version=1):
    return struct.pack("<HBBB3xQQ", 0xCDC2, version, kind, flags, timestamp, sequence)


def entry_bytes(e):
    table, row_id = e["table"].encode(), e["row_id"].encode()
    before, after = e["before"].encode(), e["after"].encode()
    fixed = struct.pack("<QQBHHII", int(e["sequence"]), int(e["timestamp"]), OPS.index(e["op"]),
                        len(table), len(row_id), len(before), len(after))
    assert len(fixed) == 29
    return fixed + table + row_id + before + after


def batch_bytes(b, count=None, inner=None, payload_length=None, flags=0, leftover=bytes(4)):
    """leftover: what bytes 36-39 held when the CRC was computed."""
    source = b["source"].encode()
    correlation = (b["correlation_id"] or "").encode()
    flags |= (2 if b["correlation_id"] is not None else 0) | (4 if b["retry"] else 0)
    n = len(b["entries"])
    payload = struct.pack("<I", n if inner is None else inner)
    payload += b"".join(map(entry_bytes, b["entries"]))
    fixed = head(1, flags, b["timestamp"], int(b["batch_sequence"]))
    fixed += struct.pack("<HIIH", len(source), n if count is None else count,
                         len(payload) if payload_length is None else payload_length,
                         len(correlation))
    assert len(fixed) == 36
    rest = source + correlation + payload
    crc = zlib.crc32(fixed + leftover + rest)
    return fixed + struct.pack("<I", crc) + rest


def add(name, data, **description):
    VECTORS[name] = (data, description)


def entry(sequence, op, table, row_id, before="", after="", timestamp=NOW):
    return dict(sequence=str(sequence), timestamp=str(timestamp), op=op, table=table, row_id=row_id,
                before=before, after=after)


BATCH = dict(source="do-1", timestamp=NOW, batch_sequence="1", retry=False, correlation_id=None,
             entries=[entry(101, "INSERT", "users", "u1", after='{"id":"u1","name":"Ada"}')])
LARGE = dict(
    source="кassa ☃", timestamp=NOW + 1, batch_sequence=str(2**63 + 5), retry=True,
    correlation_id="c-0001",
    entries=[
        entry(2**63 + 1, "UPDATE", "orders", "7", '{"n":9007199254740993}', '{"n":1e400,"x":[1.10]}'),
        entry(2**63 + 2, "DELETE", "orders", "7", before='{"n":1}', timestamp=0),
        entry(0, "INSERT", "", ""),
        entry(2**64 - 1, "DELETE", "t" * 600, "r" * 300),
    ])


def add_batch(name, b, data=None, encodes=True, matches=True, trailing=0):
    add(name, batch_bytes(b) if data is None else data, message="batch", encodes=encodes,
        checksum_matches=matches, trailing_bytes=trailing, **b)


add_batch("batch", BATCH)
add_batch("batch-correlation-id", LARGE)
add_batch("batch-no-entries", {**BATCH, "entries": []})
add_batch("batch-crc-of-leftovers", BATCH, batch_bytes(BATCH, leftover=b"\xde\xad\xbe\xef"),
          encodes=False, matches=False)
add_batch("batch-trailing", BATCH, batch_bytes(BATCH) + b"leftover bytes", encodes=False,
          matches=False, trailing=14)
# Bytes behind the last entry, but within the payload.
inside = bytearray(batch_bytes(BATCH) + b"xyz")
payload_length = struct.unpack_from("<I", inside, 30)[0]
struct.pack_into("<I", inside, 30, payload_length + 3)
struct.pack_into("<I", inside, 36, 0)
struct.pack_into("<I", inside, 36, zlib.crc32(bytes(inside)))
add_batch("batch-trailing-inside", BATCH, bytes(inside), encodes=False, trailing=3)
# Without the flag there is no correlation id, whatever its length says.
no_flag = bytearray(batch_bytes(BATCH))
struct.pack_into("<H", no_flag, 34, 999)
add_batch("batch-correlation-length-without-flag", BATCH, bytes(no_flag), encodes=False,
          matches=False)


def refuse(name, data, why):
    add("refused-" + name, data, message="refused", why=why)


good = batch_bytes(BATCH)
refuse("magic", b"\xc3" + good[1:], "wrong magic")
refuse("version", good[:2] + b"\x02" + good[3:], "version 2")
refuse("connect-binary", head(4, 0, NOW, 0), "connect travels as JSON")
refuse("header-cut", good[:39], "39 bytes")
refuse("compressed", batch_bytes(BATCH, flags=1), "compressed is never set")
refuse("counts-differ", batch_bytes(BATCH, count=2), "2 in the header, 1 in the payload")
refuse("counts-lie", batch_bytes(BATCH, count=2**32 - 1, inner=2**32 - 1), "4,294,967,295 entries")
refuse("payload-too-long", batch_bytes(BATCH, payload_length=2**32 - 1), "payload past the end")
refuse("payload-too-short", batch_bytes(BATCH, payload_length=30), "the entry past the payload")
bad_op = bytearray(good)
bad_op[40 + 4 + 4 + 16] = 3
refuse("op", bytes(bad_op), "operation 3")


def ack_bytes(status, correlation, sequence=9):
    tail = b"" if correlation is None else struct.pack("<H", len(correlation)) + correlation.encode()
    data = head(2, 0 if correlation is None else 2, NOW, sequence) + bytes([status]) + tail
    assert len(data) == (25 if correlation is None else 27 + len(correlation))
    return data


def add_ack(name, status, correlation, data=None, decoded_status=None, encodes=True):
    add(name, data or ack_bytes(status, correlation), message="ack", encodes=encodes, timestamp=NOW,
        batch_sequence="9", status=status if decoded_status is None else decoded_status,
        correlation_id=correlation)


add_ack("ack-25-bytes", 1, None)
for number, word in enumerate(["ok", "buffered", "persisted", "duplicate", "fallback"]):
    add_ack("ack-" + word, number, "c-0001")
add_ack("ack-unknown-status", 99, "c", decoded_status=0, encodes=False)
add_ack("ack-trailing", 2, "c", data=ack_bytes(2, "c") + b"!", encodes=False)
refuse("ack-cut", ack_bytes(0, "c-0001")[:-1], "correlation id cut")


def nack_bytes(reason, retry, delay, words, correlation):
    data = head(3, 0 if correlation is None else 2, NOW, 9)
    data += struct.pack("<BBIH", reason, 1 if retry else 0, delay, len(words.encode()))
    assert len(data) == 32
    data += words.encode()
    if correlation is not None:
        data += struct.pack("<H", len(correlation)) + correlation.encode()
    return data


def add_nack(name, reason, retry, delay, words, correlation, decoded_reason=None, encodes=True):
    add(name, nack_bytes(reason, retry, delay, words, correlation), message="nack", encodes=encodes,
        timestamp=NOW, batch_sequence="9", reason=reason if decoded_reason is None else decoded_reason,
        should_retry=retry, retry_delay_ms=delay, text=words, correlation_id=correlation)


add_nack("nack", 0, True, 1_500, "buffer full ☃", "c-0001")
add_nack("nack-no-correlation-id", 5, False, 0, "", None)
add_nack("nack-unknown-reason", 77, True, 1, "?", "c", decoded_reason=4, encodes=False)

# --- text -----------------------------------------------------------------------------------------


def add_text(name, text, **decoded):
    raw = text if isinstance(text, bytes) else text.encode()
    add(name, raw, message="text", **decoded)


add_text("text-ping", "ping", type="ping")
add_text("text-pong", "pong", type="pong")
add_text("text-connect", json.dumps(dict(
    type="connect", timestamp=NOW, sourceDoId="do-1", sourceShardName="shard a", lastAckSequence=17,
    protocolVersion=1, capabilities=dict(binaryProtocol=True, compression=False, batching=True,
                                         maxBatchSize=1000, maxMessageSize=4194304),
    correlationId="x")),
    type="connect", source="do-1", shard="shard a", last_ack_sequence="17", max_message_size="4194304",
    binary_protocol=True)
add_text("text-connect-least", '{"type":"connect"}', type="connect", source="", shard="",
         last_ack_sequence="0", max_message_size="0", binary_protocol=False)
add_text("text-heartbeat", json.dumps(dict(
    type="heartbeat", timestamp=NOW, sourceDoId="do-1", lastAckSequence=2**64 - 1, pendingEntries=3)),
    type="heartbeat", source="do-1", last_ack_sequence=str(2**64 - 1), pending_entries="3",
    timestamp=str(NOW))
add_text("text-flush-request", json.dumps(dict(
    type="flush_request", timestamp=NOW + 0.5, sourceDoId="do-1", reason="manual")),
    type="flush_request", source="do-1", reason="manual", timestamp=str(NOW))
add_text("text-disconnect", '{"type":"disconnect","timestamp":1,"sourceDoId":"do-1"}',
         type="disconnect", source="do-1", reason="", timestamp="1")
add_text("text-batch", """{"type": "cdc_batch", "timestamp": 1700000000000, "sourceDoId": "do-1",
 "correlationId": "c-2", "sequenceNumber": 3, "firstEntrySequence": 1, "isRetry": true, "entries": [
 {"sequence": 18446744073709551615, "timestamp": 1.7e12, "operation": "INSERT", "table": "t",
  "rowId": "r", "after": {"big": -9223372036854775808, "s": "\\u2603 \\"q\\"", "n": null}},
 {"sequence": 2.0, "timestamp": 5.75, "operation": "UPDATE", "table": "t", "rowId": 12,
  "before": null, "after": [1, 2.5, true]},
 {"sequence": 0, "timestamp": 0, "operation": "DELETE", "table": "", "before": "text"}]}""",
         type="cdc_batch", source="do-1", correlation_id="c-2", batch_sequence="3", retry=True,
         entries=[
             entry(2**64 - 1, "INSERT", "t", "r",
                   after='{"big":-9223372036854775808,"n":null,"s":"☃ \\"q\\""}'),
             entry(2, "UPDATE", "t", "12", after="[1,2.5,true]", timestamp=5),
             entry(0, "DELETE", "", "", before='"text"', timestamp=0)])
for name, text, why in [
    ("empty", "", "nothing"),
    ("not-json", "hello", "not JSON"),
    ("array", "[1]", "not an object"),
    ("cut", '{"type":"connect"', "cut off"),
    ("more", '{"type":"connect"} {"type":"connect"}', "two documents"),
    ("no-type", '{"timestamp":1}', "no type"),
    ("type-number", '{"type":1}', "type is a number"),
    ("type-unknown", '{"type":"subscribe"}', "an unknown type"),
    ("not-utf8", b'{"type":"connect","sourceDoId":"\xff"}', "not UTF-8"),
    ("deep", '{"type":"connect","x":' + "[" * 5000 + "]" * 5000 + "}", "5,000 levels"),
    ("number-huge", '{"type":"heartbeat","pendingEntries":1e400}', "beyond a double"),
    ("number-negative", '{"type":"heartbeat","pendingEntries":-1}', "a negative count"),
    ("number-fraction", '{"type":"heartbeat","pendingEntries":1.5}', "a fraction of an entry"),
    ("batch-no-entries", '{"type":"cdc_batch","sequenceNumber":1}', "no entries"),
    ("batch-no-sequence", '{"type":"cdc_batch","entries":[]}', "no sequence number"),
    ("batch-entry", '{"type":"cdc_batch","sequenceNumber":1,"entries":[7]}', "an entry is 7"),
    ("batch-op", '{"type":"cdc_batch","sequenceNumber":1,"entries":[{"sequence":1,"table":"t",'
     '"operation":"UPSERT"}]}', "an unknown operation"),
]:
    raw = text if isinstance(text, bytes) else text.encode()
    add("refused-text-" + name, raw, message="refused-text", why=why)


def main():
    files = {}
    for name, (data, description) in VECTORS.items():
        raw = data.hex()
        files[name + ".hex"] = "".join(raw[i:i + 96] + "\n" for i in range(0, len(raw), 96))
        files[name + ".json"] = json.dumps(description, indent=1, ensure_ascii=False) + "\n"
    if "--check" in sys.argv:
        there = {p.name: p.read_text() for p in FOLDER.iterdir()}
        if there != files:
            sys.exit("vectors/wire-v1 differs from what this script writes; run it without --check")
        return
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.iterdir():
        old.unlink()
    for name, words in files.items():
        (FOLDER / name).write_text(words)
    print(len(VECTORS), "vectors")


main()
