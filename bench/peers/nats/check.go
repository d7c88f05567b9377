package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const readBackPerStream = 25

// Asks the server: are all messages there, are they what was sent, and does it refuse one that it
// has already? Errors when not.
func check(ctx context.Context, o options, name string, streams []string, share int,
	js jetstream.JetStream, r *result) error {
	stored, err := count(ctx, streams, js)
	if err != nil {
		return err
	}
	if stored != r.Entries {
		return fmt.Errorf("the server has %d messages of %d", stored, r.Entries)
	}
	r.Stored = stored
	for _, stream := range streams {
		if err := readBack(ctx, stream, js, r); err != nil {
			return err
		}
	}
	// The last batch of each source once more, by the plain call, which says what was a duplicate.
	for i := range o.sources {
		s := &source{o, js, fmt.Sprintf("%s-%d-", name, i),
			fmt.Sprintf("%s.%d.%d", name, i%o.streams, i), newPayload()}
		for lsn := share - o.batch + 1; lsn <= share; lsn++ {
			future, err := js.PublishMsgAsync(s.message(uint64(lsn)))
			if err != nil {
				return err
			}
			select {
			case ack := <-future.Ok():
				if !ack.Duplicate {
					return fmt.Errorf("%s: message %d was taken twice", s.subject, lsn)
				}
			case err := <-future.Err():
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
			r.DuplicatesSent++
		}
	}
	again, err := count(ctx, streams, js)
	if err != nil {
		return err
	}
	if r.DuplicatesStored = again - stored; again != stored {
		return fmt.Errorf("%d duplicates were stored", r.DuplicatesStored)
	}
	return nil
}

func count(ctx context.Context, streams []string, js jetstream.JetStream) (uint64, error) {
	var sum uint64
	for _, name := range streams {
		stream, err := js.Stream(ctx, name)
		if err != nil {
			return 0, err
		}
		info, err := stream.Info(ctx)
		if err != nil {
			return 0, err
		}
		sum += info.State.Msgs
	}
	return sum, nil
}

func readBack(ctx context.Context, name string, js jetstream.JetStream, r *result) error {
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return err
	}
	info := stream.CachedInfo()
	step := max(1, info.State.Msgs/readBackPerStream)
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq += step {
		message, err := stream.GetMsg(ctx, seq)
		if err != nil {
			return fmt.Errorf("%s: message %d: %w", name, seq, err)
		}
		id := message.Header.Get(nats.MsgIdHdr)
		var lsn uint64
		if _, err := fmt.Sscan(id[strings.LastIndexByte(id, '-')+1:], &lsn); err != nil {
			return fmt.Errorf("%s: message %d has the id %q", name, seq, id)
		}
		if !bytes.Equal(message.Data, newPayload().fill(lsn)) {
			return fmt.Errorf("%s: message %d (%s) is not what was sent", name, seq, id)
		}
		r.Compared++
	}
	return nil
}
