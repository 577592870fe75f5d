package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const testIssuer = "http://127.0.0.1:1"

// schema is as much of the schema as an audit reads.
const schema = `
	create table trustpub_tokens (hashed_token blob, revoked_at integer, grants text);
	create table trustpub_used_jtis (hash blob, hashed_token blob);`

const grants = `[{"provider":"github","config_id":1,"ecosystem":"cargo","name":"demo"}]`

func hashOf(text string) []byte {
	hash := sha256.Sum256([]byte(text))
	return hash[:]
}

// scene is a journal and a database that belong together: jti-1 gave token-1, which was
// revoked; jti-2 was sent twice, and gave token-2 once; jti-3 was cut off, with an effect;
// jti-4 was cut off without one.
type scene struct {
	journal *journal
	db      *sql.DB
	path    string
}

func newScene(t *testing.T) scene {
	t.Helper()
	folder := t.TempDir()
	s := scene{path: filepath.Join(folder, "journal")}
	var err error
	s.journal, err = newJournal(s.path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.journal.close() })
	s.db, err = openDatabase("sqlite:" + filepath.Join(folder, "test.db"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.db.Close() })
	s.execute(t, schema)

	s.exchange(t, "jti-1", entry{Status: 200, Token: hashOf("token-1"), Packages: []string{"cargo/demo"}})
	s.store(t, "jti-1", "token-1")
	s.revoke(t, "token-1", 200)
	s.execute(t, `update trustpub_tokens set revoked_at = 1`)
	s.exchange(t, "jti-2", entry{Status: 200, Token: hashOf("token-2"), Packages: []string{"cargo/demo"}})
	s.exchange(t, "jti-2", entry{Status: 400, Code: "already_used"})
	s.store(t, "jti-2", "token-2")
	s.exchange(t, "jti-3", entry{Error: "EOF"})
	s.store(t, "jti-3", "token-3")
	_, err = s.journal.sending(entry{Kind: kindExchange, JTI: "jti-4"})
	require.NoError(t, err)
	return s
}

func (s scene) exchange(t *testing.T, jti string, second entry) {
	t.Helper()
	second.Kind, second.JTI = kindExchange, jti
	s.request(t, second)
}

func (s scene) revoke(t *testing.T, token string, status int) {
	t.Helper()
	s.request(t, entry{Kind: kindRevoke, Token: hashOf(token), Status: status})
}

func (s scene) request(t *testing.T, second entry) {
	t.Helper()
	id, err := s.journal.sending(entry{Kind: second.Kind, JTI: second.JTI})
	require.NoError(t, err)
	second.ID, second.Answered = id, true
	require.NoError(t, s.journal.write(second))
}

func (s scene) store(t *testing.T, jti, token string) {
	t.Helper()
	s.execute(t, `insert into trustpub_tokens (hashed_token, grants) values (?, ?)`, hashOf(token), grants)
	s.execute(t, `insert into trustpub_used_jtis (hash, hashed_token) values (?, ?)`, hashOf(testIssuer+"\x00"+jti), hashOf(token))
}

func (s scene) execute(t *testing.T, statement string, args ...any) {
	t.Helper()
	_, err := s.db.ExecContext(t.Context(), statement, args...)
	require.NoError(t, err)
}

func (s scene) check(ctx context.Context, t *testing.T) (figures, []string) {
	t.Helper()
	a := audit{issuer: testIssuer}
	require.NoError(t, a.load(ctx, s.path, s.db))
	return a.check()
}

func TestTheAuditFindsNothingWhereNothingIsWrong(t *testing.T) {
	f, problems := newScene(t).check(t.Context(), t)

	require.Empty(t, problems)
	require.Equal(t, figures{acknowledged: 2, revocations: 1, audited: 3, cutOff: 1}, f)
}

func TestTheAuditFindsWhatIsWrong(t *testing.T) {
	for _, test := range []struct {
		name   string
		tamper func(t *testing.T, s scene)
		want   string
	}{
		{"an acknowledged token is lost", func(t *testing.T, s scene) {
			s.execute(t, `delete from trustpub_tokens where hashed_token = ?`, hashOf("token-2"))
			s.execute(t, `delete from trustpub_used_jtis where hashed_token = ?`, hashOf("token-2"))
		}, "was acknowledged, and is lost"},
		{"a token has other packages", func(t *testing.T, s scene) {
			s.execute(t, `update trustpub_tokens set grants = '[{"ecosystem":"cargo","name":"other"}]' where hashed_token = ?`, hashOf("token-2"))
		}, "is for [cargo/other], but its client was told [cargo/demo]"},
		{"a token has more packages", func(t *testing.T, s scene) {
			s.execute(t, `update trustpub_tokens set grants = '[{"ecosystem":"cargo","name":"demo"},{"ecosystem":"cargo","name":"other"}]' where hashed_token = ?`, hashOf("token-2"))
		}, "is for [cargo/demo cargo/other]"},
		{"an ID token is exchanged twice", func(t *testing.T, s scene) {
			s.exchange(t, "jti-2", entry{Status: 200, Token: hashOf("token-9"), Packages: []string{"cargo/demo"}})
			s.execute(t, `insert into trustpub_tokens (hashed_token, grants) values (?, ?)`, hashOf("token-9"), grants)
		}, "the jti jti-2 was exchanged 2 times"},
		{"an ID token has two tokens", func(t *testing.T, s scene) { s.store(t, "jti-2", "token-9") }, "the jti jti-2 is used up for the token"},
		{"a token is stored twice", func(t *testing.T, s scene) {
			s.execute(t, `insert into trustpub_tokens (hashed_token, grants) values (?, ?)`, hashOf("token-2"), grants)
		}, "has two rows"},
		{"a token is stored alone", func(t *testing.T, s scene) {
			s.execute(t, `delete from trustpub_used_jtis where hashed_token = ?`, hashOf("token-2"))
		}, "is stored without the ID token"},
		{"an ID token is used up for nothing", func(t *testing.T, s scene) {
			s.execute(t, `delete from trustpub_tokens where hashed_token = ?`, hashOf("token-3"))
		}, "which is not stored"},
		{"two ID tokens are used up for one token", func(t *testing.T, s scene) {
			s.exchange(t, "jti-5", entry{Error: "EOF"})
			s.execute(t, `insert into trustpub_used_jtis (hash, hashed_token) values (?, ?)`, hashOf(testIssuer+"\x00jti-5"), hashOf("token-3"))
		}, "two ID tokens are used up"},
		{"a token belongs to nobody's ID token", func(t *testing.T, s scene) { s.store(t, "jti-9", "token-9") }, "that no client sent"},
		{"a token is stored after a refusal", func(t *testing.T, s scene) {
			s.exchange(t, "jti-5", entry{Status: 400, Code: "no_config"})
			s.store(t, "jti-5", "token-5")
		}, "though every client was refused"},
		{"an ID token is refused as used that was not", func(t *testing.T, s scene) {
			s.exchange(t, "jti-5", entry{Status: 400, Code: "already_used"})
		}, "the jti jti-5 was refused as already used"},
		{"an acknowledged revocation is lost", func(t *testing.T, s scene) {
			s.execute(t, `update trustpub_tokens set revoked_at = null`)
		}, "does not hold"},
		{"an acknowledged revocation is of a token that is gone", func(t *testing.T, s scene) {
			s.execute(t, `delete from trustpub_tokens where hashed_token = ?`, hashOf("token-1"))
		}, "does not hold"},
		{"a token is revoked by nobody", func(t *testing.T, s scene) {
			s.execute(t, `update trustpub_tokens set revoked_at = 1 where hashed_token = ?`, hashOf("token-2"))
		}, "which nobody asked for"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScene(t)
			test.tamper(t, s)

			_, problems := s.check(t.Context(), t)

			require.NotEmpty(t, problems)
			require.Contains(t, strings.Join(problems, "\n"), test.want)
		})
	}
}

func TestWhatAServerAnsweredWith503MayHaveTakenEffect(t *testing.T) {
	s := newScene(t)
	s.exchange(t, "jti-5", entry{Status: 503, Code: "store_unavailable"})
	s.store(t, "jti-5", "token-5")
	s.exchange(t, "jti-5", entry{Status: 400, Code: "already_used"})
	s.revoke(t, "token-5", 503)

	f, problems := s.check(t.Context(), t)

	require.Empty(t, problems)
	require.Equal(t, 2, f.cutOff)
}

func TestAJournalThatWasTamperedWithIsNotAudited(t *testing.T) {
	answer := []byte(`{"id":99,"answered":true,"kind":"exchange","jti":"jti-1","status":200}` + "\n")
	for _, test := range []struct {
		name   string
		tamper func(journal []byte) []byte
	}{
		{"an answer without a request", func(journal []byte) []byte { return append(journal, answer...) }},
		{"the first line is missing", func(journal []byte) []byte { return journal[bytes.IndexByte(journal, '\n')+1:] }},
		{"a request twice", func(journal []byte) []byte { return append(journal, journal[:bytes.IndexByte(journal, '\n')+1]...) }},
		{"a line is cut", func(journal []byte) []byte { return journal[:len(journal)-5] }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScene(t)
			text, err := os.ReadFile(s.path)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(s.path, test.tamper(text), 0o600))

			require.Error(t, (&audit{issuer: testIssuer}).load(t.Context(), s.path, s.db))
		})
	}
}

func TestSecretsInLogsAreFound(t *testing.T) {
	const random = "0123456789ABCDEFGHIJKLMNOPQRSTUV"
	for _, test := range []struct {
		name, log, want string
	}{
		{"an ID token", `{"error":"bad token eyJhbGciOi"}`, `"eyJ"`},
		{"an access token", `{"token":"cio_tp_x"}`, `"cio_tp_"`},
		{"its random part", `{"error":"` + random + `"}`, "the random part"},
		{"its random part within a word", `{"error":"abc` + random + `xyz"}`, "the random part"},
	} {
		t.Run(test.name, func(t *testing.T) {
			folder := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(folder, "server-0.log"), []byte("{}\n"+test.log+"\n"), 0o600))

			problems, err := checkLogs(folder, []string{tokenPrefix + random + "abcdef"})

			require.NoError(t, err)
			require.Len(t, problems, 1)
			require.Contains(t, problems[0], test.want)
		})
	}
	t.Run("no log at all", func(t *testing.T) {
		_, err := checkLogs(t.TempDir(), nil)
		require.Error(t, err)
	})
	t.Run("a clean log", func(t *testing.T) {
		folder := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(folder, "server-0.log"), []byte(`{"request_id":"0123456789abcdef0123456789abcdef"}`), 0o600))
		problems, err := checkLogs(folder, []string{tokenPrefix + random + "abcdef"})
		require.NoError(t, err)
		require.Empty(t, problems)
	})
}
