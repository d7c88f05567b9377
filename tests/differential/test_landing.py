"""Values through our Parquet: every one comes back with its storage class, by the rule of
docs/formats/tables.md ("Values, exactly"), read by PyArrow, by PyIceberg and by DuckDB.

Random tables, columns and changes: integers and reals at their ends, NaN, infinities, both zeros, NULLs,
text that is not UTF-8, blobs, booleans, and values that do not fit their column. Several flushes, so
that columns join later and files differ in their schemas.
"""

import json
import math
import struct

import pyarrow.parquet as pq
import pytest
import xxhash
from harness.lakehouse import duckdb_with_iceberg
from pyiceberg.catalog.sql import SqlCatalog

ROUNDS, BATCHES = 20, 20
TYPES = ["INTEGER", "BIGINT", "TEXT", "VARCHAR(20)", "BLOB", "REAL", "DOUBLE", "DATETIME",
         "DECIMAL(10,2)", "NUMERIC", "BOOL", "JSON", ""]
NAMES = ["id", "v", "Straße", "a b", "a.b", "_lsn", "_before", "_unfit.x", 'q"u', "😀", "", "x\ty", "_file",
         "$path", "_before_id"]
OPS = {0: "INSERT", 1: "UPDATE", 2: "DELETE", 3: "SNAPSHOT", 5: "RESET", 6: "DROP"}
CLASSES = {"boolean": "boolean", "long": "integer", "double": "real", "string": "text",
           "binary": "blob"}
SYSTEM = {"_source", "_epoch", "_lsn", "_txn", "_op", "_committed_at", "_received_at", "_key",
          "_before", "_unfit", "_file"}
INTEGERS = [0, 1, -1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)]
REALS = [0.0, -0.0, 1.5, 5e-324, 1.7976931348623157e308, -2.2250738585072014e-308, math.inf,
         -math.inf, math.nan, 0.1, 1e22, 5.0]


# --- what is sent -------------------------------------------------------------------------------
def value(rng, declared):
    kind = rng.choice(["null", "integer", "real", "text", "blob", "boolean"])
    if rng.random() < 0.7:  # one that fits, as far as the declaration tells
        kind = next((k for words, k in [("INT", "integer"), ("CHAR TEXT", "text"),
                                        ("BLOB", "blob"), ("REAL DOUB", "real"),
                                        ("DATE", "text"), ("NUM DEC", "real")]
                     if any(w in declared for w in words.split())), kind)
    if kind == "null":
        return ["null"]
    if kind == "integer":
        return ["integer", str(rng.choice([rng.choice(INTEGERS), rng.getrandbits(40),
                                           -rng.getrandbits(63)]))]
    if kind == "real":
        raw = rng.choice([struct.pack("<d", rng.choice(REALS)), rng.randbytes(8)])
        return ["real", struct.pack(">d", struct.unpack("<d", raw)[0]).hex()]
    if kind == "text":
        good = "".join(rng.choice("aé😀\0\n':\u2028") for _ in range(rng.choice([0, 1, 5, 80])))
        bad = rng.randbytes(rng.randrange(1, 9))
        return ["text", (bad if rng.random() < 0.1 else good.encode()).hex()]
    if kind == "blob":
        return ["blob", rng.randbytes(rng.choice([0, 1, 9, 200])).hex()]
    return ["boolean", rng.random() < 0.5]


def tables(rng):
    out = []
    for i in range(3):
        names = rng.sample(NAMES, rng.randrange(1, len(NAMES)))
        out.append({"name": f"t{i}", "columns": [[n, rng.choice(TYPES), int(j == 0)]
                                                 for j, n in enumerate(names)]})
    return out


def batch(rng, table, lsn):
    # A source that has some of the columns only, or one more.
    columns = [c for c in table["columns"] if rng.random() < 0.8] or table["columns"]
    if rng.random() < 0.2:
        columns = columns + [[f"late{rng.randrange(3)}", rng.choice(TYPES), 0]]
    row = lambda: [value(rng, c[1]) for c in columns]  # noqa: E731
    changes = []
    for _ in range(rng.randrange(1, 12)):
        op = rng.choice([0, 1, 2, 3])
        lsn += rng.choice([1, 1, 1, 1000])
        if rng.random() < 0.05:  # the table begins anew here, or is gone
            changes.append({"op": rng.choice([5, 6]), "lsn": lsn, "at": 0, "before": None,
                            "after": None, "reason": rng.choice(["", "rebuilt", "naïve: 'x'"])})
            continue
        changes.append({"op": op, "lsn": lsn, "at": rng.choice([0, 1_700_000_000_123, -5]),
                        "before": row() if op == 2 or op == 1 and rng.random() < 0.8 else None,
                        "after": row() if op != 2 else None})
    return {"source": "s", "table": {"name": table["name"], "columns": columns},
            "changes": changes}, lsn


# --- the rule of the documentation ----------------------------------------------------------------
def noted(text):
    """A value of `_unfit`, as it was."""
    kind, _, rest = text.partition(":")
    if kind == "text":
        return ["text", rest.encode().hex()]
    if kind in ("text-hex", "blob"):
        return [kind.removesuffix("-hex"), rest]
    if kind == "real":
        return ["real", struct.pack(">d", float(rest)).hex()]
    return ["boolean", rest == "true"] if kind == "boolean" else [kind, rest]


def held(kind, v):
    """A value of a column, as it was."""
    if kind == "integer":
        return [kind, str(v)]
    if kind == "real":
        return [kind, struct.pack(">d", v).hex()]
    if kind == "text":
        return [kind, v.encode().hex()]
    return [kind, bytes(v).hex() if kind == "blob" else bool(v)]


def landed_name(name, fields, notes):
    digest = xxhash.xxh64_hexdigest(name.encode())
    clean = "".join("_" if ord(c) < 0x20 or ord(c) == 0x7F else c for c in name)
    if name.startswith(("_before.", "_unfit.")):
        clean = clean.replace(".", "_", 1)
    if name.startswith("$"):
        clean = "_" + clean[1:]
    if name and clean == name and name not in SYSTEM and not name.startswith("_before_"):
        return name
    landed = f"{clean}_{digest[:8]}"
    return landed[1:] if landed.startswith("_before_") else landed


def recovered(row, name, before, fields):
    notes = row["_unfit"]
    landed = landed_name(name, fields, notes)
    note = notes.get(("_before." if before else "") + landed)
    if note is not None:
        return noted(note)
    v = row.get(("_before_" if before else "") + landed)
    return ["null"] if v is None else held(CLASSES[fields[landed]], v)


def nan_aside(v):
    """All NaNs are one: SQLite has none, and readers may change their bits."""
    if v[0] == "real" and math.isnan(struct.unpack(">d", bytes.fromhex(v[1]))[0]):
        return ["real", "nan"]
    return v


def check(rows, sent, fields, reader):
    rows = {r["_lsn"]: r | {"_unfit": dict(r["_unfit"] or {})} for r in rows}
    assert rows.keys() == sent.keys(), reader
    values = 0
    for lsn, (columns, change) in sent.items():
        row = rows[lsn]
        assert row["_op"] == OPS[change["op"]] and row["_source"] == "s", (reader, lsn)
        main = change["after"] or change["before"]  # a DELETE shows the row that went
        if main is None:
            assert row["_unfit"] == {"_reason": "text:" + change["reason"]}, (reader, lsn)
            assert all(v is None for k, v in row.items()
                       if k.lower() not in SYSTEM), (reader, lsn, row)
            continue
        for before, expected in [(False, main), (True, change["before"])]:
            if expected is None:
                assert all(row["_before_" + f] is None for f in fields
                           if "_before_" + f in fields), (reader, lsn)
                absent = change["op"] == 1 and "absent" or None
                assert row["_unfit"].get("_before") == absent, (reader, lsn)
                continue
            for (name, declared, _), want in zip(columns, expected, strict=True):
                found = recovered(row, name, before, fields)
                assert nan_aside(found) == nan_aside(want), \
                    f"{reader}: lsn {lsn}, column {name!r} {declared!r}, before={before}: " \
                    f"{found} for {want}; {row}"
                values += 1
    return values


# --- readers ------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def duck():
    return duckdb_with_iceberg()


# What a file lacks is null: Iceberg says so, and PyArrow, which knows of no table, cannot.
def by_pyarrow(table):
    rows, absent = [], dict.fromkeys(f.name for f in table.schema().fields)
    for task in table.scan().plan_files():
        found = pq.read_table(task.file.file_path.removeprefix("file://"), partitioning=None)
        rows += [absent | row for row in found.to_pylist()]
    return rows


def by_pyiceberg(table):
    return table.scan().to_arrow().to_pylist()


def by_duckdb(duck, table):
    location = table.metadata_location.removeprefix("file://")
    return duck.execute(f"SELECT * FROM iceberg_scan('{location}')").to_arrow_table().to_pylist()


def test_every_value_comes_back_with_its_storage_class(far_side, duck, rng, times, tmp_path):
    total = 0
    for round_ in range(ROUNDS * times):
        folder = tmp_path / str(round_)
        folder.mkdir()
        defs, cases, sent, lsn = tables(rng), [], {}, 0
        for _ in range(BATCHES):
            made, lsn = batch(rng, rng.choice(defs), lsn)
            cases.append(made)
            for change in made["changes"]:
                sent.setdefault(made["table"]["name"], {})[change["lsn"]] = \
                    (made["table"]["columns"], change)
            if rng.random() < 0.3:
                cases.append({"flush": True})
        cases.append({"flush": True})
        for said in far_side("landing", [json.dumps(c).encode() for c in cases], folder):
            assert said["trouble"] == ""
        catalog = SqlCatalog("evodb", uri=f"sqlite:///{folder}/catalog.db",
                             warehouse=f"file://{folder}/warehouse")
        for name, changes in sent.items():
            table = catalog.load_table(("evodb", f"{name}_changes"))
            fields = {f.name: str(f.field_type) for f in table.schema().fields}
            total += check(by_pyarrow(table), changes, fields, "PyArrow")
            check(by_pyiceberg(table), changes, fields, "PyIceberg")
            check(by_duckdb(duck, table), changes, fields, "DuckDB")
    print(f"{total} values, by three readers")
