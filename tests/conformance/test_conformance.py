"""Autobahn's 517 cases, driven by kosoku, against both ends of our WebSocket.

The gate and the client are what ships, but that whole messages are echoed (echo_gate.cc,
echo_client.cc). Every case of sections 1 to 10 must pass or be informational: a failure, an unclean
close, and also "non-strict" (allowed by the standard, against its advice) fail. Sections 12 and 13,
permessage-deflate, must be declined: we do not offer it and do not take it.
"""

import collections
import json
import pathlib
import subprocess
import sys
import time

import pytest
from harness.binary import BINARY, clean_environment, free_port, wait_until

KOSOKU = pathlib.Path(sys.executable).with_name("kosoku")
GATE = BINARY.with_name("evodb-echo-gate")
CLIENT = BINARY.with_name("evodb-echo-client")
PARALLEL = "8"
CASES = 301  # of sections 1 to 10
CASES_DEFLATE = 216  # of sections 12 and 13


@pytest.fixture(autouse=True)
def built():
    for binary in (GATE, CLIENT):
        if not binary.exists():
            pytest.fail(f"{binary} is missing: ninja -C {binary.parent} {binary.name}")


def wrong_cases(cases):
    """What is not as it must be in kosoku's index of one agent, one line each."""
    wrong = []
    passed, deflate = 0, 0
    for name, case in cases.items():
        verdict = case["behavior"], case["behaviorClose"]
        if int(name.split(".")[0]) >= 12:
            deflate += 1
            good = verdict == ("UNIMPLEMENTED", "OK")
        else:
            passed += 1
            good = all(v in ("OK", "INFORMATIONAL") for v in verdict)
        if not good:
            wrong.append(f"{name}: {verdict}, close code {case['remoteCloseCode']}")
    if (passed, deflate) != (CASES, CASES_DEFLATE):
        wrong.append(f"{passed} and {deflate} cases ran instead of {CASES} and {CASES_DEFLATE}")
    return wrong


def judge(what, reports, seconds, capsys):
    agents = json.loads((reports / "index.json").read_text())
    assert len(agents) == 1, agents.keys()
    (cases,) = agents.values()
    counts = collections.Counter(
        case["behavior"] if case["behavior"] == case["behaviorClose"] or
        case["behavior"] == "UNIMPLEMENTED" else f"{case['behavior']}/{case['behaviorClose']}"
        for case in cases.values())
    text = ", ".join(f"{n} {behavior}" for behavior, n in sorted(counts.items()))
    with capsys.disabled():
        print(f"\nconformance of the {what}: {len(cases)} cases in {seconds:.1f} s: {text}")
    wrong = wrong_cases(cases)
    assert not wrong, "\n".join(wrong)


def test_the_gate(tmp_path, capsys):
    gate = subprocess.Popen([GATE], stdout=subprocess.PIPE, text=True, env=clean_environment())
    try:
        address = gate.stdout.readline().strip()
        began = time.monotonic()
        # Its exit status is 1, since sections 12 and 13 do not pass: the reports tell.
        done = subprocess.run([KOSOKU, "-m", "fuzzingclient", address, "-p", PARALLEL,
                               "-o", tmp_path / "reports"],
                              capture_output=True, text=True, timeout=240)
        assert "wrote reports" in done.stdout, done
        assert gate.poll() is None, "the gate ended"
        judge("gate", tmp_path / "reports", time.monotonic() - began, capsys)
    finally:
        gate.terminate()
        assert gate.wait(30) == 0


def test_the_client(tmp_path, capsys):
    port = free_port()
    server = subprocess.Popen([KOSOKU, "-m", "fuzzingserver", f"127.0.0.1:{port}",
                               "-o", tmp_path / "reports"],
                              stdout=subprocess.PIPE, stderr=(tmp_path / "server.log").open("wb"),
                              text=True)
    try:
        wait_until(lambda: b"listening" in (tmp_path / "server.log").read_bytes(), 30,
                   "kosoku listens")
        began = time.monotonic()
        done = subprocess.run([CLIENT, "127.0.0.1", str(port), "evodb-edge", PARALLEL],
                              capture_output=True, text=True, timeout=240,
                              env=clean_environment())
        assert done.returncode == 0, done
        output, _ = server.communicate(timeout=60)
        assert "wrote reports" in output, output
        judge("client", tmp_path / "reports", time.monotonic() - began, capsys)
    finally:
        server.kill()
        server.wait()


def test_the_judge_sees_what_is_wrong():
    def cases(**changed):
        good = {f"1.1.{i}": {"behavior": "OK", "behaviorClose": "OK"} for i in range(CASES)}
        good |= {f"12.1.{i}": {"behavior": "UNIMPLEMENTED", "behaviorClose": "OK"}
                 for i in range(CASES_DEFLATE)}
        for name in good:
            good[name]["remoteCloseCode"] = 1000
        good["1.1.7"].update(changed)
        return good

    assert not wrong_cases(cases())
    assert not wrong_cases(cases(behavior="INFORMATIONAL", behaviorClose="INFORMATIONAL"))
    for behavior in ("FAILED", "NON-STRICT", "ERROR", "UNIMPLEMENTED"):
        assert len(wrong_cases(cases(behavior=behavior))) == 1, behavior
    for close in ("FAILED", "WRONG CODE", "UNCLEAN", "FAILED BY CLIENT"):
        assert len(wrong_cases(cases(behaviorClose=close))) == 1, close
    fewer = cases()
    del fewer["1.1.7"]
    assert len(wrong_cases(fewer)) == 1
