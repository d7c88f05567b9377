"""CRC32C and XXH64 of src/base against the packages crc32c and xxhash. The path without instructions
is compared with the one that has them in src/base/hash_test.cc."""

import struct

import crc32c
import xxhash

CASES = 20_000


def test_hashes_are_those_of_the_libraries(far_side, rng, times):
    cases, expected = [], []
    lengths = list(range(300))
    for i in range(CASES * times):
        n = lengths[i] if i < len(lengths) else rng.choice([rng.randrange(64), rng.randrange(5000)])
        data = bytes(n) if rng.random() < 0.05 else rng.randbytes(n)
        seed = rng.choice([0, rng.getrandbits(64), (1 << 64) - 1])
        cases.append(struct.pack("<Q", seed) + data)
        expected.append({"crc32c": crc32c.crc32c(data, seed & 0xFFFFFFFF),
                         "xxh64": str(xxhash.xxh64_intdigest(data, seed)), "agree": True})
    for case, said, want in zip(cases, far_side("hashes", cases), expected):
        assert said == want, case.hex()
    print(f"{len(cases)} inputs")
