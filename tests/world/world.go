// What Go programs carry as libraries, as such a program calls it:
//
//	world goose DATABASE FOLDER        migrations of FOLDER that are not applied yet, by goose
//	world migrate DATABASE FOLDER      the same by golang-migrate
//	world replicate DATABASE FOLDER    Litestream, until standard input ends
//	world restore FOLDER DATABASE      a new DATABASE from what Litestream put into FOLDER
package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/benbjohnson/litestream"
	"github.com/benbjohnson/litestream/file"
	"github.com/golang-migrate/migrate/v4"
	_ "github.com/golang-migrate/migrate/v4/database/sqlite"
	_ "github.com/golang-migrate/migrate/v4/source/file"
	"github.com/pressly/goose/v3"
)

func byGoose(path, folder string) error {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := goose.SetDialect("sqlite3"); err != nil {
		return err
	}
	return goose.Up(db, folder)
}

func byMigrate(path, folder string) error {
	m, err := migrate.New("file://"+folder, "sqlite://"+path)
	if err != nil {
		return err
	}
	defer m.Close()
	if err := m.Up(); err != nil && err != migrate.ErrNoChange {
		return err
	}
	return nil
}

func replicaIn(folder string, db *litestream.DB) *litestream.Replica {
	client := file.NewReplicaClient(folder)
	replica := litestream.NewReplicaWithClient(db, client)
	client.Replica = replica
	return replica
}

func replicate(path, folder string) error {
	db := litestream.NewDB(path)
	db.MonitorInterval = 100 * time.Millisecond
	db.Replica = replicaIn(folder, db)
	db.Replica.SyncInterval = 100 * time.Millisecond
	levels := litestream.CompactionLevels{{Level: 0}, {Level: 1, Interval: 10 * time.Second}}
	store := litestream.NewStore([]*litestream.DB{db}, levels)
	ctx := context.Background()
	if err := store.Open(ctx); err != nil {
		return err
	}
	fmt.Println("ok")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return store.Close(ctx)
}

func restore(folder, path string) error {
	options := litestream.NewRestoreOptions()
	options.OutputPath = path
	return replicaIn(folder, nil).Restore(context.Background(), options)
}

func main() {
	tools := map[string]func(string, string) error{
		"goose": byGoose, "migrate": byMigrate, "replicate": replicate, "restore": restore}
	if len(os.Args) != 4 || tools[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: world goose|migrate|replicate|restore FROM TO")
		os.Exit(2)
	}
	if err := tools[os.Args[1]](os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
