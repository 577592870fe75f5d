// Package postgrestest gives tests a real PostgreSQL: the server that
// TEST_DATABASE_URL names, or else a throw-away one made from the binaries that are
// found on PATH or under /usr/lib/postgresql. Without either it fails and says how
// to get one; it never skips.
package postgrestest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trustpub/trustpub/adapters/postgres/pqconn"
)

// shared is the throw-away server of this test process.
var shared struct {
	once   sync.Once
	server *Server
	err    error
}

// Main is the body of TestMain: [Run], and the end of the process.
func Main(m *testing.M) { os.Exit(Run(m)) }

// Run runs the tests of a package and then removes the throw-away server that
// [NewDatabase] may have started. It returns the exit code.
func Run(m *testing.M) int {
	code := m.Run()
	if shared.server != nil {
		shared.server.stop()
	}
	return code
}

// NewDatabase makes an empty database for one test and returns its URL. A package
// whose tests call it has a TestMain that calls [Main] or
// [Run].
func NewDatabase(tb testing.TB) string {
	tb.Helper()
	if base := os.Getenv("TEST_DATABASE_URL"); base != "" {
		return newDatabase(tb, base)
	}
	shared.once.Do(func() { shared.server, shared.err = start(Options{}) })
	if shared.err != nil {
		tb.Fatal(shared.err)
	}
	return newDatabase(tb, shared.server.URL())
}

// newDatabase makes a database on the server at base, and drops it when the test
// ends.
func newDatabase(tb testing.TB, base string) string {
	tb.Helper()
	u, err := url.Parse(base)
	if err != nil {
		tb.Fatal("TEST_DATABASE_URL is no URL such as postgres://USER:PASSWORD@HOST/DATABASE")
	}
	name := "trustpub_" + strings.ToLower(rand.Text()[:16])
	execute(tb, base, "create database "+name)
	tb.Cleanup(func() { execute(tb, base, "drop database if exists "+name+" with (force)") })
	u.Path = "/" + name
	return u.String()
}

func execute(tb testing.TB, databaseURL, statement string) {
	tb.Helper()
	db, err := pqconn.Open(databaseURL, time.Minute)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err = db.ExecContext(ctx, statement)
	if err != nil {
		tb.Fatalf("%s: %v", statement, err)
	}
}

// Open opens a database and closes it when the test ends.
func Open(tb testing.TB, databaseURL string) *sql.DB {
	tb.Helper()
	db, err := pqconn.Open(databaseURL, 0)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

// NewServer starts a throw-away server for one test alone, which may pause or kill
// it. TEST_DATABASE_URL is not looked at.
func NewServer(tb testing.TB, options Options) *Server {
	tb.Helper()
	s, err := start(options)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.stop)
	return s
}

// Options are how a throw-away server runs.
type Options struct {
	// Fsync makes commits wait for the disk. Without it, ordinary tests are faster,
	// and benchmarks mean nothing.
	Fsync bool
	// Parameters are further lines of postgresql.conf.
	Parameters map[string]string
}

func (o Options) lines(socket string) string {
	var b strings.Builder
	fsync := "off"
	if o.Fsync {
		fsync = "on"
	}
	fmt.Fprintf(&b, "listen_addresses = ''\nunix_socket_directories = '%s'\nfsync = %s\nmax_connections = 200\n", socket, fsync)
	for name, value := range o.Parameters {
		fmt.Fprintf(&b, "%s = '%s'\n", name, value)
	}
	return b.String()
}
