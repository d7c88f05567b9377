"""What the system tests share: the real binary, an S3 server, readers that nobody here wrote."""

import importlib.util
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("EVODB_BINARY", ROOT / "build" / "evodb"))
GATEWAY = ROOT / ".deps" / "bin" / "versitygw"
S3_KEY, S3_SECRET, BUCKET = "test-key", "test-secret-test-secret", "lake"


def clean_environment(**more):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("EVODB_", "AWS_"))}
    env.update(more)
    return env


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def run(*arguments, timeout=60, **kwargs):
    """A command of the binary, to its end."""
    return subprocess.run([str(BINARY), *map(str, arguments)], capture_output=True, text=True,
                          timeout=timeout, env=clean_environment(), **kwargs)


def wait_until(done, seconds, what):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = done()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


class Parent:
    """`evodb serve` on a fixed port, so that edges find it again after a kill."""

    def __init__(self, folder, *settings, store=None):
        self.data = pathlib.Path(folder) / "parent"
        self.log = pathlib.Path(folder) / "parent.log"
        self.port = free_port()
        self.settings = list(settings)
        self.store = store
        self.process = None
        self.kills = 0

    @property
    def url(self):
        return f"ws://127.0.0.1:{self.port}"

    @property
    def http(self):
        return f"http://127.0.0.1:{self.port}"

    def spawn(self, *more):
        arguments = [str(BINARY), "serve", "--listen", f"127.0.0.1:{self.port}",
                     "--data", str(self.data)]
        for setting in [*self.settings, *(self.store.settings() if self.store else [])]:
            arguments += ["--set", setting]
        environment = clean_environment(**(self.store.environment() if self.store else {}))
        self.process = subprocess.Popen([*arguments, *more], stdout=subprocess.DEVNULL,
                                        stderr=open(self.log, "ab"), env=environment)
        return self

    def start(self, *more, seconds=30):
        began = self.log.stat().st_size if self.log.exists() else 0
        self.spawn(*more)

        def ready():
            text = self.log.read_bytes()[began:].decode(errors="replace")
            assert self.process.poll() is None, f"the parent ended: {text}"
            return "evodb ready on http://" in text

        wait_until(ready, seconds, "the parent is ready")
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.kills += 1

    def stop(self, seconds=30):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def get(self, path, method="GET", timeout=40):
        request = urllib.request.Request(self.http + path, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def status(self):
        code, body = self.get("/status")
        assert code == 200, body
        return json.loads(body)


class S3:
    """versitygw over a directory: a real S3 server that checks signatures."""

    def __init__(self, folder):
        self.root = pathlib.Path(folder) / "s3"
        (self.root / BUCKET).mkdir(parents=True)
        self.port = free_port()
        self.log = pathlib.Path(folder) / "s3.log"
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [str(GATEWAY), "--port", f"127.0.0.1:{self.port}", "posix", str(self.root)],
            stdout=open(self.log, "ab"), stderr=subprocess.STDOUT,
            env=clean_environment(ROOT_ACCESS_KEY=S3_KEY, ROOT_SECRET_KEY=S3_SECRET))

        def listening():
            assert self.process.poll() is None, self.log.read_text()
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", self.port)) == 0

        wait_until(listening, 20, "the S3 server listens")
        return self

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def settings(self):
        return [f"store.url=s3://{BUCKET}/warehouse", f"store.endpoint=http://127.0.0.1:{self.port}",
                "store.connect_timeout_ms=1000",
                "store.request_timeout_ms=5000", "fallback.recovery_interval_ms=500"]

    def environment(self):
        return {"AWS_ACCESS_KEY_ID": S3_KEY, "AWS_SECRET_ACCESS_KEY": S3_SECRET}


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
        import duckdb

        connection = duckdb.connect(config={"autoinstall_known_extensions": False,
                                            "autoload_known_extensions": False})
        for name in ("httpfs", "avro", "iceberg"):
            origin = importlib.util.find_spec("duckdb_extension_" + name).origin
            folder = pathlib.Path(origin).parent / "extensions" / f"v{duckdb.__version__}"
            connection.execute(f"LOAD '{folder}/{name}.duckdb_extension'")
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


@pytest.fixture
def parent(tmp_path):
    parents = []

    def make(*settings, store=None, folder=tmp_path):
        parents.append(Parent(folder, *settings, store=store))
        return parents[-1]

    yield make
    for p in parents:
        if p.process and p.process.poll() is None:
            p.kill()


@pytest.fixture
def s3(tmp_path):
    if not GATEWAY.exists():
        pytest.fail("scripts/setup has not built .deps/bin/versitygw")
    server = S3(tmp_path).start()
    yield server
    server.stop()


@pytest.fixture(autouse=True, scope="session")
def binary():
    if not BINARY.exists():
        pytest.fail(f"{BINARY} is missing: make build")
