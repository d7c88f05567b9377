"""Under scripts/sanitized-system only: a finding in a process that is killed would be noticed."""

import subprocess
import time

import pytest
from harness import sanitizers
from harness.binary import clean_environment, wait_until

pytestmark = pytest.mark.skipif(not sanitizers.KIND, reason="no sanitized binary")

WRONG = {"thread": ["-fsanitize=thread", "thread",
                    "int n = 0; std::thread other([&] { ++n; }); ++n; other.join();"],
         "address": ["-fsanitize=address", "memory",
                     "auto p = std::make_unique<int[]>(4); int* q = p.get(); p.reset(); q[1] = 7;"],
         "undefined": ["-fsanitize=undefined", "climits",
                       "int n = INT_MAX; n += argc; std::printf(\"%d\", n);"]}


@pytest.mark.parametrize("kind", ["thread", "address", "undefined"])
def test_a_finding_is_noticed_though_its_process_is_killed(tmp_path, kind):
    if (kind == "thread") != (sanitizers.KIND == "thread"):
        pytest.skip("the other run's")
    flag, header, body = WRONG[kind]
    source = tmp_path / "wrong.cc"
    source.write_text(f"#include <cstdio>\n#include <{header}>\n#include <unistd.h>\n"
                      f"int main(int argc, char**) {{ {body} sleep(argc * 60); }}\n")
    subprocess.run(["g++", "-g", "-std=c++23", flag, *(["-fno-sanitize-recover=undefined"]
                    if kind == "undefined" else []), source, "-o", tmp_path / "wrong"], check=True)
    before = sanitizers.findings()
    wrong = subprocess.Popen([tmp_path / "wrong"], env=clean_environment())

    def reported():
        return {n: t for n, t in sanitizers.findings().items() if n not in before}

    found = wait_until(reported, 30, "a report")
    time.sleep(0.2)
    wrong.kill()
    wrong.wait()
    assert list(found) == [next(n for n in found if n.endswith(f".{wrong.pid}"))], found
    for name in found:  # it was meant to be there
        (sanitizers.LOGS / name).unlink()
