#!/usr/bin/env python3
"""Writes vectors/journal/ from docs/formats/journal.md, independently of the C++ code.

Standard library only. Run it after a change of the format; the files are compared byte for byte by
src/journal/journal_vectors_test.cc and src/ingest/batch_record_test.cc.
"""
import os
import struct

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "journal")


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0x82F63B78 if crc & 1 else crc >> 1
    return crc ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283
assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720 B.4


def varint(n):
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def zigzag(n):
    return varint((n << 1) ^ (n >> 63))


def segment_header(journal, ordinal, first, salt, size):
    def with_crc(crc):
        return struct.pack("<8sIIQQQQQQ", b"EVODBJNL", 1, crc, journal, ordinal, first, salt, size, 0)

    return with_crc(crc32c(with_crc(0))).ljust(4096, b"\0")


def record(salt, position, synced, kind, payload):
    padded = payload + bytes(-len(payload) % 8)
    tail = struct.pack("<IQQQIB3x", crc32c(padded), salt, position, synced, len(payload), kind)
    return struct.pack("<I", crc32c(tail)) + tail + padded


def batch_record(source, epoch, ordered, received, skip, last, chain, txn, count, tables, body):
    return b"".join(
        [bytes([1 if ordered else 0]), varint(len(source)), source, varint(epoch), zigzag(received),
         varint(skip), varint(last), struct.pack("<Q", chain), varint(txn), varint(count),
         varint(len(tables))] + [varint(ref) + struct.pack("<Q", fp) for ref, fp in tables] + [body])


def write(name, data):
    with open(os.path.join(HERE, name), "wb") as f:
        f.write(data)


JOURNAL, SALT, SALT2, FIRST, SIZE = 0x1122334455667788, 0xA1A2A3A4A5A6A7A8, 0xB1B2B3B4B5B6B7B8, 4096, 16384


def main():
    os.makedirs(HERE, exist_ok=True)
    # Two groups of records, synced one after the other; then the durable mark; then zeros.
    payloads = [(1, b"hello"), (2, bytes(range(256)) * 4), (2, b""), (2, b"8 bytes!")]
    groups = [0, 0, 2, 2]  # the record with which each one's group began
    log, starts = b"", []
    for (kind, payload), group in zip(payloads, groups):
        starts.append(FIRST + len(log))
        log += record(SALT, FIRST + len(log), starts[group], kind, payload)
    end = FIRST + len(log)
    mark = record(SALT, end, end, 3, b"")
    head = segment_header(JOURNAL, 0, FIRST, SALT, SIZE)
    write("0000000000001000.seg", (head + log + mark).ljust(SIZE, b"\0"))

    # The same one followed by a second segment (then it has no need of a mark), which was made of a
    # spare: its rest is what an earlier use left.
    log2 = record(SALT2, end, end, 2, b"in the second segment")
    stale = segment_header(JOURNAL, 0, 0, 0xDEAD, SIZE) + b"".join(
        record(0xDEAD, 88 * i, 0, 2, b"s" * 48) for i in range(139))
    second = bytearray(stale.ljust(SIZE, b"\0"))
    fresh = segment_header(JOURNAL, 1, end, SALT2, SIZE) + log2
    fresh += bytes(-len(fresh) % 4096)
    second[: len(fresh)] = fresh
    write("two_first.seg", (head + log).ljust(SIZE, b"\0"))
    write("two_%016x.seg" % end, bytes(second))

    # A torn tail: the group's first record lost its payload, the second one is whole.
    torn1 = bytearray(record(SALT, end, end, 2, b"a" * 600))
    torn1[100:500] = bytes(400)
    torn2 = record(SALT, end + len(torn1), end, 2, b"whole, but behind a hole")
    write("torn.seg", (head + log + torn1 + torn2).ljust(SIZE, b"\0"))

    # Damage: the same hole in the second record, which later records prove synced.
    hurt = bytearray(head + log + mark)
    hurt[4096 + 48 + 200] ^= 0x10
    write("damaged.seg", bytes(hurt).ljust(SIZE, b"\0"))

    rest = struct.pack("<QQ", JOURNAL, 5) + b"marks"
    write("checkpoint.ckpt", b"EVODBCKP" + struct.pack("<II", 1, crc32c(rest)) + rest)
    write("batch_ordered.bin", batch_record(b"shop-7", 3, True, 1700000000123, 40, 42, 0xC0FFEE, 9, 2,
                                            [(0, 0x0102030405060708), (300, 0xFFFFFFFFFFFFFFFF)],
                                            b"body"))
    write("batch_unordered.bin", batch_record(b"v1", 0, False, -1, 0, 2**64 - 1, 0, 0, 1, [], b""))

    def dump(data, base):
        return "\n".join("%04x  %s" % (base + i, data[i:i + 16].hex(" "))
                         for i in range(0, len(data), 16))

    print(dump(head[:64], 0))
    print(dump(log[:48], 4096))


if __name__ == "__main__":
    main()
