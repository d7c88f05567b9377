"""A judge that cannot say no proves nothing: here the lakehouse is spoilt on purpose.

PyIceberg itself takes a row out, puts one in twice, changes one. Each must be called by its name.
"""

import shutil
import sqlite3

import pyarrow.compute as pc
import pytest
from harness import workload
from harness.binary import run
from harness.judge import Source, judge
from harness.lakehouse import Lakehouse


@pytest.fixture
def landed(tmp_path, parent):
    """A lakehouse that holds all of a database, its source, and a table to spoil."""
    path = tmp_path / "app.db"
    workload.make_database(path)
    epoch = workload.install(path, "--source", "app-0")
    writer = workload.Writer(path, 1)
    for _ in range(50):
        writer.transaction()
    p = parent().start()
    done = run("edge", "--db", path, "--parent", p.url, "--until-caught-up")
    assert done.returncode == 0, done.stderr
    assert p.stop() == 0
    lakehouse, sources = Lakehouse(p.data), [Source(path, "app-0", epoch)]
    judge(lakehouse, sources).require()
    return lakehouse, sources, lakehouse.catalog().load_table("evodb.codes_changes")


def test_a_dropped_row_is_called_lost(landed):
    lakehouse, sources, table = landed
    lsn = pc.max(table.scan().to_arrow()["_lsn"]).as_py()
    table.delete(f"_lsn = {lsn}")
    verdict = judge(lakehouse, sources)
    assert (verdict.lost, verdict.duplicated, verdict.unknown) == (1, 0, 0), verdict
    with pytest.raises(AssertionError, match="1 lost"):
        verdict.require()


def test_a_doubled_row_is_called_duplicated(landed):
    lakehouse, sources, table = landed
    table.append(table.scan().to_arrow().slice(3, 1))
    verdict = judge(lakehouse, sources)
    assert (verdict.lost, verdict.duplicated, verdict.unknown) == (0, 1, 0), verdict
    with pytest.raises(AssertionError, match="1 duplicated"):
        verdict.require()


def test_a_changed_value_is_called_wrong(landed):
    lakehouse, sources, _ = landed
    with sqlite3.connect(sources[0].path) as db:
        db.execute("drop trigger if exists evodb_witness_t")
        triggers = db.execute("select name from sqlite_master where type = 'trigger'").fetchall()
        for (name,) in triggers:  # so that nobody captures what is done now
            db.execute(f"drop trigger {workload.quoted(name)}")
        db.execute("update codes set x = coalesce(x, 0) + 1 where rowid = (select min(rowid) from codes)")
    verdict = judge(lakehouse, sources)
    assert verdict.lost == verdict.duplicated == 0
    with pytest.raises(AssertionError, match="codes was rebuilt wrongly"):
        verdict.require()


def test_a_reader_that_is_wrong_alone_is_noticed(landed):
    lakehouse, sources, _ = landed
    true_arrow = lakehouse.arrow
    lakehouse.arrow = lambda t: true_arrow(t).slice(1) if t == "codes_changes" else true_arrow(t)
    verdict = judge(lakehouse, sources)
    assert verdict.lost == 1 and "PyIceberg sees 1 lost" in str(verdict)


def test_a_lakehouse_with_nothing_in_it_passes_nowhere(landed, tmp_path):
    lakehouse, sources, _ = landed
    empty = tmp_path / "empty"
    empty.mkdir()
    verdict = judge(Lakehouse(empty), sources)
    assert verdict.lost == verdict.written > 0
    shutil.rmtree(empty)
