"""A disk that fills and gets room again; databases that cannot be used."""

import os
import sqlite3
import subprocess
import time

import pytest
from harness.binary import run, wait_until
from harness.captured import judge_source
from harness.edge import Edge
from harness.lakehouse import Lakehouse


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder],
                      capture_output=True).returncode != 0:
        pytest.skip("mounting a small tmpfs needs root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_loses_nothing_and_goes_on_by_itself(tmp_path, parent, small_disk):
    p = parent("journal.segment_bytes=2MiB", "fallback.max_local_bytes=64MiB",
               "buffer.max_age_ms=200", folder=small_disk).start()
    path = tmp_path / "app.db"
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("create table t (id integer primary key, b blob)")
    for _ in range(40):
        db.execute("begin")
        db.executemany("insert into t(b) values (?)", [(os.urandom(10_000),) for _ in range(100)])
        db.execute("commit")
    # 40 MB of which nothing can be compressed: however fast it lands, it does not fit.
    with pytest.raises(subprocess.TimeoutExpired):
        run("edge", "--db", path, "--parent", p.url, "--until-caught-up", timeout=6)
    code, text = p.get("/readyz")
    assert code == 503 and "No space left" in text, text

    subprocess.run(["mount", "-o", "remount,size=400m", small_disk], check=True)
    done = run("edge", "--db", path, "--parent", p.url, "--until-caught-up", timeout=60)
    assert done.returncode == 0, done.stderr
    wait_until(lambda: p.get("/readyz")[0] == 200, 10, "ready again")
    assert Lakehouse(p.data).sql("select count(*), count(distinct _lsn), max(_lsn) from {t}",
                                 t="t_changes") == [(4000, 4000, 4000)]
    assert p.stop() == 0


def test_databases_that_cannot_be_used_say_why(tmp_path):
    def refused(path, code, word, *more):
        done = run("capture", "install", "--db", path, *more, timeout=30)
        lines = done.stderr.strip().splitlines()
        assert done.returncode == code and len(lines) == 1, done
        assert lines[0].startswith("evodb: ") and word in lines[0], lines

    good = tmp_path / "good.db"
    db = sqlite3.connect(good, isolation_level=None)
    db.execute("create table t (a integer primary key, b)")
    db.executemany("insert into t(b) values (?)", [("x" * 500,)] * 500)

    refused(tmp_path / "missing.db", 2, "missing.db")
    assert not (tmp_path / "missing.db").exists()
    refused(good, 2, "nosuch", "--table", "nosuch")
    empty = tmp_path / "empty.db"
    sqlite3.connect(empty).execute("create view v as select 1")
    refused(empty, 2, "table")

    db.execute("begin exclusive")
    refused(good, 3, "locked")
    db.execute("rollback")
    db.close()

    broken = tmp_path / "broken.db"
    bytes_ = bytearray(good.read_bytes())
    bytes_[100:4000] = os.urandom(3900)
    broken.write_bytes(bytes_)
    refused(broken, 4, "broken.db")

    read_only = tmp_path / "read_only.db"
    read_only.write_bytes(good.read_bytes())
    read_only.chmod(0o444)
    folder = tmp_path
    if os.geteuid() == 0:  # root writes anyway: take the file system's word instead
        folder = tmp_path / "ro"
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
        (folder / "read_only.db").write_bytes(good.read_bytes())
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    try:
        refused(folder / "read_only.db", 2, "read-only")
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", "-l", folder], check=True)
    assert run("capture", "install", "--db", good).returncode == 0


def test_an_edge_on_a_full_disk_makes_room_and_the_application_writes_again(tmp_path, parent, small_disk):
    """Everything is acknowledged, and neither the application nor a trim has a byte left."""
    p = parent("buffer.max_age_ms=200", folder=tmp_path).start()
    path = small_disk / "app.db"
    db = sqlite3.connect(path, isolation_level=None, timeout=1)
    db.execute("pragma journal_mode = wal")
    db.execute("create table t (id integer primary key, b blob)")
    assert run("capture", "install", "--db", path).returncode == 0
    edge = Edge(path, p.url, tmp_path / "edge.log", "--idle-ms", "100").start()
    reserve = small_disk / "app.db-evodb-reserve"
    wait_until(lambda: reserve.exists(), 10, "room is kept")
    # A reader keeps the outbox from being trimmed; then the disk fills.
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("begin")
    reader.execute("select count(*) from t").fetchone()
    written = 0
    for _ in range(30):
        try:
            db.execute("insert into t(b) values (?)", (os.urandom(20_000),))
            written += 1
        except sqlite3.OperationalError as error:
            assert "full" in str(error)
            break
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as out:
        try:
            while True:
                out.write(b"x" * 4096)
        except OSError:
            pass
    with pytest.raises(sqlite3.OperationalError, match="full"):
        for _ in range(1000):
            db.execute("insert into t(b) values (?)", (os.urandom(20_000),))
            written += 1
    wait_until(lambda: "t_changes" in Lakehouse(p.data).tables() and
               Lakehouse(p.data).sql("select count(*) from {t} where _op = 'INSERT'",
                                     t="t_changes") == [(written,)],
               30, "everything is acknowledged")
    reader.execute("commit")

    def writes_again():
        try:
            db.execute("insert into t(b) values (?)", (os.urandom(2_000),))
            return True
        except sqlite3.OperationalError:
            return False
    wait_until(writes_again, 30, "trims made room")
    assert edge.running()
    filler.unlink()
    wait_until(lambda: reserve.exists(), 20, "room is kept again")
    assert edge.stop() == 0
    assert p.stop() == 0


def test_while_its_parent_is_away_an_outbox_does_not_take_the_applications_last_room(
        tmp_path, parent, small_disk, request):
    """An application matters more than its copy: capture pauses, and every table begins anew later."""
    p = parent("buffer.max_age_ms=200", folder=tmp_path)  # not started yet
    path = small_disk / "app.db"
    db = sqlite3.connect(path, isolation_level=None, timeout=5)
    db.execute("pragma journal_mode = wal")
    db.execute("create table t (id integer primary key, b blob)")
    assert run("capture", "install", "--db", path, "--source", "app").returncode == 0
    edge = Edge(path, p.url, tmp_path / "edge.log", "--idle-ms", "100").start()
    request.addfinalizer(lambda: edge.running() and edge.kill())
    reserve = small_disk / "app.db-evodb-reserve"
    wait_until(lambda: reserve.exists(), 10, "room is kept")
    for _ in range(900):  # twice 20 KB each: more than there is
        db.execute("insert into t(b) values (?)", (os.urandom(20_000),))
        if "PAUSED" in edge.log.read_text():
            break
        time.sleep(0.06)  # it is looked at each second
    else:
        raise AssertionError("capture was not paused")
    for _ in range(20):  # the application has what is left
        db.execute("insert into t(b) values (?)", (os.urandom(20_000),))
    db.execute("delete from t where id < 10")

    subprocess.run(["mount", "-o", "remount,size=100m", small_disk], check=True)
    wait_until(lambda: "capture goes on" in edge.log.read_text(), 30, "there is room again")
    p.start()
    db.execute("insert into t(b) values (?)", (os.urandom(100),))
    lakehouse = Lakehouse(p.data)
    wait_until(lambda: "t_changes" in lakehouse.tables() and
               not judge_source(lakehouse, path, "app", {"t"}), 60, "the lakehouse folds to it")
    assert lakehouse.sql("select count(*) from {t} where _op = 'RESET'", t="t_changes") == [(1,)]
    assert edge.stop() == 0
    assert p.stop() == 0
