"""The machine on which benchmarks ran, for those who compare."""
import os
import pathlib
import platform
import subprocess


def cpu_model():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model", "Hardware")):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def memory_gb():
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal:"):
            return round(int(line.split()[1]) / 1024**2, 1)
    return 0


def file_system(directory):
    """Type, device and options of the mount that holds `directory`."""
    path = os.path.realpath(directory)
    best, text = "", "unknown"
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        device, mount, kind, options = line.split()[:4]
        inside = path == mount or path.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):
            best, text = mount, f"{kind} on {device} ({options})"
    return text


def commit(root):
    def git(*arguments):
        return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True).stdout.strip()
    changed = " with uncommitted changes" if git("status", "--porcelain", "--untracked-files=no") else ""
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + changed


def describe(directory, root):
    """JSON-ready. `directory` is where the benchmarks keep their data."""
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "memory_gb": memory_gb(),
        "kernel": platform.release(),
        "file_system": file_system(directory),
        "load_before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "commit": commit(root),
    }
