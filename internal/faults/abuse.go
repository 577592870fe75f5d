package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// abuse is something that a client does to keep a server busy.
type abuse struct {
	name string
	// clients do it at once.
	clients int
	// do does it once with a connection, and returns what came of it: an empty string
	// when the server went on waiting until the end.
	do func(ctx context.Context, connection net.Conn) string
	// isSlow is set when a client does it once, and the server has to end it.
	isSlow bool
	// want are the outcomes that are accepted.
	want []string
	// forAsLong is how long it goes on; the server must have ended slow connections by then.
	forAsLong time.Duration
}

const (
	hungUp       = "hung up"
	answered     = "HTTP/1.1 "
	exchangeHead = "PUT " + tokensPath + " HTTP/1.1\r\nHost: registry.example\r\nContent-Type: application/json\r\n"
)

// abuses are all, each with what the server must make of it.
func abuses() []abuse {
	return []abuse{
		{name: "slow headers", isSlow: true, clients: 200, do: slowly(exchangeHead+"X-Filler: "+strings.Repeat("a", 1000), 300*time.Millisecond), want: []string{hungUp, "408", "400"}, forAsLong: 7 * time.Second},
		{name: "slow bodies", isSlow: true, clients: 200, do: slowly(exchangeHead+"Content-Length: 9000\r\n\r\n"+strings.Repeat(" ", 1000), 300*time.Millisecond), want: []string{hungUp, "408"}, forAsLong: 13 * time.Second},
		{name: "endless chunked bodies", clients: 16, do: endless, want: []string{hungUp, "413"}, forAsLong: 3 * time.Second},
		{name: "compressed bombs", clients: 16, do: at(bomb()), want: []string{"415"}, forAsLong: 3 * time.Second},
		{name: "2,000 idle connections", isSlow: true, clients: 2000, do: idle, want: []string{hungUp}, forAsLong: 7 * time.Second},
		{name: "huge headers", clients: 16, do: at(exchangeHead + "X-Filler: " + strings.Repeat("a", 1<<20) + "\r\n\r\n"), want: []string{hungUp, "431"}, forAsLong: 3 * time.Second},
		{name: "ambiguous lengths", clients: 8, do: ambiguous(), want: []string{"400", "501", hungUp}, forAsLong: 3 * time.Second},
	}
}

// slowly sends the text a byte at a time after its first half, which it sends at once.
func slowly(text string, pause time.Duration) func(context.Context, net.Conn) string {
	return func(ctx context.Context, connection net.Conn) string {
		at := len(text) - 1000
		_, err := io.WriteString(connection, text[:at])
		if err != nil {
			return hungUp
		}
		outcome := make(chan string, 1)
		go func() { outcome <- read(connection) }()
		for ; at < len(text); at++ {
			select {
			case came := <-outcome:
				return came
			case <-ctx.Done():
				return ""
			case <-time.After(pause):
			}
			_, err = io.WriteString(connection, text[at:at+1])
			if err != nil {
				return <-outcome
			}
		}
		return <-outcome
	}
}

// endless sends chunks until the server has had enough.
func endless(ctx context.Context, connection net.Conn) string {
	_, err := io.WriteString(connection, exchangeHead+"Transfer-Encoding: chunked\r\n\r\n")
	chunk := []byte("1000\r\n" + strings.Repeat(" ", 0x1000) + "\r\n")
	for err == nil && ctx.Err() == nil {
		_, err = connection.Write(chunk)
	}
	if ctx.Err() != nil {
		return ""
	}
	return read(connection)
}

// at sends the text at once.
func at(text string) func(context.Context, net.Conn) string {
	return func(_ context.Context, connection net.Conn) string {
		go func() { _, _ = io.WriteString(connection, text) }()
		return read(connection)
	}
}

// idle says nothing.
func idle(_ context.Context, connection net.Conn) string { return read(connection) }

// bomb is a request of a kilobyte whose body would be one of a megabyte.
func bomb() string {
	var body bytes.Buffer
	w := gzip.NewWriter(&body)
	_, _ = w.Write(bytes.Repeat([]byte(" "), 1<<20)) // A buffer never fails.
	_ = w.Close()
	return exchangeHead + fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n", body.Len()) + body.String()
}

// ambiguous sends requests whose end a proxy and a server could see at different places,
// with another request after it, which must get no answer.
func ambiguous() func(context.Context, net.Conn) string {
	const hidden = "GET /healthz HTTP/1.1\r\nHost: registry.example\r\n\r\n"
	requests := []string{
		exchangeHead + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}   " + hidden,
		exchangeHead + "Content-Length: 5, 6\r\n\r\n{}   " + hidden,
		exchangeHead + "Content-Length: +5\r\n\r\n{}   " + hidden,
		exchangeHead + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		exchangeHead + "Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n\r\n{}   " + hidden,
		exchangeHead + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + hidden,
		exchangeHead + "Transfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + hidden,
	}
	var mu sync.Mutex
	var next int
	return func(_ context.Context, connection net.Conn) string {
		mu.Lock()
		request := requests[next%len(requests)]
		next++
		mu.Unlock()
		_, err := io.WriteString(connection, request)
		if err != nil {
			return hungUp
		}
		_ = connection.SetReadDeadline(time.Now().Add(time.Second)) // A connection that is kept says nothing more.
		answer, _ := io.ReadAll(connection)                         // Whatever ends it.
		if strings.Count(string(answer), answered) > 1 {
			return fmt.Sprintf("the request behind %q was answered", request[len(exchangeHead):])
		}
		return outcomeOf(answer)
	}
}

// read returns the status of the answer, or that there was none.
func read(connection net.Conn) string {
	line, err := bufio.NewReader(connection).ReadString('\n')
	if err != nil {
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
			return ""
		}
		return hungUp
	}
	return outcomeOf([]byte(line))
}

func outcomeOf(answer []byte) string {
	status, ok := strings.CutPrefix(string(answer), answered)
	if !ok || len(status) < 3 {
		return hungUp
	}
	return status[:3]
}

// httpAbuse shows that a valid client is served while others abuse the server.
func httpAbuse(ctx context.Context, s *stage, n int) error {
	s.onSQLite()
	err := s.serve(ctx, 1)
	if err != nil {
		return err
	}
	s.client.workers, s.client.pause = 1, 5*time.Millisecond
	s.client.begin(ctx)
	err = torment(ctx, s, abuse{name: "no abuse", forAsLong: 3 * time.Second})
	for _, a := range abuses()[:n] {
		if err == nil {
			s.faults++
			err = torment(ctx, s, a)
		}
	}
	s.client.end()
	s.client.stop = nil
	for status, times := range s.client.seen().statuses {
		if status != "200" && status != "400" { // The client replays some.
			s.violate("the valid client was answered %s %d times", status, times)
		}
	}
	return err
}

// torment lets abusers do what they do, while the valid client exchanges.
func torment(ctx context.Context, s *stage, a abuse) error {
	ctx, cancel := context.WithTimeout(ctx, a.forAsLong)
	defer cancel()
	begin := time.Now()
	var mu sync.Mutex
	outcomes := map[string]int{}
	var abusers sync.WaitGroup
	for range a.clients {
		abusers.Go(func() {
			for ctx.Err() == nil {
				came := a.once(ctx, s.servers[0].address)
				mu.Lock()
				outcomes[came]++
				mu.Unlock()
				if a.isSlow {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	<-ctx.Done()
	abusers.Wait()
	var latencies []time.Duration
	for _, m := range s.client.seen().successes {
		if m.answered.After(begin) {
			latencies = append(latencies, m.answered.Sub(m.sent))
		}
	}
	memory, err := s.servers[0].memory()
	s.tell("%s: valid client: %s; abusers met %v; memory %.0f MiB", a.name, describe(latencies), outcomes, memory)
	a.judge(s, outcomes)
	if slowest := quantile(latencies, 1); len(latencies) == 0 || slowest > gross {
		s.violate("%s: the valid client succeeded %d times, and waited for up to %s", a.name, len(latencies), slowest)
	}
	return err
}

// cutOff is what an abuser met who had just begun at the end.
const cutOff = "the end"

// once does the abuse with a connection of its own.
func (a abuse) once(ctx context.Context, address string) string {
	begin := time.Now()
	came, err := a.attempt(ctx, address)
	switch {
	case (came == "" || err != nil) && !a.isSlow && time.Since(begin) < time.Second:
		return cutOff
	case err != nil:
		return err.Error()
	}
	return came
}

func (a abuse) attempt(ctx context.Context, address string) (string, error) {
	var dialer net.Dialer
	connection, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	defer func() { _ = connection.Close() }()
	deadline, _ := ctx.Deadline()
	err = connection.SetDeadline(deadline)
	if err != nil {
		return "", err
	}
	return a.do(ctx, connection), nil
}

func (a abuse) judge(s *stage, outcomes map[string]int) {
	met := 0
	for outcome, n := range outcomes {
		switch {
		case slices.Contains(a.want, outcome):
			met += n
		case outcome != cutOff:
			s.violate("%s: %d abusers met %q, where %v was due", a.name, n, outcome, a.want)
		}
	}
	if a.clients > 0 && met == 0 {
		s.violate("%s: no abuser got anywhere, so nothing was shown", a.name)
	}
}
