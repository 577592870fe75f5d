package sqlite_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/trustpub/trustpub/adapters/sqlite"
	"github.com/trustpub/trustpub/domain"
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

func TestStoreInAFile(t *testing.T) {
	trustpubtest.TestStore(t, func(t *testing.T) trustpubtest.Store {
		return sqlite.NewStore(open(t, filepath.Join(t.TempDir(), "t.db")))
	})
}

func TestStoreInMemory(t *testing.T) {
	trustpubtest.TestStore(t, func(t *testing.T) trustpubtest.Store {
		return sqlite.NewStore(open(t, sqlite.Memory))
	})
}

func TestSeveralHandlesOnOneFileGiveOneTokenForOneJTI(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.db")
	trustpubtest.TestSharedStore(t, sqlite.NewStore(open(t, path)), sqlite.NewStore(open(t, path)), sqlite.NewStore(open(t, path)))
}

func TestAFaultBetweenTheTwoInsertsSpendsNothing(t *testing.T) {
	db := open(t, sqlite.Memory)
	store := sqlite.NewStore(db)
	_, err := db.Writer().ExecContext(t.Context(), `
		create trigger fault before insert on trustpub_tokens begin select raise(fail, 'injected'); end`)
	require.NoError(t, err)
	config, err := store.CreateGitHubConfig(t.Context(), trustpubtest.NewGitHubConfig(t), 5)
	require.NoError(t, err)
	claims := trustpubtest.NewClaims(t)

	err = store.SaveToken(t.Context(), trustpubtest.NewToken(claims, config), claims.UsedJTI())
	require.ErrorContains(t, err, "injected")
	require.Equal(t, domain.KindInternal, domain.KindOf(err))

	_, err = db.Writer().ExecContext(t.Context(), `drop trigger fault`)
	require.NoError(t, err)
	require.NoError(t, store.SaveToken(t.Context(), trustpubtest.NewToken(claims, config), claims.UsedJTI()))
}

func TestCommitsAreDurableAndReadsDoNotWait(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "t.db"))
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000"} {
		var got string
		require.NoError(t, db.Writer().QueryRowContext(t.Context(), "pragma "+pragma).Scan(&got))
		require.Equal(t, want, got, pragma)
	}
}

func TestTheFileIsForItsOwnerAlone(t *testing.T) {
	folder := t.TempDir()
	db := open(t, filepath.Join(folder, "t.db"))
	require.NoError(t, db.Writer().PingContext(t.Context()))
	files, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		info, err := file.Info()
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), file.Name())
	}
}

func TestAPathMayHoldAnyCharacter(t *testing.T) {
	for _, name := range []string{"a b.db", "a?mode=memory.db", "a%20b.db", "a#b.db", "ü&=.db", "a:b.db"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), name)
			open(t, path)
			info, err := os.Stat(path)
			require.NoError(t, err)
			require.Positive(t, info.Size(), "the schema must be in the file of that name")
		})
	}
}
