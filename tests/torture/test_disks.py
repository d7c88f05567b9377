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


def test_a_warehouse_that_turns_read_only_and_back_loses_nothing(tmp_path, parent, disk):
    p = parent("buffer.max_age_ms=100", f"store.url=file:{disk.folder}/warehouse",
               "fallback.recovery_interval_ms=300").start()
    applications = Applications(tmp_path, p.url, [None])
    applications.begin()
    try:
        for _ in range(3):
            wait_until(lambda: p.get("/readyz")[0] == 200, 20, "ready")
            wait_until(lambda: disk.read_only(True), 10, "a moment without an open file")
            wait_until(lambda: p.get("/readyz")[0] == 503, 20, "it says that it cannot land")
            assert "Read-only file system" in p.get("/readyz")[1]
            assert disk.read_only(False)
        wait_until(lambda: p.get("/readyz")[0] == 200, 20, "ready")
        applications.end()
    finally:
        applications.abandon()
    judge(Lakehouse(p.data), applications.sources).require()
    assert p.stop() == 0


def test_a_warehouse_that_fills_and_is_freed_loses_nothing(tmp_path, parent, disk):
    p = parent("buffer.max_age_ms=100", f"store.url=file:{disk.folder}/warehouse",
               "fallback.recovery_interval_ms=300").start()
    applications = Applications(tmp_path, p.url, [None])
    applications.begin()
    try:
        for _ in range(3):
            wait_until(lambda: p.get("/readyz")[0] == 200, 20, "ready")
            disk.fill()
            wait_until(lambda: p.get("/readyz")[0] == 503, 20, "it says that it cannot land")
            assert "No space left" in p.get("/readyz")[1]
            p.kill()  # and a start on the full disk
            p.start()
            disk.free()
        wait_until(lambda: p.get("/readyz")[0] == 200, 20, "ready")
        applications.end()
    finally:
        applications.abandon()
    judge(Lakehouse(p.data), applications.sources).require()
    assert p.stop() == 0
