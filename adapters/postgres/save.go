package postgres

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/trustpub/trustpub/adapters/groupcommit"
	"github.com/trustpub/trustpub/adapters/strictjson"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// saving is a token to be stored, and the jti to be spent for it.
type saving struct {
	token domain.AccessToken
	jti   domain.UsedJTI
	// hash is the jti's.
	hash [sha256.Size]byte
	// grants and publisher are the token's, as JSON.
	grants, publisher string
	// lookup and state are what [Store.SaveRecalled] decided on. Where state is empty, as
	// for SaveToken, the configs may be what they are.
	lookup lookup
	state  string
	// inDoubt is set when a statement ended without telling how: it may have spent the
	// jti, or may still be running and do so yet. All copies share it.
	inDoubt *bool
}

func (s saving) isRecalled() bool { return s.state != "" }

func newSaving(token domain.AccessToken, jti domain.UsedJTI) (saving, error) {
	grants, err := encodeGrants(token.Grants)
	if err != nil {
		return saving{}, err
	}
	publisher := string(strictjson.AppendStrings(nil, token.Publisher.All()))
	return saving{token: token, jti: jti, hash: jti.Hash(), grants: grants, publisher: publisher, inDoubt: new(bool)}, nil
}

// saveStatement spends the jti and stores the token, or tells whose the jti is, in one
// statement and one round trip.
//
// It may be run again after any outcome, known or not, since everything depends on
// the token's hash, which belongs to one saving alone. When an earlier run has spent
// the jti for this token, the row is written again without a change: the commit of that
// write waits for the synchronous standby, and what it waits for includes the earlier
// run, whose own wait may have been cut short. "xmax = 0" tells a row that was inserted
// from one that was updated, so that the token is stored by the run that spent the jti,
// and by no other.
//
// No winner is a jti that a concurrent transaction spent after this statement's
// snapshot was taken.
const saveStatement = `
	with allowed as (select true as is_allowed), ` + saveAllowed

// saveRecalledStatement is saveStatement, provided that the configs are what was recalled.
// An earlier run that has spent the jti for this token has decided that already.
const saveRecalledStatement = `
	with asked as (
		select $6::text as issuer, $10::bytea as state, $11::text as lookup_key, $12::text as provider
	), allowed as materialized (
		select (state = (` + currentState + `)) is true
			or exists (select from trustpub_used_jtis where hash = $1 and hashed_token = $2) as is_allowed
		from asked
	), ` + saveAllowed

const saveAllowed = `spent as (
		insert into trustpub_used_jtis as used (hash, hashed_token, expires_at)
		select $1::bytea, $2::bytea, $3::timestamptz from allowed where is_allowed
		on conflict (hash) do update set hashed_token = excluded.hashed_token
			where used.hashed_token = excluded.hashed_token
		returning used.hashed_token, used.xmax = 0 as is_new
	), stored as (
		insert into trustpub_tokens (hashed_token, issued_at, expires_at, issuer, subject, grants, publisher)
		select spent.hashed_token, $4::timestamptz, $5::timestamptz, $6, $7, $8::jsonb, $9::jsonb
		from spent
		where spent.is_new
	)
	select is_allowed, coalesce((select hashed_token from spent), (select hashed_token from trustpub_used_jtis where hash = $1)) as winner
	from allowed`

// saveManyStatement is saveStatement for several tokens: each parameter is an array,
// with an element for each. It tells which jtis were spent for their tokens, and of the
// others nothing: that is rare, and looking for it would cost every exchange. The jtis
// are spent in the order of their hashes, so that replicas that spend the same ones wait
// for each other and never deadlock.
const saveManyStatement = `
	with allowed as (
		select ` + savedColumns + `
		from unnest(` + savedArrays + `) as g (` + savedColumns + `)
	), ` + saveManyAllowed

// saveManyRecalledStatement is saveManyStatement where some tokens, or all, were decided
// on what was recalled. The state of the others is empty.
const saveManyRecalledStatement = `
	with allowed as (
		select ` + savedColumns + `
		from unnest(` + savedArrays + `, $10::bytea[], $11::text[], $12::text[])
			as asked (` + savedColumns + `, state, lookup_key, provider)
		where state = '' or state = (` + currentState + `)
	), ` + saveManyAllowed

const savedColumns = `hash, hashed_token, forget_at, issued_at, expires_at, issuer, subject, grants, publisher`

const savedArrays = `$1::bytea[], $2::bytea[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[], $6::text[], $7::text[], $8::jsonb[], $9::jsonb[]`

const saveManyAllowed = `spent as (
		insert into trustpub_used_jtis as used (hash, hashed_token, expires_at)
		select hash, hashed_token, forget_at from allowed
		on conflict (hash) do update set hashed_token = excluded.hashed_token
			where used.hashed_token = excluded.hashed_token
		returning used.hash, used.xmax = 0 as is_new
	), stored as (
		insert into trustpub_tokens (hashed_token, issued_at, expires_at, issuer, subject, grants, publisher)
		select allowed.hashed_token, allowed.issued_at, allowed.expires_at, allowed.issuer, allowed.subject, allowed.grants, allowed.publisher
		from spent
		join allowed on allowed.hash = spent.hash
		where spent.is_new
	)
	select hash from spent`

// SaveToken implements [application.TokenStore]. The first exchange of a config takes a
// transaction of its own; all others are one statement, which concurrent calls share.
func (s *Store) SaveToken(ctx context.Context, token domain.AccessToken, jti domain.UsedJTI, pins []domain.Pin) error {
	item, err := newSaving(token, jti)
	if err != nil {
		return err
	}
	if len(pins) > 0 {
		err = s.saveTokenAndPin(ctx, item, pins)
	} else {
		_, err = s.saves(ctx, item)
	}
	if err != nil {
		return fmt.Errorf("save token: %w", err)
	}
	return nil
}

// saveToken saves one token.
func (s *Store) saveToken(ctx context.Context, item saving) (struct{}, error) {
	return struct{}{}, retry(ctx, func(ctx context.Context) error {
		return s.inStatement(ctx, func(ctx context.Context, q sqlx.QueryerContext) error { return s.save(ctx, q, item) })
	})
}

// saveTokenAndPin saves a token and pins its configs. Its transaction may be run again as
// the statement may: a pin that is there already is its own.
func (s *Store) saveTokenAndPin(ctx context.Context, item saving, pins []domain.Pin) error {
	return retry(ctx, func(ctx context.Context) error {
		return s.inTx(ctx, func(tx *sqlx.Tx) error {
			err := s.save(ctx, tx, item)
			if err != nil {
				return err
			}
			return pin(ctx, tx, pins)
		})
	})
}

// errInDoubt is a token that may be stored yet, by a statement whose outcome is not known,
// and whose configs have changed since. A later run may see it.
var errInDoubt = errors.New("it is not known what became of an earlier attempt, and the configs have changed since")

func (s *Store) save(ctx context.Context, q sqlx.QueryerContext, item saving) error {
	// Select reads the answer to its end: outside a transaction the commit comes after
	// the last row, and with it the errors that matter most.
	var outcomes []struct {
		IsAllowed bool   `db:"is_allowed"`
		Winner    []byte `db:"winner"`
	}
	statement, args := saveStatement, []any{
		item.hash[:], item.token.Hash[:], item.jti.ExpiresAt.UTC(), item.token.IssuedAt.UTC(), item.token.ExpiresAt.UTC(),
		item.token.Issuer, item.token.Subject, item.grants, item.publisher,
	}
	if item.isRecalled() {
		statement, args = saveRecalledStatement, append(args, []byte(item.state), item.lookup.key, item.lookup.provider)
	}
	wasInDoubt := *item.inDoubt
	*item.inDoubt = true
	err := sqlx.SelectContext(ctx, q, &outcomes, statement, args...)
	if err == nil || isUndone(err) {
		*item.inDoubt = wasInDoubt
	}
	switch {
	case err != nil:
		return err
	case len(outcomes) != 1:
		return fmt.Errorf("the statement told %d outcomes", len(outcomes))
	case !outcomes[0].IsAllowed && wasInDoubt:
		// Another token for the jti would take the ID token for used, should the statement
		// that is in doubt take effect.
		return errInDoubt
	case !outcomes[0].IsAllowed:
		s.memory.found.Remove(item.lookup)
		return application.ErrOutdated
	case len(outcomes[0].Winner) == 0:
		return errRunAgain
	case !bytes.Equal(outcomes[0].Winner, item.token.Hash[:]):
		return domain.AlreadyUsed()
	}
	return nil
}

// saveTokensTogether saves several tokens in one statement. One whose jti was not spent
// for it, or that shares a jti with another of them, is to be done alone, which tells why.
func (s *Store) saveTokensTogether(ctx context.Context, items []saving) ([]groupcommit.Answer[struct{}], error) {
	first := make(map[[sha256.Size]byte]int, len(items)) // By the jti's hash.
	for i, item := range items {
		if _, twice := first[item.hash]; !twice {
			first[item.hash] = i
		}
	}
	chosen := make([]saving, 0, len(first))
	for _, i := range first {
		chosen = append(chosen, items[i])
	}
	slices.SortFunc(chosen, func(a, b saving) int { return bytes.Compare(a.hash[:], b.hash[:]) })

	statement, args := saveManyStatement, saveManyArgs(chosen)
	if slices.ContainsFunc(chosen, saving.isRecalled) {
		statement, args = saveManyRecalledStatement, append(args, recalledArgs(chosen)...)
	}
	var spent [][]byte
	runs := 0
	err := s.inStatement(ctx, func(ctx context.Context, q sqlx.QueryerContext) error {
		runs++
		spent = nil // A run that failed may have told some.
		return sqlx.SelectContext(ctx, q, &spent, statement, args...)
	})
	if runs > 1 || err != nil && !isUndone(err) {
		for _, item := range chosen {
			*item.inDoubt = true
		}
	}
	if err != nil {
		return nil, err
	}
	isSpent := make(map[[sha256.Size]byte]bool, len(spent))
	for _, hash := range spent {
		isSpent[[sha256.Size]byte(hash)] = true
	}
	answers := make([]groupcommit.Answer[struct{}], len(items))
	for i, item := range items {
		if !isSpent[item.hash] || first[item.hash] != i {
			answers[i].Err = groupcommit.ErrAlone
		}
	}
	return answers, nil
}

// column returns an array of what value gives for each item.
func column(items []saving, value func(saving) string) string {
	values := make([]string, 0, len(items))
	for _, item := range items {
		values = append(values, value(item))
	}
	return arrayText(values)
}

// saveManyArgs returns the parameters of saveManyStatement.
func saveManyArgs(items []saving) []any {
	moment := func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
	return []any{
		column(items, func(s saving) string { return byteaText(s.hash[:]) }),
		column(items, func(s saving) string { return byteaText(s.token.Hash[:]) }),
		column(items, func(s saving) string { return moment(s.jti.ExpiresAt) }),
		column(items, func(s saving) string { return moment(s.token.IssuedAt) }),
		column(items, func(s saving) string { return moment(s.token.ExpiresAt) }),
		column(items, func(s saving) string { return s.token.Issuer }),
		column(items, func(s saving) string { return s.token.Subject }),
		column(items, func(s saving) string { return s.grants }),
		column(items, func(s saving) string { return s.publisher }),
	}
}

// recalledArgs returns what saveManyRecalledStatement has beside them.
func recalledArgs(items []saving) []any {
	return []any{
		column(items, func(s saving) string { return byteaText([]byte(s.state)) }),
		column(items, func(s saving) string { return s.lookup.key }),
		column(items, func(s saving) string { return s.lookup.provider }),
	}
}
