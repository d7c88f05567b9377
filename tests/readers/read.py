"""Runs one engine's block of docs/readers.md, in the engines' own Python, where evodb-data lies.

    read.py <engine> <output> <table> ...     pickles {"changes": {table: [row, ...]}, "now": [(...), ...] or None}
"""

import importlib.util
import pathlib
import pickle
import re
import sys

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "readers.md"


def block(engine):
    text = PAGE.read_text()
    return re.search(rf"^## {re.escape(engine)}$.*?```python\n(.*?)```", text, re.S | re.M)[1]


def goods_now():
    return re.search(r"```sql\n(.*?)```", PAGE.read_text(), re.S)[1]


def with_local_extensions(code):
    """DuckDB's extensions come with its Python packages here: nothing is fetched."""
    folder = {}
    for name in ("httpfs", "avro", "iceberg"):
        origin = importlib.util.find_spec("duckdb_extension_" + name).origin
        import duckdb
        folder[name] = pathlib.Path(origin).parent / "extensions" / f"v{duckdb.__version__}"
    loads = "; ".join(f"LOAD '{folder[n]}/{n}.duckdb_extension'" for n in folder)
    assert "INSTALL iceberg; LOAD iceberg" in code
    return code.replace("INSTALL iceberg; LOAD iceberg", loads)


def rows_of(arrow):
    return arrow.to_pylist()


engine, output, *tables = sys.argv[1:]
code = block(engine)
if engine == "DuckDB":
    code = with_local_extensions(code)
there = {}
exec(compile(code, f"docs/readers.md, {engine}", "exec"), there)
now = None
if "query" in there:
    now = rows_of(there["query"](goods_now()))
elif "now" in there:
    now = rows_of(there["now"]())
found = {"changes": {t: rows_of(there["changes"](t)) for t in tables}, "now": now}
pathlib.Path(output).write_bytes(pickle.dumps(found))
