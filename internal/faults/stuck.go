package main

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// answeredWithin bounds every answer while the database does not.
	answeredWithin = 5 * time.Second
	// recoveredWithin is how soon all is as before when the database is.
	recoveredWithin = 10 * time.Second
	// moreMemory is what a server may take in the meantime, in MiB.
	moreMemory = 48
)

// proxy stands between a server and PostgreSQL. It is safe for concurrent use.
type proxy struct {
	listener net.Listener
	socket   string

	mu    sync.Mutex
	hole  chan struct{} // Closed when bytes are forwarded (again).
	delay time.Duration
}

func newProxy(ctx context.Context, socket string) (*proxy, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: listener, socket: socket, hole: make(chan struct{})}
	close(p.hole)
	go p.accept()
	return p, nil
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		go func() {
			server, err := net.Dial("unix", p.socket)
			if err != nil {
				_ = client.Close()
				return
			}
			go p.forward(server, client)
			p.forward(client, server)
		}()
	}
}

// forward copies what one side sends, as late as it is told to. Connections stay open in
// a black hole, as they do when a cable is cut.
func (p *proxy) forward(to, from net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		p.mu.Lock()
		hole, delay := p.hole, p.delay
		p.mu.Unlock()
		<-hole
		time.Sleep(delay)
		if err == nil {
			_, err = to.Write(buffer[:n])
		}
		if err != nil {
			_, _ = to.Close(), from.Close()
			return
		}
	}
}

// swallow begins a black hole, which the returned function ends.
func (p *proxy) swallow() (restore func()) {
	hole := make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hole = hole
	return func() { close(hole) }
}

// slow delays all that is forwarded, in each direction.
func (p *proxy) slow(delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = delay
}

// throughProxy starts PostgreSQL, and a server that reaches it through a proxy.
func (s *stage) throughProxy(ctx context.Context) (*proxy, error) {
	err := s.onPostgres()
	if err != nil {
		return nil, err
	}
	p, err := newProxy(ctx, s.postgres.Socket())
	if err != nil {
		return nil, err
	}
	s.later(func() { _ = p.listener.Close() })
	s.auditURL = s.databaseURL
	s.databaseURL = "postgres://postgres@" + p.listener.Addr().String() + "/postgres?sslmode=disable"
	return p, s.serve(ctx, 1)
}

// endure makes a fault last, and checks what must hold while it does and after it.
func (s *stage) endure(ctx context.Context, name string, lasts time.Duration, fault func() (restore func() error, err error)) error {
	time.Sleep(500 * time.Millisecond)
	server := s.servers[0]
	memory, err := server.memory()
	if err != nil {
		return err
	}
	descriptors, err := server.descriptors()
	if err != nil {
		return err
	}
	s.client.note(func(r *results) { r.slowest = 0 })
	before := s.client.seen()
	restore, err := fault()
	if err != nil {
		return err
	}
	s.faults++
	mute := s.watchHealth(ctx, lasts)
	during, err := server.memory()
	if err != nil {
		return err
	}
	err = restore()
	if err != nil {
		return err
	}
	err = s.recovered(ctx, time.Now(), recoveredWithin)
	if err != nil {
		return err
	}
	after := s.client.seen()
	s.tell("%s: %d answers 200, %d answers 503, slowest %.2f s, memory %+.0f MiB", name,
		after.statuses["200"]-before.statuses["200"], after.statuses["503"]-before.statuses["503"], after.slowest.Seconds(), during-memory)
	if after.slowest > answeredWithin {
		s.violate("%s: an answer took %.2f s, more than %s", name, after.slowest.Seconds(), answeredWithin)
	}
	if mute > 0 {
		s.violate("%s: /healthz did not answer within 1 s, %d times", name, mute)
	}
	if during-memory > moreMemory {
		s.violate("%s: the server took %.0f MiB more", name, during-memory)
	}
	return s.settled(name, descriptors)
}

// watchHealth asks /healthz all the time, and returns how often it failed.
func (s *stage) watchHealth(ctx context.Context, lasts time.Duration) (failed int) {
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for end := time.Now().Add(lasts); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if !s.servers[0].answers(ctx, client, "/healthz") {
			failed++
		}
	}
	return failed
}

// settled checks that the server comes back to as many connections as it had before.
func (s *stage) settled(name string, before int) error {
	const pool = 20 // Connections that may be kept for later.
	var now int
	for end := time.Now().Add(recoveredWithin); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		var err error
		now, err = s.servers[0].descriptors()
		if err != nil {
			return err
		}
		if now <= before+pool {
			return nil
		}
	}
	s.violate("%s: the server has %d files and connections open, and had %d", name, now, before)
	return nil
}

// databaseStuck cuts the server off from its database, slows it down, and holds locks.
func databaseStuck(ctx context.Context, s *stage, n int) error {
	p, err := s.throughProxy(ctx)
	if err != nil {
		return err
	}
	s.client.workers = 32 // More than there are connections to the database.
	s.client.begin(ctx)
	for range n {
		err = s.endure(ctx, "black hole", 8*time.Second, func() (func() error, error) {
			restore := p.swallow()
			return func() error { restore(); return nil }, nil
		})
		if err != nil {
			return err
		}
		for _, delay := range []time.Duration{50 * time.Millisecond, 200 * time.Millisecond, time.Second} {
			err = s.endure(ctx, fmt.Sprintf("slow by %s", delay), 6*time.Second, func() (func() error, error) {
				p.slow(delay / 2) // In each direction.
				return func() error { p.slow(0); return nil }, nil
			})
			if err != nil {
				return err
			}
		}
		for _, table := range []string{"trustpub_used_jtis", "trustpub_tokens", "trustpub_configs"} {
			err = s.endure(ctx, "lock on "+table, 8*time.Second, func() (func() error, error) { return s.lock(ctx, table) })
			if err != nil {
				return err
			}
		}
	}
	return s.finish()
}

// lock takes a table for itself, until the returned function lets it go.
func (s *stage) lock(ctx context.Context, table string) (release func() error, err error) {
	db, err := openDatabase(s.auditURL)
	if err != nil {
		return nil, err
	}
	var tx *sql.Tx
	tx, err = db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	_, err = tx.ExecContext(ctx, "lock table "+table+" in access exclusive mode")
	if err != nil {
		return nil, err
	}
	return func() error {
		err := tx.Rollback()
		_ = db.Close()
		return err
	}, nil
}
