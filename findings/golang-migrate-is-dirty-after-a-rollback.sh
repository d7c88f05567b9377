#!/usr/bin/env bash
# golang-migrate runs a SQLite migration in a transaction. When it fails, all of it is rolled back, the schema is
# as it was; yet the version is that of the migration that did not happen, "dirty", and nothing runs again, not
# even the corrected file, before somebody forces the version by hand.
set -euo pipefail
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf -- "$work"' EXIT
cd "$work"
mkdir migrations
echo 'CREATE TABLE people(id INTEGER PRIMARY KEY);' >migrations/1_people.up.sql
echo 'CREATE TABLE visits(id INTEGER PRIMARY KEY); ALTER TABLE people DROP COLUMN nothing;' >migrations/2_visits.up.sql
cat >main.go <<'GO'
package main

import (
	"database/sql"
	"fmt"
	"os"

	"github.com/golang-migrate/migrate/v4"
	_ "github.com/golang-migrate/migrate/v4/database/sqlite"
	_ "github.com/golang-migrate/migrate/v4/source/file"
)

func up() error {
	m, err := migrate.New("file://migrations", "sqlite://app.db")
	if err != nil {
		panic(err)
	}
	defer m.Close()
	return m.Up()
}

func main() {
	first := up()
	os.WriteFile("migrations/2_visits.up.sql", []byte("CREATE TABLE visits(id INTEGER PRIMARY KEY);"), 0o644)
	corrected := up()
	db, _ := sql.Open("sqlite", "app.db")
	var visits int
	db.QueryRow("select count(*) from sqlite_schema where name = 'visits'").Scan(&visits)
	fmt.Println("expected: the first fails and leaves no trace; the corrected one: <nil>, visits: 1")
	fmt.Printf("observed: first: %t; the corrected one: %v; visits: %d\n", first != nil, corrected, visits)
	if first == nil || corrected == nil || visits != 0 {
		os.Exit(1)
	}
}
GO
export GOPATH=$work/go GOFLAGS='-mod=mod -modcacherw'
go mod init example.com/finding >/dev/null 2>&1
go get github.com/golang-migrate/migrate/v4@v4.20.1 >/dev/null 2>&1
echo "version:  golang-migrate v4.20.1"
go run .
