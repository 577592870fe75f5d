package postgres_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/postgres"
	"github.com/trustpub/trustpub/adapters/postgres/pqconn"
	"github.com/trustpub/trustpub/domain"
)

// pgxError has the method of pgx's errors.
type pgxError struct{ safe bool }

func (pgxError) Error() string       { return "conn closed" }
func (e pgxError) SafeToRetry() bool { return e.safe }

func TestOnlyWhatMayPassByItselfIsRetried(t *testing.T) {
	state := func(code pqerror.Code) error { return &pq.Error{Code: code} }
	for _, test := range []struct {
		name string
		err  error
		want bool
	}{
		{"bad connection", driver.ErrBadConn, true},
		{"end of file", io.EOF, true},
		{"end in the middle", io.ErrUnexpectedEOF, true},
		{"I/O timeout", &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, true},
		{"wrapped", fmt.Errorf("commit: %w", &net.OpError{Op: "read", Err: io.EOF}), true},
		{"one of several hosts", errors.Join(errors.New("session is read-only"), &net.OpError{Op: "dial", Err: io.EOF}), true},
		{"pgx before it sent anything", pgxError{safe: true}, true},
		{"connection exception", state("08000"), true},
		{"connection does not exist", state("08003"), true},
		{"connection failure", state("08006"), true},
		{"admin shutdown", state("57P01"), true},
		{"crash shutdown", state("57P02"), true},
		{"cannot connect now", state("57P03"), true},
		{"read-only transaction", state("25006"), true},
		{"serialization failure", state("40001"), true},
		{"deadlock", state("40P01"), true},
		{"too many connections", state("53300"), true},

		{"pgx after it sent something", pgxError{}, false},
		{"unique violation", state("23505"), false},
		{"check violation", state("23514"), false},
		{"exclusion violation", state("23P01"), false},
		{"transaction integrity", state("40002"), false},
		{"statement completion unknown", state("40003"), false},
		{"query canceled", state("57014"), false},
		{"database dropped", state("57P04"), false},
		{"idle session timeout", state("57P05"), false},
		{"disk full", state("53100"), false},
		{"out of memory", state("53200"), false},
		{"wrong password", state("28P01"), false},
		{"undefined table", state("42P01"), false},
		{"not durable", pqconn.ErrNotDurable, false},
		{"no rows", sql.ErrNoRows, false},
		{"canceled", context.Canceled, false},
		{"deadline", context.DeadlineExceeded, false},
		{"a verdict", domain.AlreadyUsed(), false},
		{"anything", errors.New("anything"), false},
	} {
		require.Equal(t, test.want, postgres.IsTransient(test.err), test.name)
	}
}
