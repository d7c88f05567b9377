// The peer of `evodb bench land`, and its outside reader: DuckDB reads the landed rows through
// Iceberg, counts and sums them; then PyArrow writes the very columns that our files hold, by then
// in memory, with the same codec and level. CPU seconds of its process around the call of
// write_table. Behind duckdb_script.
#pragma once

namespace evodb::app {

inline constexpr char bench_land_pyarrow_script[] = R"py(
import json, os, time
import pyarrow, pyarrow.parquet

ask = json.loads(sys.argv[1])
lake.execute("SET threads = 1")

metadata = sqlite3.connect(f"file:{ask['data']}/catalog.db?mode=ro", uri=True).execute(
    "select metadata_location from iceberg_tables where table_name = ?",
    [ask["table"]]).fetchone()[0]
# In the files' own order: by source, epoch, LSN.
rows = lake.execute(f"""select * from iceberg_scan('{metadata}') where starts_with(_source, ?)
                        order by _source, _epoch, _lsn""", [ask["prefix"]])
rows = getattr(rows, "to_arrow_table", rows.fetch_arrow_table)().combine_chunks()
columns = [name for name in rows.column_names if not name.startswith("_")]
sums = {}
for name in ask["sum"]:
    sums[name] = lake.execute(f"select sum({name}), count({name}) from rows").fetchone()
seen = lake.execute("select count(*), count(distinct (_source, _lsn)) from rows").fetchone()
del lake
# What our files lack, the peer need not write either.
rows = rows.select([name for name in rows.column_names if rows[name].null_count < rows.num_rows])

def rows_per_cpu_s(table, dictionary):
    best = 0.0
    for _ in range(ask["repeats"]):
        begin = time.process_time()
        pyarrow.parquet.write_table(table, ask["scratch"], compression="zstd",
                                    compression_level=ask["level"], use_dictionary=dictionary)
        best = max(best, table.num_rows / (time.process_time() - begin))
    os.unlink(ask["scratch"])
    return best

print(json.dumps({
    "rows": seen[0], "distinct": seen[1], "columns": len(rows.column_names),
    "sums": {name: [float(s), n] for name, (s, n) in sums.items()},
    "pyarrow": pyarrow.__version__, "duckdb": duckdb.__version__,
    "all_default": rows_per_cpu_s(rows, True), "all_plain": rows_per_cpu_s(rows, False),
    "values_default": rows_per_cpu_s(rows.select(columns), True),
    "values_plain": rows_per_cpu_s(rows.select(columns), False)}))
)py";

}  // namespace evodb::app
