"""A lakehouse for readers to read, and the SQLite databases that it is a copy of.

Two databases, `a` and `b`, are written by this program; every change goes to build/evodb_differential, which lands it
as a parent does. In between: a column more, a table that begins anew, one that is dropped and made again, an epoch that
begins with a snapshot, values that do not fit their column, and names that engines have for themselves.
"""

import json
import pathlib
import random
import sqlite3
import struct
import subprocess

from harness.workload import quoted

ODD = ["_file", "_pos", "$path", "_before_id", "_unfit", "a", "a.b", "ő", "Ő", "I", "ı", "ſ", "s", 'naïve "x"',
       "two words", "\u212aelvin", "kelvin", "select", "_row_id"]
TABLES = {  # name: columns with their declared types, the first is the key
    "goods": [("id", "INTEGER"), ("name", "TEXT"), ("price", "REAL")],
    "Odd Names": [("id", "INTEGER")] + [(name, "TEXT") for name in ODD],
    "values": [("k", "TEXT"), ("i", "BIGINT"), ("d", "DECIMAL(10,2)"), ("b", "BLOB"), ("u", "")],
    "gone": [("id", "INTEGER"), ("x", "TEXT")],
    "again": [("id", "INTEGER"), ("x", "TEXT")],
}
INSERT, UPDATE, DELETE, SNAPSHOT, RESET, DROP = 0, 1, 2, 3, 5, 6


def encoded(value):
    if value is None:
        return ["null"]
    if isinstance(value, int):
        return ["integer", str(value)]
    if isinstance(value, float):
        return ["real", struct.pack(">d", value).hex()]
    if isinstance(value, str):
        return ["text", value.encode().hex()]
    return ["blob", value.hex()]


class Source:
    """A database, and the changes that a capture of it would send."""

    def __init__(self, name, path, say, rng):
        self.name, self.say, self.rng = name, say, rng
        self.db = sqlite3.connect(path)
        self.lsn, self.epoch = 0, 1
        self.columns = {}
        for table, columns in TABLES.items():
            self.make(table, columns)

    def make(self, table, columns):
        self.columns[table] = list(columns)
        kind = {0: " PRIMARY KEY"}
        self.db.execute(f"CREATE TABLE {quoted(table)} (" + ", ".join(
            f"{quoted(c)} {declared}{kind.get(i, '')}" for i, (c, declared) in enumerate(columns)) + ")")

    def send(self, table, *changes):
        columns = [[c, declared, int(i == 0)] for i, (c, declared) in enumerate(self.columns[table])]
        sent = []
        for op, before, after, reason in changes:
            self.lsn += 1
            sent.append({"op": op, "lsn": self.lsn, "at": 1_700_000_000_000 + self.lsn, "reason": reason,
                         "before": None if before is None else [encoded(v) for v in before],
                         "after": None if after is None else [encoded(v) for v in after]})
        self.say({"source": self.name, "epoch": self.epoch, "table": {"name": table, "columns": columns},
                  "changes": sent})

    def row(self, table, key):
        return self.db.execute(f"SELECT * FROM {quoted(table)} WHERE {quoted(self.columns[table][0][0])} = ?",
                               [key]).fetchone()

    def put(self, table, key, values):
        names = [quoted(c) for c, _ in self.columns[table]]
        before = self.row(table, key)
        self.db.execute(f"INSERT OR REPLACE INTO {quoted(table)} VALUES ({', '.join('?' * len(names))})",
                        [key, *values])
        after = self.row(table, key)
        self.send(table, (UPDATE if before else INSERT, before, after, ""))

    def move(self, table, key, to):
        before = self.row(table, key)
        self.db.execute(f"UPDATE {quoted(table)} SET {quoted(self.columns[table][0][0])} = ? WHERE "
                        f"{quoted(self.columns[table][0][0])} = ?", [to, key])
        self.send(table, (UPDATE, before, self.row(table, to), ""))

    def erase(self, table, key):
        before = self.row(table, key)
        if before:
            self.db.execute(f"DELETE FROM {quoted(table)} WHERE {quoted(self.columns[table][0][0])} = ?", [key])
            self.send(table, (DELETE, before, None, ""))

    def keys(self, table):
        return [k for (k,) in self.db.execute(f"SELECT {quoted(self.columns[table][0][0])} FROM {quoted(table)}")]

    def begin_anew(self, table, reason):
        self.send(table, (RESET, None, None, reason))
        for row in self.db.execute(f"SELECT * FROM {quoted(table)}").fetchall():
            self.send(table, (SNAPSHOT, None, row, ""))

    def drop(self, table):
        self.db.execute(f"DROP TABLE {quoted(table)}")
        self.send(table, (DROP, None, None, "dropped"))

    def begin_epoch(self):
        self.epoch += 1
        for table in [t for t in self.columns if t in tables_of(self.db)]:
            self.begin_anew(table, "a new epoch")

    def some_values(self, table):
        rng = self.rng
        if table == "values":
            return [rng.choice([1, -2, 2**53 + 1, -(2**63), None, "text", 1.5]),
                    rng.choice([5, 5.5, 0.1, None, 2**60, "dear", 1e300]),
                    rng.choice([b"\0\xff", b"", None, "a text", 7]), rng.choice([1, "x", 2.5, b"y", None])]
        return [rng.choice([None, "tea", "naïve ✓ 美", "", "x" * 90]) if declared != "REAL"
                else rng.choice([None, 2.5, 0.1, 1e22]) for _, declared in self.columns[table][1:]]

    def write(self, changes):
        for _ in range(changes):
            table = self.rng.choice([t for t in self.columns if t in tables_of(self.db)])
            held = self.keys(table)
            key = self.rng.randrange(30) if table != "values" else f"k{self.rng.randrange(20)}"
            dice = self.rng.random()
            if held and dice < 0.15:
                self.erase(table, self.rng.choice(held))
            elif held and dice < 0.25 and key not in held:
                self.move(table, self.rng.choice(held), key)
            else:
                self.put(table, key, self.some_values(table))


def tables_of(db):
    return {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def make(folder, differential, seed=7):
    """Returns the databases: {source: path}. The lakehouse is in `folder`/evodb-data."""
    data = pathlib.Path(folder) / "evodb-data"
    data.mkdir(parents=True)
    cases = []
    rng = random.Random(seed)
    paths = {name: pathlib.Path(folder) / f"{name}.db" for name in "ab"}
    a, b = (Source(name, path, cases.append, rng) for name, path in paths.items())
    flush = lambda: cases.append({"flush": True})  # noqa: E731

    for _ in range(4):
        a.write(25), b.write(25)
        flush()
    for source in (a, b):
        source.db.execute("ALTER TABLE goods ADD COLUMN note TEXT DEFAULT 'old'")
        source.columns["goods"].append(("note", "TEXT"))
        source.begin_anew("goods", "a column more")
        source.write(20)
        flush()
    # What triggers cannot see: rows that went without a change.
    b.db.execute("DELETE FROM goods WHERE id % 2 = 0")
    b.begin_anew("goods", "rebuilt")
    a.drop("gone"), b.drop("gone")
    a.drop("again")
    a.make("again", [("id", "INTEGER"), ("x", "TEXT"), ("y", "REAL")])
    a.write(20), b.write(20)
    flush()
    a.begin_epoch()
    a.write(10)
    flush()
    for source in (a, b):
        source.db.commit()
        source.db.close()

    stream = b"".join(struct.pack("<I", len(c)) + c for c in (json.dumps(c).encode() for c in cases))
    done = subprocess.run([differential, "landing", data], input=stream, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    for line in done.stdout.splitlines():
        assert json.loads(line)["trouble"] == "", line
    return paths
