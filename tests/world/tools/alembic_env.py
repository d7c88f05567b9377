"""Alembic's migrations, on the driver's own transactions: SQLite's batch mode copies a table over several.

    python alembic_env.py DATABASE FOLDER
"""

import pathlib
import sys

from alembic import command
from alembic.config import Config

from serve import serve

ENV = '''
from alembic import context
from sqlalchemy import create_engine

engine = create_engine(context.config.get_main_option("sqlalchemy.url"))
with engine.connect() as connection:
    context.configure(connection=connection, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
'''

MIGRATION = '''
import sqlalchemy as sa
from alembic import op

revision, down_revision = "{revision}", {down!r}


def upgrade():
{body}
'''

STEPS = {
    "create people": '''op.create_table("people", sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(80)), sa.Column("email", sa.Text), sa.Column("notes", sa.Text))''',
    "create visits": '''op.create_table("visits", sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("place", sa.Text), sa.Column("at", sa.DateTime))''',
    "add column": '''op.add_column("people",
        sa.Column("age", sa.Integer, nullable=False, server_default="7"))''',
    "rename column": '''with op.batch_alter_table("people") as batch:
        batch.alter_column("name", new_column_name="full_name")''',
    "swap names": '''with op.batch_alter_table("people") as batch:
        batch.alter_column("email", new_column_name="notes")
        batch.alter_column("notes", new_column_name="email")''',
    "drop column": 'op.drop_column("people", "notes")',
    "rebuild": '''with op.batch_alter_table("people") as batch:
        batch.alter_column("age", type_=sa.Float, nullable=True)
        batch.create_index("people_email", ["email"])''',
    "rename table": 'op.rename_table("people", "persons")',
    "delete rows": '''op.execute("DELETE FROM persons WHERE id % 3 = 0")
    op.execute("UPDATE persons SET full_name = coalesce(full_name, '') || '!'")''',
    "drop table": 'op.drop_table("visits")',
}

database, folder = sys.argv[1], pathlib.Path(sys.argv[2])
versions = folder / "versions"
versions.mkdir()
(folder / "env.py").write_text(ENV)
config = Config()
config.set_main_option("script_location", str(folder))
config.set_main_option("sqlalchemy.url", f"sqlite:///{database}")
done = []


def do(step):
    revision = f"r{len(done) + 1:03}"
    (versions / f"{revision}.py").write_text(MIGRATION.format(
        revision=revision, down=done[-1] if done else None, body="    " + STEPS[step]))
    command.upgrade(config, "head")
    done.append(revision)


serve(do)
