"""sqlite-utils, whose `transform` rebuilds a table for all that ALTER TABLE cannot do.

    python sqlite_utils_app.py DATABASE FOLDER
"""

import sys

import sqlite_utils

from serve import serve

db = sqlite_utils.Database(sys.argv[1])

STEPS = {
    "create people": lambda: db["people"].create(
        {"id": int, "name": str, "email": str, "notes": str}, pk="id"),
    "create visits": lambda: db["visits"].create({"id": int, "place": str, "at": str}, pk="id"),
    "add column": lambda: db["people"].add_column("age", int, not_null_default=7),
    "rename column": lambda: db["people"].transform(rename={"name": "full_name"}),
    "swap names": lambda: db["people"].transform(rename={"email": "notes", "notes": "email"}),
    "drop column": lambda: db["people"].transform(drop={"notes"}),
    "rebuild": lambda: db["people"].transform(types={"age": float}, not_null={"age": False}),
    "rename table": lambda: db.rename_table("people", "persons"),
    "delete rows": lambda: (db["persons"].delete_where("id % 3 = 0"),
                            db["persons"].convert("full_name", lambda name: (name or "") + "!")),
    "drop table": lambda: db["visits"].drop(),
}

serve(lambda step: STEPS[step]())
