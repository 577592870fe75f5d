package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/postgres"
	"github.com/trustpub/trustpub/adapters/postgres/pqconn"
	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

func TestServersAreComparedOnOneDatabase(t *testing.T) {
	var out strings.Builder
	require.NoError(t, run(t.Context(), strings.Fields("-n 60 -rounds 1 -connections 4 -baseline -unshared -prefill 40"), nil, &out, os.Stderr))
	require.Regexp(t, `(?m)^ *trustpub, unshared +4 +[1-9]`, out.String())
	require.Regexp(t, `(?m)^ *pgbench +4 +[1-9]`, out.String())
	require.Regexp(t, `(?m)^ *trustpub / trustpub, unshared +4 +[0-9]`, out.String())
}

func TestVerifyIsMeasuredBesidePgbench(t *testing.T) {
	var out strings.Builder
	require.NoError(t, run(t.Context(), strings.Fields("-mode verify -n 100 -rounds 1 -connections 4 -baseline"), nil, &out, os.Stderr))
	require.Regexp(t, `(?m)^ *Verify in this process +4 +[1-9]`, out.String())
	require.Regexp(t, `(?m)^ *4 +[0-9.]+ +[0-9.]+`, out.String())
}

func TestDatabasesAreFilledAndSwept(t *testing.T) {
	ctx := t.Context()
	ci, err := issuer.Start(issuer.Config{})
	require.NoError(t, err)
	defer func() { _ = ci.Close() }()
	stack, err := startStack(ctx, ci, "postgres", nil, 1)
	require.NoError(t, err)
	defer stack.stop()
	s, err := stack.newSite(ctx, subject{name: "x", prefill: 300, repositories: 300}, nil)
	require.NoError(t, err)
	indexes := func() (text string) {
		require.NoError(t, s.query(ctx, `select string_agg(replace(indexdef, ' WITH (fillfactor=''70'')', ''), E'\n' order by indexdef)
			from pg_indexes where schemaname = 'public'`, &text))
		return text
	}
	before := indexes()
	begin := time.Now()
	require.NoError(t, s.fill(ctx))

	require.Equal(t, before, indexes())
	var configs, pinned, unlike, granted int
	require.NoError(t, s.query(ctx, `select count(*), count(*) filter (where pinned = jsonb_build_object('repository_id', split_part(package, '-', 2)))
		from trustpub_configs join trustpub_configs_github using (id) where package like 'package-%'`, &configs, &pinned))
	require.Equal(t, []int{300, 300}, []int{configs, pinned})
	require.NoError(t, s.query(ctx, `select count(*) filter (where abs(pg_column_size(t.*) - real.size) > 40),
			count(*) filter (where exists (select from trustpub_configs c where c.id = (grants -> 0 ->> 'config_id')::bigint and c.package = grants -> 0 ->> 'name'))
		from trustpub_tokens t, (select pg_column_size(r.*) as size from trustpub_tokens r where subject like '%octo-repo%') real`, &unlike, &granted))
	require.Equal(t, []int{0, 301}, []int{unlike, granted}, "rows are like the one that an exchange left")
	for _, table := range []string{"trustpub_tokens", "trustpub_used_jtis"} {
		var rows int
		var first, last time.Time
		require.NoError(t, s.query(ctx, `select count(*), min(expires_at), max(expires_at) from `+table+` where hashed_token in (select sha256(int8send(-i)) from generate_series(1, 300) i)`,
			&rows, &first, &last))
		require.Equal(t, 300, rows)
		require.WithinRange(t, first, begin.Add(30*time.Minute-time.Second), time.Now().Add(30*time.Minute))
		require.WithinRange(t, last, begin.Add(59*time.Minute), time.Now().Add(time.Hour))
	}

	require.NoError(t, s.expire(ctx, 50))
	n, err := s.expired(ctx)
	require.NoError(t, err)
	require.Equal(t, 100, n)
	db, err := pqconn.Open(s.databaseURL, 0)
	require.NoError(t, err)
	removed, err := postgres.NewStore(db).RemoveExpired(ctx, time.Now().Add(-5*time.Minute), 1000)
	require.NoError(t, errors.Join(err, db.Close()))
	require.Equal(t, 100, removed, "only what expired")

	jwts, err := sign(ci, 40, "crates.io", parsed(t, "-prefill 300").pick(0, s.subject))
	require.NoError(t, err)
	s.jwts = jwts
	require.NoError(t, s.mint(ctx, 40), "each repository has its publisher")
}

func TestADriveEndsWithItsTimeAndTellsItsTenths(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(5 * time.Millisecond) }))
	defer server.Close()
	p := plan{addresses: []string{server.Listener.Addr().String()}, connections: 2, n: 100000, request: get("/"), lasts: 100 * time.Millisecond}

	o := drive(t.Context(), p)

	require.Equal(t, o.sent, o.succeeded)
	require.Less(t, o.sent, 1000)
	require.Positive(t, o.sent)
	require.GreaterOrEqual(t, o.took, 95*time.Millisecond)

	tenths := 0
	p.n, p.lasts, p.tenth, p.connections = 20, 0, func() { tenths++ }, 1
	require.Equal(t, 20, drive(t.Context(), p).sent)
	require.Equal(t, 10, tenths)
}

func TestComparisonsAreMediansOfRatios(t *testing.T) {
	r := &results{rounds: map[row][]result{}}
	for i := range 3 {
		r.add(result{what: "trustpub", connections: 64, perSecond: float64(100 + i), p99: 10, max: 20, server: 5, database: time.Duration(i)})
		r.add(result{what: "trustpub, sweeping", connections: 64, perSecond: float64(100+i) * []float64{0.5, 0.9, 0.8}[i], p99: 12, max: 20, server: 5})
	}
	var out strings.Builder
	require.NoError(t, writeComparison(&out, parsed(t, "-sweep 1000"), r))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 2)
	require.Equal(t, strings.Fields("trustpub, sweeping / trustpub 64 0.80 - 1.20 1.00 1.00 0.00"), strings.Fields(lines[1]))

	out.Reset()
	require.NoError(t, writeComparison(&out, parsed(t, "-connections 64"), r))
	require.Empty(t, out.String(), "there is nothing to compare")
}

func TestTheMemoryOfLongRoundsIsShown(t *testing.T) {
	var out strings.Builder
	require.NoError(t, writeResident(&out, []result{{what: "a"}, {what: "b", connections: 2, resident: []float64{10.4, 11}}}))
	require.Equal(t, "b, 2 connections: resident MiB at each tenth of the last round: [10 11]\n", out.String())
	require.NoError(t, sweeping{put: 10, left: 1, exchanges: 7, took: time.Minute}.write(&out))
	require.Contains(t, out.String(), "swept: 9 of 10 expired rows in 1m0s, during 7 exchanges\n")
}

func TestCallsAreCountedByWhatTheyReturn(t *testing.T) {
	o := callAtOnce(t.Context(), 3, 10, func(i int) error {
		time.Sleep(time.Millisecond)
		if i == 4 {
			return errors.New("refused")
		}
		return nil
	})
	require.Equal(t, 9, o.succeeded)
	require.Equal(t, map[string]int{"error: refused": 1}, o.refusals)
	require.GreaterOrEqual(t, o.quantile(0.5), time.Millisecond)
}
