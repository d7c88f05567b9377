"""What others do to the port is not felt by those who behave, costs no more memory than was granted,
and is counted.

    .deps/venv/bin/python -m pytest -s tests/abuse

A line an abuse: p99 of healthy clients' acks in the quiet around it and during it, the parent's
largest resident memory, who was refused and as what. docs/gate.md says why each is refused.
"""

import pathlib
import tempfile

import pytest
from harness.parent import Parent
from stage import SETTINGS, Stage, raise_own_limit

DESCRIPTORS = 256
# Its loop may be busy all the time and must still get its core at once: a compiler next door is not
# what is measured here. Where raising a priority is not allowed, nice says so and goes on.
FIRST_AMONG_EQUALS = ["nice", "-n", "-10"]


@pytest.fixture(scope="module")
def folder(binary):
    """In memory if possible: what is measured is the gate, and a disk's bad moment is not of it."""
    shm = pathlib.Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="evodb-abuse-", dir=shm if shm.is_dir() else None) as f:
        yield pathlib.Path(f)


@pytest.fixture(scope="module")
def stage(folder):
    raise_own_limit()
    parent = Parent(folder, *SETTINGS)
    parent.wrapper = FIRST_AMONG_EQUALS
    stage = Stage(folder, parent.start())
    yield stage
    stage.clear()
    parent.process.kill()
    parent.process.wait()


@pytest.mark.parametrize("name", [
    "slow_loris", "never_reads", "one_byte_a_second", "partial_messages", "bombs", "huge_claims",
    "tiny_fragments", "connect_storm"])
def test_abuse(stage, name, capsys):
    with capsys.disabled():
        print()
        stage.abuse(name)


def test_afterwards_everything_healthy_has_landed(stage, capsys):
    rows = stage.stop()
    status = stage.parent.status()
    assert status["connections"]["open"] <= 1, status["connections"]
    assert status["connections"]["held_bytes"] < 10_000, status["connections"]
    assert stage.parent.stop() == 0
    with capsys.disabled():
        print(f"\nhealthy clients: {rows} rows acknowledged, each is in the lakehouse once")


def test_out_of_descriptors(folder, capsys):
    """Connections may take what is left over, but never what journal, store and readers need."""
    raise_own_limit()
    parent = Parent(folder / "few", *SETTINGS, "journal.segment_bytes=1MiB")
    parent.log.parent.mkdir()
    parent.wrapper = ["prlimit", f"--nofile={DESCRIPTORS}:{DESCRIPTORS}", *FIRST_AMONG_EQUALS]
    stage = Stage(folder / "few", parent.start())
    assert "the limit of open files is 256" in parent.log.read_text()
    try:
        with capsys.disabled():
            print()
            measured = stage.abuse("more_than_fit")
        assert measured.report["told"] == measured.report["sent"], measured.report
        stage.stop()
        assert parent.stop() == 0
    finally:
        stage.clear()
        if parent.process.poll() is None:
            parent.kill()
