"""An application that waits for nobody, and an edge beside it: no transaction fails, no write waits.

docs/polite.md. `evodb bench polite` tries the same in 32 settings.
"""

import json
import sqlite3
import threading
import time

import pytest
from harness.binary import run, wait_until
from harness.captured import AWAY, Captured
from harness.edge import Edge
from harness.lakehouse import Lakehouse

TRANSACTIONS = 240


def deferred_transactions(path, first=0):
    """Reads, thinks, and writes, as the default of many libraries is. Returns what failed."""
    app = sqlite3.connect(path, timeout=0, isolation_level=None)
    failures = []
    for i in range(first, first + TRANSACTIONS):
        more = i % 60 == 59  # a migration now and then: the edge then has triggers to write
        try:
            app.execute("begin")
            app.execute("select n from t where id = ?", [i % 20]).fetchone()
            time.sleep((0, 0.002, 0.02)[i % 3])
            app.execute(f"create table more_{i} (id integer primary key)" if more
                        else "update t set n = n + 1 where id = ?", [] if more else [i % 20])
            app.execute("commit")
        except sqlite3.OperationalError as error:
            failures.append(f"{i}: {error}")
            if app.in_transaction:
                app.execute("rollback")
        time.sleep((0, 0.003, 0.001)[i % 3])
    app.close()
    return failures


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_no_deferred_transaction_of_an_application_without_patience_fails(tmp_path, parent, journal):
    p = parent("buffer.max_age_ms=50").start()
    path = tmp_path / "app.db"
    app = sqlite3.connect(path, isolation_level=None)
    app.execute(f"pragma journal_mode = {journal}")
    app.execute("pragma synchronous = off")  # what a disk does is not the subject
    app.execute("create table t (id integer primary key, n)")
    app.executemany("insert into t values (?, 0)", [[i] for i in range(20)])
    assert run("capture", "install", "--db", path, "--source", "app").returncode == 0
    edge = Edge(path, p.url, tmp_path / "edge.log", "--trim-bytes", "2000").start()
    wait_until(lambda: "connected" in edge.log.read_text(), 20, "the edge is there")

    def status():
        return json.loads(run("capture", "status", "--db", path, "--json").stdout)

    done = 0
    while done == 0 or (journal == "wal" and status()["trimmed_lsn"] == 0 and done < 10 * TRANSACTIONS):
        assert deferred_transactions(path, done) == []
        done += TRANSACTIONS
    if journal == "wal":  # it had its turns meanwhile: otherwise nothing was tried
        assert status()["trimmed_lsn"] > 0
        assert any(t["captured"] for t in status()["tables"] if t["name"].startswith("more_"))
    updates = done - done // 60
    lakehouse = Lakehouse(p.data)
    wait_until(lambda: "t_changes" in lakehouse.tables() and lakehouse.sql(
        "select count(*) from {t} where _op = 'UPDATE'", t="t_changes") == [(updates,)],
        30, "every change landed")
    assert app.execute("select sum(n) from t").fetchone() == (updates,)
    assert edge.stop() == 0


class Busy:
    """An application that writes a row each few milliseconds, and waits a second for a lock at most."""

    def __init__(self, path):
        self.path, self.written, self.failures, self.longest_log = path, 0, [], 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.work)

    def work(self):
        db = sqlite3.connect(self.path, timeout=1, isolation_level=None)
        log = self.path.with_name(self.path.name + "-wal")
        while not self.over.is_set():
            try:
                db.execute("insert into big(v) values ('of the application')")
                self.written += 1
            except sqlite3.OperationalError as error:
                self.failures.append(str(error))
            self.longest_log = max(self.longest_log, log.stat().st_size)
            time.sleep(0.004)
        db.close()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


NOW = """
WITH newest AS (SELECT * FROM {t} QUALIFY _epoch = max(_epoch) OVER ()),
live AS (SELECT *, max(CASE WHEN _op = 'RESET' THEN _lsn END) OVER () AS anew FROM newest
  QUALIFY anew IS NULL OR _lsn > anew),
now AS (SELECT * FROM live QUALIFY row_number() OVER (PARTITION BY id ORDER BY _lsn DESC) = 1)
SELECT count(*), sum(id), sum(length(v)), %s FROM now WHERE _op <> 'DELETE'"""


def test_a_large_table_is_sent_beside_its_application_and_once(tmp_path, parent, request):
    """The first snapshot, and an ADD COLUMN with a default, with a kill in each: chunks of a few
    milliseconds, between which the application writes, and the log stays short."""
    rows = 120_000
    db = Captured(tmp_path, parent("buffer.max_age_ms=200").start(), AWAY)
    request.addfinalizer(db.end)
    app = sqlite3.connect(db.path, isolation_level=None)
    app.execute("pragma journal_mode = wal")
    app.execute("pragma synchronous = off")
    app.execute("create table big (id integer primary key, v)")
    app.execute("with recursive n(i) as (select 1 union all select i + 1 from n where i < ?) "
                "insert into big select i, hex(randomblob(50)) from n", [rows])
    app.execute("pragma wal_checkpoint(truncate)")

    def sending():
        return any(t["resending"] for t in db.status()["tables"])

    def snapshots(first):
        """Of the rows that were there at first, and the changes of the application among them."""
        if "big_changes" not in db.lakehouse.tables():
            return 0, 0
        return db.lakehouse.sql(
            "with s as (select * from {t} where _lsn > %d), "
            "o as (select min(_lsn) a, max(_lsn) z from s where _op = 'SNAPSHOT' and id <= %d) "
            "select count(*) filter (_op = 'SNAPSHOT' and id <= %d), "
            "count(*) filter (_op = 'INSERT' and _lsn between a and z) from s, o" % (first, rows, rows),
            t="big_changes")[0]

    killed_amid = []

    def send(first):
        db.edge.start()
        wait_until(lambda: db.status()["head_lsn"] > first + 1000, 60, "it has begun")
        db.edge.kill()
        killed_amid.append(sending())
        db.edge.start()
        wait_until(lambda: not sending(), 120, "all of it is in the outbox")

    done = run("capture", "install", "--db", db.path, "--source", "app")
    assert done.returncode == 0, done.stderr
    with Busy(db.path) as busy:
        send(db.status()["head_lsn"])
        first = db.status()["head_lsn"]
        wait_until(lambda: snapshots(0)[0] == rows, 60, "the snapshot has landed")
        db.edge.kill()
        app.execute("alter table big add column age integer not null default 7")
        send(first)
    db.edge.stop()
    db.catch_up()
    assert busy.failures == []
    assert any(killed_amid), "the machine is too fast for this test: more rows"
    assert busy.longest_log < 24 << 20, "longer than the table"
    whole, _ = snapshots(0)
    again, among = snapshots(first)
    assert (whole - again, again) == (rows, rows), "each row once by each"
    assert among > 20, "the stream goes on beside it"
    now = db.lakehouse.sql(NOW % "sum(age)", t="big_changes")
    assert now == app.execute("select count(*), sum(id), sum(length(v)), sum(age) from big").fetchall()
    assert now[0][0] == rows + busy.written


def test_an_application_writes_while_capture_is_installed(tmp_path):
    path = tmp_path / "app.db"
    app = sqlite3.connect(path, isolation_level=None)
    app.execute("pragma journal_mode = wal")
    app.execute("create table big (id integer primary key, v)")
    app.execute("with recursive n(i) as (select 1 union all select i + 1 from n where i < 120000) "
                "insert into big select i, hex(randomblob(50)) from n")
    with Busy(path) as busy:
        wait_until(lambda: busy.written > 20, 20, "the application is at work")
        before = busy.written
        assert run("capture", "install", "--db", path).returncode == 0
        assert busy.failures == []
        assert busy.written > before + 20
