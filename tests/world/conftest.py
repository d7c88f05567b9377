import os

import pytest

from harness.captured import Captured
from harness.tools import missing_tools


@pytest.fixture(scope="session", autouse=True)
def tools():
    why = missing_tools()
    if why:
        pytest.fail(why)


@pytest.fixture
def captured(tmp_path, parent):
    """Makes databases whose edges end with the test."""
    made = []

    def make(edge, **more):
        if not made:
            make.parent = parent("buffer.max_age_ms=100").start()
        made.append(Captured(tmp_path, make.parent, edge, **more))
        return made[-1]

    yield make
    for db in made:
        db.end()


def pytest_collection_modifyitems(config, items):
    """tests/world/run: every n-th test is this process's, and of each tool another way."""
    shard, _, shards = os.environ.get("WORLD_SHARD", "0/1").partition("/")
    mine = [item for i, item in enumerate(items) if (i + i // 3) % int(shards) == int(shard)]
    config.hook.pytest_deselected(items=[item for item in items if item not in mine])
    items[:] = mine
