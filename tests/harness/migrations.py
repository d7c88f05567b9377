"""The way through a schema's life that every migration tool of tests/world takes, by its own means."""

import pytest

from harness.binary import run
from harness.captured import AWAY, HURRIED, RUNNING
from harness.tools import ToolFailed

every_edge = pytest.mark.parametrize("edge", [RUNNING, HURRIED, AWAY])

CREATE = "create people"  # (id, name, email, notes), before capture
STEPS = [
    "create visits",   # (id, place, at)
    "add column",      # people.age, not null, default 7
    "rename column",   # people.name to full_name
    "swap names",      # people.email and people.notes: each goes by the other's name
    "drop column",     # people.notes
    "rebuild",         # people.age of another type or nullable, by whatever the tool does for that
    "rename table",    # people to persons
    "delete rows",     # a data migration: a third of persons goes, an UPDATE of the rest
    "drop table",      # visits
]

# For tools whose migrations are SQL files.
SQL = {
    CREATE: "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, email TEXT, notes TEXT);",
    "create visits": "CREATE TABLE visits (id INTEGER PRIMARY KEY, place TEXT, at TIMESTAMP);",
    "add column": "ALTER TABLE people ADD COLUMN age INTEGER NOT NULL DEFAULT 7;",
    "rename column": "ALTER TABLE people RENAME COLUMN name TO full_name;",
    "swap names": """ALTER TABLE people RENAME COLUMN email TO tmp;
ALTER TABLE people RENAME COLUMN notes TO email;
ALTER TABLE people RENAME COLUMN tmp TO notes;""",
    "drop column": "ALTER TABLE people DROP COLUMN notes;",
    "rebuild": """CREATE TABLE people_new (id INTEGER PRIMARY KEY, full_name TEXT, email TEXT, age REAL);
INSERT INTO people_new SELECT id, full_name, email, age FROM people WHERE id % 5 <> 0;
DROP TABLE people;
ALTER TABLE people_new RENAME TO people;""",
    "rename table": "ALTER TABLE people RENAME TO persons;",
    "delete rows": """DELETE FROM persons WHERE id % 3 = 0;
UPDATE persons SET full_name = coalesce(full_name, '') || '!';""",
    "drop table": "DROP TABLE visits;",
}


def walk(db, tool, steps=STEPS, pause_first=False):
    with db.step(CREATE):
        tool.do(CREATE)
    db.application.work(20)
    db.capture()
    for name in steps:
        with db.step(name):
            if name == "drop column":
                drop_column(db, lambda name=name: tool.do(name), pause_first)
            else:
                tool.do(name)
    db.settle()


def drop_column(db, do, pause_first=False):
    """A trigger that names the column stands in the way, if capture has such; then the remedy of
    docs/formats/outbox.md works: pause, migrate, install."""
    if not pause_first:
        try:
            do()
            return
        except ToolFailed as refused:
            assert "evodb" in str(refused), f"refused for another reason: {refused}"
    paused = run("capture", "pause", "--db", db.path)
    assert paused.returncode == 0, paused.stderr
    do()
    installed = run("capture", "install", "--db", db.path)
    assert installed.returncode == 0, installed.stderr
