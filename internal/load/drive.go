package main

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// plan is what to send: request i of n, to one of the addresses in turn, by as many
// connections.
type plan struct {
	addresses   []string
	connections int
	n           int
	// request appends the bytes of request i to buffer, which is empty, and returns it.
	request func(buffer []byte, i int) []byte
	// answered is given the body of each answer with status 200, which it must not keep.
	// nil is given nothing.
	answered func(i int, body []byte)
	// rate is how many requests per second are to be sent, whatever becomes of those
	// before; 0 sends the next one when the one before was answered.
	rate float64
	// timeout is how long an answer may take. 0 is requestTimeout.
	timeout time.Duration
	// lasts is when to stop although not all was sent. 0 is never.
	lasts time.Duration
	// tenth is called when another tenth of the requests has been sent, by any of the
	// connections. nil is not.
	tenth func()
}

// outcome is what became of a plan.
type outcome struct {
	took            time.Duration
	sent, succeeded int
	// latencies are those of the requests that succeeded, in ascending order. At a fixed
	// rate they begin when the request was due, and not when a connection was free to
	// send it: what had to wait for a slow answer is slow too ("coordinated omission").
	latencies []time.Duration
	// refusals counts what was not answered 200, by what was answered.
	refusals map[string]int
}

func (o outcome) perSecond() float64 { return float64(o.succeeded) / o.took.Seconds() }

// quantile returns the latency within which that share of the requests was answered
// (the nearest-rank method).
func (o outcome) quantile(q float64) time.Duration {
	if len(o.latencies) == 0 {
		return 0
	}
	rank := int(q*float64(len(o.latencies)) + 0.999999)
	return o.latencies[min(max(rank, 1), len(o.latencies))-1]
}

// drive sends what the plan says. While it does, the program has one core, and its
// collector rests; see [lean].
func drive(ctx context.Context, p plan) outcome {
	defer lean()()
	var next, sent atomic.Int64
	var group sync.WaitGroup
	// Each worker writes those of its requests; 0 is one that did not succeed.
	latencies := make([]time.Duration, p.n)
	clients := make([]client, p.connections)
	begin := time.Now()
	for w := range clients {
		c := &clients[w]
		c.address, c.timeout = p.addresses[w%len(p.addresses)], cmp.Or(p.timeout, requestTimeout)
		group.Go(func() {
			defer c.hangUp()
			for i := int(next.Add(1)) - 1; i < p.n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				due := time.Now()
				if p.rate > 0 {
					due = begin.Add(time.Duration(float64(i) / p.rate * float64(time.Second)))
					time.Sleep(time.Until(due))
				}
				if p.lasts > 0 && due.Sub(begin) > p.lasts {
					next.Store(int64(p.n)) // What was not sent does not count.
					return
				}
				sent.Add(1)
				if p.tenth != nil && i > 0 && i%(p.n/10) == 0 {
					p.tenth()
				}
				if c.send(&p, i) {
					latencies[i] = max(time.Since(due), 1)
				}
			}
		})
	}
	group.Wait()
	all := outcome{took: time.Since(begin), refusals: map[string]int{}}
	for i := range clients {
		for why, n := range clients[i].refusals {
			all.refusals[why] += n
		}
	}
	if p.tenth != nil {
		p.tenth()
	}
	all.sent = int(sent.Load())
	slices.Sort(latencies)
	failed, _ := slices.BinarySearch(latencies, 1)
	all.latencies = latencies[failed:]
	all.succeeded = len(all.latencies)
	return all
}

// codeOf returns the code of a refusal, for the table.
func codeOf(body []byte) string {
	var refusal struct {
		Errors []struct {
			Code string `json:"code"`
		} `json:"errors"`
		Error string `json:"error"`
	}
	err := json.Unmarshal(body, &refusal)
	switch {
	case err != nil:
		return "(no JSON)"
	case len(refusal.Errors) > 0:
		return refusal.Errors[0].Code
	}
	return refusal.Error
}
