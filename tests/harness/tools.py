"""Tools of the world as processes: one process a tool, one line a step, so that a tool keeps its
connection as it does in a program that migrates at its start.

What they are made of is in .deps/world, by tests/world/setup.
"""

import pathlib
import subprocess

from harness.binary import ROOT, clean_environment

WORLD = ROOT / ".deps" / "world"
PYTHON = WORLD / "python" / "bin" / "python"
NODE = WORLD / "python" / "bin" / "node"
GO = WORLD / "go" / "bin"
JAVA = WORLD / "java"
SCRIPTS = ROOT / "tests" / "world" / "tools"


class ToolFailed(Exception):
    """The tool's own message."""


def missing_tools():
    """Why the tests of tests/world cannot run, or None."""
    parts = [p for p in ("python", "node", "go", "java") if not (WORLD / p / "ready").exists()]
    return f"no {', '.join(parts)} in {WORLD}: tests/world/setup" if parts else None


def environment():
    return clean_environment(NODE_PATH=str(WORLD / "node" / "node_modules"), NODE_NO_WARNINGS="1",
                             PYTHONDONTWRITEBYTECODE="1")


class Tool:
    """A program that answers each line with "ok" or "failed: " and why."""

    def __init__(self, command, folder):
        self.log = pathlib.Path(folder) / "tool.log"
        self.process = subprocess.Popen(
            [str(word) for word in command], text=True, cwd=folder, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=open(self.log, "ab"), env=environment())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def do(self, step):
        self.process.stdin.write(step + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:  # a tool may print more than its answer
            if line.startswith("failed: "):
                raise ToolFailed(line[8:].strip())
            if line == "ok\n":
                return
        raise AssertionError(f"the tool ended: {self.log.read_text()[-3000:]}")


def script(name, database, folder):
    """A script of tests/world/tools."""
    own = pathlib.Path(folder) / name.partition(".")[0]
    own.mkdir()
    interpreter = NODE if name.endswith(".js") else PYTHON
    return Tool([interpreter, SCRIPTS / name, database, own], own)


class SqlFiles:
    """A tool that applies SQL files: each step adds one to its folder and runs the tool.

    `text_of` makes the file's text of a step's SQL; `name` is the file's, by number and step.
    """

    def __init__(self, runner, folder, steps, name, text_of=lambda n, sql: sql):
        self.runner, self.folder, self.steps = runner, folder, steps
        self.name, self.text_of, self.done = name, text_of, 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if isinstance(self.runner, Tool):
            self.runner.__exit__()

    def do(self, step):
        n = self.done + 1
        path = self.folder / self.name.format(n=n, step=step.replace(" ", "_"))
        before = path.read_text() if path.exists() else None
        path.write_text(self.text_of(n, self.steps[step]) if n == 1 or before is None
                        else before + self.text_of(n, self.steps[step]))
        try:
            if isinstance(self.runner, Tool):
                self.runner.do("migrate")
            else:
                done = subprocess.run([str(word) for word in self.runner], capture_output=True,
                                      text=True, timeout=120, env=environment())
                if done.returncode != 0:
                    raise ToolFailed((done.stderr + done.stdout).strip())
        except ToolFailed:
            path.unlink() if before is None else path.write_text(before)
            raise
        self.done = n


def java(*arguments):
    return ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp",
            f"{JAVA}/classes:{JAVA}/jars/*", *arguments]
