// The demo's judge: a Python program that knows SQLite, DuckDB and the lakehouse, and nothing of
// us. Behind duckdb_script.
#pragma once

namespace evodb::app {

inline constexpr char demo_compare_script[] = R"py(
data, databases = sys.argv[1], sys.argv[2:]
tables = dict(sqlite3.connect(f"file:{data}/catalog.db?mode=ro", uri=True).execute(
    "select table_name, metadata_location from iceberg_tables"))
keys = {"customers": ["id"], "orders": ["id"], "order_items": ["order_id", "line"]}
equal = True
print(f"           {'table':<12} {'source':<10} {'changes':>8} {'twice':>6} "
      f"{'rows in SQLite':>15} {'rows in Iceberg':>16}  same")
for database in databases:
    edge = sqlite3.connect(database)
    source = edge.execute("select value from evodb_state where key = 'source'").fetchone()[0]
    for table, key in keys.items():
        columns = [row[1] for row in edge.execute(f"pragma table_info({table})")]
        mine = edge.execute(f"select {', '.join(columns)} from {table}").fetchall()
        scan = f"(select * from iceberg_scan('{tables[table + '_changes']}') where _source = ?)"
        changes, distinct = lake.execute(
            f"select count(*), count(distinct (_epoch, _lsn)) from {scan}", [source]).fetchone()
        # The changes since the table last began anew; of each key the last one.
        theirs = lake.execute(
            f"""with newest as (select * from {scan} qualify _epoch = max(_epoch) over ()),
                live as (select * from newest qualify _lsn >= coalesce(
                    max(case when _op in ('RESET', 'DROP') then _lsn end) over (), _lsn))
                select {', '.join(columns)} from live where _op not in ('RESET', 'DROP')
                qualify row_number() over (partition by {', '.join(key)} order by _lsn desc) = 1
                    and _op <> 'DELETE'""", [source]).fetchall()
        same = sorted(map(repr, mine)) == sorted(map(repr, theirs)) and changes == distinct
        equal = equal and same
        print(f"           {table:<12} {str(source)[:10]:<10} {changes:>8} {changes - distinct:>6} "
              f"{len(mine):>15} {len(theirs):>16}  {'yes' if same else 'NO'}")
sys.exit(0 if equal else 1)
)py";

}  // namespace evodb::app
