"""A backup comes back, by every way that people use, while an edge runs and while none does."""

import shlex
import sqlite3
import subprocess
import time

import pytest

from harness.binary import wait_until
from harness.captured import AWAY, RUNNING
from harness.tools import GO, NODE, SCRIPTS, Tool, environment

FIRST, LOST = 5, 4  # rows that are in the backup, and rows that are written behind it
FEWER, AS_MANY, MORE = LOST - 2, LOST, LOST + 5  # written behind the restore


def shell(command, **names):
    command = command.format(**{k: shlex.quote(str(v)) for k, v in names.items()})
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60,
                          env=environment())
    assert done.returncode == 0, (command, done)


def by_python(source, target):
    a, b = sqlite3.connect(source), sqlite3.connect(target, timeout=10)
    a.backup(b)
    a.close()
    b.close()


def by_node(driver):
    return lambda source, target: shell(
        f"{NODE} {SCRIPTS}/backup.js {driver} {{a}} {{b}}", a=source, b=target)


def vacuum_into(source, target):
    shell("sqlite3 {a} {b}", a=source, b=f"vacuum into '{target}'")


def copy(source, target):
    shell("cp {a} {b}", a=source, b=target)


# The application has closed its connections. What SQLite keeps beside a database goes with the old
# file, as SQLite's "How to corrupt" asks for.
def copy_over(source, target):
    shell("cp {a} {b} && rm -f {b}-wal {b}-shm {b}-journal", a=source, b=target)


def move_over(source, target):
    shell("mv {a} {b} && rm -f {b}-wal {b}-shm {b}-journal", a=source, b=target)


def remove_and_copy(source, target):
    shell("rm -f {b} {b}-wal {b}-shm {b}-journal && cp {a} {b}", a=source, b=target)


def by_shell(source, target):
    shell("sqlite3 -cmd '.timeout 10000' {b} {c}", b=target, c=f".restore '{source}'")


WAYS = {  # how the backup is made, and how it comes back
    "shell": (lambda a, b: shell("sqlite3 {a} {c}", a=a, c=f".backup '{b}'"), by_shell),
    "python": (by_python, by_python),
    "better-sqlite3": (by_node("better-sqlite3"), by_node("better-sqlite3")),
    "node:sqlite": (by_node("node:sqlite"), by_node("node:sqlite")),
    "cp": (vacuum_into, copy_over),
    "mv": (by_python, move_over),
    "rm and cp": (by_python, remove_and_copy),
    "vacuum into and mv": (vacuum_into, move_over),
}


def write(path, n):
    db = sqlite3.connect(path, timeout=10, isolation_level=None)
    for _ in range(n):
        db.execute("insert into notes(text) values ('row ' || hex(randomblob(6)))")
    db.close()


@pytest.mark.parametrize("journal,edge", [("wal", RUNNING), ("delete", RUNNING), ("wal", AWAY)])
@pytest.mark.parametrize("way", WAYS)
def test_a_backup_comes_back(tmp_path, captured, way, journal, edge):
    back_up, restore = WAYS[way]
    scenes = []
    for later in (FEWER, AS_MANY, MORE):
        path = tmp_path / f"app{later}.db"
        db = captured(edge, path=path, name=f"app{later}")
        db.sql(f"pragma journal_mode = {journal}; create table notes (id integer primary key, text)")
        write(path, FIRST)
        scenes.append((db, path, later))
        db.capture()
    for _, path, later in scenes:
        back_up(path, tmp_path / f"backup{later}.db")
        write(path, LOST)
    for db, _, _ in scenes:
        db.settle()  # those rows are acknowledged, and trimmed perhaps
    for _, path, later in scenes:
        restore(tmp_path / f"backup{later}.db", path)
        write(path, later)
    for db, path, later in scenes:
        assert db.rows("select count(*) from notes") == [(FIRST + later,)]
        db.settle(what=f"{later} rows behind the restore")
    for db, path, later in scenes:  # and it goes on
        write(path, 3)
        db.settle(what=f"{later} rows behind the restore, and 3 more")


def test_litestream_replicates_beside_the_edge_and_its_restore_is_a_new_life(tmp_path, captured):
    path, replica = tmp_path / "app.db", tmp_path / "replica"
    db = captured(RUNNING, path=path)
    db.sql("pragma journal_mode = wal; create table notes (id integer primary key, text)")
    write(path, FIRST)
    beside = Tool([GO / "world", "replicate", path, replica], tmp_path)
    assert beside.process.stdout.readline() == "ok\n"
    wait_until(lambda: db.rows("select 1 from sqlite_schema where name = '_litestream_lock'"), 20,
               "Litestream has its own tables")
    db.capture()
    for _ in range(10):
        write(path, 5)
        time.sleep(0.05)
    db.settle(what="writing beside Litestream")
    wait_until(lambda: restored_rows(replica, tmp_path) == FIRST + 50, 30, "Litestream has it all")
    beside.process.stdin.close()
    assert beside.process.wait(30) == 0, beside.log.read_text()

    write(path, LOST)  # Litestream never sees these
    db.settle(what="writing without Litestream")
    shell(f"{GO}/world restore {{a}} {{b}}", a=replica, b=tmp_path / "back.db")
    move_over(tmp_path / "back.db", path)
    write(path, LOST)
    db.settle(what="Litestream's restore")


def restored_rows(replica, folder):
    target = folder / f"look-{time.monotonic_ns()}.db"
    done = subprocess.run([GO / "world", "restore", replica, target], capture_output=True, timeout=60)
    if done.returncode != 0:
        return None
    db = sqlite3.connect(target)
    count = db.execute("select count(*) from notes").fetchone()[0]
    db.close()
    return count
