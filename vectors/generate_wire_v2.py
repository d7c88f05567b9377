#!/usr/bin/env python3
"""Golden frames of wire v2, from docs/formats/wire-v2.md alone.

    pip install xxhash
    python3 vectors/generate_wire_v2.py          # writes vectors/wire-v2/
    python3 vectors/generate_wire_v2.py --check  # fails if the files differ

Shares no code with src/wire: where the two disagree, one of them has misread the page.
"""

import json
import pathlib
import struct
import sys

import xxhash

FOLDER = pathlib.Path(__file__).parent / "wire-v2"
OPS = ["INSERT", "UPDATE", "DELETE", "SNAPSHOT", "OVERSIZE", "RESET", "DROP"]
CLASSES = {"null": 0, "integer": 1, "real": 2, "text": 3, "blob": 4, "boolean": 5}


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283  # the check value of the CRC catalogues
assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720 B.4


def varint(n):
    assert 0 <= n < 1 << 64
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def zigzag_number(n):
    assert -(1 << 63) <= n < 1 << 63
    return n * 2 if n >= 0 else -n * 2 - 1


def step(after, before):
    """The difference modulo 2^64, as a signed number."""
    d = (after - before) % (1 << 64)
    return d - (1 << 64) if d >= 1 << 63 else d


def u64(n):
    return struct.pack("<Q", n % (1 << 64))


def string(s):
    raw = s.encode() if isinstance(s, str) else s
    return varint(len(raw)) + raw


def frame(kind, body, minor=0, flags=0, major=2):
    head = bytes([0xE5, 0xDB, major, minor, kind, flags])
    return head + struct.pack("<I", crc32c(head + bytes(4) + body)) + body


def tagged(number, n):
    return bytes([min(n, 31) << 3 | number]) + (varint(n - 31) if n >= 31 else b"")


def value(v):
    """A value as the JSON descriptions write it: [class, content]."""
    kind, number = v[0], CLASSES[v[0]]
    if kind == "null":
        return tagged(number, 0)
    if kind == "integer":
        return tagged(number, zigzag_number(int(v[1])))
    if kind == "real":
        return tagged(number, 0) + bytes.fromhex(v[1])[::-1]
    if kind == "boolean":
        return tagged(number, 1 if v[1] else 0)
    raw = bytes.fromhex(v[1])
    return tagged(number, len(raw)) + raw


NULL = ["null"]


def integer(n):
    return ["integer", str(n)]


def real(x):
    return ["real", struct.pack(">d", x).hex()]


def text(s):
    return ["text", (s.encode() if isinstance(s, str) else s).hex()]


def blob(b):
    return ["blob", b.hex()]


def boolean(b):
    return ["boolean", b]


def table_def(t):
    out = string(t["name"]) + varint(t["schema_version"]) + varint(len(t["columns"]))
    for name, declared_type, key_ordinal in t["columns"]:
        out += string(name) + string(declared_type) + varint(key_ordinal)
    return out


def fingerprint(t):
    return xxhash.xxh64_intdigest(table_def(t), seed=0)


def content(c):
    parts = [("key", 1), ("before", 2), ("after", 4)]
    presence = sum(bit for name, bit in parts if c.get(name) is not None)
    out = b""
    for name, _ in parts:
        if c.get(name) is not None:
            out += varint(len(c[name])) + b"".join(value(v) for v in c[name])
    if c["op"] in ("OVERSIZE", "RESET", "DROP"):
        presence |= 8
        out += string(c["reason"])
    return bytes([presence]) + out


def fold(chain, print_of_table, c):
    prefix = b"".join(map(u64, [chain, print_of_table, c["lsn"], c["committed_at"],
                                OPS.index(c["op"])]))
    return xxhash.xxh64_intdigest(content(c), seed=xxhash.xxh64_intdigest(prefix, seed=0))


def batch_body(previous, chain, new_tables, changes, all_tables, later=b""):
    """Returns the body and the chain after it. all_tables: number -> definition."""
    out, lsn, txn, time = b"", previous, 0, 0
    for ref, t in new_tables:
        out += varint(ref) + table_def(t)
    for c in changes:
        out += bytes([OPS.index(c["op"])]) + varint(c["table"]) + varint(c["lsn"] - lsn)
        out += varint(zigzag_number(step(c["txn"], txn)))
        out += varint(zigzag_number(step(c["committed_at"], time)))
        out += content(c)
        chain = fold(chain, fingerprint(all_tables[c["table"]]), c)
        lsn, txn, time = c["lsn"], c["txn"], c["committed_at"]
    first, last = changes[0]["lsn"], changes[-1]["lsn"]
    head = varint(previous) + varint(first - previous) + varint(last - first) + u64(chain)
    head += varint(len(changes)) + varint(len(new_tables)) + later
    return varint(len(head)) + head + out, chain


# --- the vectors ----------------------------------------------------------------------------------

VECTORS = {}
# 64-bit numbers are strings in the descriptions: JSON readers lose integers beyond 2^53.
WIDE_FIELDS = {"epoch", "trimmed", "head", "received", "received_txn", "durable", "persisted",
               "epoch_min", "credit_bytes", "resend_after", "previous_lsn", "first_lsn", "last_lsn"}


def add(name, data, description):
    VECTORS[name] = (data, description)


def add_frame(name, kind, number, fields, body, encodes=True, **options):
    """`encodes`: an encoder of version 2.0 gives these very bytes for these fields."""
    fields = {k: str(v) if k in WIDE_FIELDS else v for k, v in fields.items()}
    add(name, frame(number, body, **options), {"frame": kind, "encodes": encodes, **fields})


def hello(name, f, **options):
    body = string(f["token"]) + string(f["source"]) + varint(f["epoch"])
    has_life = 4 if "life" in f else 0
    body += bytes([(1 if f["ordered"] else 0) | (2 if f["accepts_zstd"] else 0) | has_life,
                   f["wait"]])
    body += varint(f["trimmed"]) + u64(int(f["trimmed_chain"], 16)) + varint(f["head"])
    body += varint(f["frame_bytes_max"]) + string(f["agent"])
    body += u64(int(f["life"], 16)) if has_life else b""
    add_frame(name, "hello", 1, f, body + options.pop("later", b""), **options)


HELLO = dict(token="", source="till-17", epoch=3, ordered=True, accepts_zstd=False, wait=1,
             trimmed=4_096, trimmed_chain="0123456789abcdef", head=4_242,
             frame_bytes_max=16_777_216, agent="evodb-edge/0.1.0")
hello("hello", HELLO)
hello("hello-life", {**HELLO, "life": "89abcdef01234567"})
hello("hello-unordered", {**HELLO, "token": "t0ken", "source": "кассa 17 ☃", "ordered": False,
                          "accepts_zstd": True, "wait": 0, "trimmed": 0, "trimmed_chain": "0" * 16,
                          "head": 0, "agent": ""})
# A later minor version: one more option bit, more fields behind the known ones.
body_later = string("") + string("till-17") + varint(3) + bytes([1 | 128, 1]) + varint(4096)
body_later += u64(0x0123456789ABCDEF) + varint(4242) + varint(16_777_216) + string("x")
add_frame("hello-later-minor", "hello", 1, {**HELLO, "agent": "x"},
          body_later + b"\x07later on", encodes=False, minor=9)


def welcome(name, f, **options):
    body = bytes([f["verdict"], (1 if f["chain_known"] else 0) | (2 if f["accepts_zstd"] else 0)])
    body += varint(f["received"]) + u64(int(f["received_chain"], 16)) + varint(f["received_txn"])
    body += varint(f["durable"]) + varint(f["persisted"]) + varint(f["epoch_min"])
    body += varint(f["credit_bytes"]) + varint(f["frame_bytes_max"])
    body += varint(f["batch_entries_max"]) + string(f["text"])
    add_frame(name, "welcome", 2, f, body, **options)


WELCOME = dict(verdict=0, chain_known=True, accepts_zstd=True, received=4_242,
               received_chain="fedcba9876543210", received_txn=4_240, durable=4_242,
               persisted=4_100, epoch_min=0, credit_bytes=4_194_304, frame_bytes_max=16_777_216,
               batch_entries_max=10_000, text="")
welcome("welcome-resume", WELCOME)
welcome("welcome-new-epoch", {**WELCOME, "verdict": 1, "chain_known": False, "accepts_zstd": False,
                              "epoch_min": (1 << 64) - 1, "received_txn": 0,
                              "text": "the database was restored from a copy"})
welcome("welcome-copy", {**WELCOME, "verdict": 2, "epoch_min": 4, "received": 0, "received_txn": 0,
                         "received_chain": "0" * 16, "durable": 0, "persisted": 0,
                         "text": "a copy: till-17 streams from another database already"})


def ack(name, durable, persisted, credit, later=b"", **options):
    body = varint(durable) + varint(persisted) + varint(credit) + later
    add_frame(name, "ack", 4, dict(durable=durable, persisted=persisted, credit_bytes=credit), body,
              **options)


ack("ack", 300, 127, 1_000_000)
ack("ack-starved", 0, 0, 0)
ack("ack-later-minor", 300, 127, 128, later=b"\xff\xff\xff", minor=1, encodes=False)


def nack(name, reason, resend_after, retry_after_ms, words, wire_reason=None, **options):
    f = dict(reason=reason, resend_after=resend_after, retry_after_ms=retry_after_ms, text=words)
    body = bytes([wire_reason or reason]) + varint(resend_after) + varint(retry_after_ms)
    add_frame(name, "nack", 5, f, body + string(words), **options)


nack("nack-gap", 1, 4_242, 0, "LSN 4243 is missing; resend from there")
nack("nack-over-credit", 3, 4_242, 250, "")
nack("nack-later-minor", 5, 1, 2, "a reason of the future", wire_reason=200, minor=3, encodes=False)

for kind, number in [("ping", 6), ("pong", 7)]:
    add_frame(kind, kind, number, dict(opaque="0102030405060708"), u64(0x0102030405060708))
add_frame("bye", "bye", 8, dict(reason=1, text="restarting"), bytes([1]) + string("restarting"))
add_frame("unknown-type-later-minor", "unknown", 77, dict(type=77), b"whatever", encodes=False,
          minor=1)


def batch(name, previous, chain, new_tables, changes, known=None, **options):
    tables = dict(known or {})
    tables.update(dict(new_tables))
    later = options.pop("later", b"")
    body, after = batch_body(previous, chain, new_tables, changes, tables, later)
    columns = ["name", "declared_type", "key_ordinal"]
    f = dict(
        previous_lsn=previous, first_lsn=changes[0]["lsn"], last_lsn=changes[-1]["lsn"],
        chain_before=f"{chain:016x}", chain_after=f"{after:016x}",
        tables=[dict(table_ref=ref, fingerprint=f"{fingerprint(t):016x}", name=t["name"],
                     schema_version=t["schema_version"],
                     columns=[dict(zip(columns, c)) for c in t["columns"]])
                for ref, t in new_tables],
        known_tables=[dict(table_ref=ref, fingerprint=f"{fingerprint(t):016x}")
                      for ref, t in (known or {}).items()],
        changes=[{**{k: v for k, v in c.items() if v is not None}, "lsn": str(c["lsn"]),
                  "txn": str(c["txn"]), "committed_at": str(c["committed_at"])} for c in changes])
    add_frame(name, "batch", 3, f, body, encodes=not later, **options)
    return after


def change(op, table, lsn, txn, committed_at, key=None, before=None, after=None, reason=None):
    return dict(op=op, table=table, lsn=lsn, txn=txn, committed_at=committed_at, key=key,
                before=before, after=after, reason=reason)


USERS = dict(name="users", schema_version=1,
             columns=[("id", "INTEGER", 1), ("name", "TEXT", 0), ("score", "", 0)])
PAIRS = dict(name='we"ird näme', schema_version=7,
             columns=[("b", "VARCHAR(20)", 2), ("a", "BLOB", 1), ("", "", 0)])
NOW = 1_700_000_000_000

# The worked example of the page.
batch("batch-one-insert", 0, 0, [(0, USERS)],
      [change("INSERT", 0, 1, 1, NOW, after=[integer(7), text("Ada"), real(1.5)])])

row = [integer(7), text("Ada"), real(1.5)]
row2 = [integer(7), text("Ada Lovelace, Countess, of the Analytical Engine"), NULL]
FIVE = [
    change("SNAPSHOT", 0, 11, 11, NOW, after=row),
    change("UPDATE", 0, 12, 12, NOW + 5, before=row, after=row2),
    change("DELETE", 0, 15, 12, NOW + 5, before=row2),
    change("OVERSIZE", 1, 16, 16, NOW + 3, key=[blob(b"\x00\xff"), text("k")],
           reason="9000000 bytes are over the limit of 8388608"),
    change("DELETE", 1, 4_000, 17, NOW - 60_000, key=[text("only the key"), blob(b"")]),
]
five_chain = batch("batch-five-ops", 10, 0x1122334455667788, [(0, USERS), (1, PAIRS)], FIVE)
# The same changes in two batches: the chain must come out the same; the tables are known by now.
KNOWN = {0: USERS, 1: PAIRS}
half = batch("batch-five-ops-part-1", 10, 0x1122334455667788, [], FIVE[:2], known=KNOWN)
whole = batch("batch-five-ops-part-2", 12, half, [], FIVE[2:], known=KNOWN)
assert whole == five_chain

batch("batch-reset", 4_000, five_chain, [(0, USERS)], [
    change("RESET", 0, 4_001, 4_003, NOW, reason="column 'nom' is 'name' now"),
    change("SNAPSHOT", 0, 4_002, 4_003, NOW, after=row),
    change("DROP", 1, 4_003, 4_003, NOW, reason=""),
], known=KNOWN)

EXTREMES = [
    NULL, boolean(False), boolean(True),
    *map(integer, [0, 1, -1, 14, 15, -15, -16, 63, 127, 128, 2**31 - 1, -2**31, 2**53 + 1,
                   2**63 - 1, -2**63]),
    *map(real, [0.0, -0.0, 1.0, float("inf"), float("-inf"), 5e-324, 1.7976931348623157e308]),
    ["real", "7ff8000000000000"], ["real", "7ff0000000000001"],
    text(""), text("a"), text("é" * 15), text("x" * 31), text(b"\xff\xfe not UTF-8 \x00"),
    text("long " * 100), blob(b""), blob(bytes(range(256))), blob(b"\x00" * 30),
]
WIDE = dict(name="", schema_version=0xFFFFFFFF,
            columns=[(f"c{i}", "", 0) for i in range(len(EXTREMES))])
batch("batch-extreme-values", 2**64 - 3, 0xFFFFFFFFFFFFFFFF, [(9_999, WIDE)], [
    change("INSERT", 9_999, 2**64 - 2, 2**64 - 1, 2**63 - 1, after=EXTREMES),
    change("INSERT", 9_999, 2**64 - 1, 0, -2**63, after=list(reversed(EXTREMES))),
])
batch("batch-empty-lists", 0, 0, [(3, dict(name="bare", schema_version=0, columns=[]))], [
    change("INSERT", 3, 2**63, 0, 0, key=[], before=[], after=[]),
    change("DELETE", 3, 2**63 + 1, 0, 0),
])
batch("batch-later-header", 0, 0, [(0, USERS)],
      [change("INSERT", 0, 1, 1, NOW, after=row)], later=b"more to come", minor=4)

# --- what must be refused -------------------------------------------------------------------------


def refuse(name, data, why):
    add("refused-" + name, data, {"frame": "refused", "why": why})


good = VECTORS["ack"][0]
refuse("empty", b"", "no header")
refuse("header-cut", good[:9], "9 bytes")
refuse("magic", b"\xe6" + good[1:], "wrong magic")
refuse("crc", good[:-1] + bytes([good[-1] ^ 1]), "wrong checksum")
refuse("major", frame(4, good[10:], major=9), "major version 9")
refuse("flags", frame(4, good[10:], flags=2), "an unknown flag")
refuse("zstd-ack", frame(4, good[10:], flags=1), "only batches may be compressed")
refuse("type", frame(77, b""), "an unknown type of our own minor version")
refuse("reserved-type", frame(9, b""), "subscribe is reserved")
refuse("trailing", frame(4, good[10:] + b"\x00"), "a field too many in our own minor version")
refuse("overlong-varint", frame(4, b"\x80\x00\x00\x00"), "0 in two bytes")
refuse("varint-65-bits", frame(4, b"\xff" * 9 + b"\x02" + b"\x00\x00"), "over 64 bits")
refuse("bye-reason", frame(8, b"\x04\x00"), "a reason that 2.0 does not have")
refuse("hello-source-empty", frame(1, string("") + string("") + varint(1) + b"\x01\x01\x00" + u64(0)
                                   + b"\x00\x00" + string("")), "no source")
refuse("hello-source-not-utf8", frame(1, string("") + string(b"\xc3") + varint(1) + b"\x01\x01\x00"
                                      + u64(0) + b"\x00\x00" + string("")), "source not UTF-8")


def head(previous=0, first=1, span=0, chain=0, changes=1, tables=0):
    h = varint(previous) + varint(first) + varint(span) + u64(chain) + varint(changes)
    h += varint(tables)
    return varint(len(h)) + h


def one(op=0, table=0, lsn=1, rest=b"\x04\x01\x00"):
    return bytes([op]) + varint(table) + varint(lsn) + b"\x00\x00" + rest


def refuse_batch(name, body, why):
    refuse("batch-" + name, frame(3, body), why)


refuse_batch("empty", b"", "no header")
refuse_batch("no-changes", head(changes=0), "0 changes")
refuse_batch("count-too-large", head(changes=2**40, span=2**41) + one(), "more than can be there")
refuse_batch("count-too-small", head(changes=1) + one() + one(), "bytes follow the last change")
refuse_batch("lsn-overflow", head(previous=2**64 - 1) + one(), "an LSN over 64 bits")
refuse_batch("first-lsn", head(first=2, span=1) + one(lsn=3), "the first LSN is not the header's")
refuse_batch("last-lsn", head(span=5) + one(), "the last LSN is not the header's")
refuse_batch("lsn-stands", head(changes=2, span=1) + one() + one(lsn=0), "the LSN does not grow")
refuse_batch("op", head() + one(op=7), "an unknown op")
refuse_batch("presence", head() + one(rest=b"\x10"), "an unknown presence bit")
refuse_batch("reason-on-insert", head() + one(rest=b"\x08\x00"), "a reason without OVERSIZE")
refuse_batch("reset-without-reason", head() + one(op=5, rest=b"\x00"), "RESET without a reason")
refuse_batch("reset-with-key", head() + one(op=5, rest=b"\x09\x01\x00\x00"), "a key with RESET")
refuse_batch("drop-with-row", head() + one(op=6, rest=b"\x0c\x01\x00\x00"), "a row with DROP")
refuse_batch("oversize-with-row", head() + one(op=4, rest=b"\x0c\x01\x00\x00"), "a row with OVERSIZE")
refuse_batch("table-ref", head() + one(table=10_000), "a table number over the limit")
refuse_batch("value-class", head() + one(rest=b"\x04\x01\x06"), "storage class 6")
refuse_batch("null-with-number", head() + one(rest=b"\x04\x01\x08"), "a NULL that is not 0")
refuse_batch("boolean-two", head() + one(rest=b"\x04\x01\x15"), "a BOOLEAN of 2")
refuse_batch("text-too-long", head() + one(rest=b"\x04\x01\xfb" + varint(2**64 - 32)), "a text of 2^64 - 1 bytes")
refuse_batch("integer-overflow", head() + one(rest=b"\x04\x01\xf9" + varint(2**64 - 31)), "an integer over 64 bits")
refuse_batch("values-too-many", head() + one(rest=b"\x04" + varint(2**63)), "2^63 values")
T = string("t") + varint(1)
refuse_batch("table-columns", head(tables=1) + b"\x00" + T + varint(2001) + b"\x00" * 7000 + one(),
             "2,001 columns")
refuse_batch("table-key-gap", head(tables=1) + b"\x00" + T + b"\x01" + string("a") + b"\x00\x02"
             + one(), "key ordinal 2 of 1")
refuse_batch("table-column-twice", head(tables=1) + b"\x00" + T + b"\x02" + (string("a")
             + b"\x00\x00") * 2 + one(), "a column twice")
refuse_batch("table-name-not-utf8", head(tables=1) + b"\x00" + string(b"\xff") + b"\x01\x00" + one(),
             "a table's name that is not UTF-8")


def main():
    files = {}
    for name, (data, description) in VECTORS.items():
        raw = data.hex()
        files[name + ".hex"] = "\n".join(raw[i:i + 96] for i in range(0, len(raw), 96)) + "\n"
        files[name + ".json"] = json.dumps(description, indent=1, ensure_ascii=False) + "\n"
    if "--check" in sys.argv:
        there = {p.name: p.read_text() for p in FOLDER.iterdir()}
        if there != files:
            sys.exit("vectors/wire-v2 differs from what this script writes; run it without --check")
        return
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.iterdir():
        old.unlink()
    for name, words in files.items():
        (FOLDER / name).write_text(words)
    print(len(VECTORS), "vectors")


main()
