"""The servers of the peers: configured from the files beside this one, started and stopped."""
import os
import pathlib
import signal
import socket
import string
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
INSTALLED = HERE.parent.parent / ".deps" / "peers"
NATS_LOAD = INSTALLED / "nats-load"
NATS_CONFIGURATION = HERE / "nats" / "server.conf"
KAFKA_NATIVE_LOAD = INSTALLED / "kafka" / "native-load"
KAFKA_CONFIGURATION = HERE / "kafka" / "server.properties"
# The Go runtime collects its garbage a quarter as often: the machine has the memory.
NATS_ENVIRONMENT = {"GOGC": "400"}


class Unavailable(Exception):
    pass


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def kafka_java(heap):
    # What Kafka's own start script passes to the virtual machine.
    return ["java", "-server", f"-Xms{heap}", f"-Xmx{heap}", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
            "-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent",
            "-Djava.awt.headless=true", "-Dlog4j2.level=WARN",
            "-cp", f"{INSTALLED}/kafka/jars/*:{INSTALLED}/kafka/classes"]


def java_version():
    told = subprocess.run(["java", "-version"], capture_output=True, text=True).stderr.splitlines()
    return told[0] if told else "unknown"


def kafka_version():
    jar = next((INSTALLED / "kafka" / "jars").glob("kafka_2.13-*.jar"))
    return jar.stem.removeprefix("kafka_2.13-")


class Server:
    def __init__(self, directory, port, command, environment=None):
        self.directory, self.port, self.name = directory, port, command[0]
        self.log = open(directory / "server.log", "w+")
        self.process = subprocess.Popen([str(c) for c in command], stdout=self.log, stderr=self.log,
                                        stdin=subprocess.DEVNULL, start_new_session=True,
                                        env=os.environ | (environment or {}))

    def wait_ready(self, timeout_s=60):
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise Unavailable(f"{self.name} ended at once: {self.last_words()}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise Unavailable(f"{self.name} does not listen after {timeout_s} s: {self.last_words()}")

    def last_words(self):
        self.log.seek(0)
        return " | ".join(self.log.read().strip().splitlines()[-3:]) or "it said nothing"

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def configure(template, directory, /, **values):
    directory.mkdir()
    path = directory / template.name
    path.write_text(string.Template(template.read_text()).substitute(values))
    return path


class Nats(Server):
    def __init__(self, directory, sync_interval):
        port = free_port()
        path = configure(NATS_CONFIGURATION, directory, port=port, directory=directory / "store",
                         sync_interval=sync_interval)
        self.url = f"nats://127.0.0.1:{port}"
        super().__init__(directory, port, [INSTALLED / "nats-server", "-c", path], NATS_ENVIRONMENT)


class Kafka(Server):
    def __init__(self, directory):
        port, controller_port = free_port(), free_port()
        path = configure(KAFKA_CONFIGURATION, directory, port=port, controller_port=controller_port,
                         directory=directory / "data")
        self.bootstrap = f"127.0.0.1:{port}"
        formatted = subprocess.run(
            [*kafka_java("256m"), "kafka.tools.StorageTool", "format", "--standalone",
             "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c", path], capture_output=True, text=True)
        if formatted.returncode != 0:
            raise Unavailable("kafka.tools.StorageTool: " + formatted.stderr.strip()[-300:])
        super().__init__(directory, port, [*kafka_java("1g"), "kafka.Kafka", path])
