"""A database that an application and a tool of its own write to, captured, and judged by its values.

    db = Captured(folder, parent, edge=RUNNING)
    with db.step("create"):
        db.sql("create table people (id integer primary key, name text)")
    db.capture()
    with db.step("rename a column"):
        db.sql("alter table people rename column name to full_name")
    db.settle()
    db.end()

Whatever a step does, the application writes before it and at once behind it, when nobody can have
noticed a new schema yet. `settle` folds the lakehouse as docs/formats/tables.md says and compares every
value with SQLite. Nothing is asked of the edge or of the parent.
"""

import contextlib
import json
import random
import sqlite3
import subprocess
import time

from harness import workload
from harness.binary import run
from harness.edge import Edge
from harness.judge import first_difference, with_rowid
from harness.lakehouse import Lakehouse

# How an edge is there while a tool works.
RUNNING = "running"   # and the lakehouse is looked at behind every step
HURRIED = "hurried"   # running; looked at once, in the end
AWAY = "away"         # not running before the end

# Tables that tools keep their own notes in: an application does not write there.
NOTES = ("alembic_version", "django_", "auth_", "knex_", "goose_", "schema_migrations", "flyway_",
         "databasechangelog", "sequelizemeta", "migrations", "typeorm_", "__drizzle", "_migrations",
         "_litestream", "evodb_", "sqlite_")


# Never captured, by docs/formats/outbox.md: nothing of them may be in the lakehouse.
UNCAPTURED = ("databasechangeloglock",)


class Application:
    """Writes to every table as it finds it, at any moment; a write that fails is kept."""

    def __init__(self, path, seed=0):
        self.path, self.rng = path, random.Random(seed)
        self.failures, self.writes, self.slowest = [], 0, 0.0
        self.db = sqlite3.connect(path, timeout=5, isolation_level=None)

    def work(self, transactions=8):
        for _ in range(transactions):
            began = time.monotonic()
            try:
                self.db.execute("begin immediate")
                for _ in range(self.rng.randint(1, 3)):
                    self.write()
                self.db.execute("commit")
                self.writes += 1
            except sqlite3.Error as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                if self.db.in_transaction:
                    self.db.execute("rollback")
            self.slowest = max(self.slowest, time.monotonic() - began)

    def tables(self):
        return [t for t in workload.user_tables(self.db) if not t.lower().startswith(NOTES)]

    def write(self):
        tables = self.tables()
        if not tables:
            return
        table = workload.quoted(self.rng.choice(tables))
        columns = [(name, kind.upper(), needed, key) for _, name, kind, needed, _, key, hidden
                   in self.db.execute(f"pragma table_xinfo({table})") if not hidden]
        names = [workload.quoted(name) for name, *_ in columns]
        rows = self.db.execute(f"select rowid from {table}").fetchall()
        dice = self.rng.random()
        try:
            if not rows or dice < 0.5:
                values = [self.value(kind, needed, key) for _, kind, needed, key in columns]
                self.db.execute(f"insert into {table} ({', '.join(names)}) "
                                f"values ({', '.join('?' * len(names))})", values)
            elif dice < 0.85:
                i = self.rng.randrange(len(columns))
                _, kind, needed, key = columns[i]
                if not key:
                    self.db.execute(f"update {table} set {names[i]} = ? where rowid = ?",
                                    [self.value(kind, needed, key), *self.rng.choice(rows)])
            else:
                self.db.execute(f"delete from {table} where rowid = ?", self.rng.choice(rows))
        except sqlite3.IntegrityError as error:  # the table's own rules; ours have evodb in their names
            if "evodb" in str(error):
                raise

    def value(self, kind, needed, key):
        rng = self.rng
        if key:
            return rng.randint(1000, 1 << 40) if "INT" in kind else f"key-{rng.getrandbits(40)}"
        if not needed and rng.random() < 0.2:
            return None
        if "INT" in kind:
            return rng.randint(-1000, 1000)
        if any(word in kind for word in ("REAL", "FLOA", "DOUB", "NUM", "DEC")):
            return rng.choice([rng.random() * 1000, rng.randint(0, 99)])
        if "BOOL" in kind:
            return rng.randint(0, 1)
        if "BLOB" in kind:
            return rng.randbytes(6)
        if "DATE" in kind or "TIME" in kind:
            return "2024-05-06 07:08:09"
        return rng.choice(["", "naïve ✓", f"text-{rng.getrandbits(30)}"])


class Captured:
    def __init__(self, folder, parent, edge=RUNNING, path=None, name="app", seed=0):
        self.path = path or folder / "app.db"
        self.parent, self.how, self.name, self.seed = parent, edge, name, seed
        self.edge = Edge(self.path, parent.url, folder / f"{name}-edge.log")
        self.lakehouse = Lakehouse(parent.data)
        self.application = None
        self.captured = False
        self.lasting = set()  # tables that were there between two steps: they may be in the lakehouse

    def end(self):
        if self.edge.running():
            self.edge.process.kill()
            self.edge.process.wait()

    def sql(self, script):
        """As the sqlite3 shell does it, in a process of its own."""
        done = subprocess.run(["sqlite3", "-bail", "-cmd", ".timeout 5000", str(self.path)],
                              input=script, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def rows(self, query):
        db = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=5)
        try:
            return db.execute(query).fetchall()
        finally:
            db.close()

    def capture(self, *more):
        done = run("capture", "install", "--db", self.path, "--source", self.name, *more)
        assert done.returncode == 0, done.stderr
        self.captured = True
        self.remember()
        if self.how == AWAY:
            self.catch_up()
        else:
            self.edge.start()
        self.settle()

    def status(self):
        done = run("capture", "status", "--db", self.path, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    @contextlib.contextmanager
    def step(self, what, settle=True):
        """The tool does something; the application writes before it and behind it."""
        if self.application is None:
            self.application = Application(self.path, self.seed)
        self.application.work()
        yield
        self.application.work()
        self.remember()
        assert not self.application.failures, f"behind '{what}': {self.application.failures}"
        if self.captured and settle and self.how == RUNNING:
            self.settle(what=what)

    def remember(self):
        db = sqlite3.connect(self.path, timeout=5)
        self.lasting |= set(workload.user_tables(db))
        db.close()

    def catch_up(self):
        done = run("edge", "--db", self.path, "--parent", self.parent.url, "--until-caught-up")
        assert done.returncode == 0, done.stderr

    def settle(self, seconds=60, what="the end"):
        """Everything has arrived, and it is right; a running edge has done it alone."""
        if self.how == AWAY:
            self.catch_up()
            seconds = 3
        else:
            assert self.edge.running(), f"the edge ended: {self.edge.log.read_text()[-2000:]}"
        end = time.monotonic() + seconds
        while complaints := self.complaints_of_now():
            if time.monotonic() > end:
                raise AssertionError(f"behind '{what}', {seconds} s later: " + "; ".join(complaints)
                                     + f"\nthe edge says: {self.edge_says()}")
            time.sleep(0.2)

    def edge_says(self):
        return self.edge.log.read_text()[-1500:] if self.edge.log.exists() else ""

    def complaints_of_now(self):
        self.remember()  # no step is under way: what is there lasts
        return judge_source(self.lakehouse, self.path, self.name, self.lasting)


def judge_source(lakehouse, path, name, lasting):
    """What a reader of the lakehouse gets wrong about one database; [] when all is right."""
    from pyiceberg.expressions import EqualTo

    out, rows_of = [], {}
    for table in lakehouse.tables():
        if table.endswith("_changes"):
            rows = (lakehouse.catalog().load_table(f"evodb.{table}")
                    .scan(row_filter=EqualTo("_source", name)).to_arrow().to_pylist())
            if rows:
                rows_of[table] = rows
    newest = max((r["_epoch"] for rows in rows_of.values() for r in rows), default=0)
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
    there = {f"{t.lower()}_changes": t for t in workload.user_tables(db)
             if t.lower() not in UNCAPTURED}
    allowed = {f"{t.lower()}_changes" for t in lasting if t.lower() not in UNCAPTURED}
    for table in sorted(rows_of.keys() | there.keys()):
        if table not in allowed:
            out.append(f"{table} is in the lakehouse: it lived within one step only")
        rows = [r for r in rows_of.get(table, []) if r["_epoch"] == newest]
        source = there.get(table)
        if not source:
            if old := lives_on(rows):
                out.append(f"{table}: {len(old)} changes of a table that is gone live on")
            continue
        info = db.execute(f"pragma table_xinfo({workload.quoted(source)})").fetchall()
        columns = [row[1] for row in info]
        key = [row[1] for row in sorted(info, key=lambda r: r[5]) if row[5] > 0]
        truth = workload.sqlite_rows(db, source, columns)
        if not key:  # a table without a key: its rowid is captured in its place
            key, rows = ["_rowid_"], with_rowid(rows)
        rebuilt = workload.rebuild(rows, columns, key, newest)
        if rebuilt != truth:
            out.append(f"{table}: {len(rebuilt)} rows for {len(truth)}, such as "
                       f"{first_difference(rebuilt, truth)}")
    db.close()
    return out


def lives_on(rows):
    """Changes of a table that is gone which a reader who folds them would still believe."""
    ends = max((r["_lsn"] for r in rows if r["_op"] in ("RESET", "DROP")), default=-1)
    return [r for r in rows if r["_lsn"] > ends]
