"""Fixtures of every test that runs the real binary; the classes behind them are in tests/harness."""

import pytest

from harness.binary import BINARY
from harness.parent import Parent
from harness.s3 import GATEWAY, S3


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
