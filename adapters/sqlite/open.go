// Package sqlite keeps trustpub's data in a SQLite database: the embedded default,
// for one server. It needs a driver that registers as "sqlite", such as
// modernc.org/sqlite.
package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/jmoiron/sqlx"
)

// Memory is the path of a throw-away database that lives as long as its [DB].
const Memory = ":memory:"

// readers is how many reads may run at once. Reads never wait for the writer.
const readers = 4

// pragmas are set on every connection. WAL lets reads go on during a write, and
// with synchronous=FULL a commit is on disk before it is acknowledged, so that a
// token that was given out survives a power cut, and its jti with it. The log is moved
// to the database when it has 4,000 pages, 16 MB, rather than 1,000: under load that
// writes a page once where it would be written several times.
var pragmas = []string{"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "wal_autocheckpoint(4000)"}

// DB is an open SQLite database: one connection that writes, and some that read. It
// is safe for concurrent use.
type DB struct {
	writer *sqlx.DB
	reader *sqlx.DB
}

// OpenOption changes how [Open] opens a database.
type OpenOption func(*openOptions)

type openOptions struct {
	openDB func(driver.Connector) *sql.DB
}

// OpenDBWith has openDB make the handles, in place of sql.OpenDB: to watch what is done
// with the connections.
func OpenDBWith(openDB func(driver.Connector) *sql.DB) OpenOption {
	return func(o *openOptions) { o.openDB = openDB }
}

// Open opens the database in the file at path, which is created when there is
// none, for its owner alone, or a throw-away one for [Memory]. It connects once, so
// that a file that can't be used is an error here.
func Open(path string, opts ...OpenOption) (*DB, error) {
	var o openOptions
	for _, set := range opts {
		set(&o)
	}
	if path == "" {
		return nil, errors.New("sqlite: the path is empty")
	}
	if path == Memory {
		// The one connection is the database, so that all share it.
		db, err := o.open("file::memory:", 1)
		if err != nil {
			return nil, err
		}
		return &DB{writer: db, reader: db}, nil
	}
	// An absolute path begins with a slash, and so is the path of a URL.
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	err = create(path)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	name := "file:" + (&url.URL{Path: path}).EscapedPath()
	writer, err := o.open(name, 1)
	if err != nil {
		return nil, err
	}
	reader, err := o.open(name, readers)
	if err != nil {
		return nil, errors.Join(err, writer.Close())
	}
	return &DB{writer: writer, reader: reader}, nil
}

// create makes the file where there is none. SQLite would make it for everybody to
// read; those that it makes beside it have the same rights as this one.
//
// A file that exists is not touched: closing any descriptor of it would drop the
// locks that this process's other connections to it hold, and another process could
// then take away the log that they write to
// (https://www.sqlite.org/howtocorrupt.html, section 2.2).
func create(path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // The operator names the file.
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return file.Close()
}

func (o openOptions) open(name string, connections int) (*sqlx.DB, error) {
	// Transactions take the write lock when they begin: one that reads first and
	// then writes can't be refused in the middle.
	parameters := url.Values{"_txlock": {"immediate"}, "_pragma": pragmas}
	db, err := o.handle(name + "?" + parameters.Encode())
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	db.SetConnMaxLifetime(0)
	err = db.PingContext(context.Background())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sqlite: %w", err), db.Close())
	}
	return db, nil
}

// handle returns a handle for the database of that name. It connects to nothing yet.
func (o openOptions) handle(name string) (*sqlx.DB, error) {
	if o.openDB == nil {
		return sqlx.Open("sqlite", name)
	}
	plain, err := sql.Open("sqlite", name) // For its driver.
	if err != nil {
		return nil, err
	}
	db := sqlx.NewDb(o.openDB(connector{plain.Driver(), name}), "sqlite")
	return db, plain.Close()
}

// connector opens connections by the name of the database.
type connector struct {
	driver driver.Driver
	name   string
}

// Connect implements driver.Connector.
func (c connector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.name) }

// Driver implements driver.Connector.
func (c connector) Driver() driver.Driver { return c.driver }

// Writer returns the handle that writes, for migrations.
func (d *DB) Writer() *sql.DB { return d.writer.DB }

// Pools returns the pools of connections by name: writer and reader. The throw-away
// database has but one.
func (d *DB) Pools() map[string]*sql.DB {
	pools := map[string]*sql.DB{"writer": d.writer.DB}
	if d.reader != d.writer {
		pools["reader"] = d.reader.DB
	}
	return pools
}

// Close closes all connections.
func (d *DB) Close() error {
	if d.reader == d.writer {
		return d.writer.Close()
	}
	return errors.Join(d.reader.Close(), d.writer.Close())
}
