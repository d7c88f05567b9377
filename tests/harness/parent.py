"""`evodb serve` as a process that tests start, stop and kill."""

import json
import pathlib
import signal
import subprocess
import urllib.error
import urllib.request

from harness.binary import BINARY, clean_environment, free_port, wait_until


class Parent:
    """`evodb serve` on a fixed port, so that edges find it again after a kill."""

    def __init__(self, folder, *settings, store=None):
        self.data = pathlib.Path(folder) / "parent"
        self.log = pathlib.Path(folder) / "parent.log"
        self.port = free_port()
        self.settings = list(settings)
        self.store = store
        self.wrapper = []  # a command that becomes the parent, such as nice or prlimit
        self.process = None
        self.kills = 0

    @property
    def url(self):
        return f"ws://127.0.0.1:{self.port}"

    @property
    def http(self):
        return f"http://127.0.0.1:{self.port}"

    def spawn(self, *more):
        arguments = [*self.wrapper, str(BINARY), "serve", "--listen", f"127.0.0.1:{self.port}",
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
