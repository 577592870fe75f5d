package migrations_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// used returns whose the ID token with that hash is; the hash is what
// printf 'https://ci\0no-1' | sha256sum prints.
var used = map[string]string{
	"postgres": `select encode(hashed_token, 'escape') from trustpub_used_jtis where hash = '\x` + hashOfCINo1 + `'`,
	"sqlite":   `select cast(hashed_token as text) from trustpub_used_jtis where hash = x'` + hashOfCINo1 + `'`,
}

const hashOfCINo1 = "8dc3b40ff8e02109b9b72d54567b786c84756b0b621a01a61a0fd5bf41bcfab9"

// insertBefore records an ID token as used in the schema before, and the access token
// that it was exchanged for.
var insertBefore = map[string]string{
	"postgres": `
		insert into trustpub_used_jtis (issuer, jti, hashed_token, expires_at)
		values ('https://ci', 'no-1', convert_to(repeat('a', 32), 'UTF8'), now() + interval '1 hour');
		insert into trustpub_tokens (hashed_token, issued_at, expires_at, issuer, subject, grants, publisher)
		values (convert_to(repeat('a', 32), 'UTF8'), now(), now() + interval '1 hour', 'https://ci', 's', '[]', '{}')`,
	"sqlite": `
		insert into trustpub_used_jtis (issuer, jti, hashed_token, expires_at)
		values ('https://ci', 'no-1', cast('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' as blob), 1000000 * (unixepoch() + 3600));
		insert into trustpub_tokens (hashed_token, issued_at, expires_at, issuer, subject, grants, publisher)
		values (cast('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' as blob), 1, 2, 'https://ci', 's', '[]', '{}')`,
}

func TestAnIDTokenThatWasUsedStaysUsed(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			m, db := open(t)
			_, err := m.Up(t.Context())
			require.NoError(t, err)
			_, err = m.Down(t.Context())
			require.NoError(t, err)
			_, err = db.ExecContext(t.Context(), insertBefore[name])
			require.NoError(t, err)

			_, err = m.Up(t.Context())
			require.NoError(t, err)
			var by string
			require.NoError(t, db.QueryRowContext(t.Context(), used[name]).Scan(&by))
			require.Equal(t, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", by)

			_, err = m.Down(t.Context())
			require.ErrorContains(t, err, "could be used again")
			requireCurrent(t, m, true)
			require.NoError(t, db.QueryRowContext(t.Context(), used[name]).Scan(&by))

			_, err = db.ExecContext(t.Context(), map[string]string{
				"postgres": `update trustpub_used_jtis set expires_at = now()`,
				"sqlite":   `update trustpub_used_jtis set expires_at = 1`,
			}[name])
			require.NoError(t, err)
			_, err = m.Down(t.Context())
			require.NoError(t, err)
			var tokens int
			require.NoError(t, db.QueryRowContext(t.Context(), `select count(*) from trustpub_tokens where id > 0`).Scan(&tokens))
			require.Equal(t, 1, tokens, "access tokens stay valid")
		})
	}
}
