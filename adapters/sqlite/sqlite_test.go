package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/trustpub/trustpub/adapters/sqlite"
	"github.com/trustpub/trustpub/migrations"
	"github.com/trustpub/trustpub/trustpubtest"
)

// open opens a database with a current schema until the test ends.
func open(tb testing.TB, path string) *sqlite.DB {
	tb.Helper()
	db, err := sqlite.Open(path)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, db.Close()) })
	migrator, err := migrations.SQLite(db.Writer())
	require.NoError(tb, err)
	_, err = migrator.Up(tb.Context())
	require.NoError(tb, err)
	return db
}

// newFile returns the path of a database that does not exist yet.
func newFile(tb testing.TB) string {
	tb.Helper()
	return filepath.Join(tb.TempDir(), "t.db")
}

func TestStoreInAFile(t *testing.T) {
	trustpubtest.TestStore(t, func(t *testing.T) trustpubtest.Store { return sqlite.NewStore(open(t, newFile(t))) })
}

func TestStoreInMemory(t *testing.T) {
	trustpubtest.TestStore(t, func(t *testing.T) trustpubtest.Store { return sqlite.NewStore(open(t, sqlite.Memory)) })
}

func TestSeveralHandlesOnOneFileActAsOne(t *testing.T) {
	path := newFile(t)
	trustpubtest.TestSharedStore(t, sqlite.NewStore(open(t, path)), sqlite.NewStore(open(t, path)), sqlite.NewStore(open(t, path)))
}

func TestOnlyTheConfigsInQuestionAreRead(t *testing.T) {
	trustpubtest.TestFindsNothingElse(t, sqlite.NewStore(open(t, sqlite.Memory)))
}

func BenchmarkStoreInAFile(b *testing.B) {
	trustpubtest.BenchmarkStore(b, sqlite.NewStore(open(b, newFile(b))))
}

// One transaction for each token, to be compared with BenchmarkStoreInAFile.
func BenchmarkUnsharedStoreInAFile(b *testing.B) {
	trustpubtest.BenchmarkStore(b, sqlite.NewUnsharedStore(open(b, newFile(b))))
}

func BenchmarkStoreInMemory(b *testing.B) {
	trustpubtest.BenchmarkStore(b, sqlite.NewStore(open(b, sqlite.Memory)))
}
