"""A data directory or a warehouse that is moved, copied, or reached by another path.

docs/formats/iceberg.md, "Moved, copied, or reached by another path".
"""

import os
import shutil
import subprocess

import pytest
from harness.binary import BINARY, clean_environment, run, wait_until
from harness.lakehouse import Lakehouse
from harness.parent import Parent
from harness.s3 import BUCKET
from harness.small_source import SmallSource


@pytest.fixture
def filled(tmp_path, parent):
    """A parent that has stopped, with some commits of one table in its data directory."""
    p = parent("buffer.max_age_ms=50").start()
    source = SmallSource(tmp_path, p.url)
    for i in range(5):
        source.insert((i, f"v{i}", None)).send()
    assert p.stop() == 0
    return p, source


def expect(data, ids, s3=None):
    """Both readers see just these rows, in one table."""
    lakehouse = Lakehouse(data, s3)
    assert lakehouse.tables() == ["t_changes"]
    by_pyiceberg = sorted(r["id"] for r in lakehouse.arrow("t_changes").to_pylist())
    by_duckdb = sorted(id for (id,) in lakehouse.sql("select id from {t}", t="t_changes"))
    assert by_pyiceberg == by_duckdb == sorted(ids)


def refusal(parent):
    """What a parent says that does not start."""
    parent.spawn()
    assert parent.process.wait(30) == 2
    return parent.log.read_text().splitlines()[-1]


def test_a_moved_data_directory_is_refused_until_it_is_relocated(filled, tmp_path):
    p, source = filled
    moved = tmp_path / "elsewhere" / "data"
    moved.parent.mkdir()
    p.data.rename(moved)
    p.data = moved
    said = refusal(p)
    assert "evodb lake relocate" in said and str(moved) in said, said
    for _ in range(2):  # the second has nothing to do
        done = run("lake", "relocate", "--data", moved)
        assert done.returncode == 0, done.stderr
    assert "nothing to do" in done.stdout
    expect(moved, range(5))
    p.start()
    source.insert((5, "after", None)).send()
    expect(moved, range(6))
    assert p.stop() == 0


def test_every_snapshot_of_a_relocated_table_can_be_read(filled, tmp_path):
    p, _ = filled
    moved = tmp_path / "moved"
    p.data.rename(moved)
    assert run("lake", "relocate", "--data", moved).returncode == 0
    table = Lakehouse(moved).catalog().load_table("evodb.t_changes")
    counts = [table.scan(snapshot_id=s.snapshot_id).to_arrow().num_rows for s in table.snapshots()]
    assert counts == sorted(counts) and counts[-1] == 5 and len(counts) >= 5


def test_a_table_that_cannot_be_relocated_stops_no_other(tmp_path, parent):
    """Another engine has partitioned it: only that one can write its manifests anew."""
    p = parent("buffer.max_age_ms=50").start()
    schema = "create table {} (id integer primary key, v)"
    ill = SmallSource(tmp_path, p.url, "ill", schema.format("ill")).insert((1, "a"), table="ill")
    fit = SmallSource(tmp_path, p.url, "fit", schema.format("fit")).insert((1, "a"), table="fit")
    ill.send()
    fit.send()
    assert p.stop() == 0
    table = Lakehouse(p.data).catalog().load_table("evodb.ill_changes")
    rows = table.scan().to_arrow()
    with table.update_spec() as update:
        update.add_identity("v")
    table.append(rows)
    was_at = f"file://{p.data}/warehouse/"

    p.data = p.data.rename(tmp_path / "moved")
    wrong = run("lake", "relocate", "--data", p.data, "--from", "s3://elsewhere/")
    assert wrong.returncode == 2 and "no table can be relocated" in wrong.stderr, wrong.stderr
    for arguments in ([], ["--from", was_at]):  # the second call tries it again
        done = run("lake", "relocate", "--data", p.data, *arguments)
        assert done.returncode == 2, done.stderr
        assert "ill_changes was not relocated" in done.stderr, done.stderr
        assert f"--from {was_at}" in done.stderr, done.stderr
    p.start()
    wait_until(lambda: p.get("/readyz")[0] == 200, 30, "the parent is ready")
    assert "ill_changes waits" in p.get("/readyz")[1]
    fit.insert((2, "after"), table="fit").send()
    ids = Lakehouse(p.data).sql("select id from {t} order by id", t="fit_changes")
    assert ids == [(1,), (2,)]
    assert p.stop() == 0


def test_a_copy_is_a_lakehouse_of_its_own_once_relocated(filled, tmp_path, parent):
    p, source = filled
    copy = Parent(tmp_path, "buffer.max_age_ms=50")
    copy.data, copy.log = tmp_path / "copy", tmp_path / "copy.log"
    shutil.copytree(p.data, copy.data)
    assert "evodb lake relocate" in refusal(copy)
    done = run("lake", "relocate", "--data", copy.data)
    assert done.returncode == 0, done.stderr
    copy.start()
    try:
        source.insert((5, "to the copy", None)).send(copy.url)
        expect(copy.data, range(6))
        expect(p.data, range(5))
    finally:
        assert copy.stop() == 0


@pytest.mark.parametrize("path", ["symlink", "relative"])
def test_another_path_to_the_same_directory_is_the_same_lakehouse(filled, tmp_path, path):
    p, source = filled
    there = p.data
    if path == "symlink":
        p.data = tmp_path / "link"
        p.data.symlink_to(there)
    else:
        p.data = os.path.relpath(there)
    p.start()
    source.insert((5, "by another path", None)).send()
    assert p.stop() == 0
    expect(there, range(6))


def test_a_catalog_with_another_warehouse_is_refused(filled, tmp_path):
    p, _ = filled
    p.settings.append(f"store.url=file:{tmp_path}/another")
    said = refusal(p)
    assert "store.url" in said and "another" in said, said


def test_a_relocated_bucket_is_read(tmp_path, parent, s3):
    p = parent("buffer.max_age_ms=50", store=s3).start()
    source = SmallSource(tmp_path, p.url)
    for i in range(3):
        source.insert((i, f"v{i}", None)).send()
    assert p.stop() == 0
    shutil.copytree(s3.root / BUCKET / "warehouse", s3.root / BUCKET / "elsewhere")
    settings = [f"store.url=s3://{BUCKET}/elsewhere"]
    p.settings += settings
    p.store = Moved(s3, settings)
    assert "evodb lake relocate" in refusal(p)
    arguments = [a for s in p.store.settings() for a in ("--set", s)]
    done = subprocess.run([str(BINARY), "lake", "relocate", "--data", str(p.data), *arguments],
                          env=clean_environment(**s3.environment()), capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(s3.root / BUCKET / "warehouse")
    p.start()
    source.insert((3, "after", None)).send()
    expect(p.data, range(4), s3)
    assert p.stop() == 0


class Moved:
    """The same server, another place in it."""

    def __init__(self, s3, settings):
        self.s3, self.more = s3, settings

    def settings(self):
        return [s for s in self.s3.settings() if not s.startswith("store.url")] + self.more

    def environment(self):
        return self.s3.environment()
