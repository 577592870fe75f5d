package sqlite_test

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/sqlite"
)

// SQLite has no comments on tables, but it keeps the statement that made one, with
// those inside.
func TestEveryTableAndColumnHasAComment(t *testing.T) {
	db := open(t, sqlite.Memory)
	var tables []struct{ name, statement string }
	rows, err := db.Writer().QueryContext(t.Context(),
		`select name, sql from sqlite_master where type = 'table' and name like 'trustpub%' and name <> 'trustpub_schema_migrations'`)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	for rows.Next() {
		var table struct{ name, statement string }
		require.NoError(t, rows.Scan(&table.name, &table.statement))
		tables = append(tables, table)
	}
	require.NoError(t, rows.Err())
	require.Len(t, tables, 6)

	for _, table := range tables {
		require.Regexp(t, `^(?i:create table) \S+ \(\n *-- \S.*\n`, table.statement)
		var columns []string
		rows, err := db.Writer().QueryContext(t.Context(), `select name from pragma_table_info(?)`, table.name)
		require.NoError(t, err)
		defer func() { require.NoError(t, rows.Close()) }()
		for rows.Next() {
			var column string
			require.NoError(t, rows.Scan(&column))
			columns = append(columns, column)
		}
		require.NoError(t, rows.Err())
		require.NotEmpty(t, columns)
		for _, column := range columns {
			require.Regexp(t, `\n *`+regexp.QuoteMeta(column)+` .*-- \S+`, table.statement, "%s.%s", table.name, column)
		}
	}
}

func TestAnExchangeReadsAndWritesByIndex(t *testing.T) {
	db := open(t, sqlite.Memory)
	for _, query := range []string{
		`select * from trustpub_configs c join trustpub_configs_github g on g.id = c.id where c.issuer = 'x' and c.lookup_key = 'y' and c.provider = 'github' order by c.id`,
		`select * from trustpub_configs c join trustpub_configs_github g on g.id = c.id where c.issuer = 'x' and c.pinned = 'y' and c.pinned <> '{}' and c.provider = 'github' order by c.id`,
		`select * from trustpub_tokens where hashed_token = x'00'`,
		`select * from trustpub_used_jtis where hash = x'00'`,
		`select rowid from trustpub_tokens where expires_at < 1 order by expires_at limit 1`,
		`select hash from trustpub_used_jtis where expires_at < 1 order by expires_at limit 1`,
	} {
		rows, err := db.Writer().QueryContext(t.Context(), `explain query plan `+query)
		require.NoError(t, err)
		defer func() { require.NoError(t, rows.Close()) }()
		for rows.Next() {
			var id, parent, unused int
			var detail string
			require.NoError(t, rows.Scan(&id, &parent, &unused, &detail))
			require.Regexp(t, `^SEARCH .* USING `, detail, query)
		}
		require.NoError(t, rows.Err())
	}
}
