"""Databases with somebody who writes to each, and an edge for each."""

import json
import threading
import time

from harness import workload
from harness.binary import run
from harness.edge import Edge
from harness.judge import Source


class Applications:
    """One database a template (None: our own odd tables). `url` is where their edges connect."""

    def __init__(self, folder, url, templates, seed=0):
        self.url, self.seed = url, seed
        self.sources, self.edges, self.writers = [], [], []
        self.stopping, self.threads = threading.Event(), []
        for i, template in enumerate(templates):
            path, name = folder / f"app{i}.db", f"app-{i}"
            workload.make_database(path, template)
            self.sources.append(Source(path, name, workload.install(path, "--source", name)))
            self.edges.append(Edge(path, url, folder / f"edge{i}.log"))

    def begin(self, pause=0.004):
        for i, source in enumerate(self.sources):
            def work(path=source.path, i=i):
                writer = workload.Writer(path, self.seed * 1000 + 100 + i)
                self.writers.append(writer)
                writer.run(self.stopping, pause)
            self.threads.append(threading.Thread(target=work))
            self.threads[-1].start()
        for edge in self.edges:
            edge.start()

    def end(self, url=None, seconds=120):
        """Applications stop, edges stop, and what is left is sent until nothing is held.
        Returns the number of transactions."""
        self.quiet()
        time.sleep(0.3)  # an edge that was started just now has its signal handler
        for edge in self.edges:
            assert edge.stop() == 0, edge.log.read_text()
        for edge in self.edges:
            done = run("edge", "--db", edge.path, "--parent", url or self.url, "--until-caught-up",
                       "--json", timeout=seconds)
            assert done.returncode == 0, done.stderr
            status = json.loads(run("capture", "status", "--db", edge.path, "--json").stdout)
            assert status["held_changes"] == 0, status
        return sum(w.transactions for w in self.writers)

    def quiet(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)

    def abandon(self):
        """However the test went: nothing of it is left running."""
        self.quiet()
        for edge in self.edges:
            if edge.running():
                edge.process.kill()
                edge.process.wait()

    def kills(self):
        return sum(e.kills for e in self.edges)
