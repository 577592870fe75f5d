package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	_ "modernc.org/sqlite" // The driver of the audit.

	"github.com/trustpub/trustpub/adapters/postgres/pqconn"
	"github.com/trustpub/trustpub/internal/program"
	"github.com/trustpub/trustpub/trustpubtest/issuer"
	"github.com/trustpub/trustpub/trustpubtest/postgrestest"
)

// stage is where one scenario plays: servers on a database of its own, a client with
// its journal, and what was found. A scenario uses it from one goroutine.
type stage struct {
	folder   string
	program  string
	ci       *issuer.Issuer
	out      io.Writer
	journal  *journal
	client   *client
	servers  []*server
	postgres *postgrestest.Server // nil on SQLite.
	// databaseURL is what servers are started with, and auditURL, where it is not empty,
	// the database that is compared with the journal in its place.
	databaseURL, auditURL string
	admin                 string
	// nothingCutOff makes a token whose answer never came a violation.
	nothingCutOff bool
	stops         []func()

	faults       int
	firstSuccess time.Duration // The longest after any fault.
	notes        []string
	violations   []string
}

// The publishers are those of the issuer's ID tokens: each token is for two packages.
const publisher = `{"github_config":{"crate":%q,"repository_owner":"octo-org","repository_owner_id":65,"repository_name":"octo-repo","workflow_filename":"release.yml","environment":null}}`

func newStage(folder, path string, ci *issuer.Issuer, out io.Writer) (*stage, error) {
	j, err := newJournal(filepath.Join(folder, "journal"))
	if err != nil {
		return nil, err
	}
	return &stage{folder: folder, program: path, ci: ci, out: out, journal: j, admin: rand.Text() + rand.Text()}, nil
}

// violate notes what must not happen.
func (s *stage) violate(format string, args ...any) {
	s.violations = append(s.violations, fmt.Sprintf(format, args...))
}

// tell notes a figure for the table.
func (s *stage) tell(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

// later is done when the scenario is over.
func (s *stage) later(do func()) { s.stops = append(s.stops, do) }

func (s *stage) close() {
	for _, server := range s.servers {
		server.kill()
	}
	for _, stop := range slices.Backward(s.stops) {
		stop()
	}
	_ = s.journal.close()
}

// onSQLite has the servers keep their data in a file.
func (s *stage) onSQLite() { s.databaseURL = "sqlite:" + filepath.Join(s.folder, "trustpub.db") }

// onPostgres starts a PostgreSQL server that waits for its disk, as in production.
func (s *stage) onPostgres() error {
	server, err := postgrestest.Start(postgrestest.Options{Fsync: true})
	if err != nil {
		return err
	}
	s.later(server.Stop)
	s.postgres, s.databaseURL = server, server.URL()
	return nil
}

// newServer makes a server of the stage, which is not started yet.
func (s *stage) newServer(ctx context.Context) (*server, error) {
	address, err := program.FreeAddress(ctx)
	if err != nil {
		return nil, err
	}
	server := &server{program: s.program, address: address, log: filepath.Join(s.folder, fmt.Sprintf("server-%d.log", len(s.servers)))}
	server.env = append(os.Environ(), "TRUSTPUB_LISTEN="+address, "DATABASE_URL="+s.databaseURL,
		"TRUSTPUB_PROVIDERS=github="+s.ci.URL(), "TRUSTPUB_ADMIN_TOKEN="+s.admin, "TRUSTPUB_LOG_FORMAT=json")
	s.servers = append(s.servers, server)
	return server, nil
}

// startServer makes a server of the stage and waits until it is ready.
func (s *stage) startServer(ctx context.Context) (*server, error) {
	server, err := s.newServer(ctx)
	if err != nil {
		return nil, err
	}
	err = server.start()
	if err != nil {
		return nil, err
	}
	_, err = server.awaitReady(ctx, 30*time.Second)
	return server, err
}

// serve starts n servers, one after the other, with two publishers in their database,
// and a client that drives them all.
func (s *stage) serve(ctx context.Context, n int) error {
	for range n {
		_, err := s.startServer(ctx)
		if err != nil {
			return err
		}
	}
	return s.drive(2000)
}

// drive adds the publishers and makes the client, which has signed n ID tokens.
func (s *stage) drive(n int) error {
	for _, name := range []string{"demo", "demo-macros"} {
		err := s.addPublisher(fmt.Sprintf(publisher, name))
		if err != nil {
			return err
		}
	}
	var urls []string
	for _, server := range s.servers {
		urls = append(urls, server.url())
	}
	var err error
	s.client, err = newClient(s.journal, s.ci, n, urls...)
	return err
}

func (s *stage) addPublisher(body string) error {
	request, err := http.NewRequest(http.MethodPost, s.servers[0].url()+"/api/v1/trusted_publishing/github_configs", strings.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+s.admin)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("add a publisher: %s: %s", response.Status, text)
	}
	return err
}

// recovered waits for an exchange that was begun after a moment, and notes how long
// after that it succeeded. More than atMost is a violation.
func (s *stage) recovered(ctx context.Context, since time.Time, atMost time.Duration) error {
	for limit := since.Add(atMost + 30*time.Second); time.Now().Before(limit) && ctx.Err() == nil; time.Sleep(2 * time.Millisecond) {
		at, ok := s.client.firstSuccess(since)
		if !ok {
			continue
		}
		took := at.Sub(since)
		s.firstSuccess = max(s.firstSuccess, took)
		if took > atMost {
			s.violate("the first success came %.1f s after the fault, more than %s", took.Seconds(), atMost)
		}
		return nil
	}
	return fmt.Errorf("no exchange succeeded within %s", atMost+30*time.Second)
}

// firstSuccess returns when the first exchange succeeded that was sent after a moment.
func (c *client) firstSuccess(since time.Time) (at time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range slices.Backward(c.results.successes) {
		if m.answered.Before(since) {
			break
		}
		if m.sent.After(since) {
			at, ok = m.answered, true
		}
	}
	return at, ok
}

// worstGap returns the longest time between two successes.
func (r *results) worstGap() time.Duration {
	slices.SortFunc(r.successes, func(a, b moment) int { return a.answered.Compare(b.answered) })
	var worst time.Duration
	for i := 1; i < len(r.successes); i++ {
		worst = max(worst, r.successes[i].answered.Sub(r.successes[i-1].answered))
	}
	return worst
}

// database runs do on the database, without the deadlines of a server.
func (s *stage) database(do func(*sql.DB) error) error {
	address := s.databaseURL
	if s.auditURL != "" {
		address = s.auditURL
	}
	db, err := openDatabase(address)
	if err != nil {
		return err
	}
	return errors.Join(do(db), db.Close())
}

func openDatabase(address string) (*sql.DB, error) {
	if path, isFile := strings.CutPrefix(address, "sqlite:"); isFile {
		return sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
	}
	return pqconn.Open(address, time.Hour)
}

// execute runs statements on the database, each by itself.
func (s *stage) execute(ctx context.Context, statements ...string) error {
	return s.database(func(db *sql.DB) error {
		for _, statement := range statements {
			_, err := db.ExecContext(ctx, statement)
			if err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		return nil
	})
}

// audit compares the journal with the database and the logs, and notes all violations.
func (s *stage) audit(ctx context.Context) (figures, error) {
	a := audit{issuer: s.ci.URL()}
	err := s.database(func(db *sql.DB) error { return a.load(ctx, filepath.Join(s.folder, "journal"), db) })
	if err != nil {
		return figures{}, err
	}
	f, problems := a.check()
	if f.acknowledged == 0 {
		problems = append(problems, "not a single exchange succeeded, so nothing was shown")
	}
	if s.nothingCutOff && f.cutOff > 0 {
		problems = append(problems, fmt.Sprintf("%d exchanges took effect, and their answers were cut off", f.cutOff))
	}
	s.violations = append(s.violations, problems...)
	seen := s.client.seen()
	for what, n := range seen.broken {
		s.violate("%d times: %s", n, what)
	}
	leaks, err := checkLogs(s.folder, seen.secrets)
	s.violations = append(s.violations, leaks...)
	return f, err
}
