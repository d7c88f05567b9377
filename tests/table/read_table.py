"""The readers' side of src/table/readers_test.cc: PyIceberg and DuckDB on tables that EvoDB committed.

    read_table.py write FOLDER       Parquet files with field ids; prints what a manifest must say of each
    read_table.py check FOLDER JSON  opens FOLDER/catalog.db and compares with what JSON expects
    read_table.py append FOLDER      another engine's commit: PyIceberg appends 5 rows (lsn 100000...)
    read_table.py delete FOLDER      another engine's commit: PyIceberg deletes lsn 0..4, copy-on-write

Exits with an AssertionError's text where something differs.
"""

import datetime
import importlib.util
import json
import pathlib
import sys

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog.sql import SqlCatalog

FILES = 40
ROWS = 10
UTC = datetime.timezone.utc


def field(name, type_, id_, nullable=True):
    return pa.field(name, type_, nullable=nullable, metadata={"PARQUET:field_id": str(id_)})


def arrow_schema(evolved):
    before = [field("name", pa.string(), 10), field("price", pa.float64(), 11)]
    columns = [
        field("_source", pa.string(), 1, nullable=False),
        field("_lsn", pa.int64(), 2, nullable=False),
        field("_at", pa.timestamp("us", tz="UTC"), 3),
        field("name", pa.string(), 4),
        field("price", pa.float64(), 5),
        field("raw", pa.binary(), 6),
        field("ok", pa.bool_(), 7),
    ]
    if evolved:
        columns.append(field("extra", pa.int64(), 15))
        before.append(field("extra", pa.int64(), 16))
    columns.append(field("_before", pa.struct(before), 8))
    unfit = pa.map_(field("key", pa.string(), 12, nullable=False), field("value", pa.string(), 13))
    columns.append(field("_unfit", unfit, 9))
    return pa.schema(columns)


def row(lsn, evolved):
    out = {
        "_source": f"device-{lsn % 7}",
        "_lsn": lsn,
        "_at": datetime.datetime(2026, 1, 1, tzinfo=UTC) + datetime.timedelta(seconds=lsn),
        "name": None if lsn % 10 == 3 else f"näme {lsn:06d}",
        "price": lsn / 4,
        "raw": bytes([lsn % 256, 255, 0]),
        "ok": lsn % 2 == 0,
        "_before": None if lsn % 3 == 0 else {"name": f"old {lsn}", "price": -1.0},
        "_unfit": [("price", "text 'abc'")] if lsn % 5 == 0 else [],
    }
    if evolved:
        out["extra"] = lsn * 2
        if out["_before"]:
            out["_before"]["extra"] = 7
    return out


def write(folder):
    data = folder / "warehouse/evodb/t/data"
    data.mkdir(parents=True)
    for n in range(FILES):
        evolved = n >= FILES // 2
        rows = [row(n * ROWS + i, evolved) for i in range(ROWS)]
        path = data / f"{n}.parquet"
        table = pa.Table.from_pylist(rows, schema=arrow_schema(evolved))
        pq.write_table(table, path, compression="zstd")
        names = [r["name"] for r in rows if r["name"]]
        print(json.dumps({
            "key": f"evodb/t/data/{n}.parquet",
            "rows": ROWS,
            "bytes": path.stat().st_size,
            "evolved": evolved,
            "null_names": sum(r["name"] is None for r in rows),
            "lsn": [rows[0]["_lsn"], rows[-1]["_lsn"]],
            "name": [min(names), max(names)],
            "price": [rows[0]["price"], rows[-1]["price"]],
        }))


def catalog(folder):
    return SqlCatalog("evodb", uri=f"sqlite:///{folder}/catalog.db",
                      warehouse=f"file://{folder}/warehouse")


def same(what, found, wanted):
    assert found == wanted, f"{what}: found {found!r}, wanted {wanted!r}"


def normal(r):
    """A row as every reader's output can be brought to."""
    r = dict(r)
    r["_unfit"] = sorted(dict(r["_unfit"] or {}).items())
    r["raw"] = bytes(r["raw"]) if r["raw"] is not None else None
    if r["_at"] is not None:
        r["_at"] = r["_at"].astimezone(UTC)
    return r


def expected_rows(want):
    rows = []
    for n in range(want["files"]):
        for i in range(ROWS):
            r = row(n * ROWS + i, n >= FILES // 2)
            if want["evolved"]:
                r.setdefault("extra", None)
                if r["_before"]:
                    r["_before"].setdefault("extra", None)
            rows.append(normal(r))
    if want.get("deleted"):
        rows = [r for r in rows if r["_lsn"] >= 5]
    for lsn in range(100_000, 100_000 + want.get("foreign", 0)):
        r = row(lsn, False)
        if want["evolved"]:
            r["extra"] = None
            if r["_before"]:
                r["_before"]["extra"] = None
        rows.append(normal(r))
    return sorted(rows, key=lambda r: r["_lsn"])


def check_pyiceberg(table, want, rows):
    summary = table.current_snapshot().summary.additional_properties if rows else {}
    same("properties", table.properties["evodb.position"], str(want["position"]))
    same("format version", table.metadata.format_version, 2)
    columns = [f.name for f in table.schema().fields]
    same("columns", columns, [f.name for f in arrow_schema(want["evolved"])])
    found = table.scan().to_arrow().to_pylist()
    same("rows", sorted(map(normal, found), key=lambda r: r["_lsn"]), rows)
    if not rows:
        return
    same("snapshots", table.inspect.snapshots().num_rows, want["snapshots"])
    same("history", table.inspect.history().num_rows, want["snapshots"])
    same("parents", [s.parent_snapshot_id for s in table.snapshots()[1:]],
         [s.snapshot_id for s in table.snapshots()[:-1]])
    if not want.get("deleted"):
        same("total-records", summary["total-records"], str(len(rows)))
    same("total-data-files", summary["total-data-files"], str(table.inspect.files().num_rows))
    files = table.inspect.files().to_pylist()
    same("records of files", sum(f["record_count"] for f in files), len(rows))
    same("paths", len({f["file_path"] for f in files}), len(files))
    for entry in table.inspect.entries().to_pylist():
        assert entry["sequence_number"] > 0, entry
    manifests = table.inspect.manifests().num_rows
    assert manifests <= want["manifests_max"], f"{manifests} manifests"
    if want.get("deleted"):
        return
    # Bounds prune: one file holds these rows.
    for condition in ("_lsn == 2", "name == 'näme 000002'", "price == 0.5"):
        same(condition, table.scan(row_filter=condition).to_arrow().num_rows, 1)
    planned = list(table.scan(row_filter="_lsn == 2").plan_files())
    same("files planned for one row", len(planned), 1)
    same("is null", table.scan(row_filter="name is null").to_arrow().num_rows,
         sum(r["name"] is None for r in rows))


def duckdb_connection():
    connection = duckdb.connect(config={"autoinstall_known_extensions": False,
                                        "autoload_known_extensions": False})
    for name in ("httpfs", "avro", "iceberg"):
        package = pathlib.Path(importlib.util.find_spec(f"duckdb_extension_{name}").origin).parent
        connection.execute(
            f"LOAD '{package}/extensions/v{duckdb.__version__}/{name}.duckdb_extension'")
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def check_duckdb(location, rows):
    connection = duckdb_connection()
    path = location.removeprefix("file://")
    scan = f"iceberg_scan('{path}')"
    found = connection.execute(f"SELECT * FROM {scan} ORDER BY _lsn").to_arrow_table().to_pylist()
    same("DuckDB's rows", list(map(normal, found)), rows)
    if rows:
        lsn = rows[len(rows) // 2]["_lsn"]
        count = connection.execute(f"SELECT count(*) FROM {scan} WHERE _lsn = {lsn}").fetchone()[0]
        same("DuckDB's row by lsn", count, 1)


def check(folder, want):
    table = catalog(folder).load_table("evodb.t")
    rows = expected_rows(want)
    check_pyiceberg(table, want, rows)
    check_duckdb(table.metadata_location, rows)


def append(folder):
    table = catalog(folder).load_table("evodb.t")
    evolved = any(f.name == "extra" for f in table.schema().fields)
    rows = [row(lsn, False) for lsn in range(100_000, 100_005)]
    schema = arrow_schema(evolved)
    if evolved:
        rows = [{**r, "extra": None} for r in rows]
    table.append(pa.Table.from_pylist(rows, schema=schema))


def delete(folder):
    catalog(folder).load_table("evodb.t").delete("_lsn < 5")


if __name__ == "__main__":
    command, where = sys.argv[1], pathlib.Path(sys.argv[2])
    if command == "check":
        check(where, json.loads(sys.argv[3]))
    else:
        {"write": write, "append": append, "delete": delete}[command](where)
