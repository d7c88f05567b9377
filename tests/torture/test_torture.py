"""The real binary, everything at once, and then the counting.

    SEED=7 KILLS=1000 .deps/venv/bin/python -m pytest -s tests/torture

KILLS says how long (100: some four minutes). The seed of a run is in its last line; it fixes what is
done and in which order, though not what processes are in the middle of when it is done to them.
"""

import os
import random
import time

import pytest
from harness.judge import judge
from scene import Scene

KILLS = int(os.environ.get("KILLS", "100"))
SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))


@pytest.fixture
def scene(tmp_path, s3, binary):
    scene = Scene(tmp_path, s3, SEED)
    if scene.disk.why_not:
        pytest.fail(f"a tmpfs of its own cannot be mounted (this test needs root): "
                    f"{scene.disk.why_not}")
    yield scene
    scene.clear()


def test_nothing_is_lost_and_nothing_lands_twice(scene, capsys):
    with capsys.disabled():
        print(f"\ntorture: SEED={SEED} KILLS={KILLS}", flush=True)
    began = time.monotonic()
    scene.begin()
    while scene.kills() < KILLS:
        scene.act()
    transactions = scene.finish()
    acted = time.monotonic() - began
    verdict = judge(scene.lakehouse, scene.applications.sources)
    with capsys.disabled():
        print(f"torture: SEED={SEED}: {scene.line()}; {transactions} transactions, {verdict}; "
              f"{acted:.0f} s and {time.monotonic() - began - acted:.0f} s of counting", flush=True)
    verdict.require()
    assert scene.parent.stop() == 0
