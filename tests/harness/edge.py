"""`evodb edge` as a process that tests start, stop and kill."""

import signal
import subprocess

from harness.binary import BINARY, clean_environment


class Edge:
    def __init__(self, path, url, log, *options):
        self.path, self.url, self.log, self.options = path, url, log, options
        self.process, self.kills = None, 0

    def start(self):
        self.process = subprocess.Popen(
            [str(BINARY), "edge", "--db", str(self.path), "--parent", self.url,
             *self.options],
            stdout=subprocess.DEVNULL, stderr=open(self.log, "ab"), env=clean_environment())
        return self

    def running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        assert self.running(), f"the edge ended: {self.log.read_text()[-2000:]}"
        self.process.kill()
        self.process.wait()
        self.kills += 1

    def stop(self, seconds=20):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)
