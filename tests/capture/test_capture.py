"""Capture as the world meets it: installed by the evodb binary, written to by the sqlite3 shell and
by Python, and read by a program that knows docs/formats/outbox.md and nothing else.

    EVODB_BINARY=build/evodb .deps/venv/bin/python -m pytest tests/capture
"""

import os
import pathlib
import random
import shutil
import sqlite3
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("EVODB_BINARY", ROOT / "build" / "evodb"))

pytestmark = pytest.mark.skipif(
    not BINARY.exists(), reason=f"there is no {BINARY}: build it, or name another in EVODB_BINARY"
)


def evodb(*args):
    return subprocess.run(
        [str(BINARY), *map(str, args)], capture_output=True, text=True, timeout=60, check=False
    )


def install(db, *args):
    done = evodb("capture", "install", "--db", db, *args)
    assert done.returncode == 0, done.stderr


def connect(db):
    connection = sqlite3.connect(db, isolation_level=None)
    connection.text_factory = bytes  # TEXT need not be UTF-8
    return connection


def exact(value):
    """Tells 1 from 1.0 and 'a' from x'61'."""
    return (type(value).__name__, repr(value))


def text(value):
    return value.decode() if isinstance(value, bytes) else value


class Reader:
    """Rebuilds tables from evodb_outbox. TEXT and BLOB both come as bytes: typeof tells them apart."""

    def __init__(self, db):
        self.connection = connect(db)
        self.last = 0
        self.tables = {}

    def definition(self, tbl):
        one = self.connection.execute(
            "SELECT name, split FROM evodb_tables WHERE id = ?", (tbl,)
        ).fetchone()
        keys = self.connection.execute(
            "SELECT key_ordinal FROM evodb_columns WHERE tbl = ? ORDER BY position", (tbl,)
        ).fetchall()
        return text(one[0]), one[1], [k for (k,) in keys]

    def catch_up(self):
        width = len(self.connection.execute("PRAGMA table_info(evodb_outbox)").fetchall()) - 4
        typed = ", ".join(f"v{i}, typeof(v{i})" for i in range(width))
        half = None
        for row in self.connection.execute(
            f"SELECT id, tbl, op, {typed} FROM evodb_outbox WHERE id > max(?, (SELECT value FROM "
            "evodb_state WHERE key = 'trimmed')) ORDER BY id",
            (self.last,),
        ).fetchall():
            self.last, tbl, op = row[:3]
            values = list(zip(row[4::2], row[3::2], strict=True))  # (class, value)
            name, split, keys = self.definition(tbl)
            n = len(keys)
            first, second = tuple(values[:n]), tuple(values[n : 2 * n])
            if op == 5:
                half = first
                continue
            if op in (6, 7):  # RESET, DROP
                self.tables[name] = {}
                continue
            old, new = {
                0: (None, first),
                1: (half, first) if split else (first, second),
                2: (first, None),
                3: (None, first),
            }[op]
            half = None
            self.apply(self.tables.setdefault(name, {}), keys, op, old, new)

    @staticmethod
    def identity(keys, row):
        key = tuple((c, exact(v)) for (c, v), k in zip(row, keys, strict=True) if k)
        if any(c == b"null" for c, _ in key):
            return ("row", tuple((c, exact(v)) for c, v in row))
        return ("key", key)

    def apply(self, table, keys, op, old, new):
        if old is not None:
            key = self.identity(keys, old)
            # A SNAPSHOT of a row with NULL in its key has a DELETE of it in front.
            unknown = key[0] == "row" and op == 2 and not table.get(key)
            assert unknown or table.get(key), f"LSN {self.last}: no such row"
            assert unknown or table[key].pop() == old, f"LSN {self.last}: the old row is another"
        if new is not None:
            rows = table.setdefault(self.identity(keys, new), [])
            if self.identity(keys, new)[0] == "key":
                assert op == 3 or not rows, f"LSN {self.last}: the key is there already"
                rows.clear()
            rows.append(new)

    def rows(self, name):
        return sorted(
            tuple((c, exact(v)) for c, v in row)
            for rows in self.tables.get(name, {}).values()
            for row in rows
        )


def rows_of(connection, name, columns):
    typed = ", ".join(f"{c}, typeof({c})" for c in columns)
    quoted = name.replace('"', '""')
    return sorted(
        tuple((c, exact(v)) for v, c in zip(row[0::2], row[1::2], strict=True))
        for row in connection.execute(f'SELECT {typed} FROM "{quoted}"')
    )


# name: (CREATE, columns as captured, columns that statements set)
TABLES = {
    "plain": (
        "CREATE TABLE plain(id INTEGER PRIMARY KEY, u TEXT UNIQUE, r REAL, x)",
        ["id", "u", "r", "x"],
        ["id", "u", "r", "x"],
    ),
    "text_key": (
        "CREATE TABLE text_key(k TEXT PRIMARY KEY, v)", ["k", "v"], ["k", "v"],
    ),
    "no_rowid": (
        "CREATE TABLE no_rowid(a INT, b TEXT COLLATE NOCASE, v UNIQUE, PRIMARY KEY(b, a)) "
        "WITHOUT ROWID",
        ["a", "b", "v"],
        ["a", "b", "v"],
    ),
    "generated": (
        "CREATE TABLE generated(id INTEGER PRIMARY KEY, a INT, g AS (a * 2) UNIQUE, "
        "s TEXT AS (a || 'x') STORED)",
        ["id", "a", "g", "s"],
        ["id", "a"],
    ),
    'or"der by': (
        'CREATE TABLE "or""der by"("sel ect" INTEGER PRIMARY KEY, "größe", [group] UNIQUE)',
        ['"sel ect"', '"größe"', '"group"'],
        ['"sel ect"', '"größe"', '"group"'],
    ),
    "bare": ("CREATE TABLE bare(a, b)", ["rowid", "a", "b"], ["a", "b"]),
}


def literal(rng):
    return rng.choice(
        ["NULL", "1", "2", "3", "1.5", "2.0", "'a'", "'A'", "'2'", "x'00ff'", "9e999", "''",
         "CAST(x'ff41' AS TEXT)", "9223372036854775807", "'größe'"]
    )


def statement(rng):
    name = rng.choice(list(TABLES))
    quoted = '"' + name.replace('"', '""') + '"'
    columns = TABLES[name][2]
    policy = rng.choice(["", "", " OR REPLACE", " OR REPLACE", " OR IGNORE"])
    where = f" WHERE {rng.choice(columns)} = {literal(rng)}" if rng.random() < 0.9 else ""
    kind = rng.random()
    if kind < 0.6:
        rows = ", ".join(
            "(" + ", ".join(literal(rng) for _ in columns) + ")" for _ in range(rng.randint(1, 3))
        )
        return f"INSERT{policy} INTO {quoted}({', '.join(columns)}) VALUES {rows}"
    if kind < 0.88:
        return f"UPDATE{policy} {quoted} SET {rng.choice(columns)} = {literal(rng)}{where}"
    return f"DELETE FROM {quoted}{where}"


def by_python(db, statements, recursive):
    connection = connect(db)
    connection.execute(f"PRAGMA recursive_triggers = {recursive}")
    for sql in statements:
        try:
            connection.execute(sql)
        except (sqlite3.IntegrityError, sqlite3.DataError):
            pass
    connection.close()


def by_shell(db, statements, recursive):
    script = f".bail off\nPRAGMA recursive_triggers = {recursive};\n" + ";\n".join(statements) + ";\n"
    subprocess.run(["sqlite3", db], input=script.encode(), capture_output=True, timeout=60,
                   check=False)


@pytest.fixture(name="db")
def _db(tmp_path):
    return str(tmp_path / "app.db")


@pytest.mark.parametrize("journal", ["wal", "delete"])
@pytest.mark.parametrize("recursive", [0, 1])
@pytest.mark.parametrize("writer", [by_python, by_shell])
def test_tables_rebuilt_from_the_outbox_equal_the_tables(db, writer, recursive, journal):
    if writer is by_shell and shutil.which("sqlite3") is None:
        pytest.skip("there is no sqlite3 shell here")
    rng = random.Random(f"{writer.__name__} {recursive} {journal}")
    connection = connect(db)
    connection.execute(f"PRAGMA journal_mode = {journal}")
    for create, _, _ in TABLES.values():
        connection.execute(create)
    writer(db, [statement(rng) for _ in range(60)], recursive)
    install(db)
    reader = Reader(db)
    for _ in range(12):
        writer(db, [statement(rng) for _ in range(50)], recursive)
        reader.catch_up()
        for name, (_, columns, _) in TABLES.items():
            assert reader.rows(name) == rows_of(connection, name, columns), name
    assert reader.last > 200, "the workload did something"


def test_the_example_of_the_format_s_page(db):
    connection = connect(db)
    connection.execute("CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT)")
    install(db)
    connection.execute("INSERT INTO users VALUES(1, 'Ada')")
    connection.execute("UPDATE users SET name = 'Grace'")
    connection.execute("UPDATE users SET id = 2")
    found = connection.execute(
        "SELECT id, tbl, op, v0, v1, v2, v3 FROM evodb_outbox WHERE id > 0"
    ).fetchall()
    assert found == [
        (1, 1, 0, 1, b"Ada", None, None),
        (2, 1, 1, 1, b"Ada", 1, b"Grace"),
        (3, 1, 2, 1, b"Grace", None, None),
        (4, 1, 0, 2, b"Grace", None, None),
    ]
    (at,) = connection.execute("SELECT max(at) FROM evodb_outbox").fetchone()
    assert abs(at - time.time() * 1000) < 60_000


def test_a_rolled_back_transaction_leaves_nothing(db):
    connection = connect(db)
    connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY)")
    install(db)
    connection.execute("BEGIN")
    connection.execute("INSERT INTO t VALUES(1)")
    connection.execute("ROLLBACK")
    assert connection.execute("SELECT max(id) FROM evodb_outbox").fetchone() == (0,)


def test_remove_refuses_while_changes_are_unsent_and_leaves_no_trace_with_force(db):
    connection = connect(db)
    connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY)")
    install(db)
    connection.execute("INSERT INTO t VALUES(1)")
    refused = evodb("capture", "remove", "--db", db)
    assert refused.returncode != 0
    assert "--force" in refused.stderr
    assert evodb("capture", "remove", "--db", db, "--force").returncode == 0
    left = connection.execute("SELECT name FROM sqlite_schema").fetchall()
    assert left == [(b"t",)]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda p: None, "no file"),
        (lambda p: p.write_bytes(b"x" * 5000), "not a SQLite database"),
        (lambda p: p.mkdir(), "directory"),
        (lambda p: p.write_bytes(b""), "create them first"),
    ],
)
def test_errors_are_one_line_and_create_nothing(tmp_path, make, says):
    path = tmp_path / "bad.db"
    make(path)
    existed = path.exists()
    done = evodb("capture", "install", "--db", path)
    assert done.returncode != 0
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert path.exists() == existed
