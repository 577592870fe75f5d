package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/trustpub/trustpub/adapters/postgres"
	"github.com/trustpub/trustpub/domain"
)

// statements are those that the store makes of calls that nobody shares. They are
// recorded from the store itself, so that pgbench runs the very same.
type statements struct {
	findConfigs, saveToken, findToken string
}

// recordStatements has the store make its calls of a database that only listens.
func recordStatements(ctx context.Context) (statements, error) {
	heard := &recorder{}
	db := sql.OpenDB(heard)
	store := postgres.NewStore(db, postgres.Unshared())
	claims, err := domain.NewClaims(
		domain.Registered{Issuer: "https://ci.example", JWTID: "1", AcceptableUntil: time.Now()},
		domain.Workload{Provider: domain.ProviderGitHub, Repository: domain.Repository{Owner: "o", Name: "r"}, OwnerID: "1", Workflow: "release.yml"},
	)
	if err != nil {
		return statements{}, errors.Join(err, db.Close())
	}
	token := domain.Mint(domain.TokenHash(sha256.Sum256(nil)), nil, claims, time.Now(), time.Minute)
	var s statements
	record := func(dest *string, call func() error) {
		heard.statements = nil
		callErr := call()
		if len(heard.statements) != 1 {
			err = errors.Join(err, fmt.Errorf("the store made %d statements where it made one: %q: %w", len(heard.statements), heard.statements, callErr))
			return
		}
		*dest = heard.statements[0]
	}
	record(&s.findConfigs, func() error { _, err := store.FindConfigs(ctx, claims); return err })
	record(&s.saveToken, func() error { return store.SaveToken(ctx, token, claims.UsedJTI(), nil) })
	record(&s.findToken, func() error { _, err := store.FindToken(ctx, token.Hash); return err })
	return s, errors.Join(err, db.Close())
}

// script returns what pgbench runs: the statements of an exchange of a random one of the
// publishers, or of a look at a token, which is a random one of those that were filled
// in if any were.
func (s *site) script(ctx context.Context, mode string) (string, error) {
	recorded, err := recordStatements(ctx)
	if err != nil {
		return "", err
	}
	if mode != modeExchange {
		hash, choice := ":hash::bytea", ""
		if s.prefill > 0 {
			hash, choice = "sha256(int8send(-:r::bigint))", fmt.Sprintf(`\set r random(1, %d)`, s.prefill)
		}
		find, err := withValues(recorded.findToken, hash)
		return choice + "\n" + find + ";\n", err
	}
	key, choice := "'"+demoRepository+"'", ""
	if s.repositories > 1 {
		key, choice = "('owner-' || :r::bigint || '/repository')", fmt.Sprintf("\\set r random(1, %d)\n", s.repositories)
	}
	find, err := withValues(recorded.findConfigs, ":issuer::text", key, "'github'")
	if err != nil {
		return "", err
	}
	save, err := withValues(recorded.saveToken, "sha256(int8send(:a::bigint))", "sha256(int8send(:b::bigint))", "(now() + interval '90 minutes')",
		"now()", "(now() + interval '1 hour')", ":issuer::text", ":subject::text", ":grants", ":publisher")
	random := "\\set a random(1, 9223372036854775807)\n\\set b random(1, 9223372036854775807)\n"
	return choice + random + find + ";\n" + save + ";\n", err
}

// withValues puts expressions in the place of all of a statement's parameters.
func withValues(statement string, values ...string) (string, error) {
	var b strings.Builder
	used := make([]bool, len(values))
	parts := strings.Split(strings.TrimSpace(statement), "$")
	b.WriteString(parts[0])
	for _, part := range parts[1:] {
		digits := part[:len(part)-len(strings.TrimLeft(part, "0123456789"))]
		n, err := strconv.Atoi(digits)
		if err != nil || n < 1 || n > len(values) {
			return "", fmt.Errorf("no value for the parameter $%s of: %s", digits, statement)
		}
		used[n-1] = true
		b.WriteString(values[n-1] + part[len(digits):])
	}
	for i, isUsed := range used {
		if !isUsed {
			return "", fmt.Errorf("no parameter for the value %s in: %s", values[i], statement)
		}
	}
	return b.String(), nil
}

// recorder is a database that only listens: it has no rows, but tells whoever spends a
// jti that it is theirs.
type recorder struct{ statements []string }

func (r *recorder) Connect(context.Context) (driver.Conn, error) { return recording{r}, nil }
func (r *recorder) Driver() driver.Driver                        { return nil }

// recording is a connection of a recorder.
type recording struct{ *recorder }

func (recording) Begin() (driver.Tx, error) { return nil, errors.New("a transaction is not recorded") }
func (recording) Close() error              { return nil }

func (recording) Prepare(string) (driver.Stmt, error) {
	return nil, errors.New("a statement that is prepared is not recorded")
}

// QueryContext implements driver.QueryerContext.
func (r recording) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	r.statements = append(r.statements, query)
	if strings.Contains(query, "insert into trustpub_used_jtis") && len(args) > 1 {
		return &answer{args[1].Value}, ctx.Err()
	}
	return &answer{}, ctx.Err()
}

// answer is rows of one column.
type answer []driver.Value

func (*answer) Columns() []string { return []string{"hashed_token"} }
func (*answer) Close() error      { return nil }

func (a *answer) Next(dest []driver.Value) error {
	if len(*a) == 0 {
		return io.EOF
	}
	dest[0], *a = (*a)[0], (*a)[1:]
	return nil
}
