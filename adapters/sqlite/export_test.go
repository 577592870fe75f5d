package sqlite

import (
	"database/sql"

	"github.com/trustpub/trustpub/adapters/groupcommit"
)

// Reader returns the handle that reads.
func (d *DB) Reader() *sql.DB { return d.reader.DB }

// Readers is how many connections that handle has at most.
const Readers = readers

// NewUnsharedStore returns a store in which no call of SaveToken goes together with
// another, so that each has a transaction of its own.
func NewUnsharedStore(db *DB) *Store {
	s := NewStore(db)
	s.saves = groupcommit.New(groupcommit.Config[saving, struct{}]{
		Alone: s.saveToken, Together: s.saveTokensTogether, Most: 1,
	})
	return s
}
