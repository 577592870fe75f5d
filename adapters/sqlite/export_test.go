package sqlite

import "database/sql"

// Reader returns the handle that reads.
func (d *DB) Reader() *sql.DB { return d.reader.DB }

// Readers is how many connections that handle has at most.
const Readers = readers
