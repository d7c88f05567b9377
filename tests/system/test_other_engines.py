"""Another engine changes our tables while the parent runs: the stream goes on.

docs/formats/iceberg.md, "Other engines". PyIceberg is the other engine.
"""

import shutil

import pytest
from harness.binary import wait_until
from harness.lakehouse import Lakehouse
from harness.small_source import SmallSource
from pyiceberg.types import IntegerType, LongType, StringType


@pytest.fixture
def scene(tmp_path, parent):
    p = parent("buffer.max_age_ms=50").start()
    source = SmallSource(tmp_path, p.url)
    source.insert((1, "v1", "w1")).send()
    yield p, source, Lakehouse(p.data)
    assert p.stop() == 0


def table_of(lakehouse, name="t_changes"):
    return lakehouse.catalog().load_table(f"evodb.{name}")


def rows(lakehouse, columns="id, v, w", name="t_changes"):
    found = lakehouse.sql(f"select {columns} from {{t}} order by _lsn", t=name)
    by_pyiceberg = lakehouse.arrow(name).to_pylist()
    assert len(by_pyiceberg) == len(found)
    return found


def test_a_dropped_column_comes_back_under_a_new_id(scene):
    _, source, lakehouse = scene
    old_id = table_of(lakehouse).schema().find_field("v").field_id
    with table_of(lakehouse).update_schema() as update:
        update.delete_column("v")
    source.insert((2, "v2", "w2")).send()
    source.insert((3, "v3", "w3")).send()
    field = table_of(lakehouse).schema().find_field("v")
    assert field.field_id > old_id
    assert rows(lakehouse) == [(1, None, "w1"), (2, "v2", "w2"), (3, "v3", "w3")]


def test_a_dropped_column_after_a_restart_too(scene):
    p, source, lakehouse = scene
    with table_of(lakehouse).update_schema() as update:
        update.delete_column("v")
    assert p.stop() == 0
    p.start()
    source.insert((2, "v2", "w2")).send()
    assert rows(lakehouse) == [(1, None, "w1"), (2, "v2", "w2")]


def test_a_column_that_was_added_and_then_comes_from_the_source(scene):
    _, source, lakehouse = scene
    with table_of(lakehouse).update_schema() as update:
        update.add_column("extra", StringType())
        update.add_column("wrong", LongType())
    source.insert((2, "v2", "w2")).send()
    source.execute("alter table t add column extra text")
    source.execute("alter table t add column wrong text")
    source.insert((3, "v3", "w3", "e3", "no number")).send()
    assert rows(lakehouse, "id, extra")[-1] == (3, "e3")
    unfit = lakehouse.arrow("t_changes").to_pylist()
    last = max(unfit, key=lambda r: r["_lsn"])
    assert last["wrong"] is None and dict(last["_unfit"])["wrong"] == "text:no number"


def test_a_column_of_a_type_that_we_do_not_write_keeps_its_name(scene):
    from pyiceberg.types import ListType
    _, source, lakehouse = scene
    with table_of(lakehouse).update_schema() as update:
        update.add_column("tags", ListType(1, StringType(), element_required=False))
    source.execute("alter table t add column tags text")
    source.insert((2, "v2", "w2", "a,b")).send()
    last = max(lakehouse.arrow("t_changes").to_pylist(), key=lambda r: r["_lsn"])
    assert last["tags"] is None
    assert "a,b" in [v for k, v in last.items() if k.startswith("tags_")]


def test_a_column_that_is_widened_later(scene):
    _, source, lakehouse = scene
    with table_of(lakehouse).update_schema() as update:
        update.add_column("n", IntegerType())  # a type that we do not write
    source.execute("alter table t add column n integer")
    source.insert((2, "v2", "w2", 7)).send()
    with table_of(lakehouse).update_schema() as update:
        update.update_column("n", LongType())
    source.insert((3, "v3", "w3", 8)).send()
    source.insert((4, "v4", "w4", 2**40)).send()
    landed = {r["id"]: r for r in lakehouse.arrow("t_changes").to_pylist() if r["_op"] == "INSERT"}
    for i, n in ((3, 8), (4, 2**40)):  # nothing is lost, wherever it is
        unfit = dict(landed[i]["_unfit"] or {})
        assert landed[i]["n"] == n or unfit.get("n") == f"integer:{n}", landed[i]


def test_columns_that_become_optional(scene):
    _, source, lakehouse = scene
    with table_of(lakehouse).update_schema() as update:
        update.make_column_optional("_op")
    source.insert((2, "v2", "w2")).send()
    source.insert((3, "v3", "w3")).send()
    assert rows(lakehouse) == [(1, "v1", "w1"), (2, "v2", "w2"), (3, "v3", "w3")]


def test_a_renamed_column(scene):
    _, source, lakehouse = scene
    with table_of(lakehouse).update_schema() as update:
        update.rename_column("v", "old_v")
    source.insert((2, "v2", "w2")).send()
    source.insert((3, "v3", "w3")).send()
    assert rows(lakehouse, "id, old_v, v") == [(1, "v1", None), (2, None, "v2"), (3, None, "v3")]


def test_reordered_columns(scene):
    _, source, lakehouse = scene
    with table_of(lakehouse).update_schema() as update:
        update.move_first("w")
        update.move_after("v", "_lsn")
    source.insert((2, "v2", "w2")).send()
    assert rows(lakehouse) == [(1, "v1", "w1"), (2, "v2", "w2")]


def test_a_table_that_was_renamed_is_followed(scene):
    _, source, lakehouse = scene
    lakehouse.catalog().rename_table("evodb.t_changes", "evodb.orders")
    source.insert((2, "v2", "w2")).send()
    assert lakehouse.tables() == ["orders"]
    assert rows(lakehouse, name="orders") == [(1, "v1", "w1"), (2, "v2", "w2")]


def test_a_table_that_was_dropped_is_registered_again(scene):
    _, source, lakehouse = scene
    lakehouse.catalog().drop_table("evodb.t_changes")
    source.insert((2, "v2", "w2")).send()
    assert rows(lakehouse) == [(1, "v1", "w1"), (2, "v2", "w2")]


def test_a_table_that_was_dropped_and_gets_no_change_comes_back_too(scene):
    _, _, lakehouse = scene
    lakehouse.catalog().drop_table("evodb.t_changes")
    wait_until(lambda: lakehouse.tables() == ["t_changes"], 40, "it is registered again")
    assert rows(lakehouse) == [(1, "v1", "w1")]


def test_a_table_that_was_dropped_with_its_files_begins_anew(scene):
    p, source, lakehouse = scene
    uuid = table_of(lakehouse).metadata.table_uuid
    lakehouse.catalog().drop_table("evodb.t_changes")
    shutil.rmtree(p.data / "warehouse/evodb/t_changes")
    source.insert((2, "v2", "w2")).send()
    assert table_of(lakehouse).metadata.table_uuid != uuid
    # With what the journal still holds: here, all.
    assert rows(lakehouse) == [(1, "v1", "w1"), (2, "v2", "w2")]


def test_an_older_state_registered_again_is_brought_forward(scene):
    p, source, lakehouse = scene
    older = table_of(lakehouse).metadata_location
    source.insert((2, "v2", "w2")).send()
    catalog = lakehouse.catalog()
    catalog.drop_table("evodb.t_changes")
    catalog.register_table("evodb.t_changes", older)
    source.insert((3, "v3", "w3")).send()
    assert rows(lakehouse) == [(1, "v1", "w1"), (2, "v2", "w2"), (3, "v3", "w3")]
    assert "anew" in p.log.read_text()


def test_what_another_engine_deletes_stays_deleted_when_the_catalog_is_lost(scene):
    p, source, lakehouse = scene
    source.insert((2, "v2", "w2")).send()
    table_of(lakehouse).delete("id = 1")

    def pointed():
        names = [f.read_text() for f in (p.data / "warehouse/_evodb/tables").rglob("*.json")]
        return any(table_of(lakehouse).metadata_location.rsplit("/", 1)[1] in text for text in names)

    wait_until(pointed, 40, "the pointer follows the other engine's commit")
    p.kill()
    for file in p.data.glob("catalog.db*"):
        file.unlink()
    p.start()
    source.insert((3, "v3", "w3")).send()
    assert rows(lakehouse) == [(2, "v2", "w2"), (3, "v3", "w3")]
