"""A parent's tables, read by PyIceberg and by DuckDB."""

import importlib.util
import pathlib
import sqlite3

from harness.s3 import BUCKET, S3_KEY, S3_SECRET


def duckdb_with_iceberg():
    """DuckDB with the extensions of its Python packages: nothing is fetched."""
    import duckdb

    connection = duckdb.connect(config={"autoinstall_known_extensions": False,
                                        "autoload_known_extensions": False})
    for name in ("httpfs", "avro", "iceberg"):
        origin = importlib.util.find_spec("duckdb_extension_" + name).origin
        folder = pathlib.Path(origin).parent / "extensions" / f"v{duckdb.__version__}"
        connection.execute(f"LOAD '{folder}/{name}.duckdb_extension'")
    return connection


class Lakehouse:
    """The tables of a parent's data directory, by PyIceberg and by DuckDB."""

    def __init__(self, data, s3=None):
        self.data, self.s3 = pathlib.Path(data), s3

    def catalog(self):
        from pyiceberg.catalog.sql import SqlCatalog

        properties = {"uri": f"sqlite:///{self.data}/catalog.db",
                      "warehouse": f"file://{self.data}/warehouse"}
        if self.s3:
            properties |= {
                "warehouse": f"s3://{BUCKET}/warehouse",
                "s3.endpoint": f"http://127.0.0.1:{self.s3.port}", "s3.region": "us-east-1",
                "s3.access-key-id": S3_KEY, "s3.secret-access-key": S3_SECRET,
                "s3.force-virtual-addressing": "false"}
        return SqlCatalog("evodb", **properties)

    def tables(self):
        if not (self.data / "catalog.db").exists():
            return []
        return sorted(name for _, name in self.catalog().list_tables("evodb"))

    def arrow(self, table):
        return self.catalog().load_table(f"evodb.{table}").scan().to_arrow()

    def duckdb(self):
        connection = duckdb_with_iceberg()
        if self.s3:
            connection.execute(
                f"CREATE SECRET s (TYPE s3, KEY_ID '{S3_KEY}', SECRET '{S3_SECRET}', "
                f"REGION 'us-east-1', ENDPOINT '127.0.0.1:{self.s3.port}', URL_STYLE 'path', "
                "USE_SSL false, SCOPE 's3://')")
        return connection

    def location(self, table):
        with sqlite3.connect(f"file:{self.data}/catalog.db?mode=ro", uri=True) as catalog:
            return catalog.execute("select metadata_location from iceberg_tables "
                                   "where table_name = ?", [table]).fetchone()[0]

    def sql(self, query, **tables):
        """DuckDB: each {name} in the query becomes a scan of that table."""
        scans = {k: f"iceberg_scan('{self.location(v)}')" for k, v in tables.items()}
        return self.duckdb().execute(query.format(**scans)).fetchall()
