"""One sick table is one sick table: it waits and is named, all others go on.

docs/formats/iceberg.md, "A sick table".
"""

import json
import shutil
import sqlite3
import subprocess

import pytest
from harness.binary import run, wait_until
from harness.lakehouse import Lakehouse
from harness.small_source import SmallSource


@pytest.fixture
def scene(tmp_path, parent):
    p = parent("buffer.max_age_ms=50", "journal.segment_bytes=1MiB").start()
    sick = SmallSource(tmp_path, p.url, "sick", "create table ill (id integer primary key, v)")
    well = SmallSource(tmp_path, p.url, "well", "create table fit (id integer primary key, v)")
    sick.insert((1, "before"), table="ill").send()
    well.insert((1, "before"), table="fit").send()
    yield p, sick, well
    assert p.stop() == 0


def metadata_of(data, table):
    with sqlite3.connect(f"file:{data}/catalog.db?mode=ro", uri=True) as catalog:
        (location,) = catalog.execute("select metadata_location from iceberg_tables "
                                      "where table_name = ?", [table]).fetchone()
    return location.removeprefix("file://")


def ids(data, table):
    return sorted(i for (i,) in Lakehouse(data).sql("select id from {t}", t=table))


def send_durable(source, url):
    """What a table that waits cannot persist is durable."""
    done = run("edge", "--db", source.path, "--parent", url, "--wait", "durable",
               "--until-caught-up", timeout=60)
    assert done.returncode == 0, done.stderr


def damage(path):
    with open(path, "rb") as file:
        good = file.read()
    with open(path, "wb") as file:
        file.write(good[:100])
    return good


def test_unreadable_metadata_holds_up_no_other_table(scene):
    p, sick, well = scene
    path = metadata_of(p.data, "ill_changes")
    p.kill()
    good = damage(path)
    p.start()
    wait_until(lambda: p.get("/readyz")[0] == 200, 30, "the parent is ready")
    assert "ill_changes waits" in p.get("/readyz")[1]
    assert any("ill_changes" in line for line in p.status()["sick"])
    assert "ill_changes waits" in p.log.read_text()

    sick.insert((2, "while it was ill"), table="ill")
    send_durable(sick, p.url)
    # More than the journal's step: it is trimmed all the same.
    for i in range(2, 12):
        well.insert((i, "x" * 400_000), table="fit").send()
    wait_until(lambda: p.status()["journal"]["first"] > 0, 30, "the journal is trimmed")
    assert p.status()["landing"]["set_aside_bytes"] > 0
    assert ids(p.data, "fit_changes") == list(range(1, 12))

    p.kill()  # what was set aside is there for the next process
    p.start()
    sick.insert((3, "still ill"), table="ill")
    send_durable(sick, p.url)
    with open(path, "wb") as file:
        file.write(good)
    wait_until(lambda: not p.status()["sick"], 60, "the table is well again")
    sick.insert((4, "well"), table="ill").send()
    assert ids(p.data, "ill_changes") == [1, 2, 3, 4]
    wait_until(lambda: p.status()["landing"]["set_aside_bytes"] == 0, 30, "nothing is set aside")


def test_a_source_is_not_told_persisted_beyond_what_waits(scene):
    p, sick, well = scene
    path = metadata_of(p.data, "ill_changes")
    p.kill()
    good = damage(path)
    p.start()
    sick.insert((2, "waits"), table="ill")
    with pytest.raises(subprocess.TimeoutExpired):
        run("edge", "--db", sick.path, "--parent", p.url, "--until-caught-up", timeout=5)
    with open(path, "wb") as file:
        file.write(good)
    wait_until(lambda: not p.status()["sick"], 60, "the table is well again")
    sick.send()
    assert ids(p.data, "ill_changes") == [1, 2]


def test_a_manifest_list_that_is_gone_makes_one_table_wait(scene, tmp_path):
    p, sick, well = scene
    metadata = json.loads(open(metadata_of(p.data, "ill_changes")).read())
    lists = [s["manifest-list"].removeprefix("file://") for s in metadata["snapshots"]]
    for path in lists:
        (tmp_path / path.rsplit("/", 1)[1]).write_bytes(damage(path))
    p.kill()
    p.start()
    sick.insert((2, "waits"), table="ill")
    send_durable(sick, p.url)
    wait_until(lambda: "ill_changes waits" in p.get("/readyz")[1], 60, "the table waits")
    well.insert((2, "goes on"), table="fit").send()
    assert p.get("/readyz")[0] == 200
    assert ids(p.data, "fit_changes") == [1, 2]


def test_a_table_that_refuses_our_commits_waits_alone(scene):
    """Another engine has renamed one of the columns without which there is no row of ours."""
    p, sick, well = scene
    table = Lakehouse(p.data).catalog().load_table("evodb.ill_changes")
    with table.update_schema() as update:
        update.rename_column("_lsn", "lsn_of_ours")
    sick.insert((2, "waits"), table="ill")
    send_durable(sick, p.url)
    # At first as one whose commits fail, then as one that waits alone.
    wait_until(lambda: any("ill_changes" in line for line in p.status()["sick"]), 60, "it waits")
    assert "ill_changes" in p.get("/readyz")[1]
    for i in range(2, 5):
        well.insert((i, "goes on"), table="fit").send()
    assert p.get("/readyz")[0] == 200
    assert ids(p.data, "fit_changes") == [1, 2, 3, 4]
    table = Lakehouse(p.data).catalog().load_table("evodb.ill_changes")
    with table.update_schema() as update:
        update.rename_column("lsn_of_ours", "_lsn")
    p.kill()  # a start looks at once
    p.start()
    sick.insert((3, "well"), table="ill").send()
    assert ids(p.data, "ill_changes") == [1, 2, 3]


def test_a_lost_journal_and_a_missing_data_file_concern_one_table(scene):
    """Behind a lost journal every data file must be read; but only by the table that it is of."""
    p, sick, well = scene
    file = next((p.data / "warehouse/evodb/ill_changes/data").glob("*.parquet"))
    good = file.read_bytes()
    p.kill()
    file.unlink()
    shutil.rmtree(p.data / "journal")
    p.start()
    wait_until(lambda: p.get("/readyz")[0] == 200, 30, "the parent is ready")
    body = p.get("/readyz")[1]
    assert "ill_changes waits" in body and file.name in body, body
    well.insert((2, "goes on"), table="fit").send()
    assert ids(p.data, "fit_changes") == [1, 2]
    sick.insert((2, "waits"), table="ill")
    send_durable(sick, p.url)

    file.write_bytes(good)
    wait_until(lambda: not p.status()["sick"], 60, "the table is well again")
    sick.insert((3, "well"), table="ill").send()
    well.insert((3, "well"), table="fit").send()
    for table in ("ill_changes", "fit_changes"):
        landed = Lakehouse(p.data).sql("select _source, _epoch, _lsn from {t}", t=table)
        assert len(landed) == len(set(landed)), landed
        rows = Lakehouse(p.data).sql("select id from {t} where id is not null", t=table)
        assert {i for (i,) in rows} == {1, 2, 3}  # "ill" began a new epoch: nobody knew its mark


def test_a_data_file_that_is_gone_is_named(scene):
    p, sick, well = scene
    sick.insert((2, "second"), table="ill").send()
    file = next((p.data / "warehouse/evodb/ill_changes/data").glob("*.parquet"))
    p.kill()
    file.unlink()
    p.start()
    wait_until(lambda: p.status()["sick"], 30, "it is named")
    code, body = p.get("/readyz")
    assert code == 200 and file.name in body, body
    assert file.name in p.log.read_text()
    sick.insert((3, "goes on"), table="ill").send()
    well.insert((2, "goes on"), table="fit").send()
