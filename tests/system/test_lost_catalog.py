"""The lakehouse cannot be lost: what becomes of it when its data directory or its catalog does.

docs/formats/iceberg.md, "In the store". Two readers that nobody here wrote count what is there.
"""

import json
import shutil
import sqlite3
import time

import pytest
from harness import workload
from harness.applications import Applications
from harness.binary import run, wait_until
from harness.judge import Source, judge
from harness.lakehouse import Lakehouse
from harness.small_source import SmallSource


@pytest.fixture(params=["directory", "s3"])
def place(request, tmp_path):
    """A warehouse that is not in the data directory."""
    if request.param == "s3":
        server = request.getfixturevalue("s3")
        return {"store": server, "settings": []}, server
    return {"store": None, "settings": [f"store.url=file:{tmp_path}/warehouse"]}, None


@pytest.fixture
def scene(tmp_path, parent, place):
    options, server = place
    p = parent("buffer.max_age_ms=200", *options["settings"], store=options["store"]).start()
    applications = Applications(tmp_path, p.url, [None])
    retired = retire(tmp_path, p.url)
    applications.begin()
    yield p, applications, retired, server
    applications.abandon()


def retire(folder, url):
    """A source that has sent all it had, and never comes back."""
    path = folder / "retired.db"
    workload.make_database(path)
    epoch = workload.install(path, "--source", "retired")
    done = run("edge", "--db", path, "--parent", url, "--until-caught-up")
    assert done.returncode == 0, done.stderr
    return Source(path, "retired", epoch)


def end(scene, lakehouse):
    parent, applications, retired, _ = scene
    applications.end()
    verdict = judge(lakehouse, [*applications.sources, retired]).require()
    assert parent.stop() == 0
    print(f"\n{verdict}")


def remove_catalog(data):
    for file in data.glob("catalog.db*"):
        file.unlink()


def test_a_lost_data_directory_loses_nothing(scene):
    parent, _, _, server = scene
    for _ in range(2):
        time.sleep(1.5)
        parent.kill()
        shutil.rmtree(parent.data)
        parent.start(seconds=60)
    time.sleep(1)
    end(scene, Lakehouse(parent.data, server))


def test_an_old_data_directory_behind_a_newer_journal_lands_nothing_twice(scene):
    parent, _, _, server = scene
    old = parent.data.with_name("old")
    time.sleep(1.5)
    parent.kill()  # its journal holds what has not landed yet
    shutil.move(parent.data, old)
    parent.start(seconds=60)
    time.sleep(1.5)  # the sources send that to the new one, which lands it
    parent.kill()
    shutil.rmtree(parent.data)
    shutil.move(old, parent.data)
    parent.start(seconds=60)
    assert "older data directory" in parent.log.read_text()
    time.sleep(1)
    end(scene, Lakehouse(parent.data, server))


def test_a_lost_catalog_loses_nothing(scene):
    parent, _, _, server = scene
    time.sleep(1.5)
    parent.kill()
    remove_catalog(parent.data)
    parent.start(seconds=60)
    assert "registered from" in parent.log.read_text()
    time.sleep(1)
    end(scene, Lakehouse(parent.data, server))


def test_a_catalog_lost_behind_a_trimmed_journal_loses_nothing(tmp_path, parent, place):
    """What the journal no longer has is in the tables alone."""
    options, server = place
    p = parent("buffer.max_age_ms=50", "journal.segment_bytes=1MiB", *options["settings"],
               store=options["store"]).start()
    source = SmallSource(tmp_path, p.url)
    for i in range(12):
        source.insert((i, "x" * 400_000, None)).send()
    wait_until(lambda: p.status()["journal"]["first"] > 0, 30, "the journal is trimmed")
    for i in range(2):  # nothing is removed at a later start, either
        p.kill()
        remove_catalog(p.data)
        p.start(seconds=60)
        source.insert((100 + i, "after", None)).send()
        found = Lakehouse(p.data, server).sql("select id, length(v) from {t} order by id", t="t_changes")
        assert found == [*((n, 400_000) for n in range(12)), *((100 + n, 5) for n in range(i + 1))]
    assert p.stop() == 0


def test_a_catalog_from_a_backup_is_brought_forward(scene, tmp_path):
    parent, _, _, server = scene
    time.sleep(1)
    with sqlite3.connect(parent.data / "catalog.db") as db, \
            sqlite3.connect(tmp_path / "backup.db") as to:
        db.backup(to)
    time.sleep(1.5)
    parent.kill()
    remove_catalog(parent.data)
    shutil.copy(tmp_path / "backup.db", parent.data / "catalog.db")
    parent.start(seconds=60)
    assert "older state" in parent.log.read_text()
    time.sleep(1)
    end(scene, Lakehouse(parent.data, server))


@pytest.mark.parametrize("replaced", [False, True])
def test_a_catalog_removed_or_replaced_under_a_running_parent(scene, tmp_path, replaced):
    parent, _, _, server = scene
    time.sleep(1)
    with sqlite3.connect(parent.data / "catalog.db") as db, \
            sqlite3.connect(tmp_path / "backup.db") as to:
        db.backup(to)
    time.sleep(1)
    (parent.data / "catalog.db").unlink()
    if replaced:
        shutil.copy(tmp_path / "backup.db", parent.data / "catalog.db")
    wait_until(lambda: "reading the catalog and the tables anew" in parent.log.read_text(), 30,
               "the parent notices")
    wait_until(lambda: parent.get("/readyz")[0] == 200, 30, "the parent is ready again")
    time.sleep(1)
    end(scene, Lakehouse(parent.data, server))


def test_nothing_is_removed_by_a_catalog_that_did_not_write_it(scene, tmp_path):
    parent, applications, retired, server = scene
    if server:
        pytest.skip("file times cannot be set through S3")
    time.sleep(1)
    applications.quiet()
    parent.kill()
    shutil.rmtree(parent.data)
    warehouse = tmp_path / "warehouse"
    stray = next(warehouse.glob("evodb/*/data")) / "of-somebody-else.parquet"
    stray.write_bytes(b"not referred to by anything that we know")
    for file in warehouse.rglob("*"):
        if file.is_file():
            workload.os.utime(file, (1, 1))
    time.sleep(1)
    parent.start(seconds=60)
    time.sleep(1)
    assert stray.exists()
    assert parent.status()["landing"]["orphans_removed"] == 0
    end(scene, Lakehouse(parent.data, server))


def test_a_second_parent_on_the_same_warehouse_takes_over(scene, parent, tmp_path):
    first, applications, retired, server = scene
    time.sleep(1)
    second = parent(*first.settings, store=first.store, folder=tmp_path / "other")
    (tmp_path / "other").mkdir()
    second.start(seconds=60)

    def fenced():
        return "taken over" in json.dumps(first.status())

    wait_until(fenced, 30, "the first parent says that it was replaced")
    assert first.get("/readyz")[0] == 503
    applications.quiet()
    first.kill()
    for edge in applications.edges:
        edge.kill()
    for source in applications.sources:
        done = run("edge", "--db", source.path, "--parent", second.url, "--until-caught-up")
        assert done.returncode == 0, done.stderr
    judge(Lakehouse(second.data, server), [*applications.sources, retired]).require()
