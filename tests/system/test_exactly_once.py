"""Whatever is killed, at any moment: the counts match, and so does every value.

Applications change their databases at random; edges stream; parent and edges are killed with -9, the
S3 server stops and starts, a parent's journal is deleted. Then PyIceberg and DuckDB count, and the rows
rebuilt from the change tables are compared with SQLite, storage classes included.
"""

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import threading
import time

import pytest
import workload
from conftest import BINARY, Lakehouse, clean_environment, run, wait_until

KILLS = int(os.environ.get("KILLS", "30"))


class Edge:
    def __init__(self, path, parent, log):
        self.path, self.parent, self.log = path, parent, log
        self.process, self.kills = None, 0

    def start(self):
        self.process = subprocess.Popen(
            [str(BINARY), "edge", "--db", str(self.path), "--parent", self.parent.url],
            stdout=subprocess.DEVNULL, stderr=open(self.log, "ab"), env=clean_environment())

    def kill(self):
        assert self.process.poll() is None, f"the edge ended: {self.log.read_text()}"
        self.process.kill()
        self.process.wait()
        self.kills += 1


class Scene:
    """Two databases with their applications and edges, and one parent."""

    def __init__(self, folder, parent, template, seed):
        self.parent, self.rng = parent, random.Random(seed)
        self.stop = threading.Event()
        self.databases, self.edges, self.writers, self.threads = [], [], [], []
        self.epochs = []
        for i, source in enumerate([template, None]):
            path = folder / f"app{i}.db"
            workload.make_database(path, source)
            workload.install(path, "--source", f"app-{i}")
            status = json.loads(run("capture", "status", "--db", path, "--json").stdout)
            self.epochs.append(status["epoch"])
            self.databases.append(path)
            self.edges.append(Edge(path, parent, folder / f"edge{i}.log"))

    def begin(self):
        for i, path in enumerate(self.databases):
            def work(path=path, i=i):
                writer = workload.Writer(path, 100 + i)
                self.writers.append(writer)
                writer.run(self.stop)
            self.threads.append(threading.Thread(target=work))
            self.threads[-1].start()
        for edge in self.edges:
            edge.start()

    def kill_something(self):
        time.sleep(self.rng.random() * 0.7)
        if self.rng.random() < 0.5:
            self.parent.kill()
            time.sleep(self.rng.random() * 0.3)
            self.parent.start()
        else:
            edge = self.rng.choice(self.edges)
            edge.kill()
            time.sleep(self.rng.random() * 0.2)
            edge.start()

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(60)
        time.sleep(0.3)  # an edge that was started just now has its signal handler
        for edge in self.edges:
            edge.process.send_signal(signal.SIGTERM)
            assert edge.process.wait(20) == 0, edge.log.read_text()
            done = run("edge", "--db", edge.path, "--parent", self.parent.url, "--until-caught-up",
                       "--json", timeout=120)
            assert done.returncode == 0, done.stderr
            status = json.loads(run("capture", "status", "--db", edge.path, "--json").stdout)
            assert status["held_changes"] == 0, status
        return sum(w.transactions for w in self.writers)

    def kills(self):
        return self.parent.kills + sum(e.kills for e in self.edges)


def judge(scene, lakehouse):
    """Counts by DuckDB and by PyIceberg; rows by value. Returns how many changes there were."""
    tables = [t for t in lakehouse.tables() if t.endswith("_changes")]
    union = " union all ".join(f"select _source, _epoch, _lsn from {{t{i}}}"
                               for i in range(len(tables)))
    landed = lakehouse.sql(union, **{f"t{i}": t for i, t in enumerate(tables)})
    written = []
    for i, path in enumerate(scene.databases):
        with sqlite3.connect(path) as db:
            written += [(f"app-{i}", scene.epochs[i], lsn)
                        for (lsn,) in db.execute("select lsn from evodb_witness")]
    assert len(landed) == len(set(landed)), f"{len(landed) - len(set(landed))} twice"
    assert set(landed) == set(written), (
        f"{len(set(written) - set(landed))} of {len(written)} missing, "
        f"{len(set(landed) - set(written))} that nobody wrote")

    by_iceberg = {t: lakehouse.arrow(t).to_pylist() for t in tables}
    assert sum(map(len, by_iceberg.values())) == len(written)
    compared = 0
    for i, path in enumerate(scene.databases):
        db = sqlite3.connect(path)
        for table in workload.user_tables(db):
            info = db.execute(f"pragma table_xinfo({workload.quoted(table)})").fetchall()
            columns = [row[1] for row in info]
            key = [row[1] for row in sorted(info, key=lambda r: r[5]) if row[5] > 0]
            rows = [r for r in by_iceberg.get(f"{table.lower()}_changes", [])
                    if r["_source"] == f"app-{i}"]
            if not key:  # a table without a key: its rowid is captured in its place
                key = ["_rowid_"]
                rows = with_rowid(rows)
            rebuilt = workload.rebuild(rows, columns, key)
            assert rebuilt == workload.sqlite_rows(db, table, columns), f"{path.name}: {table}"
            compared += len(rebuilt)
    assert compared > 0
    return len(written)


def with_rowid(rows):
    """The rowid lands as a column whose name begins with _rowid_ (system names are kept apart)."""
    for row in rows:
        name = next(k for k in row if k.startswith("_rowid_"))
        row["_rowid_"] = row[name]
        if row["_before"] is not None:
            row["_before"]["_rowid_"] = row["_before"][name]
    return rows


def templates():
    sample = workload.chinook()
    return [pytest.param(None, id="own"),
            pytest.param(sample, id="chinook",
                         marks=[] if sample else pytest.mark.skip(
                             reason="chinook.sqlite is not beside the project (CHINOOK_SQLITE=...)"))]


@pytest.mark.parametrize("template", templates())
@pytest.mark.parametrize("where", ["local", "s3"])
def test_kill_anything_anytime(tmp_path, parent, request, template, where):
    store = request.getfixturevalue("s3") if where == "s3" else None
    p = parent("buffer.max_age_ms=200", store=store).start()
    scene = Scene(tmp_path, p, template, seed=len(where))
    scene.begin()
    outages = 0
    while scene.kills() < KILLS:
        scene.kill_something()
        if store and scene.kills() % 10 == 5 and outages * 10 < scene.kills():
            store.stop()
            outages += 1
            for _ in range(2):
                scene.kill_something()
            store.start()
    transactions = scene.end()
    changes = judge(scene, Lakehouse(p.data, store))
    assert p.stop() == 0
    print(f"\n{where}: {scene.kills()} kills, {outages} outages of the store, {transactions} "
          f"transactions, {changes} changes: 0 lost, 0 twice")


def test_lose_the_journal(tmp_path, parent):
    p = parent("buffer.max_age_ms=200").start()
    scene = Scene(tmp_path, p, None, seed=7)
    scene.begin()
    for _ in range(3):
        time.sleep(1)
        scene.kill_something()
        p.kill()
        shutil.rmtree(p.data / "journal")
        p.start()
    time.sleep(1)
    scene.end()
    changes = judge(scene, Lakehouse(p.data))
    status = p.status()
    assert p.stop() == 0
    print(f"\nthe journal deleted 3 times, {changes} changes: 0 lost, 0 twice "
          f"({status['landing']['entries_skipped']} skipped at the end)")


def test_a_restored_database_begins_a_new_epoch(tmp_path, parent):
    p = parent("buffer.max_age_ms=100").start()
    path, backup = tmp_path / "app.db", tmp_path / "backup.db"
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("create table t (id integer primary key, v)")
    db.execute("insert into t values (1, 'first')")
    workload.install(path, "--source", "restored")
    caught_up = ["edge", "--db", path, "--parent", p.url, "--until-caught-up"]
    assert run(*caught_up).returncode == 0
    with sqlite3.connect(backup) as to:
        db.backup(to)
    db.execute("insert into t values (2, 'lost by the restore')")
    assert run(*caught_up).returncode == 0
    db.close()
    for file in tmp_path.glob("app.db*"):
        file.unlink()
    shutil.copy(backup, path)
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("insert into t values (3, 'after the restore')")
    assert run(*caught_up).returncode == 0
    rows = Lakehouse(p.data).sql("select _epoch, id, v from {t} where _epoch = "
                                 "(select max(_epoch) from {t}) order by _lsn", t="t_changes")
    epochs = Lakehouse(p.data).sql("select count(distinct _epoch) from {t}", t="t_changes")
    assert epochs == [(2,)]
    assert {(r[1], r[2]) for r in rows} == {(1, "first"), (3, "after the restore")}
