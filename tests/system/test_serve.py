"""The binary by itself: its port, its pages, its manners."""

import json
import re
import signal
import shutil
import socket
import struct
import subprocess
import time
import zlib

import pytest
from harness import sanitizers
from harness.binary import BINARY, clean_environment, run, wait_until
from harness.lakehouse import Lakehouse
from websockets.sync.client import connect


def test_ready_in_half_a_second_idle_under_60_mb_and_stops_with_0(parent):
    p = parent()
    began = time.monotonic()
    p.start()
    took = time.monotonic() - began
    rss = next(int(line.split()[1]) for line in open(f"/proc/{p.process.pid}/status")
               if line.startswith("VmRSS"))
    # Figures with room for a busy machine; bench ingest prints the exact ones.
    if not sanitizers.KIND:
        assert took < 2.0
        assert rss < 60_000, f"{rss} kB"
    assert p.get("/healthz")[0] == 200
    wait_until(lambda: p.get("/readyz")[0] == 200, 5, "ready")
    assert p.stop() == 0


def test_pages_and_metrics(parent):
    p = parent().start()
    status = p.status()
    for key in ("version", "uptime_ms", "buffers", "connections", "sources", "tables"):
        assert key in status
    assert set(status["buffers"]) >= {"entries", "bytes", "oldest_entry_age_ms",
                                      "child_connections"}
    code, text = p.get("/metrics")
    assert code == 200
    for line in text.splitlines():
        assert line.startswith("# ") or re.fullmatch(r'evodb_\w+(\{\w+="[^"]*"\})? [-+.e\d]+', line), line
    code, page = p.get("/")
    assert code == 200 and "<html" in page and "http" not in re.sub(r"https?://127", "", page).replace(
        "http-equiv", "").replace("/status", "")
    assert p.get("/nowhere")[0] == 404
    assert p.get("/flush")[0] == 405
    assert p.get("/flush", method="POST")[0] == 200
    human = run("status", "--parent", p.http)
    assert human.returncode == 0 and "ready" in human.stdout
    machine = run("status", "--parent", p.http, "--json")
    assert json.loads(machine.stdout)["version"] == status["version"]


def test_a_first_generation_client_lands_json_and_binary(parent):
    p = parent().start()
    with connect(p.url) as ws:
        ws.send("ping")
        assert ws.recv(5) == "pong"
        entry = {"sequence": 1, "timestamp": 1700000000000, "operation": "INSERT", "table": "users",
                 "rowId": "u1", "after": {"name": "Ada", "age": 36, "score": 1.5, "ok": True}}
        ws.send(json.dumps({"type": "cdc_batch", "sourceDoId": "do-1", "sequenceNumber": 1,
                            "timestamp": 1700000000000, "correlationId": "c-1",
                            "entries": [entry]}))
        answer = json.loads(ws.recv(5))
        assert answer["type"] == "ack" and answer["status"] in ("ok", 0), answer

        # Bytes by the table in docs/formats/wire-v1.md; the CRC is wrong, as old clients send it.
        after = b'{"name":"Grace","age":85,"score":2.5,"ok":false}'
        one = struct.pack("<QQBHHII", 2, 1700000000001, 0, 5, 2, 0, len(after)) + b"usersu2" + after
        payload = struct.pack("<I", 1) + one
        head = struct.pack("<HBBB3xQQHIIHI", 0xCDC2, 1, 1, 2, 1700000000001, 9, 4, 1, len(payload),
                           3, 0xDEADBEEF)
        message = head + b"do-1" + b"c-2" + payload
        ws.send(message)
        ack = ws.recv(5)
        assert len(ack) == 27 + 3 and ack[3] == 2 and ack[24] == 0 and ack[27:] == b"c-2"
        ws.send(message)  # again: every entry was there
        assert ws.recv(5)[24] == 3
    assert p.get("/flush", method="POST")[0] == 200
    rows = Lakehouse(p.data).sql("select _lsn, _key, name, age, score, ok from {u} order by _lsn",
                                 u="users_changes")
    assert rows == [(1, "u1", "Ada", 36, 1.5, True), (2, "u2", "Grace", 85, 2.5, False)]
    assert p.get("/health")[0] == 200


def test_bad_configuration_is_one_line_that_helps(parent, tmp_path):
    cases = [
        (["--set", "buffer.max_agems=5"], "did you mean `buffer.max_age_ms`"),
        (["--set", "buffer.max_age_ms=soon"], "buffer.max_age_ms"),
        (["--listen", "0.0.0.0:0"], "--insecure"),
        (["--config", "/nowhere.toml"], "/nowhere.toml"),
        (["--set", "store.url=ftp://x"], "store.url"),
        (["--listen", "nonsense"], "nonsense"),
    ]
    for arguments, word in cases:
        result = run("serve", "--data", tmp_path / "d", *arguments, timeout=20)
        assert result.returncode == 2, (arguments, result)
        lines = result.stderr.strip().splitlines()
        assert len(lines) == 1 and lines[0].startswith("evodb: ") and word in lines[0], result.stderr
    assert run("validate", "--set", "buffer.max_age_ms=5").stdout == "valid\n"
    assert run("validate", "--set", "bufer.max_age_ms=5").returncode == 2
    for arguments, word in [
        (["no-such-command"], "'no-such-command'"),
        ([], "evodb --help"),
        (["capture", "install"], "--db is required; see evodb capture install --help"),
        (["edge", "--db", "x", "--parent", "ws://x:1", "--wait", "soon"], "soon"),
        (["serve", "--lisen", "x"], "--lisen"),
    ]:
        result = run(*arguments)
        assert result.returncode == 2 and result.stderr.count("\n") == 1, result
        assert result.stderr.startswith("evodb: ") and word in result.stderr, result
    shown = run("config", "show", "--origin", "--set", "buffer.max_age_ms=123").stdout
    assert re.search(r"buffer.max_age_ms = 123 +# --set", shown)


def test_an_answer_that_cannot_be_written_is_no_success():
    with open("/dev/full", "w") as full:
        result = subprocess.run([BINARY, "config", "show"], stdout=full, stderr=subprocess.PIPE,
                                env=clean_environment())
    assert result.returncode == 1 and b"No space left" in result.stderr


def test_one_parent_a_data_directory(parent):
    p = parent().start()
    second = run("serve", "--data", p.data, "--listen", "127.0.0.1:0", timeout=20)
    assert second.returncode == 3 and str(p.process.pid) in second.stderr
    taken = run("serve", "--data", str(p.data) + "2", "--listen", f"127.0.0.1:{p.port}", timeout=20)
    assert taken.returncode != 0 and str(p.port) in taken.stderr


@pytest.mark.parametrize("bytes_", [
    b"GET / HTTP/9.9\r\n\r\n", b"\x00" * 100, b"GET /" + b"x" * 100_000, b"POST / HTTP/1.1\r\n"
    b"Content-Length: -1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 7\r\nSec-WebSocket-Key: x\r\n\r\n"])
def test_malformed_http_is_answered_and_the_parent_goes_on(parent, bytes_):
    p = parent().start()
    with socket.create_connection(("127.0.0.1", p.port), timeout=5) as s:
        s.sendall(bytes_)
        s.settimeout(15)
        answer = b""
        try:
            while chunk := s.recv(4096):
                answer += chunk
        except ConnectionResetError:
            pass
    assert answer == b"" or re.match(rb"HTTP/1\.1 (4\d\d|505)", answer), answer[:80]
    assert p.get("/healthz")[0] == 200


def test_malformed_frames_are_refused_with_a_reason(parent):
    p = parent().start()
    for garbage in (b"\xe5\xdb\x02\x00\x01\x00\x00\x00\x00\x00", b"\xe5\xdb\x09\x00\x01\x00abcd",
                    b"", b"hello", b"\xc2\xcd\x01\x01" + b"\xff" * 60):
        with connect(p.url) as ws:
            ws.send(garbage)
            try:
                while True:
                    last = ws.recv(5)
            except Exception as closed:  # noqa: BLE001
                assert "1000" not in str(closed) or last
    assert p.get("/healthz")[0] == 200


def test_what_is_wrong_with_an_entry_of_wire_v1_stays_with_it(parent):
    p = parent().start()

    def entry(sequence, **more):
        return {"sequence": sequence, "timestamp": 1700000000000, "operation": "INSERT",
                "table": "users", "rowId": f"u{sequence}", "after": {"n": 1}, **more}

    batch = {"type": "cdc_batch", "sourceDoId": "do-1", "sequenceNumber": 7, "correlationId": "c-7",
             "entries": [entry(1), entry(0), entry(2, timestamp=-1), entry(3, timestamp=1e300),
                         entry(4, operation="UPSERT"), entry(5, table=""), entry(1, rowId="other"),
                         "no entry at all", entry(6)]}
    with connect(p.url) as ws:
        for status in ("ok", "duplicate"):  # the second time all of it is known
            ws.send(json.dumps(batch))
            answer = json.loads(ws.recv(5))
            assert (answer["type"], answer["status"]) == ("ack", status), answer
            assert answer["correlationId"] == "c-7"
        many = [entry(sequence) for sequence in range(1000, 26_000)]
        ws.send(json.dumps({**batch, "correlationId": "many", "entries": many}))
        assert json.loads(ws.recv(30))["correlationId"] == "many"
        # As many member lists as there may be, and more.
        for first in range(0, 1500, 100):
            lists = [entry(30_000 + i, after={f"n{i}": i}) for i in range(first, first + 100)]
            for e in lists:
                e["table"] = "lists"
            ws.send(json.dumps({**batch, "entries": lists}))
            assert json.loads(ws.recv(30))["type"] == "ack"
        ws.send('{"type":"cdc_batch","correlationId":"broken","sequenceNumber":3,"entries":[{}')
        nack = json.loads(ws.recv(5))
        assert (nack["type"], nack["correlationId"], nack["sequenceNumber"]) == ("nack", "broken", 3)
    assert p.get("/flush", method="POST")[0] == 200
    lakehouse = Lakehouse(p.data)
    rows = lakehouse.sql("select _lsn, _committed_at is null from {u} where _lsn < 1000 order by 1",
                         u="users_changes")
    assert rows == [(1, False), (2, False), (3, True), (6, False)]
    assert lakehouse.sql("select count(*), count(distinct _lsn) from {u} where _lsn >= 1000",
                         u="users_changes") == [(25_000, 25_000)]
    assert lakehouse.sql("select count(*) from {u}", u="lists_changes") == [(1_500,)]
    rejects = lakehouse.sql("select lsn, reason from {u} order by reason", u="rejects")
    assert len(rejects) == 5, rejects
    assert sorted(lsn for lsn, _ in rejects if lsn < 1000) == [4, 5]
    for why in ("sequences begin at 1", "UPSERT", "the table's name", "same sequence",
                "not a JSON object"):
        assert any(why in reason for _, reason in rejects), (why, rejects)


def v1_entry(sequence, **after):
    return {"sequence": sequence, "timestamp": 1700000000000, "operation": "INSERT", "table": "t",
            "rowId": f"r{sequence}", "after": after}


def v1_send(ws, source, *entries):
    """What the parent says of a batch."""
    ws.send(json.dumps({"type": "cdc_batch", "sourceDoId": source, "sequenceNumber": 1,
                        "correlationId": "c", "entries": entries}))
    answer = json.loads(ws.recv(10))
    assert answer["correlationId"] == "c", answer
    return answer["type"], answer.get("status") or answer["reason"]


def test_numbers_of_json_are_numbers_whatever_came_first(parent):
    p = parent().start()
    with connect(p.url) as ws:
        assert v1_send(ws, "do-1", v1_entry(1, price=20), v1_entry(2, price=19.99)) == ("ack", "ok")
        assert p.get("/flush", method="POST")[0] == 200
        assert v1_send(ws, "do-1", v1_entry(3, price=-1), v1_entry(4, price=0.01)) == ("ack", "ok")
    assert p.get("/flush", method="POST")[0] == 200
    assert Lakehouse(p.data).sql("select sum(price), count(price), count(_unfit) from {t}",
                                 t="t_changes") == [(39.0, 4, 0)]


def test_what_a_first_generation_client_was_acknowledged_is_never_new_again(parent):
    """More sources than the memory for gaps is made for; the first ones come back last."""
    p = parent("dedup.max_sources=3").start()
    sources = [f"do-{i}" for i in range(12)]
    batch = [v1_entry(n, n=n) for n in (1, 2, 5)]  # with a gap
    for status in ("ok", "duplicate"):
        for source in sources:
            with connect(p.url) as ws:
                assert v1_send(ws, source, *batch) == ("ack", status), source
    p.kill()
    p.start()
    for source in sources:
        with connect(p.url) as ws:
            assert v1_send(ws, source, *batch) == ("ack", "duplicate"), source
            assert v1_send(ws, source, v1_entry(3, n=3)) == ("ack", "ok"), "what was left out"
    assert p.get("/flush", method="POST")[0] == 200
    assert Lakehouse(p.data).sql(
        "select count(*), count(distinct (_source, _lsn)), count(distinct _source) from {t}",
        t="t_changes") == [(48, 48, 12)]


def test_columns_that_came_late_prune_older_files(parent):
    """`late IS NOT NULL` opens no file of before the column, once manifests were merged."""
    p = parent().start()
    with connect(p.url) as ws:
        for n in range(1, 41):
            late = {"late": n} if n > 30 else {}
            assert v1_send(ws, "do-1", v1_entry(n, n=n, **late)) == ("ack", "ok")
            assert p.get("/flush", method="POST")[0] == 200
    table = Lakehouse(p.data).catalog().load_table("evodb.t_changes")
    assert len(list(table.scan().plan_files())) == 40
    planned = list(table.scan(row_filter="late is not null").plan_files())
    assert len(planned) == 10, len(planned)


def send_one_change(p):
    """As a client of the first generation; acknowledged, so the journal has it."""
    with connect(p.url) as ws:
        entry = {"sequence": 1, "timestamp": 1, "operation": "INSERT", "table": "t", "rowId": "1",
                 "after": {"a": 1}}
        ws.send(json.dumps({"type": "cdc_batch", "sourceDoId": "d", "sequenceNumber": 1,
                            "timestamp": 1, "entries": [entry]}))
        assert json.loads(ws.recv(5))["type"] == "ack"


def test_stopped_and_continued_while_it_stops_is_no_reason_to_give_up(parent, s3):
    p = parent(store=s3).start()
    send_one_change(p)
    s3.stop()  # so that stopping takes as long as it may
    p.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert p.process.poll() is None
    p.process.send_signal(signal.SIGSTOP)
    p.process.send_signal(signal.SIGCONT)
    assert p.process.wait(30) == 0, p.log.read_text()
    assert "late" not in p.log.read_text()


def test_s3_with_wrong_credentials_says_so(parent, s3):
    wrong = s3
    p = parent(store=wrong)
    environment = wrong.environment
    wrong.environment = lambda: {**environment(), "AWS_SECRET_ACCESS_KEY": "wrong"}
    p.spawn()

    def said():  # before it is ready: nothing was taken that could not land
        text = p.log.read_text().lower()
        return "not ready yet" in text and ("credential" in text or "signature" in text
                                            or "secret" in text)

    wait_until(said, 20, "the log names the credentials")
    assert "ready on" not in p.log.read_text()
    assert p.stop() == 0
    wrong.environment = environment  # mended
    p.start()
    send_one_change(p)
    assert p.get("/flush", method="POST")[0] == 200
    assert Lakehouse(p.data, s3).sql("select count(*) from {t}", t="t_changes") == [(1,)]


def test_a_bucket_that_does_not_exist_is_named_before_anything_is_taken(parent, s3):
    class Elsewhere:
        def settings(self):
            return [s if not s.startswith("store.url") else "store.url=s3://no-such-bucket/w"
                    for s in s3.settings()]

        environment = staticmethod(s3.environment)

    p = parent(store=Elsewhere()).spawn()
    wait_until(lambda: "no-such-bucket" in p.log.read_text() and "not ready" in p.log.read_text(), 20,
               "the log names the bucket")
    assert "ready on" not in p.log.read_text()
    assert p.stop() == 0


def test_a_start_that_waits_for_the_store_says_why(parent, s3):
    p = parent(store=s3).start()
    send_one_change(p)
    assert p.get("/flush", method="POST")[0] == 200
    p.stop()
    shutil.rmtree(p.data / "journal")  # so the tables must be read before anybody is let in
    s3.stop()
    p.spawn()
    wait_until(lambda: "not ready yet: cannot read the" in p.log.read_text(), 20, "the reason")
    s3.start()
    wait_until(lambda: p.log.read_text().count("ready on") == 2, 20, "ready")
    assert p.stop() == 0
