"""A parent, healthy clients that are measured all the time, and abusers who come and go.

Each abuse is measured beside two baselines of its own, in the phases quiet, elsewhere, abuse, quiet.
"Elsewhere" is the same abuse of another parent on the same machine: abusers, healthy clients and the
parent share two cores here, and what healthy clients feel of that is no fault of the parent's.
Machines under test are noisy, too: a baseline taken minutes ago would say little.
"""

import array
import dataclasses
import json
import pathlib
import re
import resource
import signal
import subprocess
import sys
import time

from harness.binary import wait_until
from harness.lakehouse import Lakehouse

FOLDER = pathlib.Path(__file__).resolve().parent
QUIET_SECONDS, ABUSE_SECONDS = 1.2, 2.5
MIB = 1 << 20

BUDGETS = {"gate.partial_bytes_max": 16 * MIB, "buffer.max_bytes": 8 * MIB,
           "ingest.inflight_bytes_max": 8 * MIB}
SETTINGS = [*(f"{k}={v}" for k, v in BUDGETS.items()),
            "gate.header_ms_max=1500", "gate.hello_ms_max=1500", "gate.message_ms_max=2000",
            "gate.output_bytes_max=65536", "ingest.session_credit_bytes=1MiB"]
# What the process needs beside its budgets: code and libraries (Arrow, Parquet), threads, one frame
# inflated, a flush under way (its buffers once as columns and once as Parquet).
CONSTANT_BYTES = 96 * MIB
RESIDENT_BYTES_MAX = sum(BUDGETS.values()) + CONSTANT_BYTES

# Acks of healthy clients may take twice as long as they take without this abuse of their parent.
FACTOR = 2.0
ATTEMPTS = 3


class Abuser:
    def __init__(self, name, port):
        self.process = subprocess.Popen(
            [sys.executable, str(FOLDER / "abusers.py"), name, str(port)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def on(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "on\n", "the abuser began"

    def off(self):
        """Stops when it has seen the end of what it did; returns what that was."""
        try:
            self.process.stdin.write("stop\n")
            self.process.stdin.close()
        except BrokenPipeError:
            pass  # it has seen the end already
        said = self.process.stdout.read()  # behind what readline() may have taken too
        assert self.process.wait(60) == 0
        return json.loads(said)


class Healthy:
    def __init__(self, port, prefix, clients, row_bytes, rest_ms, file):
        self.prefix, self.file = prefix, file
        self.process = subprocess.Popen(
            [sys.executable, str(FOLDER / "healthy.py"), str(port), prefix, str(clients),
             str(row_bytes), str(rest_ms), str(file)], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "on\n"

    def assert_well(self):
        if self.process.poll() is not None:
            raise AssertionError(f"a healthy client was refused: {self.process.stdout.read()}")

    def between(self, phases):
        """Milliseconds of every ack for what was sent within the phases."""
        data = array.array("d")
        raw = self.file.read_bytes()
        data.frombytes(raw[:len(raw) // 16 * 16])
        return [ms for at, ms in zip(data[::2], data[1::2])
                if any(begin <= at < end for begin, end in phases)]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        said, _ = self.process.communicate(timeout=20)
        assert self.process.returncode == 0, said
        return json.loads(said)


@dataclasses.dataclass
class Measured:
    name: str
    acks: tuple = (0, 0)
    p99_ms: tuple = (0.0, 0.0, 0.0)  # quiet, the other parent abused, this one abused
    large_ms: tuple = (0.0, 0.0)     # the slowest ack of a large row, quiet and abused
    resident: int = 0
    refused: dict = dataclasses.field(default_factory=dict)
    report: dict = dataclasses.field(default_factory=dict)

    def within(self):
        quiet, elsewhere, abused = self.p99_ms
        return abused <= FACTOR * max(quiet, elsewhere)

    def __str__(self):
        refused = ", ".join(f"{n} {reason}" for reason, n in self.refused.items() if n) or "nobody"
        rest = {k: v for k, v in self.report.items() if k not in ("refused", "ended")}
        quiet, elsewhere, abused = self.p99_ms
        return (f"{self.name:17} p99 {quiet:5.2f} ms quiet, {elsewhere:5.2f} elsewhere, {abused:5.2f} "
                f"abused (large {self.large_ms[0]:5.1f} -> {self.large_ms[1]:5.1f}), "
                f"{self.acks[0]}+{self.acks[-1]} acks, resident {self.resident / MIB:5.1f} MiB, "
                f"refused: {refused} {rest or ''}")


def p99(values):
    assert len(values) >= 20, f"too few acks to say anything: {len(values)}"
    return sorted(values)[int(len(values) * 0.99)]


def refused(parent):
    _, text = parent.get("/metrics")
    return {reason: int(n) for reason, n in
            re.findall(r'evodb_refused_total\{reason="(\w+)"\} (\d+)', text)}


class Stage:
    def __init__(self, folder, parent, other):
        self.parent, self.other = parent, other
        self.small = Healthy(parent.port, "small", 4, 50, 3, folder / "small")
        self.large = Healthy(parent.port, "large", 1, 100_000, 60, folder / "large")

    def abuse(self, name):
        """Again if it was over the line: noise does not come each time, a flaw does."""
        for attempt in range(ATTEMPTS):
            measured = self.measure(name)
            if measured.within():
                break
            print(f"over the line: {measured}")
        print(measured)
        self.check(measured)
        return measured

    def measure(self, name):
        m, before = Measured(name), refused(self.parent)
        elsewhere, _ = self.under(Abuser(name, self.other.port))
        abuser = Abuser(name, self.parent.port)  # Python has started before the quiet phase does
        self.reset_peak()
        quiet = [self.phase(QUIET_SECONDS)]
        abused, m.report = self.under(abuser)
        m.resident = self.peak()
        quiet.append(self.phase(QUIET_SECONDS))
        for who in (self.small, self.large):
            who.assert_well()
        small = [self.small.between(phases) for phases in (quiet, [elsewhere], [abused])]
        m.acks, m.p99_ms = tuple(map(len, small)), tuple(map(p99, small))
        m.large_ms = tuple(max(self.large.between(p), default=0) for p in (quiet, [abused]))
        self.wait_for_counts(m, before)
        return m

    def under(self, abuser):
        """When it was, and what the abuser reports."""
        began = time.monotonic()
        abuser.on()
        time.sleep(max(0.0, began + ABUSE_SECONDS - time.monotonic()))
        ended = time.monotonic()
        report = abuser.off()
        time.sleep(0.3)
        return (began, ended), report

    def phase(self, seconds):
        began = time.monotonic()
        time.sleep(seconds)
        return began, time.monotonic()

    def wait_for_counts(self, m, before):
        wanted = sum(m.report["refused"].values())

        def all_counted():
            now = refused(self.parent)
            m.refused = {r: n - before.get(r, 0) for r, n in now.items()}
            return sum(m.refused.values()) >= wanted

        try:
            wait_until(all_counted, 10, "the refusals are counted")
        except AssertionError:
            pass  # check() says what is missing

    def check(self, m):
        assert m.within(), f"healthy clients suffer: {m}"
        assert m.resident <= RESIDENT_BYTES_MAX, f"more than {RESIDENT_BYTES_MAX / MIB} MiB: {m}"
        counted = {r: n for r, n in m.refused.items() if n}
        wanted = dict(m.report["refused"])
        for either in [k for k in wanted if " or " in k]:
            names = either.split(" or ")
            assert sum(counted.pop(r, 0) for r in names) == wanted.pop(either), str(m)
        assert counted == {r: n for r, n in wanted.items() if n}, f"counted {counted}: {m.report}"

    def reset_peak(self):
        with open(f"/proc/{self.parent.process.pid}/clear_refs", "w") as file:
            file.write("5")

    def peak(self):
        text = open(f"/proc/{self.parent.process.pid}/status").read()
        return int(re.search(r"VmHWM:\s+(\d+)", text)[1]) * 1024

    def stop(self):
        """What healthy clients were told is durable is in the lakehouse, once."""
        acked = self.small.stop() | self.large.stop()
        assert self.parent.get("/flush", method="POST")[0] == 200
        landed = Lakehouse(self.parent.data).sql(
            "select _source, count(*), count(distinct _lsn), max(_lsn) from {t} group by 1",
            t="healthy_changes")
        assert {s: (n, d, m) for s, n, d, m in landed} == {s: (n, n, n) for s, n in acked.items()}
        return sum(acked.values())

    def clear(self):
        for who in (self.small, self.large):
            if who.process.poll() is None:
                who.process.kill()
                who.process.wait()


def raise_own_limit():
    """A thousand connections and more from here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 20_000)), hard))
