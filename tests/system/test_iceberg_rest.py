"""The parent's tables by the Iceberg REST catalog protocol, read by engines that nobody here wrote.

docs/http.md, "The Iceberg catalog".
"""

import concurrent.futures
import http.client
import json
import os
import pathlib
import signal
import socket
import time
import urllib.parse

import pytest
from harness import sanitizers
from harness.binary import run, wait_until
from harness.lakehouse import Lakehouse
from harness.s3 import S3_KEY, S3_SECRET
from harness.small_source import SmallSource
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError

TABLES = "/iceberg/v1/namespaces/evodb/tables"

not_sanitized = pytest.mark.skipif(
    bool(sanitizers.KIND), reason="a sanitized parent reads a document of megabytes for longer than a slow reader, or an "
                                  "upgrade, is waited for")


def rest(p, s3=None, **properties):
    if s3:
        properties |= {"s3.endpoint": f"http://127.0.0.1:{s3.port}", "s3.region": "us-east-1",
                       "s3.access-key-id": S3_KEY, "s3.secret-access-key": S3_SECRET}
    return RestCatalog("rest", uri=p.http + "/iceberg", **properties)


def duckdb_by_rest(p, s3=None):
    """DuckDB's own client of the protocol. Its extension must be among the installed packages."""
    try:
        lake = Lakehouse(p.data, s3).duckdb()
    except (ImportError, AttributeError) as missing:
        pytest.skip(f"DuckDB's iceberg extension is not installed: {missing}")
    lake.execute(f"ATTACH 'any' AS lake (TYPE iceberg, ENDPOINT '{p.http}/iceberg', "
                 "AUTHORIZATION_TYPE 'none')")
    return lake


def ask(p, path, method="GET"):
    code, body = p.get(path, method)
    return code, json.loads(body) if body else None


def error(p, path, method="GET"):
    code, answer = ask(p, path, method)
    assert answer["error"]["code"] == code
    return code, answer["error"]["type"], answer["error"]["message"]


@pytest.fixture(params=["directory", "s3"])
def scene(request, tmp_path, parent):
    s3 = request.getfixturevalue("s3") if request.param == "s3" else None
    p = parent("buffer.max_age_ms=50", store=s3).start()
    source = SmallSource(tmp_path, p.url)
    source.insert(*((i, f"v{i}", "w") for i in range(1, 101))).send()
    yield p, source, s3
    assert p.stop() == 0


def test_pyiceberg_lists_loads_scans_and_sees_newer_commits(scene):
    p, source, s3 = scene
    catalog = rest(p, s3)
    assert catalog.list_namespaces() == [("evodb",)]
    assert catalog.list_namespaces("evodb") == []
    assert catalog.namespace_exists("evodb") and not catalog.namespace_exists("other")
    lakehouse = Lakehouse(p.data, s3)
    assert sorted(name for _, name in catalog.list_tables("evodb")) == lakehouse.tables()
    assert catalog.table_exists("evodb.t_changes") and not catalog.table_exists("evodb.t")
    table = catalog.load_table("evodb.t_changes")
    assert table.metadata_location == lakehouse.location("t_changes")
    by_file = lakehouse.arrow("t_changes").sort_by("_lsn")
    assert table.scan().to_arrow().sort_by("_lsn") == by_file
    assert table.scan().count() == 100
    source.insert((101, "later", "w")).execute("delete from t where id = 1")
    source.send()
    assert table.scan().count() == 100
    assert table.refresh().scan().count() == 102
    assert catalog.load_table("evodb.t_changes").scan(row_filter="v = 'later'").count() == 1
    with pytest.raises(NoSuchTableError, match="evodb.nothing"):
        catalog.load_table("evodb.nothing")
    with pytest.raises(NoSuchNamespaceError):
        catalog.list_tables("other")


def test_snapshots_of_refs_only_are_fewer_and_scan_the_same(scene):
    p, source, s3 = scene
    source.insert((101, "x", "w")).send()
    source.insert((102, "y", "w")).send()
    everything = rest(p, s3).load_table("evodb.t_changes")
    refs = rest(p, s3, **{"snapshot-loading-mode": "refs"}).load_table("evodb.t_changes")
    assert len(everything.snapshots()) >= 3 and len(refs.snapshots()) == 1
    assert refs.current_snapshot() == everything.current_snapshot()
    assert refs.scan().count() == everything.scan().count() == 102


def test_duckdb_attaches_the_parent(scene):
    p, source, s3 = scene
    lake = duckdb_by_rest(p, s3)
    found = {name for (name,) in lake.execute(
        "select table_name from information_schema.tables where table_schema = 'evodb'").fetchall()}
    assert "t_changes" in found
    count = "select count(*), sum(id) from lake.evodb.t_changes"
    assert lake.execute(count).fetchone() == (100, 5050)
    source.insert((101, "later", "w")).send()
    assert lake.execute(count).fetchone() == (101, 5151), "without attaching it again"
    with pytest.raises(Exception, match="nothing"):
        lake.execute("select * from lake.evodb.nothing")
    with pytest.raises(Exception):
        lake.execute("insert into lake.evodb.t_changes select * from lake.evodb.t_changes")
    assert lake.execute(count).fetchone() == (101, 5151)


def test_tables_with_odd_names(tmp_path, parent):
    p = parent("buffer.max_age_ms=50").start()
    names = ["two words", "a/b", "a%2Fb", "plus+minus", "été", "..", "q?x=1&y#z", "dot.ted"]
    source = SmallSource(tmp_path, p.url)
    for number, name in enumerate(names):
        source.execute(f'create table "{name}" (id integer primary key, v)')
        source.execute(f'insert into "{name}" values (?, 1)', number)
    source.send()
    catalog = rest(p)
    landed = [name.lower() + "_changes" for name in names]
    assert {name for _, name in catalog.list_tables("evodb")} >= set(landed)
    for number, name in enumerate(landed):
        rows = catalog.load_table(("evodb", name)).scan().to_arrow().to_pylist()
        assert [row["id"] for row in rows] == [number], name
        assert catalog.table_exists(("evodb", name))
        assert ask(p, f"{TABLES}/{urllib.parse.quote_plus(name)}")[0] == 200  # as Java does
    lake = duckdb_by_rest(p)
    for number, name in enumerate(landed):
        assert lake.execute(f'select id from lake.evodb."{name}"').fetchone() == (number,)
    paged = rest(p, **{"rest-page-size": "3"})
    assert paged.list_tables("evodb") == catalog.list_tables("evodb")
    pages, query = [], "?pageToken=&pageSize=3"
    while query:
        _, page = ask(p, TABLES + query)
        pages.append(page["identifiers"])
        token = page["next-page-token"]
        query = token and f"?pageToken={token}&pageSize=3"
    assert max(map(len, pages)) <= 3
    assert len(sum(pages, [])) == len(catalog.list_tables("evodb"))


def test_errors_are_the_protocols_own(scene):
    p, source, _ = scene
    before = Lakehouse(p.data).location("t_changes")
    table = TABLES + "/t_changes"
    for method, path in [("POST", table), ("DELETE", table), ("POST", TABLES), ("PUT", table),
                         ("DELETE", "/iceberg/v1/namespaces/evodb"),
                         ("POST", "/iceberg/v1/namespaces"),
                         ("POST", "/iceberg/v1/tables/rename"),
                         ("POST", "/iceberg/v1/transactions/commit")]:
        code, kind, message = error(p, path, method)
        assert (code, kind) == (405, "UnsupportedOperationException") and "read-only" in message
    assert error(p, TABLES + "/t")[:2] == (404, "NoSuchTableException")
    assert error(p, "/iceberg/v1/namespaces/x")[:2] == (404, "NoSuchNamespaceException")
    assert error(p, "/iceberg/v1/namespaces/evodb%1Fx")[:2] == (404, "NoSuchNamespaceException")
    assert error(p, "/iceberg/v1/nothing")[:2] == (404, "NotFoundException")
    for query in ["?pageSize=0", "?pageSize=x", "?pageToken=x"]:
        assert error(p, TABLES + query)[:2] == (400, "BadRequestException")
    assert error(p, table + "?snapshots=some")[:2] == (400, "BadRequestException")
    assert error(p, TABLES + "/%zz")[:2] == (400, "BadRequestException")
    catalog = rest(p)
    for write in [lambda: catalog.drop_table("evodb.t_changes"),
                  lambda: catalog.create_namespace("more"),
                  lambda: catalog.rename_table("evodb.t_changes", "evodb.u")]:
        with pytest.raises(Exception):
            write()
    source.insert((1000, "goes on", "w")).send()
    assert Lakehouse(p.data).location("t_changes") != before


def test_heads_have_no_content_and_the_connection_lives_on(scene):
    p, _, _ = scene
    connection = http.client.HTTPConnection("127.0.0.1", p.port, timeout=20)
    for path, status in [("/iceberg/v1/namespaces/evodb", 204), (TABLES + "/t_changes", 204),
                         (TABLES + "/t", 404), ("/iceberg/v1/config", 200)]:
        connection.request("HEAD", path)
        answer = connection.getresponse()
        assert answer.status == status and answer.read() == b""
    connection.request("GET", "/iceberg/v1/config")
    config = json.loads(connection.getresponse().read())
    assert all(endpoint.split()[0] in ("GET", "HEAD") for endpoint in config["endpoints"])


def test_a_store_that_is_away_is_told_and_stops_nobody(tmp_path, parent, s3):
    p = parent("buffer.max_age_ms=50", store=s3).start()
    source = SmallSource(tmp_path, p.url)
    source.insert((1, "v", "w")).send()
    s3.stop()
    code, kind, _ = error(p, TABLES + "/t_changes")
    assert (code, kind) == (503, "ServiceUnavailableException")
    assert ask(p, TABLES)[0] == 200, "the catalog is here"
    assert p.get("/healthz")[0] == 200
    s3.start()
    wait_until(lambda: ask(p, TABLES + "/t_changes")[0] == 200, 30, "the store is back")
    assert p.stop() == 0


def pad(p, table, megabytes):
    """Large metadata, as a table of thousands of snapshots has."""
    lakehouse = Lakehouse(p.data)
    path = lakehouse.location(table).removeprefix("file://")
    with open(path) as file:
        document = json.load(file)
    document["properties"]["padding"] = "x" * (megabytes << 20)
    with open(path, "w") as file:
        json.dump(document, file)


@not_sanitized
def test_an_answer_of_many_megabytes_obeys_its_reader(tmp_path, parent):
    p = parent("buffer.max_age_ms=50").start()
    source = SmallSource(tmp_path, p.url)
    source.insert((1, "v", "w")).send()
    pad(p, "t_changes", 12)
    assert rest(p).load_table("evodb.t_changes").scan().count() == 1
    slow = socket.create_connection(("127.0.0.1", p.port))
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    slow.sendall(f"GET {TABLES}/t_changes HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n".encode())
    wait_until(lambda: p.status()["connections"]["held_bytes"] > 4 << 20, 30, "the answer is on its way")
    received = b""
    for _ in range(4):  # nobody waits for the slow one
        with concurrent.futures.ThreadPoolExecutor(2) as many:
            assert set(many.map(lambda _: ask(p, TABLES + "/t_changes")[0], range(2))) == {200}
        received += slow.recv(1 << 20)
    while piece := slow.recv(1 << 20):
        received += piece
    document = json.loads(received.partition(b"\r\n\r\n")[2])
    assert len(document["metadata"]["properties"]["padding"]) == 12 << 20
    wait_until(lambda: p.status()["connections"]["held_bytes"] < 1 << 20, 10, "all is let go")
    pad(p, "t_changes", 40)
    code, kind, message = error(p, TABLES + "/t_changes")
    assert (code, kind) == (500, "InternalServerError") and "bytes" in message
    assert p.stop() == 0


def test_many_readers_at_once_are_served_or_told_to_come_back(tmp_path, parent):
    p = parent("buffer.max_age_ms=50").start()
    source = SmallSource(tmp_path, p.url)
    source.insert((1, "v", "w")).send()

    def one(_):
        connection = http.client.HTTPConnection("127.0.0.1", p.port, timeout=40)
        connection.request("GET", TABLES + "/t_changes")
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.getheader("Retry-After")

    with concurrent.futures.ThreadPoolExecutor(150) as many:
        answers = list(many.map(one, range(600)))
    assert {status for status, _ in answers} <= {200, 503}
    assert all(retry == "1" for status, retry in answers if status == 503)
    assert any(status == 200 for status, _ in answers)
    assert ask(p, TABLES + "/t_changes")[0] == 200
    assert p.stop() == 0


def test_it_can_be_switched_off(parent):
    p = parent("http.iceberg=false").start()
    code, kind, message = error(p, "/iceberg/v1/config")
    assert (code, kind) == (404, "NotFoundException") and "http.iceberg" in message
    assert p.get("/status")[0] == 200


def test_where_the_warehouse_is_and_no_secret(parent, s3):
    p = parent(store=s3).start()
    _, config = ask(p, "/iceberg/v1/config?warehouse=any")
    assert config["defaults"]["s3.endpoint"] == f"http://127.0.0.1:{s3.port}"
    assert S3_SECRET not in json.dumps(config) and S3_KEY not in json.dumps(config)


def upgraded(p):
    """The next process's id; it is stopped when the test is over."""
    done = run("upgrade", "--data", p.data, "--json")
    result = json.loads(done.stdout)
    assert done.returncode == 0 and result["upgraded"], done
    assert p.process.wait(10) == 0
    return result["pid"]


def end(pid):
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not pathlib.Path(f"/proc/{pid}").exists(), 20, "the last parent ends")


@not_sanitized
def test_an_answer_that_is_leaving_goes_on_through_an_upgrade(tmp_path, parent):
    p = parent("buffer.max_age_ms=50").start()
    SmallSource(tmp_path, p.url).insert((1, "v", "w")).send()
    pad(p, "t_changes", 12)
    slow = socket.create_connection(("127.0.0.1", p.port))
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    request = f"GET {TABLES}/t_changes HTTP/1.1\r\nHost: p\r\n".encode()
    slow.sendall(request + b"\r\n" + request + b"Connection: close\r\n\r\n")
    time.sleep(0.5)
    pid = upgraded(p)
    received = b""
    while piece := slow.recv(1 << 20):
        received += piece
    end(pid)
    for answer in received.split(b"HTTP/1.1 200 OK\r\n")[1:]:
        document = json.loads(answer.partition(b"\r\n\r\n")[2])
        assert len(document["metadata"]["properties"]["padding"]) == 12 << 20
    assert received.count(b"HTTP/1.1 200 OK\r\n") == 2, "the second one by the next process"


def test_readers_of_a_store_that_hangs_do_not_keep_an_upgrade_out(tmp_path, parent, s3):
    p = parent("buffer.max_age_ms=50", store=s3).start()
    SmallSource(tmp_path, p.url).insert((1, "v", "w")).send()
    s3.process.send_signal(signal.SIGSTOP)
    try:
        with concurrent.futures.ThreadPoolExecutor(3) as readers:
            answers = [readers.submit(error, p, TABLES + "/t_changes") for _ in range(3)]
            time.sleep(0.5)
            pid = upgraded(p)
            for answer in answers:
                code, kind, message = answer.result()
                assert (code, kind) == (503, "ServiceUnavailableException")
                assert "being upgraded" in message
    finally:
        s3.process.send_signal(signal.SIGCONT)
    wait_until(lambda: ask(p, TABLES + "/t_changes")[0] == 200, 30, "the next process reads it")
    end(pid)
