"""Databases of applications, somebody who changes them at random, and the way back from a
lakehouse table to the rows that SQLite holds."""

import json
import os
import pathlib
import random
import shutil
import sqlite3
import time

from harness.binary import ROOT, run

ZOO = '''
CREATE TABLE "Order Details" ("Order ID" INTEGER, "select" TEXT, qty NUMERIC, price DECIMAL(10,2),
  note, PRIMARY KEY ("Order ID", "select")) WITHOUT ROWID;
CREATE TABLE "événements" (id INTEGER PRIMARY KEY, "naïve ""x""" TEXT, "at" DATETIME, data,
  ok BOOLEAN, twice GENERATED ALWAYS AS (id * 2) STORED);
CREATE TABLE codes (code TEXT PRIMARY KEY NOT NULL, n INT UNIQUE, label TEXT COLLATE NOCASE, x REAL);
CREATE TABLE nokey (a, b REAL, c BLOB);
'''


def chinook():
    """The sample database, where somebody has put it beside the project; else None."""
    named = os.environ.get("CHINOOK_SQLITE")
    for path in ([pathlib.Path(named)] if named else sorted(ROOT.parent.glob("*/data/chinook.sqlite"))):
        if path.exists():
            return path
    return None


def make_database(path, template=None):
    if template:
        shutil.copy(template, path)
    db = sqlite3.connect(path)
    db.execute("pragma journal_mode = wal")
    if not template:
        db.executescript(ZOO)
        rng = random.Random(5)
        for i in range(60):
            db.execute('insert into "Order Details" values (?,?,?,?,?)',
                       (i, f"p{i % 7}", any_value(rng), any_value(rng), any_value(rng)))
            db.execute('insert into "événements"(id, "naïve ""x""", "at", data, ok) '
                       "values (?,?,?,?,?)",
                       (i * 3, any_value(rng), "2024-01-02 03:04:05", any_value(rng), i % 2))
            db.execute("insert into codes values (?,?,?,?)", (f"c{i}", i, f"L{i}", i / 4))
            db.execute("insert into nokey values (?,?,?)", (i, i / 8, b"\0\xff" * (i % 5)))
        db.commit()
    db.close()


def install(path, *more):
    """Capture, and a witness of our own: which LSNs there ever were, in the same transactions.
    Returns the epoch."""
    done = run("capture", "install", "--db", path, *more)
    assert done.returncode == 0, done.stderr
    db = sqlite3.connect(path)
    db.executescript("""
        CREATE TABLE evodb_witness (lsn INTEGER PRIMARY KEY);
        INSERT INTO evodb_witness SELECT id FROM evodb_outbox WHERE id > 0;
        CREATE TRIGGER evodb_witness_t AFTER INSERT ON evodb_outbox
        BEGIN INSERT INTO evodb_witness VALUES (NEW.id); END;""")
    db.close()
    return json.loads(run("capture", "status", "--db", path, "--json").stdout)["epoch"]


def any_value(rng):
    return rng.choice([
        None, rng.randint(-5, 5), rng.getrandbits(63), -rng.getrandbits(62), rng.random() * 1e6,
        1e300, float(rng.randint(0, 9)), "", "text", "naïve ✓ 美", "12", "1.5", rng.randbytes(5),
        b"", "x" * rng.randint(0, 200)])


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def user_tables(db):
    return [row[0] for row in db.execute(
        "select name from sqlite_master where type = 'table' and name not like 'sqlite_%' "
        "and name not like 'evodb\\_%' escape '\\' order by name")]


class Writer:
    """An application: random transactions on every table, at random speed."""

    def __init__(self, path, seed):
        self.db = sqlite3.connect(path, timeout=30, isolation_level=None)
        self.rng = random.Random(seed)
        self.tables = {}
        for table in user_tables(self.db):
            info = [row for row in self.db.execute(f"pragma table_xinfo({quoted(table)})")]
            self.tables[table] = [(row[1], row[5]) for row in info if row[6] == 0]
        self.transactions = self.statements = 0

    def one_row(self, table):
        columns = ", ".join(quoted(c) for c, _ in self.tables[table])
        count = self.db.execute(f"select count(*) from {quoted(table)}").fetchone()[0]
        if count == 0:
            return None
        return self.db.execute(f"select {columns} from {quoted(table)} limit 1 offset ?",
                               [self.rng.randrange(count)]).fetchone()

    def statement(self):
        rng = self.rng
        table = rng.choice(list(self.tables))
        columns = self.tables[table]
        row = self.one_row(table)
        keys = [i for i, (_, pk) in enumerate(columns) if pk] or list(range(len(columns)))
        where = " and ".join(f"{quoted(columns[i][0])} is ?" for i in keys)
        dice = rng.random()
        if row is None or dice < 0.5:
            values = list(row) if row else [any_value(rng) for _ in columns]
            for i in range(len(columns)):
                if i in keys:
                    values[i] = (rng.randint(0, 5000) if not isinstance(values[i], str)
                                 else f"k{rng.randint(0, 5000)}")
                elif rng.random() < 0.2:
                    values[i] = any_value(rng)
            verb = rng.choice(["insert or ignore", "insert or ignore", "insert or replace"])
            self.db.execute(f"{verb} into {quoted(table)} ({', '.join(quoted(c) for c, _ in columns)})"
                            f" values ({', '.join('?' * len(columns))})", values)
        elif dice < 0.85:
            i = rng.randrange(len(columns))
            value = (rng.randint(0, 5000) if i in keys else any_value(rng))
            verb = rng.choice(["update or ignore", "update or ignore", "update or replace"])
            self.db.execute(f"{verb} {quoted(table)} set {quoted(columns[i][0])} = ? where {where}",
                            [value, *[row[k] for k in keys]])
        else:
            self.db.execute(f"delete from {quoted(table)} where {where}", [row[k] for k in keys])
        self.statements += 1

    def transaction(self):
        self.db.execute("begin immediate")
        for _ in range(self.rng.randint(1, 6)):
            try:
                self.statement()
            except (sqlite3.IntegrityError, sqlite3.OperationalError) as error:
                if "locked" in str(error):
                    raise
        self.db.execute("rollback" if self.rng.random() < 0.05 else "commit")
        self.transactions += 1

    def run(self, stop, pause=0.004):
        while not stop.is_set():
            try:
                self.transaction()
            except sqlite3.OperationalError:
                if self.db.in_transaction:
                    self.db.execute("rollback")
            time.sleep(self.rng.random() * pause * 2)


# --- the way back: docs/formats/tables.md ---------------------------------------------------------

def unfit_value(text):
    kind, _, rest = text.partition(":")
    return {"integer": int, "real": float, "text": str, "blob": bytes.fromhex,
            "text-hex": lambda h: ("text-hex", h),
            "boolean": lambda t: t == "true"}[kind](rest)


def identity(value):
    """A value with its storage class: 1 and 1.0 differ."""
    return type(value).__name__, repr(value)


def image(row, columns, before=False):
    """The row's columns after the change, or before it, as SQLite had them."""
    unfit = dict(row["_unfit"] or [])
    out = []
    for column in columns:
        key = f"_before.{column}" if before else column
        held = f"_before_{column}" if before else column
        # A column whose type still waits for a value is not in the table.
        out.append(identity(unfit_value(unfit[key]) if key in unfit else row.get(held)))
    return tuple(out)


def rebuild(rows, columns, key, epoch=None):
    """Applies one source's changes of one table in order; returns its rows as a sorted list.
    `epoch`: the source's highest over all its tables (None: that of these rows)."""
    if epoch is None:
        epoch = max((r["_epoch"] for r in rows), default=0)
    state = {}  # key: its rows; more than one only where NULLs are in the key, which may repeat

    def take_away(row, before=False):
        named, held = image(row, key, before), image(row, columns, before)
        kept = state.get(named, [])
        if identity(None) not in named:
            kept.clear()
        elif held in kept:
            kept.remove(held)

    for row in sorted((r for r in rows if r["_epoch"] == epoch), key=lambda r: r["_lsn"]):
        if row["_op"] in ("RESET", "DROP"):
            state.clear()
            continue
        if row["_op"] == "UPDATE":
            take_away(row, before=True)
        named = image(row, key)
        if row["_op"] == "DELETE" or identity(None) not in named:
            take_away(row)
        if row["_op"] != "DELETE":
            state.setdefault(named, []).append(image(row, columns))
    return sorted(r for kept in state.values() for r in kept)


def sqlite_rows(db, table, columns):
    select = ", ".join("rowid" if c is None else quoted(c) for c in columns)
    return sorted(tuple(identity(v) for v in row)
                  for row in db.execute(f"select {select} from {quoted(table)}"))
