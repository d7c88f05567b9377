"""Was anything lost, or landed twice, or changed on its way?

The judge knows what applications wrote (SQLite, and the witness table that workload.install put
beside the outbox in the same transactions) and what two readers see that nobody here wrote. It asks
neither the parent nor the edges. test_judge.py shows that it can say no.
"""

import collections
import dataclasses
import sqlite3

from harness import workload


@dataclasses.dataclass(frozen=True)
class Source:
    """A database whose changes must be in the lakehouse."""
    path: object
    name: str
    epoch: int


@dataclasses.dataclass
class Verdict:
    written: int = 0
    lost: int = 0
    duplicated: int = 0
    unknown: int = 0  # landed, and nobody wrote it
    values_compared: int = 0
    complaints: list = dataclasses.field(default_factory=list)

    def require(self):
        bad = self.lost or self.duplicated or self.unknown or self.complaints
        assert not bad, f"{self}"
        assert self.written > 0 and self.values_compared > 0, "nothing was judged"
        return self

    def __str__(self):
        text = (f"{self.written} changes written, {self.lost} lost, {self.duplicated} duplicated, "
                f"{self.unknown} that nobody wrote")
        return "; ".join([text, *self.complaints[:10]])


def judge(lakehouse, sources):
    verdict = Verdict()
    tables = [t for t in lakehouse.tables() if t.endswith("_changes")]
    written = written_by(sources)
    verdict.written = len(written)

    count(verdict, "DuckDB", written, landed_by_duckdb(lakehouse, tables))
    rows = {t: lakehouse.arrow(t).to_pylist() for t in tables}
    landed = [(r["_source"], r["_epoch"], r["_lsn"]) for rs in rows.values() for r in rs]
    count(verdict, "PyIceberg", written, landed)
    compare_values(verdict, sources, rows)
    return verdict


def written_by(sources):
    written = set()
    for source in sources:
        with sqlite3.connect(source.path) as db:
            written.update((source.name, source.epoch, lsn)
                           for (lsn,) in db.execute("select lsn from evodb_witness"))
    return written


def landed_by_duckdb(lakehouse, tables):
    if not tables:
        return []
    union = " union all ".join(f"select _source, _epoch, _lsn from {{t{i}}}"
                               for i in range(len(tables)))
    return lakehouse.sql(union, **{f"t{i}": t for i, t in enumerate(tables)})


def count(verdict, reader, written, landed):
    """Both readers must agree with what was written; the worse of the two figures is kept."""
    seen = collections.Counter(landed)
    lost = written - seen.keys()
    duplicated = sum(n - 1 for n in seen.values())
    unknown = seen.keys() - written
    if lost or duplicated or unknown:
        some = [*sorted(lost)[:3], *[k for k, n in seen.items() if n > 1][:3], *sorted(unknown)[:3]]
        verdict.complaints.append(f"{reader} sees {len(lost)} lost, {duplicated} duplicated, "
                                  f"{len(unknown)} unknown, such as {some}")
    verdict.lost = max(verdict.lost, len(lost))
    verdict.duplicated = max(verdict.duplicated, duplicated)
    verdict.unknown = max(verdict.unknown, len(unknown))


def compare_values(verdict, sources, rows_of):
    """Every table rebuilt from its change table must be what SQLite holds, storage classes too."""
    for source in sources:
        db = sqlite3.connect(source.path)
        epoch = max((r["_epoch"] for rows in rows_of.values() for r in rows
                     if r["_source"] == source.name), default=0)
        for table in workload.user_tables(db):
            info = db.execute(f"pragma table_xinfo({workload.quoted(table)})").fetchall()
            columns = [row[1] for row in info]
            key = [row[1] for row in sorted(info, key=lambda r: r[5]) if row[5] > 0]
            rows = [r for r in rows_of.get(f"{table.lower()}_changes", [])
                    if r["_source"] == source.name]
            if not key:  # a table without a key: its rowid is captured in its place
                key = ["_rowid_"]
                rows = with_rowid(rows)
            rebuilt = workload.rebuild(rows, columns, key, epoch)
            truth = workload.sqlite_rows(db, table, columns)
            if rebuilt != truth:
                verdict.complaints.append(
                    f"{source.name}: {table} was rebuilt wrongly: {len(rebuilt)} rows for "
                    f"{len(truth)}, such as {first_difference(rebuilt, truth)}")
            verdict.values_compared += len(rebuilt)
        db.close()


def first_difference(rebuilt, truth):
    extra = [r for r in rebuilt if r not in truth][:1]
    missing = [r for r in truth if r not in rebuilt][:1]
    return f"{extra} in place of {missing}"


def with_rowid(rows):
    """The rowid lands as a column whose name begins with _rowid_ (system names are kept apart)."""
    for row in rows:
        name = next((k for k in row if k.startswith("_rowid_")), "_rowid_")
        row["_rowid_"], row["_before__rowid_"] = row.get(name), row.get("_before_" + name)
    return rows
