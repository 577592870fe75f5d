package migrations_test

import (
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/trustpub/trustpub/migrations"
	"github.com/trustpub/trustpub/trustpubtest/postgrestest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// databases are the kinds of database, each with a migrator of an empty one.
var databases = map[string]func(t *testing.T) (*migrations.Migrator, *sql.DB){
	"postgres": func(t *testing.T) (*migrations.Migrator, *sql.DB) {
		db := postgrestest.Open(t, postgrestest.NewDatabase(t))
		m, err := migrations.Postgres(db)
		require.NoError(t, err)
		return m, db
	},
	"sqlite": func(t *testing.T) (*migrations.Migrator, *sql.DB) {
		db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "t.db"))
		require.NoError(t, err)
		t.Cleanup(func() { _ = db.Close() })
		m, err := migrations.SQLite(db)
		require.NoError(t, err)
		return m, db
	},
}

func TestTheSchemaGoesUpAndDownAndUpAgain(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			m, db := open(t)
			_, err := m.Current(t.Context())
			require.Error(t, err, "a database without the schema is not current")
			_, err = db.ExecContext(t.Context(), "select 1 from trustpub_schema_migrations")
			require.Error(t, err, "asking must not make the table")

			applied, err := m.Up(t.Context())
			require.NoError(t, err)
			require.NotEmpty(t, applied)
			requireCurrent(t, m, true)
			again, err := m.Up(t.Context())
			require.NoError(t, err)
			require.Empty(t, again)

			for range applied {
				_, err = m.Down(t.Context())
				require.NoError(t, err)
				requireCurrent(t, m, false)
			}
			_, err = m.Down(t.Context())
			require.ErrorIs(t, err, migrations.ErrNothingToRevert)
			states, err := m.Status(t.Context())
			require.NoError(t, err)
			require.Len(t, states, len(applied))
			require.False(t, states[0].Applied)
			_, err = db.ExecContext(t.Context(), "select 1 from trustpub_tokens")
			require.Error(t, err, "down must have dropped the tables")

			_, err = m.Up(t.Context())
			require.NoError(t, err)
			states, err = m.Status(t.Context())
			require.NoError(t, err)
			require.Equal(t, "applied "+states[0].Name, states[0].String())
		})
	}
}

func requireCurrent(t *testing.T, m *migrations.Migrator, want bool) {
	t.Helper()
	current, err := m.Current(t.Context())
	require.NoError(t, err)
	require.Equal(t, want, current)
}

func TestOfEightReplicasThatStartAtOnceOneMigratesAndTheOthersWait(t *testing.T) {
	url := postgrestest.NewDatabase(t)
	const replicas = 8
	applied := make([][]string, replicas)
	errs := make([]error, replicas)
	var group sync.WaitGroup
	for i := range replicas {
		m, err := migrations.Postgres(postgrestest.Open(t, url))
		require.NoError(t, err)
		group.Go(func() {
			applied[i], errs[i] = m.Up(t.Context())
			if errs[i] == nil {
				current, err := m.Current(t.Context())
				if err != nil || !current {
					errs[i] = errors.Join(errors.New("not current after Up"), err)
				}
			}
		})
	}
	group.Wait()

	migrated := 0
	for i := range replicas {
		require.NoError(t, errs[i])
		if len(applied[i]) > 0 {
			migrated++
		}
	}
	require.Equal(t, 1, migrated)
}

func TestASchemaThatIsNewerThanTheProgramIsCurrent(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			m, db := open(t)
			_, err := m.Up(t.Context())
			require.NoError(t, err)
			_, err = db.ExecContext(t.Context(), "insert into trustpub_schema_migrations (version_id, is_applied) values (99999, true)")
			require.NoError(t, err)

			requireCurrent(t, m, true)
		})
	}
}

func TestEveryTableAndColumnHasAComment(t *testing.T) {
	t.Run("postgres", func(t *testing.T) {
		m, db := databases["postgres"](t)
		_, err := m.Up(t.Context())
		require.NoError(t, err)
		rows, err := db.QueryContext(t.Context(), `
			select c.relname || coalesce('.' || a.attname, '')
			from pg_class c
			left join pg_attribute a on a.attrelid = c.oid and a.attnum >= 0 and not a.attisdropped
			where c.relkind = 'r' and c.relname like 'trustpub\_%' and c.relname <> 'trustpub_schema_migrations'
				and (obj_description(c.oid, 'pg_class') is null
					or a.attnum > 0 and col_description(c.oid, a.attnum) is null)`)
		require.NoError(t, err)
		defer func() { require.NoError(t, rows.Close()) }()
		var without []string
		for rows.Next() {
			var name string
			require.NoError(t, rows.Scan(&name))
			without = append(without, name)
		}
		require.NoError(t, rows.Err())
		require.Empty(t, without)
		var tables int
		require.NoError(t, db.QueryRowContext(t.Context(), `select count(*) from pg_class where relkind = 'r' and relname like 'trustpub\_%'`).Scan(&tables))
		require.Equal(t, 7, tables)
	})
	// SQLite has no comments of its own, and keeps the text of create table.
	t.Run("sqlite", func(t *testing.T) {
		m, db := databases["sqlite"](t)
		_, err := m.Up(t.Context())
		require.NoError(t, err)
		rows, err := db.QueryContext(t.Context(), `select name, sql from sqlite_master where type = 'table' and name like 'trustpub_%' and name <> 'trustpub_schema_migrations'`)
		require.NoError(t, err)
		defer func() { require.NoError(t, rows.Close()) }()
		tables := 0
		for rows.Next() {
			var name, text string
			require.NoError(t, rows.Scan(&name, &text))
			tables++
			for line := range strings.Lines(text) {
				column := strings.TrimSpace(line)
				if column == "" || strings.HasPrefix(column, ")") || strings.HasPrefix(column, "unique") || strings.HasPrefix(column, "primary key") {
					continue
				}
				if strings.HasPrefix(strings.ToLower(column), "create table") {
					require.Contains(t, text, "(\n    -- ", name)
					continue
				}
				require.Contains(t, column, "-- ", "%s: %s", name, column)
			}
		}
		require.NoError(t, rows.Err())
		require.Equal(t, 6, tables)
	})
}

func TestBothSchemasHaveTheSameColumns(t *testing.T) {
	columns := map[string][]string{}
	for kind, query := range map[string]string{
		"postgres": `select table_name || '.' || column_name from information_schema.columns
			where table_schema = 'public' and table_name like 'trustpub\_%' and table_name <> 'trustpub_schema_migrations' order by 1`,
		"sqlite": `select m.name || '.' || c.name from sqlite_master m join pragma_table_info(m.name) c
			where m.type = 'table' and m.name like 'trustpub_%' and m.name <> 'trustpub_schema_migrations' order by 1`,
	} {
		columns[kind] = names(t, kind, query)
	}
	require.NotEmpty(t, columns["postgres"])
	require.ElementsMatch(t, columns["postgres"], columns["sqlite"])
}

// names returns the result of a query for names on a database with a current schema.
func names(t *testing.T, kind, query string) []string {
	t.Helper()
	m, db := databases[kind](t)
	_, err := m.Up(t.Context())
	require.NoError(t, err)
	rows, err := db.QueryContext(t.Context(), query)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	var found []string
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		found = append(found, name)
	}
	require.NoError(t, rows.Err())
	return found
}
