"""Flyway and Liquibase, as libraries of a Java program, by sqlite-jdbc."""

from harness.migrations import SQL, every_edge, walk
from harness.tools import SqlFiles, Tool, java


@every_edge
def test_flyway(tmp_path, captured, edge):
    db = captured(edge)
    runner = Tool(java("Migrations", "flyway", db.path, tmp_path), tmp_path)
    with SqlFiles(runner, tmp_path, SQL, "V{n}__{step}.sql") as flyway:
        walk(db, flyway)


@every_edge
def test_liquibase(tmp_path, captured, edge):
    db = captured(edge)
    runner = Tool(java("Migrations", "liquibase", db.path, tmp_path), tmp_path)

    def changeset(n, sql):
        return ("--liquibase formatted sql\n" if n == 1 else "") + f"--changeset world:{n}\n{sql}\n"

    with SqlFiles(runner, tmp_path, SQL, "changelog.sql", changeset) as liquibase:
        walk(db, liquibase)
