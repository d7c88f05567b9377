"""What people do to a database under its edge: they restore, copy, move, replace, empty and cut it.

Nothing is done by hand: the edge notices, says what it found, and the lakehouse folds to what
SQLite holds. tests/world does the same with the tools that people have.
"""

import json
import os
import shutil
import sqlite3
import time

import pytest
from harness.binary import run, wait_until
from harness.captured import judge_source
from harness.edge import Edge
from harness.lakehouse import Lakehouse


class Scene:
    def __init__(self, folder, parent, journal):
        self.folder, self.parent, self.journal = folder, parent, journal
        self.path = folder / "app.db"
        self.backup = folder / "backup.db"
        self.edge = Edge(self.path, parent.url, folder / "edge.log")
        self.lakehouse = Lakehouse(parent.data)
        db = self.open()
        db.execute(f"pragma journal_mode={journal}")
        db.execute("create table t (id integer primary key, v)")
        db.close()
        self.write(1, 5)
        install(self.path)

    def open(self):
        return sqlite3.connect(self.path, timeout=5, isolation_level=None)

    def write(self, first, n):
        db = self.open()
        for i in range(first, first + n):
            db.execute("insert or replace into t values (?, ?)",
                       [i, f"{i} at {time.monotonic_ns()}"])
        db.close()

    def sql(self, script):
        db = self.open()
        db.executescript(script)
        db.close()

    def copy_to_backup(self):
        with sqlite3.connect(self.backup) as to, sqlite3.connect(self.path) as of:
            of.backup(to)

    def settle(self, seconds=20, name="app", path=None):
        end = time.monotonic() + seconds
        path = path or self.path
        while True:
            found = judge_source(self.lakehouse, path, name, {"t"})
            if not found:
                return
            assert self.edge.process is None or self.edge.running(), self.says()
            assert time.monotonic() < end, f"{found}\nthe edge says: {self.says()}"
            time.sleep(0.2)

    def catch_up(self):
        done = run("edge", "--db", self.path, "--parent", self.parent.url, "--until-caught-up")
        assert done.returncode == 0, done.stderr
        return done.stderr

    def says(self):
        return self.edge.log.read_text()[-2000:] if self.edge.log.exists() else ""

    def epochs(self):
        scan = self.lakehouse.sql("select count(distinct _epoch) from {t} where _source = 'app'",
                                  t="t_changes")
        return scan[0][0]


def install(path):
    done = run("capture", "install", "--db", path, "--source", "app")
    assert done.returncode == 0, done.stderr


@pytest.fixture(params=["wal", "delete"])
def scene(request, tmp_path, parent):
    made = Scene(tmp_path, parent("buffer.max_age_ms=100").start(), request.param)
    yield made
    if made.edge.running():
        assert made.edge.stop() == 0


def restore_by_backup_api(scene):
    with sqlite3.connect(scene.backup) as of, sqlite3.connect(scene.path) as to:
        of.backup(to)


def restore_by_cp(scene):
    # The application has closed it, and the edge lets go of the log that it alone would keep.
    wal = scene.folder / "app.db-wal"
    wait_until(lambda: not wal.exists() or wal.stat().st_size == 0, 5, "nothing is in the log")
    shutil.copyfile(scene.backup, scene.path)  # over it: the same inode


def restore_by_cp_and_rm(scene):
    shutil.copyfile(scene.backup, scene.path)
    for end in ("-wal", "-shm", "-journal"):
        (scene.folder / f"app.db{end}").unlink(missing_ok=True)


def restore_by_mv(scene):
    os.rename(scene.backup, scene.path)


def restore_by_rm_and_cp(scene):
    for end in ("", "-wal", "-shm", "-journal"):
        (scene.folder / f"app.db{end}").unlink(missing_ok=True)
    time.sleep(0.3)
    shutil.copyfile(scene.backup, scene.path)


RESTORES = [restore_by_backup_api, restore_by_cp, restore_by_cp_and_rm, restore_by_mv,
            restore_by_rm_and_cp]


@pytest.mark.parametrize("after", [0, 2, 9])
@pytest.mark.parametrize("restore", RESTORES)
def test_restored_under_a_running_edge(scene, restore, after):
    scene.edge.start()
    scene.settle()
    scene.copy_to_backup()
    scene.write(6, 3)
    scene.settle()
    restore(scene)
    scene.write(100, after)
    scene.settle()
    assert scene.epochs() == 2
    assert "every table is sent again" in scene.says()
    scene.write(200, 2)
    scene.settle()
    db = scene.open()
    assert db.execute("pragma integrity_check").fetchall() == [("ok",)]
    db.close()


@pytest.mark.parametrize("restore", RESTORES)
def test_restored_while_no_edge_runs(scene, restore):
    scene.catch_up()
    scene.copy_to_backup()
    scene.write(6, 3)
    scene.catch_up()
    restore(scene)
    scene.write(100, 3)
    scene.catch_up()
    scene.settle()


def test_vacuumed_into_another_file_that_is_moved_over_it(scene):
    scene.edge.start()
    scene.settle()
    scene.sql(f"vacuum into '{scene.folder}/small.db'")
    os.rename(scene.folder / "small.db", scene.path)
    scene.write(6, 2)
    scene.settle()
    assert "another file lies at" in scene.says()


def test_a_copy_of_a_moment_with_its_log_is_put_back(scene):
    """As a file system's snapshot: the database with -wal or -journal, while both have it open."""
    scene.edge.start()
    scene.settle()
    db = scene.open()
    db.execute("pragma wal_autocheckpoint=0")
    db.execute("insert into t values (6, 'in the log')")
    for file in scene.folder.glob("app.db*"):
        if file.name.endswith(("app.db", "-wal")):
            shutil.copyfile(file, scene.folder / ("snapshot" + file.name.removeprefix("app")))
    db.execute("insert into t values (7, 'lost by the restore')")
    db.close()
    scene.settle()
    for end in ("", "-wal", "-shm"):
        (scene.folder / f"app.db{end}").unlink(missing_ok=True)
    for file in scene.folder.glob("snapshot.db*"):
        os.rename(file, scene.folder / ("app" + file.name.removeprefix("snapshot")))
    scene.write(8, 2)
    db = scene.open()
    assert [r[0] for r in db.execute("select id from t where id > 5 order by id")] == [6, 8, 9]
    db.close()
    scene.settle()


CLEARED = {
    "outbox emptied": "delete from evodb_outbox",
    "outbox cut": "delete from evodb_outbox where id < (select max(id) from evodb_outbox)",
    "state emptied": "delete from evodb_state",
    "a row of the state gone": "delete from evodb_state where key = 'epoch'",
    "definitions emptied": "delete from evodb_tables",
    "columns emptied": "delete from evodb_columns",
    "columns cut": "delete from evodb_columns where position = 1",
    "outbox dropped": "drop table evodb_outbox",
    "victims dropped": "drop table evodb_victims",
    "all dropped": "".join(f"drop table evodb_{t};" for t in (
        "outbox", "tables", "columns", "state", "selection", "victims")),
}


@pytest.mark.parametrize("what", CLEARED)
def test_cleared_under_a_running_edge(scene, what):
    scene.edge.start()
    scene.settle()
    if what == "outbox cut":  # what nobody has acknowledged is not trimmed, so there is something
        scene.parent.kill()
        scene.write(20, 3)
        wait_until(lambda: "changes are kept" in scene.says(), 20, "the parent's end is noticed")
    scene.sql(CLEARED[what])
    wait_until(lambda: "every table is sent again" in scene.says(), 3, "it is noticed and said")
    if what == "outbox cut":
        scene.parent.start()
    scene.write(6, 3)
    scene.settle()


@pytest.mark.parametrize("what", CLEARED)
def test_cleared_while_no_edge_runs(scene, what):
    scene.write(6, 3)
    scene.catch_up()
    scene.sql(CLEARED[what])
    db = scene.open()
    for i in range(100, 110):  # refused where triggers write into tables that are gone
        try:
            db.execute("insert into t values (?, 'after')", [i])
        except sqlite3.OperationalError as error:
            assert "evodb_" in str(error)
    db.close()
    scene.catch_up()
    scene.settle()
    scene.write(200, 2)
    scene.catch_up()
    scene.settle()


def drop_triggers(scene):
    db = scene.open()
    for name, in db.execute("select name from sqlite_schema where type = 'trigger'").fetchall():
        db.execute(f'drop trigger "{name}"')
    db.close()


@pytest.mark.parametrize("running", [True, False])
def test_triggers_that_somebody_drops_come_back_and_the_table_begins_anew(scene, running):
    if running:
        scene.edge.start()
        scene.settle()
    else:
        scene.catch_up()
    drop_triggers(scene)
    scene.write(6, 3)  # perhaps unseen
    scene.sql("delete from t where id = 2")
    if not running:
        said = json.loads(run("capture", "status", "--db", scene.path, "--json").stdout)
        assert said["tables"][0]["stale"] and said["tables"][0]["reason"], said
        scene.catch_up()
    scene.settle()
    scene.write(200, 2)
    if not running:
        scene.catch_up()
    scene.settle()
    assert scene.epochs() == 1
    resets = scene.lakehouse.sql("select count(*) from {t} where _op = 'RESET'", t="t_changes")
    assert resets[0][0] > 0


@pytest.mark.parametrize("what", ["outbox emptied", "victims dropped", "all dropped"])
def test_half_a_capture_is_told_installed_and_removed_by_hand(scene, what):
    scene.catch_up()
    scene.sql(CLEARED[what])

    def status():
        return json.loads(run("capture", "status", "--db", scene.path, "--json").stdout)

    if what != "outbox emptied":  # there the tables are whole; only the log is another
        assert status()["writes_fail"] and "evodb_" in status()["broken"]
    done = run("capture", "install", "--db", scene.path)
    assert done.returncode == 0, done.stderr
    assert not status()["writes_fail"] and not status()["broken"]
    assert status()["source"] == "app"
    scene.write(6, 3)
    scene.catch_up()
    scene.settle()
    scene.sql(CLEARED[what])
    done = run("capture", "remove", "--db", scene.path, "--force")
    assert done.returncode == 0, done.stderr
    db = scene.open()
    assert db.execute("select count(*) from sqlite_schema where name like 'evodb%'").fetchone() == (0,)
    db.close()
    scene.write(9, 1)


def test_a_database_that_is_missing_is_waited_for_and_its_successor_captured(scene):
    scene.edge.start()
    scene.settle()
    for end in ("", "-wal", "-shm", "-journal"):
        (scene.folder / f"app.db{end}").unlink(missing_ok=True)
    wait_until(lambda: "there is no file" in scene.says(), 3, "it is noticed and said")
    scene.path.write_bytes(b"")
    time.sleep(1.5)
    assert scene.edge.running()
    db = scene.open()
    db.execute(f"pragma journal_mode={scene.journal}")
    db.execute("create table t (id integer primary key, v)")
    db.execute("insert into t values (1, 'of the new one')")
    db.close()
    scene.settle()


def test_two_copies_that_both_stream_end_as_two_sources(scene):
    scene.edge.start()
    scene.settle()
    scene.copy_to_backup()
    copy = Edge(scene.backup, scene.parent.url, scene.folder / "copy.log")
    copy.start()
    db = sqlite3.connect(scene.backup, timeout=5, isolation_level=None)
    try:
        for i in range(300, 310):  # both go on writing, each its own
            scene.write(i, 1)
            db.execute("insert into t values (?, 'of the copy')", [i])
            time.sleep(0.1)

        def names():
            found = scene.lakehouse.sql("select distinct _source from {t}", t="t_changes")
            return sorted(name for name, in found)

        wait_until(lambda: len(names()) == 2, 60, "the copy has a name of its own")
        other = next(name for name in names() if name != "app")
        assert other.startswith("app-copy-")
        scene.settle(40)
        scene.settle(40, name=other, path=scene.backup)
        assert "another database streams as 'app'" in (scene.folder / "copy.log").read_text()
    finally:
        db.close()
        assert copy.stop() == 0


def test_a_copy_waits_for_an_operator_where_that_is_wanted(scene):
    scene.edge.start()
    scene.settle()
    scene.copy_to_backup()
    copy = Edge(scene.backup, scene.parent.url, scene.folder / "copy.log", "--on-copy", "wait")
    copy.start()
    db = sqlite3.connect(scene.backup, timeout=5, isolation_level=None)
    try:
        for i in range(300, 310):
            scene.write(i, 1)
            db.execute("insert into t values (?, 'of the copy')", [i])
            time.sleep(0.1)
        wait_until(lambda: "another database streams as 'app'" in copy.log.read_text(), 120,
                   "the copy is told")
        assert copy.running()
        scene.settle(40)
        db.execute("insert into t values (400, 'of the copy')")
        scene.write(500, 3)
        scene.settle()  # what the copy says is not among it
        assert scene.lakehouse.sql("select distinct _source from {t}", t="t_changes") == [("app",)]
        held = json.loads(run("capture", "status", "--db", scene.backup, "--json").stdout)
        assert held["held_changes"] > 0, "its changes are kept"
    finally:
        db.close()
        assert copy.stop() == 0
