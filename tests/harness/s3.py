"""An S3 server that nobody here wrote."""

import pathlib
import socket
import subprocess

from harness.binary import ROOT, clean_environment, free_port, wait_until

GATEWAY = ROOT / ".deps" / "bin" / "versitygw"
S3_KEY, S3_SECRET, BUCKET = "test-key", "test-secret-test-secret", "lake"


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
