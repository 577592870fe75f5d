package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	// readyWithin is how soon a server that was killed is ready again.
	readyWithin = 2 * time.Second
	// databaseBackWithin is how soon exchanges succeed when the database is back.
	databaseBackWithin = 5 * time.Second
)

func serverKilledSQLite(ctx context.Context, s *stage, n int) error {
	s.onSQLite()
	return serverKilled(ctx, s, n)
}

func serverKilledPostgres(ctx context.Context, s *stage, n int) error {
	err := s.onPostgres()
	if err != nil {
		return err
	}
	return serverKilled(ctx, s, n)
}

// serverKilled kills the server at moments that no request chooses.
func serverKilled(ctx context.Context, s *stage, n int) error {
	err := s.serve(ctx, 1)
	if err != nil {
		return err
	}
	s.client.begin(ctx)
	server := s.servers[0]
	var slowest time.Duration
	for range n {
		time.Sleep(200*time.Millisecond + rand.N(300*time.Millisecond))
		at := time.Now()
		server.kill()
		s.faults++
		err = server.start()
		if err != nil {
			return err
		}
		took, err := server.awaitReady(ctx, 30*time.Second)
		if err != nil {
			return err
		}
		slowest = max(slowest, took)
		if took > readyWithin {
			s.violate("the server was ready %.1f s after it was started again, more than %s", took.Seconds(), readyWithin)
		}
		err = s.recovered(ctx, at, readyWithin+time.Second)
		if err != nil {
			return err
		}
	}
	s.tell("ready again within %.2f s at most", slowest.Seconds())
	return s.finish()
}

// finish ends the load and sends once more what had no answer: none of that may fail.
func (s *stage) finish() error {
	s.client.end()
	s.client.stop = nil
	exchanged, used, failed := s.client.settle()
	s.tell("of the exchanges without an answer, %d succeeded when they were sent again, %d had taken effect", exchanged, used)
	if failed > 0 {
		return fmt.Errorf("%d exchanges still fail after the fault", failed)
	}
	return nil
}

// databaseKilled kills PostgreSQL as a loss of power does, and restarts it on its data.
func databaseKilled(ctx context.Context, s *stage, n int) error {
	err := s.onPostgres()
	if err != nil {
		return err
	}
	err = s.serve(ctx, 1)
	if err != nil {
		return err
	}
	s.client.begin(ctx)
	for range n {
		time.Sleep(500*time.Millisecond + rand.N(300*time.Millisecond))
		before := s.client.seen().statuses["503"]
		err = s.postgres.Kill()
		if err != nil {
			return err
		}
		s.faults++
		for deadline := time.Now().Add(15 * time.Second); s.client.seen().statuses["503"] == before && time.Now().Before(deadline); {
			time.Sleep(20 * time.Millisecond) // Requests in flight come to their own deadlines.
		}
		err = s.postgres.Restart() //nolint:contextcheck // It is a test's too, and bounded.
		if err != nil {
			return err
		}
		err = s.recovered(ctx, time.Now(), databaseBackWithin)
		if err != nil {
			return err
		}
		if s.client.seen().statuses["503"] == before {
			s.violate("no request was answered 503 while PostgreSQL was down")
		}
	}
	if !s.servers[0].running() {
		s.violate("the server ended")
	}
	return s.finish()
}
