package sqlite_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/sqlite"
	"github.com/trustpub/trustpub/trustpubtest"
)

func TestCommitsAreDurableAndReadsDoNotWaitOnEveryConnection(t *testing.T) {
	db := open(t, newFile(t))
	var connections []*sql.Conn
	for range sqlite.Readers {
		connections = append(connections, connect(t, db.Reader()))
	}
	connections = append(connections, connect(t, db.Writer()))

	for _, connection := range connections {
		for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000"} {
			var got string
			require.NoError(t, connection.QueryRowContext(t.Context(), "pragma "+pragma).Scan(&got))
			require.Equal(t, want, got, pragma)
		}
	}
}

// connect takes a connection of its own out of the pool, until the test ends.
func connect(t *testing.T, db *sql.DB) *sql.Conn {
	t.Helper()
	connection, err := db.Conn(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, connection.Close()) })
	return connection
}

func TestTheFilesAreForTheirOwnerAlone(t *testing.T) {
	path := newFile(t)
	open(t, path)
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(name)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), name)
	}
}

func TestAPathMayHoldAnyCharacter(t *testing.T) {
	for _, name := range []string{"a b.db", "a?mode=memory.db", "a%20b.db", "a#b.db", "ü&=.db", "a:b.db", ":memory:", "a/../b.db"} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			require.NoError(t, os.Mkdir(filepath.Join(folder, "a"), 0o700))
			path := "/" + folder + "//" + name
			open(t, path)
			info, err := os.Stat(path)
			require.NoError(t, err)
			require.Positive(t, info.Size(), "the schema must be in the file of that name")
		})
	}
}

func TestARelativePathIsInTheFolderInWhichItWasOpened(t *testing.T) {
	for _, name := range []string{"a.db", "file:b.db", "c:d?.db"} {
		folder := t.TempDir()
		t.Chdir(folder)
		db := open(t, name)
		require.FileExists(t, filepath.Join(folder, name))
		t.Chdir(t.TempDir())
		for range sqlite.Readers { // All but one connect now.
			var tokens int
			require.NoError(t, connect(t, db.Reader()).QueryRowContext(t.Context(), `select count(*) from trustpub_tokens`).Scan(&tokens))
		}
	}
}

func TestAPathThatIsNoDatabaseIsAnError(t *testing.T) {
	folder := t.TempDir()
	noDatabase := filepath.Join(folder, "text")
	require.NoError(t, os.WriteFile(noDatabase, []byte("This is some text, and not a database by any means."), 0o600))
	for name, path := range map[string]string{
		"empty":          "",
		"a folder":       folder,
		"no such folder": filepath.Join(folder, "missing", "t.db"),
		"other content":  noDatabase,
		"a NUL byte":     filepath.Join(folder, "a\x00b"),
	} {
		t.Run(name, func(t *testing.T) {
			db, err := sqlite.Open(path)
			require.ErrorContains(t, err, "sqlite: ")
			require.Nil(t, db)
		})
	}
	content, err := os.ReadFile(noDatabase)
	require.NoError(t, err)
	require.Contains(t, string(content), "some text", "a file of others is left alone")
}

// The locks that a process holds on a file are gone when it closes any descriptor of
// it. Another process that then closes the database, as its last user by all
// appearances, may remove the log that this one writes to.
func TestOpeningAFileAgainKeepsItsLocks(t *testing.T) {
	path := newFile(t)
	locked := func() string {
		output, err := child(t, path, "").Output()
		require.NoError(t, err)
		return string(output)
	}
	db := open(t, path)
	require.Equal(t, "true", locked())

	again, err := sqlite.Open(path)
	require.NoError(t, err)
	require.Equal(t, "true", locked())
	require.NoError(t, again.Close())
	require.Equal(t, "true", locked())

	require.NoError(t, db.Close())
	require.Equal(t, "false", locked())
}

func TestADatabaseInMemoryOutlivesEndedContexts(t *testing.T) {
	store := sqlite.NewStore(open(t, sqlite.Memory))
	config, err := store.CreateConfig(t.Context(), trustpubtest.NewGitHubConfig(t), 5)
	require.NoError(t, err)
	for range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		go cancel() // It ends somewhere in the middle.
		claims := trustpubtest.NewClaims(t)
		_ = store.SaveToken(ctx, trustpubtest.NewToken(claims, config), claims.UsedJTI(), nil)
		_, _ = store.FindConfigs(ctx, claims)
		cancel()
	}
	_, err = store.Config(t.Context(), config.Common().ID)
	require.NoError(t, err)
}

func TestDatabasesInMemoryAreApart(t *testing.T) {
	first, second := sqlite.NewStore(open(t, sqlite.Memory)), sqlite.NewStore(open(t, sqlite.Memory))
	claims := trustpubtest.NewClaims(t)
	require.NoError(t, first.SaveToken(t.Context(), trustpubtest.NewToken(claims), claims.UsedJTI(), nil))
	require.NoError(t, second.SaveToken(t.Context(), trustpubtest.NewToken(claims), claims.UsedJTI(), nil))
}
