package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

const (
	// fullLoad is the number of connections at which a server does the most.
	fullLoad = 64
	// overloadFactor is how many times more of them an overload has.
	overloadFactor = 10
	// goodputKept is the part of the full load's throughput that an overload must leave.
	goodputKept = 0.8
	// refusedWithin is how soon exchanges that are too much are refused, but for one in a
	// hundred: clients and server share the cores, and whatever else runs takes its turn.
	refusedWithin = 50 * time.Millisecond
	// pushing is the pause of a client that was refused. The answer asks for a longer one.
	pushing = 100 * time.Millisecond
)

// overload sends more than the server can do: first what it can just do, then n times
// ten times as many connections, each of which sends as soon as it was answered.
func overload(ctx context.Context, s *stage, n int) error {
	err := s.onPostgres()
	if err != nil {
		return err
	}
	server, err := s.startServer(ctx)
	if err != nil {
		return err
	}
	err = s.addPublisher(fmt.Sprintf(publisher, "demo"))
	if err != nil {
		return err
	}
	jwts, err := presign(ctx, s.ci, 40_000*(n+1)) // More than two cores do in that time.
	if err != nil {
		return err
	}
	full, err := crowd(ctx, server, jwts, fullLoad, 3*time.Second)
	if err != nil {
		return err
	}
	s.tell("%d connections: %s", fullLoad, full)
	if full.refused() > 0 {
		s.violate("at full load, %d exchanges were refused", full.refused())
	}
	for range n {
		s.faults++
		over, err := crowd(ctx, server, jwts, fullLoad*overloadFactor, 3*time.Second)
		if err != nil {
			return err
		}
		s.tell("%d connections: %s", fullLoad*overloadFactor, over)
		judgeOverload(s, full, over)
	}
	return nil
}

func judgeOverload(s *stage, full, over *crowded) {
	if kept := over.perSecond() / full.perSecond(); kept < goodputKept {
		s.violate("%.0f %% of the throughput remain, less than %.0f %%", kept*100, goodputKept*100)
	}
	if over.refused() == 0 {
		s.violate("nothing was refused, so nothing was shown")
	}
	if late := quantile(over.refusals, 0.99); late > refusedWithin {
		s.violate("one of a hundred refusals took longer than %s, more than %s", late, refusedWithin)
	}
	for answer, times := range over.answers {
		if answer != "200" && answer != "429" && answer != "503" {
			s.violate("%d exchanges were answered %s", times, answer)
		}
	}
	if over.withoutRetryAfter > 0 {
		s.violate("%d refusals lacked Retry-After", over.withoutRetryAfter)
	}
}

// presign makes ID tokens, each for one exchange. The channel is closed.
func presign(ctx context.Context, ci *issuer.Issuer, n int) (chan string, error) {
	jwts := make(chan string, n)
	errs := make([]error, 4)
	var signers sync.WaitGroup
	for w := range errs {
		signers.Go(func() {
			for i := w; i < n && errs[w] == nil && ctx.Err() == nil; i += len(errs) {
				var jwt string
				jwt, errs[w] = ci.Sign(ci.GitHubClaims().With("exp", time.Now().Add(time.Hour).Unix()))
				jwts <- jwt
			}
		})
	}
	signers.Wait()
	close(jwts)
	return jwts, errors.Join(errs...)
}

// crowded is what many connections met together.
type crowded struct {
	took                time.Duration
	successes, refusals []time.Duration
	answers             map[string]int
	withoutRetryAfter   int
}

func (c *crowded) perSecond() float64 { return float64(len(c.successes)) / c.took.Seconds() }
func (c *crowded) refused() int       { return len(c.refusals) }

// String implements fmt.Stringer.
func (c *crowded) String() string {
	ms := func(l []time.Duration, part float64) float64 { return quantile(l, part).Seconds() * 1000 }
	return fmt.Sprintf("%.0f exchanges a second, p50 %.0f ms, p99 %.0f ms; %d refused, p50 %.1f ms, p90 %.1f ms, p99 %.1f ms, max %.1f ms; %v", c.perSecond(),
		ms(c.successes, 0.5), ms(c.successes, 0.99), c.refused(), ms(c.refusals, 0.5), ms(c.refusals, 0.9), ms(c.refusals, 0.99), ms(c.refusals, 1), c.answers)
}

// crowd exchanges with so many connections at once, each as soon as it was answered.
func crowd(ctx context.Context, server *server, jwts chan string, connections int, d time.Duration) (*crowded, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	all := &crowded{answers: map[string]int{}}
	var mu sync.Mutex
	var problem error
	begin := time.Now()
	var clients sync.WaitGroup
	for range connections {
		clients.Go(func() {
			one := crowded{answers: map[string]int{}}
			err := one.push(ctx, server.address, jwts)
			mu.Lock()
			defer mu.Unlock()
			problem = errors.Join(problem, err)
			all.successes, all.refusals = append(all.successes, one.successes...), append(all.refusals, one.refusals...)
			all.withoutRetryAfter += one.withoutRetryAfter
			for _, answer := range slices.Collect(maps.Keys(one.answers)) {
				all.answers[answer] += one.answers[answer]
			}
		})
	}
	clients.Wait()
	all.took = time.Since(begin)
	return all, problem
}

// push exchanges with one connection until ctx ends. An ID token that was refused is
// sent again. It speaks HTTP by itself, since net/http's client takes three times the CPU,
// which the server needs.
func (c *crowded) push(ctx context.Context, address string, jwts chan string) error {
	var connection net.Conn
	var reader *bufio.Reader
	defer func() {
		if connection != nil {
			_ = connection.Close()
		}
	}()
	jwt := ""
	for ctx.Err() == nil {
		if jwt == "" {
			next, left := <-jwts
			if !left {
				return errors.New("there were too few ID tokens")
			}
			jwt = next
		}
		if connection == nil {
			var dialer net.Dialer
			var err error
			connection, err = dialer.DialContext(ctx, "tcp", address)
			if err != nil {
				if ctx.Err() == nil {
					c.answers["no connection"]++
				}
				connection = nil
				continue
			}
			reader = bufio.NewReader(connection)
		}
		keep, spent := c.once(connection, reader, address, jwt)
		if spent {
			jwt = ""
		} else {
			time.Sleep(pushing)
		}
		if !keep {
			_ = connection.Close()
			connection = nil
		}
	}
	return nil
}

// once sends one exchange. It returns whether the connection can be used again, and
// whether the ID token is used up.
func (c *crowded) once(connection net.Conn, reader *bufio.Reader, address, jwt string) (keep, spent bool) {
	begin := time.Now()
	_ = connection.SetDeadline(begin.Add(15 * time.Second))
	body := `{"jwt":"` + jwt + `"}`
	_, err := fmt.Fprintf(connection, "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", tokensPath, address, len(body), body)
	if err == nil {
		var response *http.Response
		response, err = http.ReadResponse(reader, nil)
		if err == nil {
			_, err = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
			return c.note(response, time.Since(begin)) && err == nil, response.StatusCode == http.StatusOK
		}
	}
	c.answers["no answer"]++
	return false, true
}

func (c *crowded) note(response *http.Response, took time.Duration) (keep bool) {
	c.answers[strings.Fields(response.Status)[0]]++
	if response.StatusCode == http.StatusOK {
		c.successes = append(c.successes, took)
	} else {
		c.refusals = append(c.refusals, took)
		if response.Header.Get("Retry-After") == "" {
			c.withoutRetryAfter++
		}
	}
	return !response.Close
}
