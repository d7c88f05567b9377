"""What is done to processes, disks and servers, and how it is undone.

Each function returns when the harm is over and everything is as it was: the process runs, the disk
has room. What a fault may do to a process is said here too: only a lack of memory may end it.
"""

import os
import pathlib
import resource
import signal
import subprocess
import time


class SmallDisk:
    """A tmpfs of its own, so that filling it hurts nobody else. Needs root."""

    def __init__(self, folder, megabytes):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "evodb-torture",
                               str(self.folder)], capture_output=True, text=True)
        self.why_not = done.stderr.strip() if done.returncode else None

    def fill(self):
        """To the last byte. Returns how many there were."""
        taken = 0
        with open(self.folder / "filler", "ab", buffering=0) as filler:
            for piece in (1 << 20, 4096, 1):
                try:
                    while True:
                        taken += filler.write(bytes(piece))
                except OSError:
                    pass
        return taken

    def free(self):
        (self.folder / "filler").unlink(missing_ok=True)

    def read_only(self, yes):
        """False if the kernel refuses, as it does while a file is open for writing."""
        option = "remount,ro" if yes else "remount,rw"
        return subprocess.run(["mount", "-o", option, str(self.folder)],
                              capture_output=True).returncode == 0

    def remove(self):
        if self.why_not is None:
            subprocess.run(["umount", "-l", str(self.folder)], check=True)


def pause(process, seconds):
    process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    process.send_signal(signal.SIGCONT)


def memory_of(pid):
    """Bytes of address space."""
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmSize"):
            return int(line.split()[1]) * 1024
    return 0


def tight_limit(pid, what, rng):
    """A limit that the next thing a process wants will break."""
    if what == resource.RLIMIT_NOFILE:
        return len(os.listdir(f"/proc/{pid}/fd")) + rng.randrange(2)
    if what == resource.RLIMIT_FSIZE:
        return rng.choice([0, 100, 10_000, 1 << 20])
    return memory_of(pid) + rng.choice([0, 1 << 16, 1 << 20, 1 << 24])


LIMITS = {"descriptors": resource.RLIMIT_NOFILE, "file size": resource.RLIMIT_FSIZE,
          "memory": resource.RLIMIT_AS}


def squeeze(process, name, rng, seconds):
    """A resource limit for a while, set from outside while it runs. False: it ended."""
    what = LIMITS[name]
    try:
        before = resource.prlimit(process.pid, what)
        resource.prlimit(process.pid, what, (tight_limit(process.pid, what, rng), before[1]))
        time.sleep(seconds)
        resource.prlimit(process.pid, what, before)
    except (ProcessLookupError, FileNotFoundError):
        pass
    return process.poll() is None
