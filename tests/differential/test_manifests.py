"""Our Avro, manifests, manifest lists and schemas, as PyIceberg and DuckDB read them, and theirs as we do.

Random entries with every field that format v2 has; what comes back must be what was put in.
"""

import importlib.util
import json
import pathlib

import duckdb
import pytest
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import (
    DataFile, DataFileContent, FileFormat, ManifestContent, ManifestEntry, ManifestEntryStatus,
    ManifestFile, read_manifest_list, write_manifest, write_manifest_list)
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC
from pyiceberg.schema import Schema
from pyiceberg.typedef import Record

FILES = 150


@pytest.fixture(scope="module")
def duck():
    connection = duckdb.connect(config={"autoinstall_known_extensions": False,
                                        "autoload_known_extensions": False})
    origin = importlib.util.find_spec("duckdb_extension_avro").origin
    extensions = pathlib.Path(origin).parent / "extensions" / f"v{duckdb.__version__}"
    connection.execute(f"LOAD '{extensions}/avro.duckdb_extension'")
    return connection


def i64(rng):
    return rng.choice([0, 1, rng.getrandbits(7), rng.getrandbits(33), rng.getrandbits(62),
                       (1 << 63) - 1])


def some_bytes(rng):
    return rng.randbytes(rng.choice([0, 1, 8, rng.randrange(100)])).hex()


def some_map(rng, value):
    return {str(rng.randrange(1, 1 << 31)): value(rng) for _ in range(rng.choice([0, 1, 5, 40]))}


def some_text(rng):
    return "".join(rng.choice("ab/.é😀 ") for _ in range(rng.choice([1, 10, 70, 300])))


def entry(rng):
    status = rng.choice([0, 1, 2])
    maybe = lambda v: v if status != 1 or rng.random() < 0.5 else None  # noqa: E731
    content = rng.choice([0, 0, 0, 1, 2])
    return {"status": status, "snapshot_id": i64(rng) or 1, "sequence_number": maybe(i64(rng)),
            "file_sequence_number": maybe(i64(rng)), "content": content,
            "location": "s3://b/" + some_text(rng), "record_count": i64(rng),
            "file_bytes": i64(rng), "column_bytes": some_map(rng, i64),
            "value_counts": some_map(rng, i64), "null_counts": some_map(rng, i64),
            "nan_counts": some_map(rng, i64), "lower_bounds": some_map(rng, some_bytes),
            "upper_bounds": some_map(rng, some_bytes),
            "split_offsets": sorted(i64(rng) for _ in range(rng.choice([0, 1, 3]))),
            "key_metadata": rng.choice([None, some_bytes(rng)]),
            "equality_ids": [rng.randrange(1, 99) for _ in range(3)] if content == 2 else [],
            "sort_order_id": rng.choice([None, 0, 7])}


def listed(rng, name):
    maybe = lambda v: rng.choice([None, v])  # noqa: E731
    partitions = [{"contains_null": rng.random() < 0.5, "contains_nan": maybe(True),
                   "lower_bound": maybe(some_bytes(rng)), "upper_bound": maybe(some_bytes(rng))}
                  for _ in range(rng.randrange(3))]
    return {"location": name, "bytes": i64(rng), "spec_id": rng.randrange(5),
            "content": rng.choice([0, 1]), "sequence_number": i64(rng),
            "min_sequence_number": i64(rng), "added_snapshot_id": i64(rng),
            "counts": [rng.getrandbits(31) for _ in range(3)] + [i64(rng) for _ in range(3)],
            "key_metadata": maybe(some_bytes(rng)), "partitions": maybe(partitions)}


def plain(of):
    """A PyIceberg data file in our form."""
    counts = lambda m: {str(k): v for k, v in (m or {}).items()}  # noqa: E731
    bounds = lambda m: {str(k): v.hex() for k, v in (m or {}).items()}  # noqa: E731
    return {"content": int(of.content), "location": of.file_path, "record_count": of.record_count,
            "file_bytes": of.file_size_in_bytes, "column_bytes": counts(of.column_sizes),
            "value_counts": counts(of.value_counts), "null_counts": counts(of.null_value_counts),
            "nan_counts": counts(of.nan_value_counts), "lower_bounds": bounds(of.lower_bounds),
            "upper_bounds": bounds(of.upper_bounds), "split_offsets": of.split_offsets or [],
            "key_metadata": None if of.key_metadata is None else of.key_metadata.hex(),
            "equality_ids": of.equality_ids or [], "sort_order_id": of.sort_order_id}


def inherited(e, of):
    """What a reader fills in from the manifest's line in the list."""
    e = dict(e)
    for name in ("sequence_number", "file_sequence_number"):
        if e[name] is None:
            e[name] = of["sequence_number"]
    return e


def pyiceberg_entries(path, of):
    manifest = ManifestFile.from_args(
        manifest_path=str(path), manifest_length=path.stat().st_size, partition_spec_id=0,
        content=ManifestContent(of["content"]), sequence_number=of["sequence_number"],
        min_sequence_number=0, added_snapshot_id=of["added_snapshot_id"])
    found = manifest.fetch_manifest_entry(PyArrowFileIO(), discard_deleted=False)
    return [{"status": int(e.status), "snapshot_id": e.snapshot_id,
             "sequence_number": e.sequence_number,
             "file_sequence_number": e.file_sequence_number} | plain(e.data_file) for e in found]


def test_manifests_that_we_write(far_side, duck, rng, times, tmp_path):
    written = [(f"m{i}.avro", [entry(rng) for _ in range(rng.choice([0, 1, 3, 40]))])
               for i in range(FILES * times)]
    far_side("manifests", [json.dumps({"write": "manifest", "name": n, "entries": e}).encode()
                           for n, e in written], tmp_path)
    total = 0
    for name, entries in written:
        of = listed(rng, name)
        want = [inherited(e, of) for e in entries]
        assert pyiceberg_entries(tmp_path / name, of) == want, name
        total += len(entries)
        if not entries:
            continue  # DuckDB's own reader refuses files without a block
        rows = duck.execute(
            "SELECT status, snapshot_id, sequence_number, data_file.file_path, "
            "data_file.record_count, data_file.split_offsets, data_file.lower_bounds, "
            f"data_file.sort_order_id FROM read_avro('{tmp_path / name}')").fetchall()
        assert len(rows) == len(entries), name
        for row, e in zip(rows, entries):
            bounds = row[6].items() if isinstance(row[6], dict) else \
                [(b["key"], b["value"]) for b in row[6] or []]
            assert row[:5] == (e["status"], e["snapshot_id"], e["sequence_number"], e["location"],
                               e["record_count"]), name
            assert (row[5] or []) == e["split_offsets"] and row[7] == e["sort_order_id"], name
            assert {str(k): bytes(v).hex() for k, v in bounds} == e["lower_bounds"], name
    print(f"{len(written)} manifests, {total} entries")


def test_manifest_lists_that_we_write(far_side, duck, rng, times, tmp_path):
    written = [(f"l{i}.avro", [listed(rng, f"m{j}") for j in range(rng.choice([0, 1, 5, 50]))])
               for i in range(FILES * times)]
    far_side("manifests", [json.dumps({"write": "list", "name": n, "files": f}).encode()
                           for n, f in written], tmp_path)
    for name, files in written:
        found = [{"location": m.manifest_path, "bytes": m.manifest_length,
                  "spec_id": m.partition_spec_id, "content": int(m.content),
                  "sequence_number": m.sequence_number,
                  "min_sequence_number": m.min_sequence_number,
                  "added_snapshot_id": m.added_snapshot_id,
                  "counts": [m.added_files_count, m.existing_files_count, m.deleted_files_count,
                             m.added_rows_count, m.existing_rows_count, m.deleted_rows_count],
                  "key_metadata": None if m.key_metadata is None else m.key_metadata.hex(),
                  "partitions": None if m.partitions is None else
                  [{"contains_null": p.contains_null, "contains_nan": p.contains_nan,
                    "lower_bound": None if p.lower_bound is None else p.lower_bound.hex(),
                    "upper_bound": None if p.upper_bound is None else p.upper_bound.hex()}
                   for p in m.partitions]}
                 for m in read_manifest_list(PyArrowFileIO().new_input(str(tmp_path / name)))]
        assert found == files, name
        if files:
            rows = duck.execute("SELECT manifest_path, sequence_number, added_rows_count "
                                f"FROM read_avro('{tmp_path / name}')").fetchall()
            assert rows == [(f["location"], f["sequence_number"], f["counts"][3])
                            for f in files], name
    print(f"{len(written)} manifest lists")


def same(said, want):
    assert "read" in said, said["error"]
    for found, e in zip(said["read"], want, strict=True):
        assert found == e, {k: (found[k], e[k]) for k in e if found[k] != e[k]}


def theirs(e):
    """Our form as a PyIceberg entry."""
    counts = lambda m: {int(k): v for k, v in m.items()}  # noqa: E731
    bounds = lambda m: {int(k): bytes.fromhex(v) for k, v in m.items()}  # noqa: E731
    file = DataFile.from_args(
        _table_format_version=2, content=DataFileContent(e["content"]), file_path=e["location"],
        file_format=FileFormat.PARQUET, partition=Record(), record_count=e["record_count"],
        file_size_in_bytes=e["file_bytes"], column_sizes=counts(e["column_bytes"]),
        value_counts=counts(e["value_counts"]), null_value_counts=counts(e["null_counts"]),
        nan_value_counts=counts(e["nan_counts"]), lower_bounds=bounds(e["lower_bounds"]),
        upper_bounds=bounds(e["upper_bounds"]),
        key_metadata=None if e["key_metadata"] is None else bytes.fromhex(e["key_metadata"]),
        split_offsets=e["split_offsets"], equality_ids=e["equality_ids"],
        sort_order_id=e["sort_order_id"])
    return ManifestEntry.from_args(
        _table_format_version=2, status=ManifestEntryStatus(e["status"]),
        snapshot_id=e["snapshot_id"], sequence_number=e["sequence_number"],
        file_sequence_number=e["file_sequence_number"], data_file=file)


def test_manifests_that_pyiceberg_writes(far_side, rng, times, tmp_path):
    cases, wants = [], []
    for i in range(FILES * times):
        codec = rng.choice(["null", "deflate"])
        path = tmp_path / f"p{i}.avro"
        entries = [entry(rng) | {"status": 1, "content": 0, "equality_ids": [], "snapshot_id": 77}
                   for _ in range(rng.choice([1, 3, 40]))]
        output = PyArrowFileIO().new_output(str(path))
        with write_manifest(2, UNPARTITIONED_PARTITION_SPEC, Schema(), output, 77, codec) as writer:
            for e in entries:
                writer.add(theirs(e))
        of = listed(rng, path.name) | {"content": 0, "added_snapshot_id": 77}
        # Their writer leaves the file's number of an added entry to be inherited.
        wants.append([inherited(e | {"file_sequence_number": None}, of) for e in entries])
        cases.append(json.dumps({"read": "manifest", "name": path.name, "listed": of}).encode())
    for said, want in zip(far_side("manifests", cases, tmp_path), wants):
        same(said, want)


def test_manifest_lists_that_pyiceberg_writes(far_side, rng, times, tmp_path):
    cases, wants = [], []
    for i in range(FILES * times):
        path = tmp_path / f"q{i}.avro"
        files = [listed(rng, f"m{j}") | {"partitions": None, "spec_id": 0}
                 for j in range(rng.choice([1, 5, 50]))]
        manifests = [ManifestFile.from_args(
            _table_format_version=2, manifest_path=f["location"], manifest_length=f["bytes"],
            partition_spec_id=0, content=ManifestContent(f["content"]),
            sequence_number=f["sequence_number"], min_sequence_number=f["min_sequence_number"],
            added_snapshot_id=f["added_snapshot_id"], added_files_count=f["counts"][0],
            existing_files_count=f["counts"][1], deleted_files_count=f["counts"][2],
            added_rows_count=f["counts"][3], existing_rows_count=f["counts"][4],
            deleted_rows_count=f["counts"][5], partitions=None,
            key_metadata=None if f["key_metadata"] is None else bytes.fromhex(f["key_metadata"]))
            for f in files]
        output = PyArrowFileIO().new_output(str(path))
        codec = rng.choice(["null", "deflate"])
        with write_manifest_list(2, output, 7, 6, 9, codec) as writer:
            writer.add_manifests(manifests)
        wants.append(files)
        cases.append(json.dumps({"read": "list", "name": path.name}).encode())
    for said, want in zip(far_side("manifests", cases, tmp_path), wants):
        same(said, want)


def field(rng, ids, level=0):
    kinds = ["boolean", "int", "long", "double", "string", "binary", "timestamptz", "map"]
    kind = rng.choice(kinds + ["struct"] * (level < 2))
    out = {"id": next(ids), "name": f"{some_text(rng)[:20]}{next(ids)}", "type": kind,
           "required": rng.random() < 0.3}
    if kind == "struct":
        out["children"] = [field(rng, ids, level + 1) for _ in range(rng.randrange(1, 4))]
    if kind == "map":
        out |= {"key_id": next(ids), "value_id": next(ids)}
    return out


def same_field(want, found):
    assert (found.field_id, found.name, found.required) == \
        (want["id"], want["name"], want["required"])
    if want["type"] == "struct":
        for w, f in zip(want["children"], found.field_type.fields, strict=True):
            same_field(w, f)
    elif want["type"] == "map":
        assert (found.field_type.key_id, found.field_type.value_id) == \
            (want["key_id"], want["value_id"])
    else:
        assert str(found.field_type) == want["type"]


def test_schemas_that_we_write(far_side, rng, times):
    schemas = []
    for _ in range(300 * times):
        ids = iter(range(1, 10_000))
        schemas.append([field(rng, ids) for _ in range(rng.randrange(1, 12))])
    said = far_side("manifests", [json.dumps({"schema": s}).encode() for s in schemas], ".")
    for schema, out in zip(schemas, said):
        found = Schema.model_validate_json(out["json"])
        assert found.schema_id == 3 and out["again"]
        for w, f in zip(schema, found.fields, strict=True):
            same_field(w, f)
