"""Starts behind a lost journal, where every object must be read, from stores that misbehave."""

import shutil

import pytest
from harness.applications import Applications
from harness.binary import wait_until
from harness.judge import judge
from harness.lakehouse import Lakehouse
from proxy import HttpProxy
from scene import ProxiedStore


@pytest.fixture
def proxied(tmp_path, s3, parent):
    """A parent behind a proxy, stopped, with a hundred objects in its lakehouse and no journal."""
    proxy = HttpProxy(s3.port, seed=3).start()
    p = parent("buffer.max_age_ms=50", store=ProxiedStore(s3, proxy)).start()
    applications = Applications(tmp_path, p.url, [None])
    applications.begin()
    try:
        wait_until(lambda: p.status()["landing"]["flushes"] >= 60, 60, "many small files")
        applications.end()
    finally:
        applications.abandon()
    assert p.stop() == 0
    shutil.rmtree(p.data / "journal")
    yield p, proxy, lambda: judge(Lakehouse(p.data, s3), applications.sources).require()
    proxy.stop()


def only(proxy, fault, share):
    proxy.KINDS, proxy.trouble = {fault: 1}, share


@pytest.mark.parametrize("fault", ["503 before", "cut in head", "truncated answer"])
def test_a_store_that_fails_one_read_in_six_lets_it_start(proxied, fault):
    p, proxy, judged = proxied
    only(proxy, fault, 1 / 6)
    p.start(seconds=30)
    assert proxy.faults[fault] > 0
    proxy.trouble = 0
    judged()
    assert p.stop() == 0


def test_a_store_that_refuses_is_waited_for_and_named(proxied):
    p, proxy, judged = proxied
    only(proxy, "403 before", 1)
    p.spawn()
    wait_until(lambda: "not ready yet: cannot read the catalog or the tables" in p.log.read_text()
               and "grant it GetObject" in p.log.read_text(), 20, "it says why it waits")
    assert p.process.poll() is None
    proxy.trouble = 0
    wait_until(lambda: p.log.read_text().count("evodb ready on") == 2, 20, "it starts")
    judged()
    assert p.stop() == 0
