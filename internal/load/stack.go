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

// stack is what is measured: servers on one database, which trust an issuer.
type stack struct {
	ci            *issuer.Issuer
	postgres      *postgrestest.Server // nil on SQLite
	databaseURL   string
	registryToken string
	addresses     []string
	servers       []*program.Process
	stops         []func()
}

// The demo publisher is that of the issuer's ID tokens.
const demoConfig = `{"github_config":{"crate":"demo","repository_owner":"octo-org","repository_owner_id":65,"repository_name":"octo-repo","workflow_filename":"release.yml","environment":null}}`

// startStack builds the program and starts as many servers on a fresh database of that
// kind, which wait for their disk as they do in production.
func startStack(ctx context.Context, ci *issuer.Issuer, database string, replicas int) (*stack, error) {
	s := &stack{ci: ci, registryToken: rand.Text() + rand.Text()}
	err := s.start(ctx, database, replicas)
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (s *stack) start(ctx context.Context, database string, replicas int) error {
	folder, err := os.MkdirTemp("", "trustpub-load")
	if err != nil {
		return err
	}
	s.stops = append(s.stops, func() { _ = os.RemoveAll(folder) })
	path, err := program.Build(ctx, folder)
	if err != nil {
		return err
	}
	err = s.startDatabase(database, folder)
	if err != nil {
		return err
	}
	admin := rand.Text() + rand.Text()
	for range replicas {
		err = s.startServer(ctx, path, admin)
		if err != nil {
			return err
		}
	}
	return s.post("/api/v1/trusted_publishing/github_configs", admin, "application/json", demoConfig)
}

func (s *stack) startDatabase(database, folder string) error {
	switch database {
	case "sqlite":
		s.databaseURL = "sqlite:" + filepath.Join(folder, "load.db")
		return nil
	case "postgres":
	default:
		return fmt.Errorf("there is no database %q: use postgres or sqlite", database)
	}
	server, err := postgrestest.Start(postgrestest.Options{Fsync: true})
	if err != nil {
		return err
	}
	s.stops = append(s.stops, server.Stop)
	s.postgres, s.databaseURL = server, server.URL()
	return nil
}

func (s *stack) startServer(ctx context.Context, path, admin string) error {
	address, err := program.FreeAddress(ctx)
	if err != nil {
		return err
	}
	command := exec.Command(path, "serve")
	// It formats and writes its log as always, to nowhere.
	command.Env = append(os.Environ(), "TRUSTPUB_LISTEN="+address, "TRUSTPUB_PROVIDERS=github="+s.ci.URL(),
		"TRUSTPUB_ADMIN_TOKEN="+admin, "TRUSTPUB_REGISTRY_TOKEN="+s.registryToken, "DATABASE_URL="+s.databaseURL)
	server, err := program.Start(command, syscall.SIGKILL)
	if err != nil {
		return err
	}
	s.servers = append(s.servers, server)
	s.addresses = append(s.addresses, address)
	s.stops = append(s.stops, func() { server.Stop(syscall.SIGINT, 30*time.Second) })
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

// post sends something to the first server, which must accept it.
func (s *stack) post(path, bearer, contentType, body string) error {
	request, err := http.NewRequest(http.MethodPost, "http://"+s.addresses[0]+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", contentType)
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
func (s *stack) pids() []int {
	var pids []int
	for _, server := range s.servers {
		pids = append(pids, server.PID())
	}
	return pids
}

// postgresPID returns the process ID of PostgreSQL, 0 on SQLite.
func (s *stack) postgresPID() int {
	if s.postgres == nil {
		return 0
	}
	return s.postgres.PID()
}

// query reads one value from PostgreSQL.
func (s *stack) query(ctx context.Context, statement string, dest ...any) error {
	return s.withDatabase(func(db *sql.DB) error { return db.QueryRowContext(ctx, statement).Scan(dest...) })
}

func (s *stack) withDatabase(do func(*sql.DB) error) error {
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
