package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

const payloadBytes = 200

// A row as `evodb bench ingest` sends it: a number and letters, the first 64 of them not all the
// same. A pure function of the LSN, so that it can be checked after it was read back.
type payload struct{ bytes []byte }

func newPayload() *payload {
	p := &payload{make([]byte, payloadBytes)}
	for i := range p.bytes {
		p.bytes[i] = 'x'
	}
	return p
}

func (p *payload) fill(lsn uint64) []byte {
	for i := range 8 {
		p.bytes[i] = byte(lsn >> (8 * i))
		noise := (lsn + uint64(8*i)) * 0x9e3779b97f4a7c15
		for j := range 8 {
			p.bytes[10+8*i+j] = byte('a' + (noise>>(8*j))%26)
		}
	}
	return p.bytes
}

// One sender: LSNs from 1 on, in order, to one subject.
type source struct {
	o       options
	js      jetstream.JetStream
	id      string
	subject string
	payload *payload
}

func (s *source) message(lsn uint64) *nats.Msg {
	return &nats.Msg{
		Subject: s.subject,
		Header:  nats.Header{nats.MsgIdHdr: {s.id + strconv.FormatUint(lsn, 10)}},
		Data:    append([]byte(nil), s.payload.fill(lsn)...),
	}
}

// Returns when the server has acknowledged all of it.
func (s *source) publish(ctx context.Context, entries int) error {
	switch s.o.mode {
	case "async":
		return s.publishAsync(ctx, entries)
	case "fast":
		return s.publishFast(ctx, entries)
	case "atomic":
		return s.publishAtomic(ctx, entries)
	}
	return fmt.Errorf("mode %q: not async, fast or atomic", s.o.mode)
}

func (s *source) publishAsync(ctx context.Context, entries int) error {
	// Acknowledgements come in order; the one of the message a window ago is waited for.
	pending := make([]jetstream.PubAckFuture, 0, s.o.window*s.o.batch)
	next := 0
	wait := func(future jetstream.PubAckFuture) error {
		select {
		case ack := <-future.Ok():
			if ack.Duplicate {
				return fmt.Errorf("%s: new, and called a duplicate", s.subject)
			}
			return nil
		case err := <-future.Err():
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for lsn := 1; lsn <= entries; lsn++ {
		future, err := s.js.PublishMsgAsync(s.message(uint64(lsn)))
		if err != nil {
			return err
		}
		if len(pending) < cap(pending) {
			pending = append(pending, future)
			continue
		}
		if err := wait(pending[next]); err != nil {
			return err
		}
		pending[next] = future
		next = (next + 1) % len(pending)
	}
	for _, future := range pending {
		if err := wait(future); err != nil {
			return err
		}
	}
	return nil
}

func (s *source) publishFast(ctx context.Context, entries int) error {
	var lock sync.Mutex
	var failed error
	publisher, err := jetstreamext.NewFastPublisher(s.js,
		jetstreamext.FastPublishFlowControl{
			Flow:               uint16(s.o.batch),
			MaxOutstandingAcks: uint16(s.o.window),
			AckTimeout:         time.Minute,
		},
		jetstreamext.WithFastPublisherErrorHandler(func(err error) {
			lock.Lock()
			defer lock.Unlock()
			failed = err
		}))
	if err != nil {
		return err
	}
	// The client copies a message into its buffer before it returns: one is enough.
	header := []string{""}
	message := &nats.Msg{Subject: s.subject, Header: nats.Header{nats.MsgIdHdr: header}}
	for lsn := 1; lsn < entries; lsn++ {
		header[0] = s.id + strconv.Itoa(lsn)
		message.Data = s.payload.fill(uint64(lsn))
		if _, err := publisher.AddMsg(message); err != nil {
			return err
		}
	}
	ack, err := publisher.CommitMsg(ctx, s.message(uint64(entries)))
	if err != nil {
		return err
	}
	lock.Lock()
	defer lock.Unlock()
	if failed != nil {
		return failed
	}
	if ack.BatchSize != uint64(entries) {
		return fmt.Errorf("%s: %d of %d acknowledged", s.subject, ack.BatchSize, entries)
	}
	return nil
}

// A window of batches in flight is a window of publishers, each with every window-th batch.
func (s *source) publishAtomic(ctx context.Context, entries int) error {
	batches := entries / s.o.batch
	failures := make(chan error, s.o.window)
	for w := range s.o.window {
		go func() {
			own := &source{s.o, s.js, s.id, s.subject, newPayload()}
			for batch := w; batch < batches; batch += s.o.window {
				if err := own.publishAtomicBatch(ctx, batch*s.o.batch); err != nil {
					failures <- fmt.Errorf("batch %d: %w", batch, err)
					return
				}
			}
			failures <- nil
		}()
	}
	for range s.o.window {
		if err := <-failures; err != nil {
			return err
		}
	}
	return nil
}

func (s *source) publishAtomicBatch(ctx context.Context, before int) error {
	// Without waiting for the first message's acknowledgement, a round trip more.
	publisher, err := jetstreamext.NewBatchPublisher(s.js, jetstreamext.BatchFlowControl{AckFirst: false})
	if err != nil {
		return err
	}
	header := []string{""}
	message := &nats.Msg{Subject: s.subject, Header: nats.Header{nats.MsgIdHdr: header}}
	for i := 1; i < s.o.batch; i++ {
		header[0] = s.id + strconv.Itoa(before+i)
		message.Data = s.payload.fill(uint64(before + i))
		if err := publisher.AddMsg(message); err != nil {
			return err
		}
	}
	_, err = publisher.CommitMsg(ctx, s.message(uint64(before+s.o.batch)))
	return err
}
