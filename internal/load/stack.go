package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/trustpub/trustpub/adapters/postgres/pqconn"
	"github.com/trustpub/trustpub/internal/program"
	"github.com/trustpub/trustpub/trustpubtest/issuer"
	"github.com/trustpub/trustpub/trustpubtest/postgrestest"
)

// stack is what is started: PostgreSQL and the program, for sites that trust an issuer.
type stack struct {
	ci            *issuer.Issuer
	postgres      *postgrestest.Server // nil on SQLite and at servers that run already
	program       string
	folder        string
	adminToken    string
	registryToken string
	replicas      int
	databases     int
	stops         []func()
}

// site is what is measured: servers on one database.
type site struct {
	subject
	stack       *stack
	databaseURL string
	// databaseName is its name on PostgreSQL.
	databaseName string
	addresses    []string
	servers      []*program.Process
	// jwts are the ID tokens for its servers, of which so many were sent.
	jwts []string
	sent int
	// tokens are the access tokens that are introspected.
	tokens []string
}

const (
	demoRepository = "octo-org/octo-repo"
	// The demo publisher is that of the issuer's ID tokens.
	demoConfig = `{"github_config":{"crate":"demo","repository_owner":"octo-org","repository_owner_id":65,"repository_name":"octo-repo","workflow_filename":"release.yml","environment":null}}`
)

// startStack builds the program and starts what its servers need.
func startStack(ctx context.Context, ci *issuer.Issuer, database string, postgresql map[string]string, replicas int) (*stack, error) {
	s := &stack{ci: ci, adminToken: rand.Text() + rand.Text(), registryToken: rand.Text() + rand.Text(), replicas: replicas}
	err := s.start(ctx, database, postgresql)
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (s *stack) start(ctx context.Context, database string, postgresql map[string]string) error {
	if database != "sqlite" && database != "postgres" {
		return fmt.Errorf("there is no database %q: use postgres or sqlite", database)
	}
	var err error
	s.folder, err = os.MkdirTemp("", "trustpub-load")
	if err != nil {
		return err
	}
	s.stops = append(s.stops, func() { _ = os.RemoveAll(s.folder) })
	s.program, err = program.Build(ctx, s.folder)
	if err != nil || database == "sqlite" {
		return err
	}
	return s.startPostgres(postgresql)
}

func (s *stack) startPostgres(parameters map[string]string) error {
	server, err := postgrestest.Start(postgrestest.Options{Fsync: true, Parameters: parameters})
	if err != nil {
		return err
	}
	s.stops = append(s.stops, server.Stop)
	s.postgres = server
	return nil
}

// newSite starts a subject's servers, on a fresh database which waits for its disk as it
// does in production, or on that of the site before.
func (s *stack) newSite(ctx context.Context, subject subject, before *site) (*site, error) {
	site := &site{subject: subject, stack: s}
	fresh := !subject.besides
	if fresh {
		err := s.newDatabase(ctx, site)
		if err != nil {
			return nil, err
		}
	} else {
		site.databaseURL, site.databaseName = before.databaseURL, before.databaseName
	}
	for range s.replicas {
		err := site.startServer(ctx)
		if err != nil {
			return nil, err
		}
	}
	if fresh {
		err := site.send(http.MethodPost, "/api/v1/trusted_publishing/github_configs", s.adminToken, demoConfig)
		if err != nil {
			return nil, err
		}
	}
	return site, nil
}

func (s *stack) newDatabase(ctx context.Context, site *site) error {
	s.databases++
	if s.postgres == nil {
		site.databaseURL = "sqlite:" + filepath.Join(s.folder, fmt.Sprintf("load%d.db", s.databases))
		return nil
	}
	all, err := url.Parse(s.postgres.URL())
	if err != nil {
		return err
	}
	site.databaseName = fmt.Sprintf("load%d", s.databases)
	db, err := pqconn.Open(all.String(), 0)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, "create database "+site.databaseName)
	all.Path = "/" + site.databaseName
	site.databaseURL = all.String()
	return errors.Join(err, db.Close())
}

func (s *site) startServer(ctx context.Context) error {
	address, err := program.FreeAddress(ctx)
	if err != nil {
		return err
	}
	command := exec.Command(s.stack.program, "serve")
	if s.unshared {
		command = exec.Command("/proc/self/exe", "-serve-unshared")
	}
	// It formats and writes its log as always, to nowhere.
	command.Env = append(os.Environ(), "TRUSTPUB_LISTEN="+address, "TRUSTPUB_PROVIDERS=github="+s.stack.ci.URL(),
		"TRUSTPUB_ADMIN_TOKEN="+s.stack.adminToken, "TRUSTPUB_REGISTRY_TOKEN="+s.stack.registryToken, "DATABASE_URL="+s.databaseURL)
	if s.prefill > 0 {
		// What was filled in expires within the hour, and what is exchanged expires last.
		command.Env = append(command.Env, "TRUSTPUB_TOKEN_TTL=1h")
	}
	server, err := program.Start(command, syscall.SIGKILL)
	if err != nil {
		return err
	}
	s.servers = append(s.servers, server)
	s.addresses = append(s.addresses, address)
	s.stack.stops = append(s.stack.stops, func() { server.Stop(syscall.SIGINT, 30*time.Second) })
	return ready(ctx, address)
}

func ready(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", http.NoBody)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the server at %s is not ready", address)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// send sends JSON to the first server, which must accept it.
func (s *site) send(method, path, bearer, body string) error {
	request, err := http.NewRequest(method, "http://"+s.addresses[0]+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+bearer)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", path, response.Status, answer)
	}
	return nil
}

// pids returns the process IDs of the servers.
func (s *site) pids() []int {
	var pids []int
	for _, server := range s.servers {
		pids = append(pids, server.PID())
	}
	return pids
}

// postgresPID returns the process ID of PostgreSQL, 0 where there is none.
func (s *stack) postgresPID() int {
	if s.postgres == nil {
		return 0
	}
	return s.postgres.PID()
}

// query reads one row from PostgreSQL.
func (s *site) query(ctx context.Context, statement string, dest ...any) error {
	return s.withDatabase(func(db *sql.DB) error { return db.QueryRowContext(ctx, statement).Scan(dest...) })
}

// execute runs statements on PostgreSQL.
func (s *site) execute(ctx context.Context, statements ...string) error {
	return s.withDatabase(func(db *sql.DB) error {
		for _, statement := range statements {
			_, err := db.ExecContext(ctx, statement)
			if err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		return nil
	})
}

func (s *site) withDatabase(do func(*sql.DB) error) error {
	db, err := pqconn.Open(s.databaseURL, time.Hour)
	if err != nil {
		return err
	}
	return errors.Join(do(db), db.Close())
}

func (s *stack) stop() {
	for _, stop := range slices.Backward(s.stops) {
		stop()
	}
}
