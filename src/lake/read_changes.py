"""Reads a changes table as other engines do: PyIceberg, and DuckDB with the SQL of the documentation.

    read_changes.py <folder> <table> <markdown>     one JSON object: {"rows": [...], "state": [...]}
"""

import json
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests"))

from harness.lakehouse import Lakehouse


def plain(value):
    """JSON that keeps storage classes apart."""
    if isinstance(value, bytes):
        return "x'" + value.hex() + "'"
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


folder, table, markdown = sys.argv[1:]
lakehouse = Lakehouse(folder)
loaded = lakehouse.catalog().load_table(("evodb", table))
rows = loaded.scan().to_arrow().to_pylist()
for row in rows:
    row["_unfit"] = dict(row["_unfit"] or [])
rows.sort(key=lambda r: (r["_source"], r["_epoch"], r["_lsn"]))
one_source = loaded.scan(row_filter="_source == 'b' and _lsn >= 2").to_arrow().num_rows

connection = lakehouse.duckdb()
connection.execute(f"CREATE VIEW goods_changes AS "
                   f"SELECT * FROM iceberg_scan('{loaded.metadata_location}')")
sql = re.search(r"```sql\n(.*?)```", pathlib.Path(markdown).read_text(), re.S).group(1)
state = connection.execute(sql).fetchall()
keys = connection.execute("SELECT coalesce(_unfit['id'], id::VARCHAR) FROM goods_changes "
                          "ORDER BY _source, _epoch, _lsn").fetchall()
print(json.dumps(plain({"rows": rows, "state": state, "keys": [k for (k,) in keys],
                        "one_source": one_source})))
