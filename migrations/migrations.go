// Package migrations holds the schema, for PostgreSQL and for SQLite, and brings a
// database's schema up and down with goose.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed postgres/*.sql sqlite/*.sql
var files embed.FS

// table records which migrations were applied. It has a name of its own, so that a
// host that uses goose too is not disturbed.
const table = "trustpub_schema_migrations"

// lockID is the advisory lock that replicas take turns with: "trustpub" in ASCII.
const lockID = 0x7472757374707562

// Migrator brings the schema of one database up and down. It is safe for
// concurrent use.
type Migrator struct {
	db       *sql.DB
	provider *goose.Provider
	newest   int64
}

// Postgres returns the migrator of a PostgreSQL database. Replicas that start at
// once wait for each other with a session lock, for up to five minutes.
func Postgres(db *sql.DB) (*Migrator, error) {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(lockID), lock.WithLockTimeout(1, 300))
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	return newMigrator(goose.DialectPostgres, db, "postgres", goose.WithSessionLocker(locker))
}

// SQLite returns the migrator of a SQLite database.
func SQLite(db *sql.DB) (*Migrator, error) {
	return newMigrator(goose.DialectSQLite3, db, "sqlite", goose.WithGoMigrations(usedJTIHash()))
}

func newMigrator(dialect goose.Dialect, db *sql.DB, folder string, options ...goose.ProviderOption) (*Migrator, error) {
	scripts, err := fs.Sub(files, folder)
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	options = append(options, goose.WithTableName(table), goose.WithDisableGlobalRegistry(true))
	provider, err := goose.NewProvider(dialect, db, scripts, options...)
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	sources := provider.ListSources()
	return &Migrator{db: db, provider: provider, newest: sources[len(sources)-1].Version}, nil
}

// Up applies all pending migrations and returns their names, in order. None is no
// error. It may be called by several replicas at once.
func (m *Migrator) Up(ctx context.Context) ([]string, error) {
	results, err := m.provider.Up(ctx)
	if err != nil {
		// SQLite has no session lock: another process may have been faster.
		current, currentErr := m.Current(ctx)
		if currentErr == nil && current {
			return nil, nil
		}
		return nil, fmt.Errorf("migrations: up: %w", err)
	}
	names := make([]string, 0, len(results))
	for _, r := range results {
		names = append(names, r.Source.Path)
	}
	return names, nil
}

// ErrNothingToRevert is returned by [Migrator.Down] on an empty schema.
var ErrNothingToRevert = errors.New("migrations: no migration is applied")

// Down reverts the newest applied migration and returns its name. What the
// migration made is dropped with its data.
func (m *Migrator) Down(ctx context.Context) (string, error) {
	result, err := m.provider.Down(ctx)
	if errors.Is(err, goose.ErrNoNextVersion) {
		return "", ErrNothingToRevert
	}
	if err != nil {
		return "", fmt.Errorf("migrations: down: %w", err)
	}
	return result.Source.Path, nil
}

// State is one migration and whether it is applied.
type State struct {
	Name    string
	Applied bool
}

// String returns "applied NAME" or "pending NAME".
func (s State) String() string {
	if s.Applied {
		return "applied " + s.Name
	}
	return "pending " + s.Name
}

// Status returns all migrations, oldest first.
func (m *Migrator) Status(ctx context.Context) ([]State, error) {
	statuses, err := m.provider.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("migrations: status: %w", err)
	}
	states := make([]State, 0, len(statuses))
	for _, s := range statuses {
		states = append(states, State{Name: s.Source.Path, Applied: s.State == goose.StateApplied})
	}
	return states, nil
}

// Current reports whether all migrations known here are applied; a schema that is
// newer than this program counts as current, so that replicas of the old version
// serve on while those of the new one start. It changes nothing. A database
// without any schema of trustpub is an error.
func (m *Migrator) Current(ctx context.Context) (bool, error) {
	var version int64
	err := m.db.QueryRowContext(ctx, "select coalesce(max(version_id), 0) from "+table+" where is_applied").Scan(&version)
	if err != nil {
		return false, fmt.Errorf("migrations: read version: %w", err)
	}
	return version >= m.newest, nil
}
