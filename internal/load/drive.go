package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// requestTimeout bounds a request, so that a server that hangs shows in the table.
const requestTimeout = 30 * time.Second

// plan is what to send: request i of n, to one of the addresses in turn, by as many
// connections.
type plan struct {
	addresses   []string
	connections int
	n           int
	// request returns the bytes of request i.
	request func(i int) []byte
	// answered is given the body of each answer with status 200. nil is given nothing.
	answered func(i int, body []byte)
	// rate is how many requests per second are to be sent, whatever becomes of those
	// before; 0 sends the next one when the one before was answered.
	rate float64
}

// outcome is what became of a plan.
type outcome struct {
	took      time.Duration
	succeeded int
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

// drive sends what the plan says.
func drive(ctx context.Context, p plan) outcome {
	var next atomic.Int64
	var group sync.WaitGroup
	workers := make([]worker, p.connections)
	begin := time.Now()
	for w := range workers {
		worker := &workers[w]
		worker.address = p.addresses[w%len(p.addresses)]
		worker.refusals = map[string]int{}
		group.Go(func() {
			defer worker.hangUp()
			for i := int(next.Add(1)) - 1; i < p.n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				due := time.Now()
				if p.rate > 0 {
					due = begin.Add(time.Duration(float64(i) / p.rate * float64(time.Second)))
					time.Sleep(time.Until(due))
				}
				worker.send(p, i, due)
			}
		})
	}
	group.Wait()
	all := outcome{took: time.Since(begin), refusals: map[string]int{}}
	for _, w := range workers {
		all.latencies = append(all.latencies, w.latencies...)
		for why, n := range w.refusals {
			all.refusals[why] += n
		}
	}
	slices.Sort(all.latencies)
	all.succeeded = len(all.latencies)
	return all
}

// worker has one connection. It speaks HTTP/1.1 by itself, since net/http's client
// takes three times the CPU, of the same cores that the server is measured on.
type worker struct {
	address   string
	conn      net.Conn
	reader    *bufio.Reader
	latencies []time.Duration
	refusals  map[string]int
}

func (w *worker) hangUp() {
	if w.conn != nil {
		_ = w.conn.Close()
	}
	w.conn = nil
}

// send sends request i and notes how it went. Nothing is sent twice: a request whose
// answer was lost may have had its effect.
func (w *worker) send(p plan, i int, due time.Time) {
	status, body, err := w.roundTrip(p.request(i))
	switch {
	case err != nil:
		w.hangUp()
		w.refusals["no answer: "+err.Error()]++
	case status != http.StatusOK:
		w.refusals[strconv.Itoa(status)+" "+codeOf(body)]++
	default:
		w.latencies = append(w.latencies, time.Since(due))
		if p.answered != nil {
			p.answered(i, body)
		}
	}
}

func (w *worker) roundTrip(request []byte) (status int, body []byte, err error) {
	if w.conn == nil {
		w.conn, err = net.DialTimeout("tcp", w.address, requestTimeout)
		if err != nil {
			return 0, nil, fmt.Errorf("connect: %w", err)
		}
		w.reader = bufio.NewReader(w.conn)
	}
	err = w.conn.SetDeadline(time.Now().Add(requestTimeout))
	if err != nil {
		return 0, nil, err
	}
	_, err = w.conn.Write(request)
	if err != nil {
		return 0, nil, fmt.Errorf("send: %w", err)
	}
	response, err := http.ReadResponse(w.reader, nil)
	if err != nil {
		return 0, nil, fmt.Errorf("read: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err = io.ReadAll(response.Body)
	if err != nil {
		return 0, nil, fmt.Errorf("read: %w", err)
	}
	if response.Close {
		w.hangUp()
	}
	return response.StatusCode, body, nil
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
