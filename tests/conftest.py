"""Fixtures of every test that runs the real binary; the classes behind them are in tests/harness."""

import os

import pytest

from harness import sanitizers
from harness.binary import BINARY
from harness.parent import Parent
from harness.s3 import GATEWAY, S3

os.environ.update(sanitizers.environment())  # every process that a test starts has it from here


@pytest.fixture(scope="session", autouse=True)
def sanitizers_found_nothing():
    """Fails the last test of a run in which any process, killed or not, wrote a report."""
    yield
    found = sanitizers.findings()
    if found:
        first = next(iter(found.values()))
        pytest.fail(f"{len(found)} processes with findings, in {sanitizers.LOGS}:\n{first[:8000]}")


@pytest.fixture(scope="session")
def binary():
    if not BINARY.exists():
        pytest.fail(f"{BINARY} is missing: make build")
    return BINARY


@pytest.fixture
def parent(tmp_path, binary):
    parents = []

    def make(*settings, store=None, folder=tmp_path):
        parents.append(Parent(folder, *settings, store=store))
        return parents[-1]

    yield make
    for p in parents:
        if p.process and p.process.poll() is None:
            p.kill()


@pytest.fixture
def s3(tmp_path):
    if not GATEWAY.exists():
        pytest.fail("scripts/setup has not built .deps/bin/versitygw")
    server = S3(tmp_path).start()
    yield server
    server.stop()
