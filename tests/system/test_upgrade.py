"""`evodb upgrade`: another process takes over, and nobody who is connected can tell.

docs/upgrade.md says what happens; tests/harness/hand_over.py is a new process that misbehaves.
"""

import json
import os
import pathlib
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time

import pytest
from harness import hand_over, wire2, workload
from harness.applications import Applications
from harness.binary import BINARY, run, wait_until
from harness.judge import judge
from harness.lakehouse import Lakehouse

CHILDREN = 40


class Child:
    """A connection of wire v2 that must never notice anything."""

    def __init__(self, port, name):
        self.socket = wire2.open_child(port, name)
        self.batches = wire2.Batches()
        self.buffer = bytearray()
        self.sent = 0

    def frame(self, body):
        self.sent += 1
        return wire2.message(self.batches.next(body))

    def send(self, body="row"):
        self.socket.sendall(self.frame(body))

    def messages(self):
        piece = self.socket.recv(65536)
        assert piece, "the connection was closed"
        self.buffer += piece
        return wire2.take_messages(self.buffer)

    def wait_durable(self):
        while True:
            for opcode, payload in self.messages():
                assert opcode == wire2.BINARY and payload[4] == wire2.ACK, (opcode, payload)
                if wire2.ack_durable(payload) == self.sent:
                    return

    def ping(self):
        self.socket.sendall(wire2.message(b"there?", wire2.PING))
        while (wire2.PONG, b"there?") not in self.messages():
            pass


@pytest.fixture
def scene(parent):
    """A parent with children; each has sent one row. Its process changes: `owner` says which it is."""
    p = parent("buffer.max_age_ms=100", "upgrade.ready_ms_max=5000",
               "upgrade.pause_ms_max=1500").start()
    children = [Child(p.port, f"child-{i}") for i in range(CHILDREN)]
    for child in children:
        child.send()
        child.wait_durable()
    yield p, children
    for child in children:
        child.socket.close()
    if owner(p) != p.process.pid and alive(owner(p)):
        os.kill(owner(p), signal.SIGTERM)
        wait_until(lambda: not alive(owner(p)), 20, "the last parent ends")


def owner(p):
    return int((p.data / "lock").read_text())


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def upgrade(p, *more):
    done = run("upgrade", "--data", p.data, "--json", *more)
    return done, json.loads(done.stdout)


def misbehaving(tmp_path, manner):
    path = tmp_path / f"{manner}.sh"
    script = pathlib.Path(hand_over.__file__)
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" {manner} "{BINARY}" "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def everything_works(p, children):
    for child in children:
        child.ping()
        child.send()
        child.wait_durable()
    assert p.status()["connections"]["children"] == len(children)
    fresh = Child(p.port, f"fresh-{time.monotonic_ns()}")
    fresh.send()
    fresh.wait_durable()
    fresh.socket.close()


def all_landed_once(p, children):
    assert p.get("/flush", method="POST")[0] == 200
    rows = Lakehouse(p.data).sql(
        "select _source, count(*), count(distinct _lsn) from {t} where _source like 'child-%' "
        "group by _source order by _source", t="abuse_changes")
    assert rows == sorted((f"child-{i}", c.sent, c.sent) for i, c in enumerate(children))


def test_old_to_new_to_old_and_no_connection_is_closed(scene, tmp_path):
    p, children = scene
    other = tmp_path / "evodb-2"
    shutil.copy(BINARY, other)
    pids = [owner(p)]
    for binary in (other, BINARY, other):
        done, result = upgrade(p, "--binary", binary)
        assert done.returncode == 0 and result["upgraded"], done
        assert result["connections"] == CHILDREN
        assert result["pid"] == owner(p) and result["pid"] not in pids and alive(result["pid"])
        assert pathlib.Path(f"/proc/{result['pid']}/exe").resolve() == pathlib.Path(binary).resolve()
        pids.append(result["pid"])
        everything_works(p, children)
    assert p.process.wait(10) == 0, "the first process ended well"
    assert not any(alive(pid) for pid in pids[:-1])
    all_landed_once(p, children)


def test_what_is_in_parts_is_finished_in_the_next_process(scene):
    p, children = scene
    cuts = [1, 2, 5, 7, 20, 300]
    rest = []
    for i, child in enumerate(children):
        frame = child.frame("x" * 500)
        cut = cuts[i % len(cuts)]
        child.socket.sendall(frame[:cut])
        rest.append(frame[cut:])
    request = wire2.connect(p.port)
    request.sendall(b"GET /healthz HTTP/1.1\r\nHo")
    upgrading = wire2.connect(p.port)
    upgrading.sendall(wire2.UPGRADE[:50])
    time.sleep(0.2)
    done, result = upgrade(p)
    assert done.returncode == 0, done
    assert result["connections"] == CHILDREN + 2
    for child, tail in zip(children, rest):
        child.socket.sendall(tail)
        child.wait_durable()
    request.sendall(b"st: x\r\n\r\n")
    assert request.recv(4096).startswith(b"HTTP/1.1 200")
    upgrading.sendall(wire2.UPGRADE[50:])
    assert upgrading.recv(4096).startswith(b"HTTP/1.1 101")
    all_landed_once(p, children)


def test_a_signal_is_enough(scene):
    p, children = scene
    before = owner(p)
    os.kill(before, signal.SIGUSR2)
    wait_until(lambda: owner(p) != before, 20, "another process")
    assert p.process.wait(10) == 0
    everything_works(p, children)


def ask(p, **fields):
    """As `evodb upgrade` does, with a request of one's own. What the parent answers."""
    (p.data / "upgrade-result.json").unlink(missing_ok=True)
    if fields:
        (p.data / "upgrade.json").write_text(fields.pop("text", None) or json.dumps(fields))
        (p.data / "upgrade.json").chmod(fields.get("mode", 0o644))
    os.kill(owner(p), signal.SIGUSR2)
    wait_until((p.data / "upgrade-result.json").exists, 20, "an answer")
    assert not (p.data / "upgrade.json").exists()
    return json.loads((p.data / "upgrade-result.json").read_text())


def test_a_request_that_cannot_be_carried_out_as_it_is_is_refused(scene, tmp_path):
    p, children = scene
    before, now = owner(p), time.time_ns() // 1_000_000
    good = {"id": "me", "binary": str(BINARY), "asked_unix_ms": now}
    for request, says in (
            ({"text": json.dumps(good)[:-20]}, "cut off"),
            ({"text": '["upgrade"]'}, "no JSON object"),
            ({"text": json.dumps(good | {"binary": "x" * 70_000})}, "too long"),
            (good | {"binary": 7}, "binary is no string"),
            ({"id": "me", "binary": str(BINARY)}, "asked_unix_ms is no time"),
            (good | {"mode": 0o664}, "nobody else may write it")):
        result = ask(p, **request)
        assert not result["upgraded"] and says in result["text"], (request, result)
        assert result["id"] == ("me" if "string" in says or "time" in says else ""), result
        assert owner(p) == before
    (p.data / "elsewhere").write_text(json.dumps(good))
    (p.data / "upgrade.json").symlink_to("elsewhere")
    assert "is refused" in ask(p)["text"] and owner(p) == before
    everything_works(p, children)
    # Left by somebody who is gone: not what a later signal means.
    old = ask(p, id="gone", binary=str(tmp_path / "nothing"), asked_unix_ms=now - 90_000)
    assert old["upgraded"] and old["id"] == "", old
    assert p.process.wait(10) == 0
    everything_works(p, children)


def test_a_replaced_file_is_what_is_started(parent, tmp_path):
    p = parent()
    binary = tmp_path / "evodb"
    shutil.copy(BINARY, binary)
    p.wrapper = [sys.executable, "-c",
                 "import os, sys; os.execv(sys.argv[1], sys.argv[1:2] + sys.argv[3:])", str(binary)]
    p.start()
    shutil.copy(BINARY, tmp_path / "next")
    (tmp_path / "next").rename(binary)
    done, result = upgrade(p)
    assert done.returncode == 0, done
    exe = os.readlink(f"/proc/{result['pid']}/exe")
    assert exe == str(binary), "not the deleted one"
    os.kill(result["pid"], signal.SIGTERM)
    wait_until(lambda: not alive(result["pid"]), 20, "the parent ends")


@pytest.mark.parametrize("manner, says", [
    ("crashes", "ended by signal 6 before it was ready"),
    ("talks_nonsense", "no message of a hand-over"),
    ("is_of_another_format", "takes over in format 1.99"),
    ("refuses", "not today"),
    ("hangs", "was not ready within 5000 ms"),
    ("hangs_when_ready", "new process"),
    ("hangs_with_everything_in_its_hands", "said nothing"),
    ("crashes_with_everything_in_its_hands", "ended by signal 6"),
    ("prepared_and_gone", "ended by signal 6"),
    ("prepared_too_late", "too late"),
    ("go_and_gone", "ended by signal 6"),
    ("go_and_hangs", "said nothing for 5000 ms"),
    ("real_one_killed_when_prepared", "ended with exit code 0"),
])
def test_whatever_the_new_process_does_the_old_one_goes_on(scene, tmp_path, manner, says):
    p, children = scene
    before = owner(p)
    frame = children[0].frame("x" * 300)
    children[0].socket.sendall(frame[:100])
    done, result = upgrade(p, "--binary", misbehaving(tmp_path, manner))
    assert done.returncode == 1 and not result["upgraded"], done
    assert says in result["text"] and "goes on as before" in result["text"], result
    assert owner(p) == before == p.process.pid == result["pid"]
    children[0].socket.sendall(frame[100:])
    children[0].wait_durable()
    everything_works(p, children)
    done, result = upgrade(p)  # and the next one works
    assert done.returncode == 0, done
    everything_works(p, children)
    all_landed_once(p, children)


def test_who_has_taken_over_is_not_killed_for_saying_so_late(scene, tmp_path):
    p, children = scene
    before = owner(p)
    done, result = upgrade(p, "--binary", misbehaving(tmp_path, "real_one_is_heard_late"))
    assert done.returncode == 0 and result["upgraded"] and result["pause_ms"] >= 2500, done
    assert p.process.wait(10) == 0
    assert owner(p) != before and alive(owner(p))
    everything_works(p, children)
    all_landed_once(p, children)


def test_the_old_one_killed_at_the_last_moment_leaves_everything_to_the_new_one(scene, tmp_path):
    p, children = scene
    before = owner(p)
    done = run("upgrade", "--data", p.data, "--binary",
               misbehaving(tmp_path, "old_one_killed_when_prepared"))
    assert done.returncode == 3 and "ended without an answer" in done.stderr, done
    assert p.process.wait(10) == -signal.SIGKILL
    wait_until(lambda: owner(p) != before, 10, "another process")
    everything_works(p, children)
    all_landed_once(p, children)


def test_a_bad_configuration_is_refused_and_says_what_is_wrong(parent, tmp_path):
    config = tmp_path / "evodb.toml"
    config.write_text("[buffer]\nmax_age_ms = 100\n")
    p = parent().start("--config", str(config))
    child = Child(p.port, "child-0")
    for text, says in (("[buffer]\nmax_age_ms = 'soon'\n", "buffer.max_age_ms"),
                       ("[bufer]\nmax_age_ms = 1\n", "bufer"),
                       ("[store]\nurl = 's3://'\n", "refused")):
        config.write_text(text)
        done, result = upgrade(p)
        assert done.returncode == 1 and says in result["text"], done
        child.send()
        child.wait_durable()
    config.write_text("[buffer]\nmax_age_ms = 50\n")
    done, result = upgrade(p)
    assert done.returncode == 0, done
    child.send()
    child.wait_durable()
    os.kill(result["pid"], signal.SIGTERM)
    wait_until(lambda: not alive(result["pid"]), 20, "the parent ends")


def test_the_service_manager_is_told_which_process_it_is(parent, tmp_path, monkeypatch):
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))
    manager.settimeout(20)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    p = parent().start()
    assert manager.recv(100) == b"READY=1"
    done, result = upgrade(p)
    assert done.returncode == 0, done
    assert {manager.recv(100), manager.recv(100)} == {b"READY=1", b"MAINPID=%d" % result["pid"]}
    os.kill(result["pid"], signal.SIGTERM)
    wait_until(lambda: not alive(result["pid"]), 20, "the parent ends")


def test_who_asks_wrongly_is_told_so(parent, tmp_path):
    p = parent()
    nobody = run("upgrade", "--data", p.data)
    assert nobody.returncode == 2 and "no parent has run" in nobody.stderr
    p.start()
    done = run("upgrade", "--data", p.data, "--binary", tmp_path / "nothing")
    assert done.returncode == 2 and "cannot run" in done.stderr
    assert p.stop() == 0
    gone = run("upgrade", "--data", p.data)
    assert gone.returncode == 3 and "no parent runs" in gone.stderr
    lonely = run("serve", "--data", p.data, "--take-over", "3", timeout=20)
    assert lonely.returncode != 0, "nobody hands over"


def test_an_application_with_a_parent_inside_is_not_ended_by_asking(tmp_path):
    (tmp_path / "data").mkdir()
    lock = tmp_path / "data" / "lock"
    script = ("import fcntl, os, sys, time; f = open(sys.argv[1], 'w'); "
              "fcntl.flock(f, fcntl.LOCK_EX); f.write(str(os.getpid())); f.flush(); time.sleep(600)")
    application = subprocess.Popen([sys.executable, "-c", script, lock])
    try:
        wait_until(lambda: lock.exists() and lock.read_text(), 20, "the application")
        done = run("upgrade", "--data", tmp_path / "data")
        assert done.returncode == 2 and "does not wait for SIGUSR2" in done.stderr, done
        assert application.poll() is None
        assert not (tmp_path / "data" / "upgrade.json").exists()
    finally:
        application.kill()
        application.wait()


def test_edges_under_load_lose_nothing_and_never_reconnect(tmp_path, parent):
    p = parent("buffer.max_age_ms=200").start()
    applications = Applications(tmp_path, p.url, [workload.chinook(), None])
    applications.begin()
    try:
        wait_until(lambda: p.status()["connections"]["children"] == 2, 20, "both edges")
        for _ in range(4):
            done, result = upgrade(p)
            assert done.returncode == 0 and result["connections"] >= 2, done
            time.sleep(0.7)
            # This process has accepted who asks for this page, and nobody else: the edges' connections
            # are those that the first one accepted. It could have accepted them anew.
            status = p.status()
            assert status["connections"]["accepted_total"] == 1, status
            assert status["connections"]["children"] == 2, status
            assert status["ingest"]["entries"] > 0, "it was sent something"
            assert p.status()["connections"]["accepted_total"] == 2, "it counts"
        applications.end()
        judge(Lakehouse(p.data), applications.sources).require()
    finally:
        applications.abandon()
        os.kill(owner(p), signal.SIGTERM)
        wait_until(lambda: not alive(owner(p)), 20, "the last parent ends")
