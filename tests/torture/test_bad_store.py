"""Stores that misbehave: read from at a start behind a lost journal, landed in, and probed."""

import shutil

import pytest
from harness.applications import Applications
from harness.binary import wait_until
from harness.judge import judge
from harness.lakehouse import Lakehouse
from harness.s3 import BUCKET
from proxy import ODD_ANSWERS, HttpProxy
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


READS = [f"{name}, not carried out" for name in ODD_ANSWERS if name != "skewed clock"]


@pytest.mark.parametrize("fault", ["503 before", "cut in head", "truncated answer", *READS])
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


@pytest.fixture
def through_proxy(parent, s3):
    """A parent behind a proxy, not started."""
    proxy = HttpProxy(s3.port, seed=5).start()
    yield parent("buffer.max_age_ms=50", "fallback.recovery_interval_ms=300",
                 store=ProxiedStore(s3, proxy)), proxy
    proxy.stop()


def stored(s3):
    folder = s3.root / BUCKET / "warehouse"
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def named(lakehouse, s3):
    """Every object that a snapshot of a committed table refers to, under its key."""
    prefix = f"s3://{BUCKET}/warehouse/"
    found = set()
    for name in lakehouse.tables():
        table = lakehouse.catalog().load_table(f"evodb.{name}")
        found.add(table.metadata_location)
        for snapshot in table.metadata.snapshots:
            found.add(snapshot.manifest_list)
            for manifest in snapshot.manifests(table.io):
                found.add(manifest.manifest_path)
                found |= {e.data_file.file_path for e in manifest.fetch_manifest_entry(table.io)}
    return {location.removeprefix(prefix) for location in found}


@pytest.mark.parametrize("when", ["carried out", "not carried out"])
def test_what_lands_in_a_store_that_answers_oddly_is_there(tmp_path, s3, through_proxy, when):
    p, proxy = through_proxy
    p.start()
    applications = Applications(tmp_path, p.url, [None])
    applications.begin()
    try:
        for name in ODD_ANSWERS:
            fault = f"{name}, {when}"
            only(proxy, fault, 1 / 8)
            wait_until(lambda f=fault: proxy.faults[f] >= 3, 120, fault)
        proxy.trouble = 0
        applications.end()
    finally:
        applications.abandon()
    wait_until(lambda: p.get("/readyz")[0] == 200, 90, "ready again")
    assert p.get("/flush", method="POST")[0] == 200
    lakehouse = Lakehouse(p.data, s3)
    missing = named(lakehouse, s3) - stored(s3)
    assert not missing, f"named by a snapshot and not in the store: {missing}"
    judge(lakehouse, applications.sources).require()
    assert p.stop() == 0


@pytest.mark.skip(reason="the parent does not become ready: the proxy drops a header that is "
                         "signed; it needs a store that ignores it. store_probe_test has the case")
def test_a_store_that_ignores_conditions_is_seen_before_anything_lands(through_proxy):
    p, proxy = through_proxy
    proxy.drops = {"if-none-match"}
    p.start()
    wait_until(lambda: "If-None-Match" in p.get("/readyz")[1], 10, "it says what the store lacks")
    assert p.get("/readyz")[0] == 503
    assert p.status()["phase"] == "degraded"
    assert "If-None-Match" in p.status()["landing"]["store_probe"]
    assert "the store fails its probe" in p.log.read_text()
    proxy.drops = set()
    wait_until(lambda: p.get("/readyz")[0] == 200, 10, "it is probed again by itself")
    assert p.status()["landing"]["store_probe"] == "passed"
    assert p.stop() == 0


def test_a_call_that_hangs_is_a_reason_long_before_its_time_limit(tmp_path, through_proxy):
    p, proxy = through_proxy
    p.settings += ["ready.store_call_ms_max=300", "ready.unlanded_ms_max=1000"]
    p.start()
    wait_until(lambda: p.get("/readyz")[0] == 200, 10, "ready")
    only(proxy, "timeout before", 1)
    applications = Applications(tmp_path, p.url, [None])
    applications.begin()
    try:
        wait_until(lambda: "a call has not been answered" in p.get("/readyz")[1], 10, "the call")
        wait_until(lambda: "has not landed" in p.get("/readyz")[1], 10, "the changes' age")
        assert p.get("/readyz")[0] == 503
        assert {r["kind"] for r in p.status()["degraded_reasons"]} == {"retry"}
        proxy.trouble = 0
        applications.end()
    finally:
        applications.abandon()
    wait_until(lambda: p.get("/readyz")[0] == 200, 20, "ready again")
    assert p.stop() == 0


def test_wrong_credentials_are_seen_before_the_first_change(parent, s3):
    environment = s3.environment
    s3.environment = lambda: {**environment(), "AWS_SECRET_ACCESS_KEY": "wrong"}
    p = parent(store=s3)
    p.spawn()
    wait_until(lambda: "AWS_SECRET_ACCESS_KEY" in p.log.read_text(), 20, "it names the key")
    assert "evodb ready on" not in p.log.read_text()
    assert p.process.poll() is None, "it waits for the store"
    assert p.stop() == 0
