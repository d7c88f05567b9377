"""Resource limits one at a time, where the long scene meets them only by chance."""

import json
import resource
import sqlite3
import subprocess

import pytest
from harness.binary import BINARY, clean_environment, run, wait_until
from harness.lakehouse import Lakehouse


def database(path, rows, bytes_=5_000):
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("create table t (id integer primary key, b blob)")
    db.executemany("insert into t(b) values (zeroblob(?))", [(bytes_,)] * rows)
    return db


def counted(parent):
    return Lakehouse(parent.data).sql("select count(*), count(distinct _lsn) from {t}",
                                      t="t_changes")


def test_a_file_size_limit_is_a_full_disk_to_the_parent(tmp_path, parent):
    p = parent("buffer.max_age_ms=100").start()
    path = tmp_path / "app.db"
    database(path, 300)
    before = resource.prlimit(p.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(p.process.pid, resource.RLIMIT_FSIZE, (100_000, before[1]))
    with pytest.raises(subprocess.TimeoutExpired):
        run("edge", "--db", path, "--parent", p.url, "--until-caught-up", timeout=3)
    code, text = p.get("/readyz")
    assert code == 503 and "File too large" in text, text
    resource.prlimit(p.process.pid, resource.RLIMIT_FSIZE, before)
    assert run("edge", "--db", path, "--parent", p.url, "--until-caught-up").returncode == 0
    assert counted(p) == [(300, 300)]
    wait_until(lambda: p.get("/readyz")[0] == 200, 10, "ready again")
    assert p.stop() == 0


def test_a_file_size_limit_does_not_end_the_edge(tmp_path, parent):
    p = parent("buffer.max_age_ms=100").start()
    path = tmp_path / "app.db"
    db = database(path, 300)
    edge = subprocess.Popen([str(BINARY), "edge", "--db", str(path), "--parent", p.url,
                             "--idle-ms", "50"],
                            stderr=subprocess.DEVNULL, env=clean_environment())
    try:
        wait_until(lambda: "t_changes" in Lakehouse(p.data).tables() and counted(p) == [(300, 300)],
                   20, "the snapshot has landed")
        before = resource.prlimit(edge.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(edge.pid, resource.RLIMIT_FSIZE, (0, before[1]))  # it cannot trim now
        db.executemany("insert into t(b) values (zeroblob(?))", [(100,)] * 50)
        wait_until(lambda: counted(p) == [(350, 350)], 20, "changes land all the same")
        assert edge.poll() is None
        resource.prlimit(edge.pid, resource.RLIMIT_FSIZE, before)
        db.execute("insert into t(b) values (1)")
        wait_until(lambda: counted(p) == [(351, 351)], 20, "and afterwards")
        held = lambda: json.loads(run("capture", "status", "--db", path, "--json").stdout)
        wait_until(lambda: held()["held_changes"] == 0, 20, "the outbox is trimmed")
    finally:
        edge.terminate()
        assert edge.wait(10) == 0
