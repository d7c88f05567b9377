#!/usr/bin/env bash
# SQLite's DDL is transactional, and Alembic's batch mode is a copy into _alembic_tmp_people, a DROP and a RENAME.
# When the copy fails (a NULL in a column that becomes NOT NULL), one expects nothing to have happened. Python's
# driver begins no transaction for DDL: the copied table stays, empty, and the corrected migration fails too.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q alembic==1.20.1 SQLAlchemy==2.1.9
"$work/venv/bin/python" - "$work/app.db" <<'PY'
import importlib.metadata
import sys
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

engine = sa.create_engine("sqlite:///" + sys.argv[1])
with engine.begin() as connection:
    connection.execute(sa.text("create table people(id integer primary key, name text)"))
    connection.execute(sa.text("insert into people(name) values ('Ada'), (null)"))


def migrate(first=None):
    try:
        with engine.begin() as connection:
            if first:
                connection.execute(sa.text(first))
            with Operations(MigrationContext.configure(connection)).batch_alter_table("people") as batch:
                batch.alter_column("name", nullable=False)
        return "done"
    except sa.exc.DBAPIError as error:
        return str(error.orig)


once = migrate()
with engine.connect() as connection:
    tables = sorted(sa.inspect(connection).get_table_names())
again = migrate("update people set name = '' where name is null")
print("version:  alembic", importlib.metadata.version("alembic"), "SQLAlchemy", sa.__version__)
print("expected: the first try leaves ['people']; the corrected one: done")
print(f"observed: {once!r} leaves {tables}; the corrected one: {again!r}")
sys.exit(0 if tables == ["_alembic_tmp_people", "people"] and "already exists" in again else 1)
PY
