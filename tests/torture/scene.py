"""One long scene: a parent on a small disk, an S3 server and edges behind proxies, and somebody with
a grudge. Everything that is done is drawn from one seed and written to torture.log.
"""

import collections
import random
import shutil
import sqlite3
import time

from faults import LIMITS, SmallDisk, pause, squeeze
from harness import workload
from harness.applications import Applications
from harness.binary import wait_until
from harness.edge import Edge
from harness.lakehouse import Lakehouse
from harness.parent import Parent
from proxy import HttpProxy, StreamProxy

EDGES = 4
DISK_MEGABYTES = 48
SETTINGS = ["buffer.max_age_ms=400", "journal.segment_bytes=2MiB", "fallback.max_local_bytes=64MiB",
            "fallback.recovery_interval_ms=300", "shutdown.deadline_ms=1500", "gate.idle_ping_ms=2000"]


class ProxiedStore:
    """The S3 server as the parent sees it: through the proxy, with little patience."""

    def __init__(self, s3, proxy):
        self.s3, self.proxy = s3, proxy

    def settings(self):
        mine = {"store.endpoint": f"http://127.0.0.1:{self.proxy.port}",
                "store.connect_timeout_ms": 500, "store.request_timeout_ms": 1500}
        theirs = dict(s.split("=", 1) for s in self.s3.settings())
        return [f"{k}={v}" for k, v in {**theirs, **mine}.items()
                if not k.startswith("fallback")]

    def environment(self):
        return self.s3.environment()


class Scene:
    def __init__(self, folder, s3, seed):
        self.rng = random.Random(seed)
        self.counts = collections.Counter()
        self.log = open(folder / "torture.log", "w", buffering=1)
        self.began = time.monotonic()
        self.s3 = s3
        self.disk = SmallDisk(folder / "disk", DISK_MEGABYTES)
        self.s3_proxy = HttpProxy(s3.port, seed + 1).start()
        self.parent = Parent(self.disk.folder, *SETTINGS, store=ProxiedStore(s3, self.s3_proxy))
        self.parent.log = folder / "parent.log"  # what it says must survive the full disk
        self.edge_proxy = StreamProxy(self.parent.port, seed + 2).start()
        self.parent.start()
        templates = [workload.chinook()] + [None] * (EDGES - 1)
        self.applications = Applications(folder, f"ws://127.0.0.1:{self.edge_proxy.port}",
                                         templates, seed)
        self.edges = self.applications.edges
        self.lakehouse = Lakehouse(self.parent.data, s3)
        self.twins = []
        # The acts and how often each is drawn.
        self.acts = {self.kill_parent: 18, self.kill_edge: 20, self.kill_all: 5,
                     self.restart_parent: 5, self.restart_edge: 4, self.pause_something: 14,
                     self.store_outage: 6, self.weather: 12, self.fill_disk: 5,
                     self.read_only_start: 2, self.squeeze_parent: 6, self.squeeze_edge: 4,
                     self.twin_edge: 3, self.lose_journal: 3, self.lock_database: 4,
                     self.change_schema: 3}

    def kills(self):
        return self.parent.kills + self.applications.kills() + self.counts["twins killed"]

    def say(self, text):
        self.log.write(f"{time.monotonic() - self.began:8.3f} {text}\n")

    def begin(self):
        self.applications.begin(pause=0.01)

    def act(self):
        self.wait(0.5)
        self.all_must_live()
        act = self.rng.choices(list(self.acts), list(self.acts.values()))[0]
        self.say(act.__name__)
        act()

    def wait(self, seconds_max):
        time.sleep(self.rng.random() * seconds_max)

    def all_must_live(self):
        """Nothing that happens here is a reason to end, but for those who ended it."""
        assert self.parent.process.poll() is None, (
            f"the parent ended by itself with {self.parent.process.returncode}:\n"
            + self.parent.log.read_text()[-3000:])
        for edge in self.edges:
            assert edge.running(), (f"an edge ended by itself with {edge.process.returncode}:\n"
                                    + edge.log.read_text()[-3000:])

    # --- kills and restarts --------------------------------------------------------------------

    def start_parent(self):
        """Mostly without waiting: the next act may well meet it in the middle of its recovery."""
        if self.rng.random() < 0.3 and self.calm():
            self.parent.start()
        else:
            self.parent.spawn()

    def calm(self):
        """Behind a lost journal a start waits for the store, so it must be there to wait for."""
        return self.s3_proxy.trouble < 0.05 and self.s3.process.poll() is None

    def kill_parent(self):
        self.parent.kill()
        self.wait(0.3)
        self.start_parent()

    def kill_edge(self):
        edge = self.rng.choice(self.edges)
        edge.kill()
        self.wait(0.2)
        edge.start()

    def kill_all(self):
        for edge in self.edges:
            edge.kill()
        self.parent.kill()
        for edge in self.edges:
            edge.start()
        self.wait(0.3)
        self.start_parent()

    def restart_parent(self):
        code = self.parent.stop()
        # 0: stopped, or was not ready yet. 1: had to stop late, which it may; SIGTERM's own: the
        # signal came before there was anything to stop.
        assert code in (0, 1, -15), (code, self.parent.log.read_text()[-2000:])
        self.counts["restarts"] += 1
        self.start_parent()

    def restart_edge(self):
        edge = self.rng.choice(self.edges)
        code = edge.stop()
        assert code in (0, -15), (code, edge.log.read_text()[-2000:])
        self.counts["restarts"] += 1
        edge.start()

    def pause_something(self):
        who = self.rng.choice([self.parent.process, self.s3.process,
                               *[e.process for e in self.edges]])
        self.counts["pauses"] += 1
        pause(who, self.rng.choice([0.05, 0.3, 1.0, 2.5, 5.0]) * self.rng.random())

    def twin_edge(self):
        """Two processes with one database: the older one sleeps, wakes, and both go on."""
        edge = self.rng.choice(self.edges)
        twin = Edge(edge.path, edge.url, edge.log).start()
        self.twins.append(twin)
        self.counts["twins"] += 1
        pause(edge.process, 0.4)
        self.wait(1)
        if twin.running():
            twin.kill()
            self.counts["twins killed"] += 1

    def lose_journal(self):
        """The parent's own disk is gone; the catalog, the tables and the edges' outboxes are not."""
        self.parent.kill()
        shutil.rmtree(self.parent.data / "journal", ignore_errors=True)
        self.counts["journals lost"] += 1
        self.start_parent()

    # --- what applications do ------------------------------------------------------------------

    def lock_database(self):
        """Nobody else writes for a while, not even the edge that wants to trim."""
        db = self.database()
        db.execute("begin exclusive")
        self.wait(1.5)
        db.execute("rollback")
        db.execute("pragma wal_checkpoint(truncate)")
        db.close()
        self.counts["locks"] += 1

    def change_schema(self):
        """A new column, and a new table, with rows in both before anybody can have noticed. Sometimes
        their edge is dead meanwhile."""
        i = self.rng.randrange(len(self.edges))
        dead = self.rng.random() < 0.5
        if dead:
            self.edges[i].kill()
        n, db = self.counts["schemas changed"], self.database(i)
        self.counts["schemas changed"] += 1
        table = self.rng.choice(workload.user_tables(db))
        db.execute(f"alter table {workload.quoted(table)} add column added_{n}")
        db.execute(f"update {workload.quoted(table)} set added_{n} = rowid % 7"
                   if table != "Order Details" else
                   f'update "Order Details" set added_{n} = "Order ID"')
        db.execute(f"create table new_{n} (id integer primary key, v)")
        db.executemany(f"insert into new_{n} values (?, ?)", [(k, f"row {k}") for k in range(20)])
        db.close()
        if dead:
            self.edges[i].start()

    def database(self, i=None):
        source = self.applications.sources[i] if i is not None else self.rng.choice(
            self.applications.sources)
        return sqlite3.connect(source.path, timeout=60, isolation_level=None)

    # --- the world -----------------------------------------------------------------------------

    def store_outage(self):
        self.s3.stop()
        self.counts["outages"] += 1
        for _ in range(self.rng.randrange(3)):
            self.rng.choice([self.kill_parent, self.kill_edge])()
        self.wait(1)
        self.s3.start()

    def weather(self):
        self.s3_proxy.trouble = self.rng.choice([0, 0.02, 0.1, 0.4, 0.9])
        self.edge_proxy.trouble = self.rng.choice([0, 0.1, 0.3, 0.7])
        self.say(f"  s3 {self.s3_proxy.trouble} edges {self.edge_proxy.trouble}")

    def fill_disk(self):
        self.counts["full disks"] += 1
        self.disk.fill()
        self.wait(1)
        if self.rng.random() < 0.4:  # also a crash and a start without a byte of room
            self.parent.kill()
            self.parent.spawn()
            self.wait(0.7)
        self.disk.free()
        self.revive_parent("on a full disk")

    def read_only_start(self):
        self.parent.kill()
        self.counts["read-only starts"] += 1
        assert self.disk.read_only(True), "nobody has a file open there"
        self.parent.spawn()
        self.wait(0.7)
        assert self.disk.read_only(False) or self.parent.process.poll() is None
        self.revive_parent("on a read-only disk")

    def revive_parent(self, why):
        """A start that is impossible may be refused; it must say why, in a line, by its code."""
        time.sleep(0.05)
        if self.parent.process.poll() is None:
            return
        code, said = self.parent.process.returncode, self.parent.log.read_text().splitlines()[-1:]
        assert 0 < code < 10 and said and said[0].startswith("evodb: "), (code, said)
        self.counts[f"starts refused {why}"] += 1
        self.say(f"  refused: {code} {said[0]}")
        self.start_parent()

    # --- limits --------------------------------------------------------------------------------

    def squeeze_parent(self):
        name = self.rng.choice(list(LIMITS))
        self.squeeze(self.parent, name)

    def squeeze_edge(self):
        name = self.rng.choice(list(LIMITS))
        self.squeeze(self.rng.choice(self.edges), name)

    def squeeze(self, who, name):
        self.counts[f"squeezed {name}"] += 1
        lives = squeeze(who.process, name, self.rng, self.rng.random() * 1.5)
        self.say(f"  {type(who).__name__} {name}: {'lives' if lives else 'ended'}")
        if lives:
            return
        young = who.process.returncode > 0  # a start that could not have what it needs says so
        assert name == "memory" or young, (
            f"too little {name} ended it with {who.process.returncode}: "
            + who.log.read_text()[-2000:])
        self.counts["ended by limits"] += 1
        if who is self.parent:
            self.start_parent()
        else:
            who.start()

    # --- the end -------------------------------------------------------------------------------

    def heal(self):
        """No more faults. Everything must come right by itself, in bounded time."""
        self.say("heal")
        self.s3_proxy.trouble = self.edge_proxy.trouble = 0
        self.all_must_live()
        wait_until(self.ready, 40, "the parent is ready again")

    def ready(self):
        try:
            return self.parent.get("/readyz", timeout=5)[0] == 200
        except OSError:
            assert self.parent.process.poll() is None, self.parent.log.read_text()[-2000:]
            return False

    def finish(self):
        self.heal()
        return self.applications.end(url=self.parent.url)

    def clear(self):
        self.s3_proxy.trouble = self.edge_proxy.trouble = 0
        self.applications.abandon()
        for process in [self.parent.process, *[t.process for t in self.twins]]:
            if process and process.poll() is None:
                process.kill()
                process.wait()
        self.s3_proxy.stop()
        self.edge_proxy.stop()
        self.disk.remove()

    def line(self):
        faults = self.s3_proxy.faults + self.edge_proxy.faults
        counted = {"kills": self.kills(), **self.counts}
        return (", ".join(f"{n} {what}" for what, n in counted.items()) + "; proxies: "
                + ", ".join(f"{n} {kind}" for kind, n in sorted(faults.items())))
