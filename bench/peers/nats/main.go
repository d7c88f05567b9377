// The load that `evodb bench ingest` makes, made for NATS JetStream: sources that each send rows of
// 200 bytes with an id of their own, up to `window` batches in flight each. Checks what the server
// has before it says how long it took; prints one JSON object.
//
//	nats-load -url nats://127.0.0.1:4222 -mode fast -entries 1000000
//
// Modes, all of them with deduplication by Nats-Msg-Id:
//
//	async   jetstream.PublishMsgAsync: the server acknowledges each message
//	fast    fast-ingest batches (server 2.14): one acknowledgement for `batch` messages
//	atomic  atomic batches (server 2.12): `batch` messages are stored together, one acknowledgement
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

type options struct {
	url, mode   string
	sources     int // each a goroutine with a subject of its own
	connections int // that they share evenly
	streams     int // that they share evenly
	window      int // batches in flight, a source
	batch       int
	entries     int
	warmup      int // sent before the clock starts, to another set of streams
}

type result struct {
	EntriesPerSecond float64 `json:"entries_per_s"`
	Entries          uint64  `json:"entries"`
	Seconds          float64 `json:"seconds"`
	Stored           uint64  `json:"stored"`             // by the streams' own count
	DuplicatesSent   int     `json:"duplicates_sent"`    // afterwards, not timed
	DuplicatesStored uint64  `json:"duplicates_stored"`  // must be 0
	Compared         int     `json:"messages_read_back"` // and found equal to what was sent
	Server           string  `json:"server_version"`
	Client           string  `json:"client_version"`
}

func main() {
	var o options
	flag.StringVar(&o.url, "url", "nats://127.0.0.1:4222", "the server")
	flag.StringVar(&o.mode, "mode", "fast", "async, fast or atomic")
	flag.IntVar(&o.sources, "sources", 32, "senders")
	flag.IntVar(&o.connections, "connections", 4, "TCP connections")
	flag.IntVar(&o.streams, "streams", 4, "streams")
	flag.IntVar(&o.window, "window", 8, "batches in flight, a source")
	flag.IntVar(&o.batch, "batch", 100, "messages a batch")
	flag.IntVar(&o.entries, "entries", 1_000_000, "messages in the timed part")
	flag.IntVar(&o.warmup, "warmup", 100_000, "messages before it")
	flag.Parse()
	r, err := run(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "nats-load: "+err.Error())
		os.Exit(1)
	}
	out, _ := json.Marshal(r)
	fmt.Println(string(out))
}

func run(o options) (*result, error) {
	if o.sources < 1 || o.connections < 1 || o.streams < 1 || o.window < 1 || o.batch < 2 {
		return nil, errors.New("sources, connections, streams and window are at least 1, batch at least 2")
	}
	if o.entries%(o.sources*o.batch) != 0 || o.warmup%(o.sources*o.batch) != 0 {
		return nil, fmt.Errorf("entries and warmup must be multiples of sources x batch, %d", o.sources*o.batch)
	}
	var connections []jetstream.JetStream
	var server string
	for range o.connections {
		// A write buffer as large as a batch on the wire; the default is 32 KiB.
		nc, err := nats.Connect(o.url, nats.WriteBufferSize(256<<10))
		if err != nil {
			return nil, fmt.Errorf("connecting to %s: %w", o.url, err)
		}
		defer nc.Close()
		js, err := jetstream.New(nc,
			// The sources keep to their windows themselves; each is one over while it waits.
			jetstream.WithPublishAsyncMaxPending((o.window*o.batch+1)*o.sources))
		if err != nil {
			return nil, err
		}
		connections = append(connections, js)
		server = nc.ConnectedServerVersion()
	}
	if o.warmup > 0 {
		if _, err := load(o, "warmup", o.warmup, connections); err != nil {
			return nil, fmt.Errorf("warm-up: %w", err)
		}
	}
	r, err := load(o, "timed", o.entries, connections)
	if err != nil {
		return nil, err
	}
	r.Server, r.Client = server, nats.Version
	return r, nil
}

// Streams "<name>-0" ..., made new and deleted again.
func load(o options, name string, entries int, connections []jetstream.JetStream) (*result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	js := connections[0]
	streams := make([]string, o.streams)
	for i := range streams {
		streams[i] = name + "-" + strconv.Itoa(i)
		_ = js.DeleteStream(ctx, streams[i])
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{
			Name:     streams[i],
			Subjects: []string{name + "." + strconv.Itoa(i) + ".*"},
			Storage:  jetstream.FileStorage,
			Replicas: 1,
			// What deduplication by id asks for; two minutes is the server's default.
			Duplicates:         2 * time.Minute,
			AllowAtomicPublish: o.mode == "atomic",
			AllowBatchPublish:  o.mode == "fast",
		})
		if err != nil {
			return nil, fmt.Errorf("stream %s: %w", streams[i], err)
		}
		defer js.DeleteStream(context.Background(), streams[i])
	}

	share := entries / o.sources
	group, groupContext := errgroup.WithContext(ctx)
	begun := time.Now()
	for i := range o.sources {
		s := &source{
			o:       o,
			js:      connections[i%len(connections)],
			id:      name + "-" + strconv.Itoa(i) + "-",
			subject: fmt.Sprintf("%s.%d.%d", name, i%o.streams, i),
			payload: newPayload(),
		}
		group.Go(func() error { return s.publish(groupContext, share) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	seconds := time.Since(begun).Seconds()

	r := &result{Entries: uint64(entries), Seconds: seconds, EntriesPerSecond: float64(entries) / seconds}
	return r, check(ctx, o, name, streams, share, js, r)
}
