"""Our code against somebody else's, on random input.

Every test prints its seed; EVODB_DIFFERENTIAL_SEED repeats one, EVODB_DIFFERENTIAL=N does N times as
many cases. The far side is build/evodb_differential, built here where it is missing or old.
"""

import json
import os
import pathlib
import random
import struct
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("EVODB_BUILD", "build")


@pytest.fixture(scope="session")
def far_side():
    """Runs a command of evodb_differential on cases; gives what it said of each."""
    ninja = os.environ.get("NINJA", "ninja")
    subprocess.run([ninja, "-C", BUILD, "evodb_differential"], check=True, capture_output=True)

    def run(command, cases, *arguments):
        stream = b"".join(struct.pack("<I", len(c)) + c for c in cases)
        done = subprocess.run([BUILD / "evodb_differential", command, *map(str, arguments)],
                              input=stream, capture_output=True, timeout=600)
        assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
        said = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(said) == len(cases), f"{len(said)} answers to {len(cases)} cases"
        return said

    return run


@pytest.fixture
def rng(request):
    seed = int(os.environ.get("EVODB_DIFFERENTIAL_SEED") or random.SystemRandom().getrandbits(32))
    print(f"{request.node.name}: EVODB_DIFFERENTIAL_SEED={seed}")
    return random.Random(seed)


@pytest.fixture(scope="session")
def times():
    """How many times the usual number of cases."""
    return max(1, int(os.environ.get("EVODB_DIFFERENTIAL", "1")))
