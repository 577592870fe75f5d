package bootstrap

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/trustpub/trustpub/adapters/postgres"
	"github.com/trustpub/trustpub/adapters/postgres/pqconn"
	"github.com/trustpub/trustpub/adapters/sqlite"
	"github.com/trustpub/trustpub/adapters/tracing"
	"github.com/trustpub/trustpub/migrations"
)

// Database is an open database with its store and its migrations.
type Database struct {
	// Store is what trustpub keeps there.
	Store Store
	// Migrator brings its schema up and down.
	Migrator *migrations.Migrator

	// Pools are the pools of connections that requests use, by their names in metrics.
	Pools map[string]*sql.DB

	ping  func(context.Context) error
	close func() error
}

// OpenDatabase opens the database at url. On PostgreSQL nothing is contacted yet;
// a SQLite file is created when there is none.
func OpenDatabase(url DatabaseURL) (*Database, error) {
	return openDatabase(url, instruments{observeBatch: func(context.Context, string, int) {}})
}

// instruments watch what a database does.
type instruments struct {
	// observeBatch is told how many calls of an operation share a statement or,
	// on SQLite, a transaction.
	observeBatch func(ctx context.Context, operation string, size int)
	// tracing makes spans of statements; nil makes none.
	tracing *tracing.Tracing
}

func openDatabase(url DatabaseURL, watch instruments) (*Database, error) {
	path, isSQLite := url.sqlitePath()
	if isSQLite {
		return openSQLite(path, watch)
	}
	db, err := pqconn.Open(url.value, pqconn.DefaultIOTimeout, pqconn.OpenDBWith(watch.tracing.OpenPostgreSQL))
	if err != nil {
		// The error may show the password.
		return nil, &SettingError{"DATABASE_URL", "the URL can't be used; use postgres://USER:PASSWORD@HOST/DATABASE with the parameters of libpq"}
	}
	// A migration may keep its connection waiting for much longer than a request may.
	patient, err := pqconn.Open(url.value, startTimeout)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	closeAll := func() error { return errors.Join(db.Close(), patient.Close()) }
	store := postgres.NewStore(db, postgres.ObserveBatches(watch.observeBatch), postgres.StatementContext(pqconn.Unwatched))
	return newDatabase(patient, map[string]*sql.DB{"postgres": db}, db.PingContext, closeAll, store, migrations.Postgres)
}

func openSQLite(path string, watch instruments) (*Database, error) {
	var options []sqlite.OpenOption
	if watch.tracing != nil {
		options = append(options, sqlite.OpenDBWith(watch.tracing.OpenSQLite))
	}
	db, err := sqlite.Open(path, options...)
	if err != nil {
		return nil, &SettingError{"DATABASE_URL", fmt.Sprintf("the SQLite database can't be opened: %v; use sqlite:PATH in a folder that can be written to", err)}
	}
	store := sqlite.NewStore(db, sqlite.ObserveBatches(watch.observeBatch))
	return newDatabase(db.Writer(), db.Pools(), db.Writer().PingContext, db.Close, store, migrations.SQLite)
}

func newDatabase(db *sql.DB, pools map[string]*sql.DB, ping func(context.Context) error, closeAll func() error, store Store, newMigrator func(*sql.DB) (*migrations.Migrator, error)) (*Database, error) {
	migrator, err := newMigrator(db)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare migrations: %w", err), closeAll())
	}
	return &Database{Store: store, Migrator: migrator, Pools: pools, ping: ping, close: closeAll}, nil
}

// Prepare makes sure of the schema: it migrates, or refuses one that is not
// current.
func (d *Database) Prepare(ctx context.Context, mode MigrateMode) error {
	switch mode {
	case MigrateAuto:
		_, err := d.Migrator.Up(ctx)
		if err != nil {
			return fmt.Errorf("migrate the database: %w", err)
		}
		return nil
	case MigrateOff:
		return d.schemaCurrent(ctx)
	}
	return fmt.Errorf("unknown migrate mode %q", mode)
}

// Ready returns nil when the database answers and its schema is current.
func (d *Database) Ready(ctx context.Context) error {
	err := d.ping(ctx)
	if err != nil {
		return fmt.Errorf("reach the database: %w", err)
	}
	return d.schemaCurrent(ctx)
}

func (d *Database) schemaCurrent(ctx context.Context) error {
	current, err := d.Migrator.Current(ctx)
	if err != nil {
		return fmt.Errorf("read the schema's version (run trustpub migrate up if there is none): %w", err)
	}
	if !current {
		return errors.New("the database's schema is not current; run: trustpub migrate up")
	}
	return nil
}

// Close closes all connections.
func (d *Database) Close() error { return d.close() }
