"""bench/run: what it makes of benchmarks that work, fail, hang or lie, and of their curves. The
benchmarks themselves are played by a script."""
import json
import os
import pathlib
import subprocess
import sys
import xml.etree.ElementTree

import pytest

BENCH = pathlib.Path(__file__).resolve().parents[2] / "bench"

FAKE = """#!/usr/bin/env python3
import json, sys, time
if "--help" in sys.argv:
    print("Usage\\n\\nSubcommands:\\n  ack      one\\n  codec    two\\n  dedup    three\\n  newer    four")
    sys.exit()
name = sys.argv[2]
assert sys.argv[1] == "bench" and "--json" in sys.argv and "--dir" in sys.argv
if name == "codec":
    sys.exit("evodb: the codec is wrong")
report = {"bench": name, "checked": name != "dedup", "settings": {"version": "0"},
          "metrics": {"p50_over_raw_20k": 1.25, "p99_over_raw_20k": 2.5, "text": "not a number"}}
if name == "newer":
    report["curves"] = [{"name": "c", "title": "A < B", "x": "x", "y": "y", "log_x": True,
                         "lines": [{"name": "one", "points": [[1, 0], [1000, 7]]}]}]
print(json.dumps(report))
"""


@pytest.fixture
def fake(tmp_path):
    path = tmp_path / "evodb"
    path.write_text(FAKE)
    path.chmod(0o755)
    return path


def run(fake, *arguments):
    out = fake.parent / "results"
    done = subprocess.run([BENCH / "run", "--evodb", fake, "--dir", fake.parent, "--out", out, "--skip", "peers",
                           *arguments], capture_output=True, text=True)
    return done, out


def test_what_fails_is_reported_and_the_rest_is_written(fake):
    done, out = run(fake)
    assert done.returncode != 0
    assert "failed: codec, dedup" in done.stderr
    result = json.loads((out / "latest.json").read_text())
    reports = {report["bench"]: report for report in result["benchmarks"]}
    assert list(reports) == ["codec", "dedup", "ack", "newer"]  # its own order, then the unknown one
    assert reports["codec"]["error"] == "evodb: the codec is wrong"
    assert reports["dedup"]["error"] == "did not check its answer"
    assert reports["ack"]["metrics"]["p50_over_raw_20k"] == 1.25
    assert result["machine"]["cores"] == os.cpu_count()
    assert result["machine"]["file_system"] != "unknown"

    table = (out / "latest.md").read_text()
    assert "| `ack` `p50_over_raw_20k` | 1.25 x | <= 1.5 x | reached |" in table
    assert "| `ack` `p99_over_raw_20k` | 2.5 x | <= 2 x | **missed** |" in table
    assert "| `ingest` `durable_entries_per_s` | - | >= 1,000,000 /s | not measured |" in table
    assert "**Failed**: evodb: the codec is wrong" in table
    assert "![A < B](newer-c.svg)" in table
    picture = xml.etree.ElementTree.parse(out / "newer-c.svg").getroot()
    assert picture.find("{http://www.w3.org/2000/svg}title").text == "A < B"


def test_only_what_was_asked_for_runs_and_success_is_success(fake):
    done, out = run(fake, "--only", "ack,newer")
    assert done.returncode == 0, done.stderr
    assert [r["bench"] for r in json.loads((out / "latest.json").read_text())["benchmarks"]] == ["ack", "newer"]


def test_what_is_not_run_again_may_be_kept_and_says_of_which_run_it_is(fake):
    run(fake, "--only", "ack,newer")
    done, out = run(fake, "--only", "newer", "--keep")
    assert done.returncode == 0, done.stderr
    reports = {report["bench"]: report for report in json.loads((out / "latest.json").read_text())["benchmarks"]}
    assert list(reports) == ["ack", "newer"]
    assert "commit" in reports["ack"]["of"] and "of" not in reports["newer"]
    table = (out / "latest.md").read_text()
    assert f"Not of this run, but of {reports['ack']['of']}." in table
    assert "![A < B](newer-c.svg)" in table


def test_a_name_that_does_not_exist_is_refused_with_those_that_do(fake):
    done, _ = run(fake, "--only", "akc")
    assert done.returncode == 2
    assert all(name in done.stderr for name in ("codec", "dedup", "ack", "newer"))


def test_nothing_begins_that_would_not_end_in_time(fake):
    done, out = run(fake, "--only", "ack", "--minutes", "0.1")
    assert done.returncode != 0
    assert "not begun" in json.loads((out / "latest.json").read_text())["benchmarks"][0]["error"]


def test_a_curve_lies_within_its_picture_and_begins_at_zero():
    sys.path.insert(0, str(BENCH))
    import curves
    points = [[1, 250], [10, 900], [100, 1234.5]]
    svg = curves.svg({"name": "c", "title": "t", "x": "x", "y": "y", "log_x": True,
                      "lines": [{"name": "l", "points": points}]})
    root = xml.etree.ElementTree.fromstring(svg)
    line = root.find("{http://www.w3.org/2000/svg}polyline").get("points")
    places = [tuple(map(float, p.split(","))) for p in line.split()]
    assert [x for x, _ in places] == sorted(x for x, _ in places)
    assert all(curves.LEFT <= x <= curves.WIDTH and curves.TOP <= y <= curves.HEIGHT - curves.BOTTOM for x, y in places)
    assert curves.y_ticks(1234.5)[0] == 0 and curves.y_ticks(1234.5)[-1] >= 1234.5
    # Equal steps on the x axis for equal factors.
    assert abs((places[1][0] - places[0][0]) - (places[2][0] - places[1][0])) < 0.2
    # 0 has no place on a logarithmic axis.
    xml.etree.ElementTree.fromstring(curves.svg({"name": "c", "title": "t", "x": "x", "y": "y", "log_x": True,
                                                 "lines": [{"name": "l", "points": [[0, 1], [10, 2]]}]}))
    with pytest.raises(ValueError):
        curves.svg({"name": "c", "title": "t", "x": "x", "y": "y", "lines": [{"name": "l", "points": []}]})
