"""What bench/peers/run makes of what it measures: a peer is judged by its best, and believed only
when its server's own count agrees. The servers themselves are not started here."""
import importlib.machinery
import importlib.util
import pathlib
import subprocess
import sys

import pytest

PEERS = pathlib.Path(__file__).resolve().parents[2] / "bench" / "peers"


@pytest.fixture(scope="module")
def peers():
    sys.path.insert(0, str(PEERS))
    loader = importlib.machinery.SourceFileLoader("peers_run", str(PEERS / "run"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("peers_run", loader))
    loader.exec_module(module)
    yield module
    sys.path.remove(str(PEERS))


class FakeLoad:
    def __init__(self, peers, name, outcomes):
        self.peers, self.name, self.outcomes = peers, name, list(outcomes)

    def measure(self):
        outcome = self.outcomes.pop(0)
        if outcome is None:
            raise self.peers.Failed("stalled")
        return outcome


class FakeEvodb:
    RAW = {"raw_disk_sync_20k_ms_p50": 0.1, "raw_disk_sync_20k_ms_p99": 0.2,
           "raw_disk_sequential_mb_per_s": 5000, "durable_ack_ms_p50": 10, "durable_ack_ms_p99": 30}
    reports = [{"metrics": RAW}]


def test_a_peer_is_judged_by_the_best_of_its_ways(peers):
    metrics, best = peers.metrics_of({
        "evodb": [900, 1000, 5000],
        "jetstream_default_async": [100, 300, 100],
        "jetstream_default_fast": [200, 210, 90],
    }, FakeEvodb)
    assert best == {"jetstream_default": "jetstream_default_fast"}
    assert metrics["jetstream_default_entries_per_s"] == 200
    assert metrics["ratio_jetstream_default"] == 5.0


def test_a_peer_that_is_absent_has_no_ratio(peers):
    rates = {"evodb": [1000], "kafka_default_java": [500], "kafka_sync_java": [400], "kafka_sync_librdkafka": [300]}
    metrics, best = peers.metrics_of(rates, FakeEvodb)
    assert metrics["ratio_kafka_default"] == 2.0 and metrics["ratio_kafka_sync"] == 2.5
    assert not any("jetstream" in name for name in metrics)
    report = {"metrics": metrics, "rounds_entries_per_s": rates, "absent": {"nats": "no Go"},
              "settings": {"best_of": best, "evodb": {"version": "1"}, "cores": 2, "sources": 32, "payload_bytes": 200}}
    text = peers.markdown(report)
    assert "| Kafka, `flush.messages=1` (java) | 400 | 400 | 2.5 x |" in text
    assert "- `kafka_sync_librdkafka`: 300 (300)" in text
    assert "`sync_interval: always` | absent" in text and "nats is absent: no Go" in text


def test_a_load_that_fails_is_tried_once_more_and_told_of(peers):
    retried = []
    rates = peers.measure([FakeLoad(peers, "a", [None, 7, 8])], 2, retried)
    assert rates == {"a": [7, 8]}
    assert retried == [{"round": 1, "name": "a", "error": "stalled"}]
    with pytest.raises(peers.Failed):
        peers.measure([FakeLoad(peers, "a", [None, None])], 1, [])


def test_every_second_round_goes_backwards(peers):
    order = []

    class Recorded(FakeLoad):
        def measure(self):
            order.append(self.name)
            return super().measure()

    peers.measure([Recorded(peers, name, [1, 1]) for name in "ab"], 2, [])
    assert order == ["a", "b", "b", "a"]


@pytest.mark.parametrize("wrong", [{"stored": 9}, {"duplicates_stored": 1}, {"duplicates_sent": 0},
                                   {"messages_read_back": 0}])
def test_a_rate_is_not_believed_without_the_servers_own_count(peers, wrong):
    report = {"entries": 10, "stored": 10, "duplicates_sent": 100, "duplicates_stored": 0,
              "messages_read_back": 5, "entries_per_s": 3.0}
    echo = lambda r: [sys.executable, "-c", f"import json; print(json.dumps({r!r}))"]
    assert peers.Checked("peer", echo(report)).measure() == 3.0
    with pytest.raises(peers.Failed):
        peers.Checked("peer", echo(report | wrong)).measure()


def test_bad_arguments_are_refused_with_a_reason():
    for arguments, reason in ((["--rounds", "0"], "--rounds is at least 1"),
                              (["--evodb", "/nowhere/evodb"], "/nowhere/evodb is not there"),
                              (["--evodb", sys.executable, "--dir", "/nowhere"], "/nowhere is not a directory")):
        done = subprocess.run([sys.executable, PEERS / "run", *arguments], capture_output=True, text=True)
        assert done.returncode == 2 and reason in done.stderr
