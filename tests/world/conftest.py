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
