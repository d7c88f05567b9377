"""One small database whose changes a test sends step by step."""

import sqlite3

from harness import workload
from harness.binary import run


class SmallSource:
    """A table `t (id, v, w)` by default; each send() returns when all of it is persisted."""

    def __init__(self, folder, url, name="small",
                 schema="create table t (id integer primary key, v text, w text)"):
        self.path, self.url, self.name = folder / f"{name}.db", url, name
        self.execute(schema)
        workload.install(self.path, "--source", name)

    def execute(self, sql, *values):
        with sqlite3.connect(self.path, isolation_level=None) as db:
            return db.execute(sql, values).fetchall()

    def send(self, url=None, timeout=60):
        done = run("edge", "--db", self.path, "--parent", url or self.url, "--until-caught-up",
                   timeout=timeout)
        assert done.returncode == 0, done.stderr
        return self

    def insert(self, *rows, table="t"):
        for row in rows:
            marks = ", ".join("?" * len(row))
            self.execute(f"insert into {table} values ({marks})", *row)
        return self
