package main

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	// endsWithin is how soon a replica ends that was asked to, when its requests take
	// no time.
	endsWithin = 3 * time.Second
	// metClosing is how many requests at most may meet the closing of their connection in
	// a hundred stops. A client whose connection idled for as long as the server waits may
	// send on it just when it is closed, which nothing on the server's side can rule out.
	metClosing = 25
)

// terminated stops one of two replicas after the other as a deployment does.
func terminated(ctx context.Context, s *stage, n int) error {
	err := s.onPostgres()
	if err != nil {
		return err
	}
	err = s.serve(ctx, 2)
	if err != nil {
		return err
	}
	s.client.retries, s.client.pause = true, time.Millisecond
	s.nothingCutOff = true
	s.client.begin(ctx)
	var slowest time.Duration
	for i := range n {
		time.Sleep(300*time.Millisecond + rand.N(300*time.Millisecond))
		server := s.servers[i%2]
		at := time.Now()
		took, err := server.terminate()
		if err != nil {
			return err
		}
		s.faults++
		slowest = max(slowest, took)
		err = s.recovered(ctx, at, readyWithin)
		if err != nil {
			return err
		}
		err = server.start()
		if err != nil {
			return err
		}
		_, err = server.awaitReady(ctx, 30*time.Second)
		if err != nil {
			return err
		}
	}
	s.tell("a replica drained and ended within %.2f s at most", slowest.Seconds())
	if slowest > endsWithin {
		s.violate("a replica took %.2f s to end, more than %s", slowest.Seconds(), endsWithin)
	}
	seen := s.client.seen()
	met := seen.statuses["no answer"]
	s.tell("%d requests met the closing of their connection", met)
	if met > n*metClosing/100 {
		s.violate("%d requests in %d stops met the closing of their connection", met, n)
	}
	if seen.failedTwice > 0 {
		s.violate("%d exchanges failed after their retry", seen.failedTwice)
	}
	return s.finish()
}

// migratesWithin is how soon replicas are ready on an empty database, also when one of
// them died in the middle.
const migratesWithin = 15 * time.Second

// startedTogether starts three replicas at once on an empty database, and again on
// another one, and drives those of the last.
func startedTogether(ctx context.Context, s *stage, n int) error {
	err := s.onPostgres()
	if err != nil {
		return err
	}
	var slowest time.Duration
	for range n {
		err = s.emptyDatabase(ctx)
		if err != nil {
			return err
		}
		took, err := s.startTogether(ctx)
		if err != nil {
			return err
		}
		s.faults++
		slowest = max(slowest, took)
	}
	s.tell("all three ready within %.2f s at most", slowest.Seconds())
	return s.driveFor(ctx, time.Second)
}

// emptyDatabase ends all servers, and has the next ones work on a database of their own.
func (s *stage) emptyDatabase(ctx context.Context) error {
	for _, server := range s.servers {
		server.kill()
	}
	s.servers = nil
	s.databaseURL = s.postgres.URL()
	name := fmt.Sprintf("round_%d_%d", s.faults, rand.N(1_000_000))
	err := s.execute(ctx, "create database "+name)
	s.databaseURL = "postgres://postgres@/" + name + "?sslmode=disable&host=" + s.postgres.Folder()
	return err
}

// startTogether starts three servers at once, and waits until all are ready.
func (s *stage) startTogether(ctx context.Context) (time.Duration, error) {
	begin := time.Now()
	for range 3 {
		server, err := s.newServer(ctx)
		if err != nil {
			return 0, err
		}
		err = server.start()
		if err != nil {
			return 0, err
		}
	}
	for _, server := range s.servers {
		_, err := server.awaitReady(ctx, time.Minute)
		if err != nil {
			return 0, err
		}
	}
	took := time.Since(begin)
	if took > migratesWithin {
		s.violate("the replicas were ready after %.1f s, more than %s", took.Seconds(), migratesWithin)
	}
	return took, s.migratedOnce(ctx)
}

// migratedOnce checks that no migration was applied twice.
func (s *stage) migratedOnce(ctx context.Context) error {
	var applied, versions int
	err := s.database(func(db *sql.DB) error {
		return db.QueryRowContext(ctx, `select count(*), count(distinct version_id) from trustpub_schema_migrations where version_id > 0`).Scan(&applied, &versions)
	})
	if err == nil && (applied != versions || versions == 0) {
		s.violate("%d migrations were applied %d times", versions, applied)
	}
	return err
}

func (s *stage) driveFor(ctx context.Context, lasts time.Duration) error {
	err := s.drive(500)
	if err != nil {
		return err
	}
	s.client.begin(ctx)
	time.Sleep(lasts)
	return s.finish()
}

// created are tables that the migrations make, one of each.
var created = []string{"trustpub_tokens", "trustpub_configs", "trustpub_used_jtis_by_hash"}

// killedMigrating kills a replica while it migrates an empty database: in the middle of
// each migration, which is held up for that, and at moments that nothing chooses.
func killedMigrating(ctx context.Context, s *stage, n int) error {
	err := s.onPostgres()
	if err != nil {
		return err
	}
	var slowest time.Duration
	for i := range n {
		err = s.emptyDatabase(ctx)
		if err != nil {
			return err
		}
		if i%2 == 0 {
			err = s.killInMigration(ctx, created[i/2%len(created)])
		} else {
			err = s.killAfter(ctx, 20*time.Millisecond+rand.N(150*time.Millisecond))
		}
		if err != nil {
			return err
		}
		s.faults++
		s.servers = nil
		took, err := s.startTogether(ctx)
		if err != nil {
			return err
		}
		slowest = max(slowest, took)
	}
	s.tell("three new replicas ready within %.2f s at most", slowest.Seconds())
	return s.driveFor(ctx, time.Second)
}

func (s *stage) killAfter(ctx context.Context, d time.Duration) error {
	server, err := s.newServer(ctx)
	if err != nil {
		return err
	}
	err = server.start()
	if err != nil {
		return err
	}
	time.Sleep(d)
	server.kill()
	return nil
}

// killInMigration kills a server while it waits for a table of that name to be, or not
// to be, which another transaction has made.
func (s *stage) killInMigration(ctx context.Context, table string) error {
	server, err := s.newServer(ctx)
	if err != nil {
		return err
	}
	return s.database(func(db *sql.DB) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		_, err = tx.ExecContext(ctx, "create table "+table+" ()")
		if err != nil {
			return err
		}
		err = server.start()
		if err != nil {
			return err
		}
		err = awaitTrue(ctx, db, `select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')`)
		server.kill()
		if err != nil {
			return fmt.Errorf("the migration does not wait for %s: %w: %s", table, err, server.lastWords())
		}
		return nil
	})
}

// awaitTrue asks until the answer is true.
func awaitTrue(ctx context.Context, db *sql.DB, query string) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	for {
		var is bool
		err := db.QueryRowContext(ctx, query).Scan(&is)
		if err != nil || is {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}
