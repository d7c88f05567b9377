"""The shortest way: a row in SQLite, a second later a row in Iceberg."""

import json
import sqlite3
import subprocess
import time

from harness.binary import BINARY, clean_environment, run, wait_until
from harness.lakehouse import Lakehouse


def test_a_row_is_visible_to_duckdb_within_seconds(tmp_path, parent):
    p = parent().start()
    path = tmp_path / "app.db"
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("create table users (id integer primary key, name text, score real)")
    db.execute("insert into users values (1, 'was there before', 0.5)")
    edge = subprocess.Popen([str(BINARY), "edge", "--db", str(path), "--parent", p.url],
                            env=clean_environment(), stderr=subprocess.PIPE)
    try:
        lakehouse = Lakehouse(p.data)

        def rows():
            if "users_changes" not in lakehouse.tables():
                return []
            return lakehouse.sql("select _op, id, name, score from {t} order by _lsn",
                                 t="users_changes")

        wait_until(lambda: rows() == [("SNAPSHOT", 1, "was there before", 0.5)], 10, "the snapshot")
        db.execute("update users set score = 2.5 where id = 1")
        began = time.monotonic()
        wait_until(lambda: ("UPDATE", 1, "was there before", 2.5) in rows(), 10, "the update")
        assert time.monotonic() - began < 5
    finally:
        edge.terminate()
        assert edge.wait(10) == 0


def test_the_edge_says_what_is_wrong(tmp_path, parent):
    p = parent().start()
    (tmp_path / "not.db").write_text("this is not a database, but it is long enough to be one" * 99)
    (tmp_path / "folder").mkdir()
    good = tmp_path / "good.db"
    sqlite3.connect(good).execute("create table t (a integer primary key)")
    cases = [
        (["--db", tmp_path / "none.db", "--parent", p.url], 2, "none.db"),
        (["--db", tmp_path / "not.db", "--parent", p.url], 2, "not.db"),
        (["--db", tmp_path / "folder", "--parent", p.url], 2, "folder"),
        (["--db", good, "--parent", "gopher://x"], 2, "ws://"),
    ]
    for arguments, code, word in cases:
        done = run("edge", *arguments, "--until-caught-up", timeout=20)
        lines = done.stderr.strip().splitlines()
        assert done.returncode == code and word in lines[-1], (arguments, done)
        assert lines[-1].startswith("evodb: ")
    assert not (tmp_path / "none.db").exists()


def test_something_that_is_no_parent_is_named(tmp_path):
    import http.server
    import threading

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    path = tmp_path / "app.db"
    sqlite3.connect(path).execute("create table t (a integer primary key)")
    done = run("edge", "--db", path, "--parent", f"ws://127.0.0.1:{server.server_port}",
               "--until-caught-up", timeout=30)
    server.shutdown()
    assert done.returncode == 2 and "not an EvoDB parent" in done.stderr, done.stderr


def test_capture_refuses_to_lose_changes(tmp_path, parent):
    path = tmp_path / "app.db"
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("create table t (a integer primary key)")
    db.execute("insert into t values (1)")
    assert run("capture", "install", "--db", path).returncode == 0
    refused = run("capture", "remove", "--db", path)
    assert refused.returncode == 5 and "1" in refused.stderr
    status = json.loads(run("capture", "status", "--db", path, "--json").stdout)
    assert status["held_changes"] == 1 and status["tables"][0]["captured"]
    p = parent().start()
    assert run("edge", "--db", path, "--parent", p.url, "--until-caught-up").returncode == 0
    assert run("capture", "remove", "--db", path).returncode == 0
    assert db.execute("select count(*) from sqlite_master where name like 'evodb%'").fetchone() == (0,)


def test_a_value_that_does_not_fit_lands_beside_its_column(tmp_path, parent):
    p = parent().start()
    path = tmp_path / "app.db"
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("create table t (id integer primary key, n integer)")
    db.execute("insert into t values (1, 5), (2, 'five'), (3, 5.5), (4, x'00ff')")
    assert run("edge", "--db", path, "--parent", p.url, "--until-caught-up").returncode == 0
    rows = Lakehouse(p.data).arrow("t_changes").sort_by("_lsn").to_pylist()
    assert [(r["n"], dict(r["_unfit"] or {})) for r in rows] == [
        (5, {}), (None, {"n": "text:five"}), (None, {"n": "real:5.5"}), (None, {"n": "blob:00ff"})]


def test_a_row_over_the_limit_goes_to_the_rejects_and_the_stream_goes_on(tmp_path, parent):
    p = parent().start()
    path = tmp_path / "app.db"
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("create table t (id integer primary key, v)")
    db.execute("insert into t values (1, 'small')")
    db.execute("insert into t values (2, zeroblob(9 * 1024 * 1024))")
    db.execute("insert into t values (3, 'small again')")
    done = run("edge", "--db", path, "--parent", p.url, "--until-caught-up", timeout=120)
    assert done.returncode == 0, done.stderr
    lakehouse = Lakehouse(p.data)
    assert lakehouse.sql("select id from {t} order by 1", t="t_changes") == [(1,), (3,)]
    rejects = lakehouse.arrow("rejects").to_pylist()
    assert len(rejects) == 1
    text = json.dumps(rejects[0], default=str)
    assert '"t"' in text and "8388608" in text or "limit" in text, text
