"""Every engine of docs/readers.md that this machine has, with the page's own code, against SQLite.

Not part of `make test`: tests/readers/run installs a gigabyte of engines first. Trino needs a server of its own.
"""

import collections
import math
import os
import pathlib
import pickle
import sqlite3
import subprocess
import sys

import pytest
import xxhash

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from harness import workload  # noqa: E402
from harness.lakehouse import Lakehouse  # noqa: E402
from world import ODD, TABLES, make, tables_of  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOME = ROOT / ".deps" / "readers"
BUILD = ROOT / os.environ.get("EVODB_BUILD", "build")
ENGINES = ["DuckDB", "PyIceberg", "Polars", "Daft", "ClickHouse", "DataFusion", "Spark", "iceberg-go"]
LANDED = {name: f"{name.lower()}_changes" for name in TABLES}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    ninja = os.environ.get("NINJA", "ninja")
    subprocess.run([ninja, "-C", BUILD, "evodb_differential"], check=True, capture_output=True)
    folder = tmp_path_factory.mktemp("readers")
    return folder, make(folder, BUILD / "evodb_differential")


def read(engine, folder):
    output = folder / f"{engine}.pickle"
    if engine == "iceberg-go":
        import pyarrow as pa

        if not (HOME / "iceberg-go").exists():
            pytest.skip("no Go when tests/readers/run installed the engines")
        changes = {}
        for table in LANDED.values():
            done = subprocess.run([HOME / "iceberg-go", "evodb-data", table], cwd=folder, capture_output=True,
                                  timeout=120)
            assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
            changes[table] = pa.ipc.open_stream(done.stdout).read_all().to_pylist()
        return {"changes": changes, "now": None}
    if engine == "Spark" and not (HOME / "jars").exists():
        pytest.skip("no mvn or java when tests/readers/run installed the engines")
    done = subprocess.run([HOME / "venv/bin/python", ROOT / "tests/readers/read.py", engine, output,
                           *LANDED.values()], cwd=folder, capture_output=True, text=True, timeout=600,
                          env=os.environ | {"EVODB_JARS": str(HOME / "jars")})
    assert done.returncode == 0, done.stderr[-3000:]
    return pickle.loads(output.read_bytes())


# --- from what an engine gives to what SQLite holds -----------------------------------------------
def landed_names(columns):
    """docs/formats/tables.md, "Names": the source's columns by the names that they have in the table."""
    reserved = {"_file", "_pos", "_row_id", "_before", "_unfit"}
    out, folded = {}, set()
    for name in columns:
        clean = "_" + name[1:] if name.startswith("$") else name
        fold = name.replace("ı", "i").casefold()
        out[name] = name
        if clean != name or name in reserved or name.startswith("_before_") or fold in folded:
            there = f"{clean}_{xxhash.xxh64_hexdigest(name.encode())[:8]}"
            out[name] = there[1:] if there.startswith("_before_") else there
        folded.add(fold)
    return out


def as_text(value):
    return value.decode() if isinstance(value, bytes) else value


def plain(row, binary):
    """One shape for all: text is str, `_unfit` a dict. ClickHouse gives bytes for text."""
    out = {as_text(k): v if k in binary else as_text(v) for k, v in row.items()}
    unfit = out["_unfit"] or {}
    pairs = unfit.items() if isinstance(unfit, dict) else (
        (p["key"], p["value"]) if isinstance(p, dict) else p for p in unfit)
    out["_unfit"] = {as_text(k): as_text(v) for k, v in pairs}
    return out


def fold(rows, names, epoch):
    """One source's changes of one table, in order, as tables.md says; `names`: the source's to the table's."""
    columns, state = list(names), {}
    key = columns[:1]

    def image(row, of, before=False):
        out = []
        for name in of:
            note = row["_unfit"].get(("_before." if before else "") + names[name])
            held = row.get(("_before_" if before else "") + names[name])
            out.append(workload.identity(workload.unfit_value(note) if note is not None else held))
        return tuple(out)

    for row in sorted((r for r in rows if r["_epoch"] == epoch), key=lambda r: r["_lsn"]):
        if row["_op"] in ("RESET", "DROP"):
            state.clear()
            continue
        if row["_op"] == "DELETE":
            state.pop(image(row, key), None)
            continue
        if row["_op"] == "UPDATE":
            state.pop(image(row, key, before=True), None)
        state[image(row, key)] = image(row, columns)
    return sorted(state.values())


@pytest.mark.parametrize("engine", ENGINES)
def test_what_the_engine_reads_is_what_sqlite_holds(engine, world):
    folder, paths = world
    if not (HOME / "venv").exists():
        pytest.skip("no engines here: tests/readers/run")
    found = read(engine, folder)
    lake = Lakehouse(folder / "evodb-data").catalog()
    landed = {}
    for table, rows in found["changes"].items():
        fields = lake.load_table(f"evodb.{table}").schema().fields
        binary = {f.name for f in fields if str(f.field_type) == "binary"}
        landed[table] = [plain(row, binary) for row in rows]
    identities = collections.Counter((r["_source"], r["_epoch"], r["_lsn"]) for rows in landed.values() for r in rows)
    assert identities and max(identities.values()) == 1
    epochs = {s: max(e for source, e, _ in identities if source == s) for s in paths}
    values = 0
    for source, path in paths.items():
        db = sqlite3.connect(path)
        for table, columns in TABLES.items():
            names = [c for c, _ in columns]
            if table == "goods":
                names.append("note")
            if table == "again" and source == "a":
                names.append("y")
            mine = [row for row in landed[LANDED[table]] if row["_source"] == source]
            back = fold(mine, landed_names(names), epochs[source])
            truth = workload.sqlite_rows(db, table, names) if table in tables_of(db) else []
            assert back == truth, f"{engine}: {table} of {source}"
            values += sum(len(row) for row in truth)
        db.close()
    assert values > 500
    if found["now"] is not None:
        want = []
        for source, path in sorted(paths.items()):
            with sqlite3.connect(path) as db:
                want += [(source, *row) for row in db.execute("SELECT * FROM goods ORDER BY id")]
        assert [tuple(as_text(v) for v in row.values()) for row in found["now"]] == want, engine
    assert not any(isinstance(v, float) and math.isnan(v) for rows in landed.values() for r in rows for v in r.values())
    print(f"{engine}: {values} values, {sum(identities.values())} changes")


def test_odd_names_are_odd_enough():
    names = landed_names([c for c, _ in TABLES["Odd Names"]])
    assert sum(name != there for name, there in names.items()) >= 8 and len(set(names.values())) == len(ODD) + 1
