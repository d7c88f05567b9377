"""Whatever is killed, at any moment: the counts match, and so does every value.

The short form, over a local warehouse: a dozen kills, a parent whose journal is deleted, a database
restored from its backup. tests/torture has the long one, with S3, proxies, full disks and limits.
"""

import random
import shutil
import sqlite3
import time

import pytest
from harness import workload
from harness.applications import Applications
from harness.binary import run
from harness.judge import judge
from harness.lakehouse import Lakehouse

KILLS = 12


@pytest.fixture
def scene(tmp_path, parent):
    """Two databases with their applications and edges, and one parent."""
    p = parent("buffer.max_age_ms=200").start()
    applications = Applications(tmp_path, p.url, [workload.chinook(), None])
    applications.begin()
    yield p, applications
    applications.abandon()


def kill_something(parent, edges, rng):
    time.sleep(rng.random() * 0.7)
    if rng.random() < 0.5:
        parent.kill()
        time.sleep(rng.random() * 0.3)
        parent.start()
    else:
        edge = rng.choice(edges)
        edge.kill()
        time.sleep(rng.random() * 0.2)
        edge.start()


def test_kill_anything_anytime(scene):
    parent, applications = scene
    rng = random.Random(5)
    while parent.kills + applications.kills() < KILLS:
        kill_something(parent, applications.edges, rng)
    transactions = applications.end()
    verdict = judge(Lakehouse(parent.data), applications.sources).require()
    assert parent.stop() == 0
    print(f"\n{parent.kills + applications.kills()} kills, {transactions} transactions, {verdict}")


def test_lose_the_journal(scene):
    parent, applications = scene
    rng = random.Random(7)
    for _ in range(3):
        time.sleep(1)
        kill_something(parent, applications.edges, rng)
        parent.kill()
        shutil.rmtree(parent.data / "journal")
        parent.start()
    time.sleep(1)
    applications.end()
    verdict = judge(Lakehouse(parent.data), applications.sources).require()
    skipped = parent.status()["landing"]["entries_skipped"]
    assert parent.stop() == 0
    print(f"\nthe journal deleted 3 times, {verdict} ({skipped} skipped at the end)")


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
    rows = Lakehouse(p.data).sql("select _epoch, id, v from {t} where _op not in ('RESET', 'DROP') and _epoch = "
                                 "(select max(_epoch) from {t}) order by _lsn", t="t_changes")
    epochs = Lakehouse(p.data).sql("select count(distinct _epoch) from {t}", t="t_changes")
    assert epochs == [(2,)]
    assert {(r[1], r[2]) for r in rows} == {(1, "first"), (3, "after the restore")}
