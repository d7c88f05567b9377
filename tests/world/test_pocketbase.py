"""PocketBase: its own server writes, migrates and rebuilds, asked over HTTP."""

import json
import random
import subprocess
import urllib.error
import urllib.request

import pytest

from harness.binary import clean_environment, free_port, wait_until
from harness.migrations import drop_column, every_edge
from harness.tools import GO, ToolFailed

ADMIN, PASSWORD = "admin@example.com", "correct horse battery"


class PocketBase:
    """The server, and an application that writes records by its API."""

    def __init__(self, folder):
        self.folder, self.log = folder, folder / "pocketbase.log"
        self.port, self.token = free_port(), ""
        self.failures, self.writes, self.rng = [], 0, random.Random(7)
        arguments = [str(GO / "base"), "--dir", str(folder / "data"), "--migrationsDir", str(folder / "m"),
                     "--hooksWatch=false"]
        subprocess.run([*arguments, "superuser", "create", ADMIN, PASSWORD], check=True,
                       capture_output=True, env=clean_environment())
        self.process = subprocess.Popen([*arguments, "serve", "--http", f"127.0.0.1:{self.port}"],
                                        stdout=open(self.log, "ab"), stderr=subprocess.STDOUT,
                                        env=clean_environment())
        wait_until(self.healthy, 20, "PocketBase answers")
        self.token = self.ask("POST", "collections/_superusers/auth-with-password",
                              {"identity": ADMIN, "password": PASSWORD})["token"]

    def healthy(self):
        try:
            return self.ask("GET", "health")
        except OSError:
            return None

    def stop(self):
        self.process.terminate()
        self.process.wait(20)

    def ask(self, method, path, body=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/{path}", method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": self.token})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
                return json.loads(text) if text else {}
        except urllib.error.HTTPError as error:
            raise ToolFailed(f"{error.code} {error.read().decode()}") from error

    def fields(self, collection):
        return self.ask("GET", f"collections/{collection}")["fields"]

    def change(self, collection, fields):
        self.ask("PATCH", f"collections/{collection}", {"fields": fields})

    def rename(self, collection, **names):
        self.change(collection, [f | {"name": names.get(f["name"], f["name"])}
                                 for f in self.fields(collection)])

    def collections(self):
        return [c["name"] for c in self.ask("GET", "collections?perPage=100&filter=system=false")["items"]
                if c["type"] == "base"]

    def work(self, transactions=8):
        for _ in range(transactions):
            try:
                for collection in self.collections():
                    self.write(f"collections/{collection}/records", collection)
            except ToolFailed as error:
                self.failures.append(str(error))

    def write(self, path, collection):
        row = {f["name"]: self.rng.randint(0, 99) if f["type"] == "number" else f"v{self.rng.random()}"
               for f in self.fields(collection) if not f["system"]}
        there = self.ask("GET", f"{path}?perPage=5")["items"]
        dice = self.rng.random()
        if not there or dice < 0.5:
            self.ask("POST", path, row)
        elif dice < 0.8:
            self.ask("PATCH", f"{path}/{there[0]['id']}", row)
        else:
            self.ask("DELETE", f"{path}/{there[-1]['id']}")
        self.writes += 1


@pytest.fixture
def pocketbase(tmp_path):
    server = PocketBase(tmp_path)
    yield server
    server.stop()


def text(name):
    return {"name": name, "type": "text"}


@every_edge
def test_pocketbase(captured, pocketbase, edge):
    pb = pocketbase
    db = captured(edge, path=pb.folder / "data" / "data.db")
    db.application = pb
    with db.step("create people"):
        pb.ask("POST", "collections", {"name": "people", "type": "base",
                                       "fields": [text("name"), text("email"), text("notes")]})
    db.capture()
    with db.step("create visits"):
        pb.ask("POST", "collections", {"name": "visits", "type": "base", "fields": [text("place")]})
    with db.step("add a field"):
        pb.change("people", [*pb.fields("people"), {"name": "age", "type": "number"}])
    with db.step("rename a field"):
        pb.rename("people", name="full_name")
    with db.step("swap two names"):
        pb.rename("people", email="notes", notes="email")
    with db.step("delete a field"):
        drop_column(db, lambda: pb.change(
            "people", [f for f in pb.fields("people") if f["name"] != "notes"]))
    with db.step("rename the collection"):
        pb.ask("PATCH", "collections/people", {"name": "persons"})
    with db.step("truncate"):
        pb.ask("DELETE", "collections/persons/truncate")
    with db.step("delete a collection"):
        pb.ask("DELETE", "collections/visits")
    db.settle()
    assert pb.writes > 50
