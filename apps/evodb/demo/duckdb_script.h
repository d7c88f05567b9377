// How a Python program of ours opens DuckDB: with the extensions of its Python packages, or else
// with any that it may fetch itself. Goes before the program's own text.
#pragma once

namespace evodb::app {

inline constexpr char duckdb_script[] = R"py(
import importlib.util, pathlib, sqlite3, sys
import duckdb

lake = duckdb.connect(config={"autoinstall_known_extensions": False,
                              "autoload_known_extensions": False})
for name in ("avro", "iceberg"):
    spec = importlib.util.find_spec("duckdb_extension_" + name)
    if spec is None:                                  # any DuckDB that may fetch them itself
        lake.execute(f"INSTALL {name}")
        lake.execute(f"LOAD {name}")
        continue
    folder = pathlib.Path(spec.origin).parent / "extensions"
    lake.execute(f"LOAD '{folder}/v{duckdb.__version__}/{name}.duckdb_extension'")
)py";

}  // namespace evodb::app
