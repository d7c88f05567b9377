"""Disks that change under a parent that runs."""

import pytest
from faults import SmallDisk
from harness.applications import Applications
from harness.binary import wait_until
from harness.judge import judge
from harness.lakehouse import Lakehouse


@pytest.fixture
def disk(tmp_path):
    disk = SmallDisk(tmp_path / "disk", 64)
    if disk.why_not:
        pytest.skip(f"a tmpfs of its own cannot be mounted: {disk.why_not}")
    yield disk
    disk.remove()


def lose_nothing(tmp_path, parent, disk, trouble):
    """Applications write while `trouble` comes three times over the disk of the warehouse."""
    p = parent("buffer.max_age_ms=100", f"store.url=file:{disk.folder}/warehouse",
               "fallback.recovery_interval_ms=300").start()
    applications = Applications(tmp_path, p.url, [None])
    applications.begin()
    try:
        for _ in range(3):
            wait_until(lambda: p.get("/readyz")[0] == 200, 20, "ready")
            trouble(p)
        wait_until(lambda: p.get("/readyz")[0] == 200, 20, "ready")
        applications.end()
    finally:
        applications.abandon()
    judge(Lakehouse(p.data), applications.sources).require()
    assert p.stop() == 0


def says_that_it_cannot_land(p, why):
    wait_until(lambda: p.get("/readyz")[0] == 503, 20, "it says that it cannot land")
    assert why in p.get("/readyz")[1]


def test_a_warehouse_that_turns_read_only_and_back_loses_nothing(tmp_path, parent, disk):
    def trouble(p):
        wait_until(lambda: disk.read_only(True), 10, "a moment without an open file")
        says_that_it_cannot_land(p, "Read-only file system")
        assert disk.read_only(False)

    lose_nothing(tmp_path, parent, disk, trouble)


def test_a_warehouse_that_fills_and_is_freed_loses_nothing(tmp_path, parent, disk):
    def trouble(p):
        disk.fill()
        says_that_it_cannot_land(p, "No space left")
        p.kill()  # and a start on the full disk
        p.start()
        disk.free()

    lose_nothing(tmp_path, parent, disk, trouble)
