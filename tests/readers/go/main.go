// Writes every change of a table as an Arrow IPC stream to standard output.
//
//	readers <evodb-data> <table>
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/catalog"
	_ "github.com/apache/iceberg-go/catalog/sql"
	"github.com/apache/iceberg-go/table"
	"github.com/uptrace/bun/driver/sqliteshim"
)

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(data, name string) error {
	ctx := context.Background()
	data, err := filepath.Abs(data)
	if err != nil {
		return err
	}
	lake, err := catalog.Load(ctx, "evodb", iceberg.Properties{ // the name is the catalog's key
		"type":        "sql",
		"uri":         "file:" + data + "/catalog.db",
		"sql.driver":  sqliteshim.ShimName,
		"sql.dialect": "sqlite",
		"warehouse":   "file://" + data + "/warehouse",
	})
	if err != nil {
		return err
	}
	changes, err := lake.LoadTable(ctx, table.Identifier{"evodb", name})
	if err != nil {
		return err
	}
	rows, err := changes.Scan().ToArrowTable(ctx)
	if err != nil {
		return err
	}
	defer rows.Release()
	out := ipc.NewWriter(os.Stdout, ipc.WithSchema(rows.Schema()))
	reader := array.NewTableReader(rows, 0)
	defer reader.Release()
	for reader.Next() {
		if err := out.Write(reader.RecordBatch()); err != nil {
			return err
		}
	}
	return out.Close()
}
