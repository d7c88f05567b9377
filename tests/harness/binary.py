"""The binary under test, and how to run it away from the settings of whoever runs the tests."""

import os
import pathlib
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("EVODB_BINARY", ROOT / "build" / "evodb"))


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
