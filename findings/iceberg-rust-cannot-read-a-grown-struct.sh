#!/usr/bin/env bash
# Iceberg evolves structs like tables: a field that is added reads as null in older files. iceberg-rust does that
# for top-level columns; a struct that gained a field, written before by PyIceberg, cannot be read at all as long as
# a file of before is in the scan, neither the new field nor the old ones.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q 'pyiceberg[pyarrow,sql-sqlite]==0.12.0' pyiceberg-core==0.11.0 datafusion==54.1.0
"$work/venv/bin/python" - "$work" <<'PY'
import importlib.metadata
import sys

import pyarrow as pa
from datafusion import SessionContext
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.types import LongType

catalog = SqlCatalog("c", uri=f"sqlite:///{sys.argv[1]}/c.db", warehouse=f"file://{sys.argv[1]}/w")
catalog.create_namespace("n")


def grown(name, column):
    """A table with one row of before `column` was added, and one of behind it."""
    fields = [pa.field("id", pa.int64()), pa.field("before", pa.struct([pa.field("a", pa.int64())]))]
    table = catalog.create_table(f"n.{name}", pa.schema(fields))
    table.append(pa.table({"id": [1], "before": [{"a": 5}]}, pa.schema(fields)))
    with table.update_schema() as update:
        update.add_column(column, LongType())
    table = catalog.load_table(f"n.{name}")
    rows = table.scan().to_arrow()
    table.append(rows.set_column(0, "id", pa.array([2])).cast(table.schema().as_arrow()))
    return table


def by_rust(table):
    context = SessionContext()
    context.register_table("t", table)
    try:
        return context.sql("select * from t").to_pylist()
    except Exception as error:
        return "error: " + str(error).splitlines()[0][:150]


table, struct = grown("plain", "b"), grown("nested", ("before", "b"))
print("version: ", *(f"{p} {importlib.metadata.version(p)}" for p in ("pyiceberg-core", "datafusion", "pyiceberg")))
print("expected:", struct.scan().to_arrow().to_pylist(), "(PyIceberg)")
print("observed:", by_rust(struct))
print("          a top-level column was added instead:", by_rust(table))
sys.exit(0 if str(by_rust(struct)).startswith("error") and by_rust(table)[0]["b"] is None else 1)
PY
