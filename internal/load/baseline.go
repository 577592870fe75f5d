package main

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// rs256 returns how long the bare verification of an ID token's signature takes: the
// hash and the RSA, and nothing else.
func rs256(jwt string, key *rsa.PublicKey) (time.Duration, error) {
	dot := strings.LastIndexByte(jwt, '.')
	signature, err := base64.RawURLEncoding.DecodeString(jwt[dot+1:])
	if err != nil {
		return 0, err
	}
	const times = 5000
	begin := time.Now()
	for range times {
		digest := sha256.Sum256([]byte(jwt[:dot]))
		err = rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature)
		if err != nil {
			return 0, err
		}
	}
	return time.Since(begin) / times, nil
}

// serveEcho is the empty handler that the servers are compared with: echo, which reads
// nothing and answers a line. It runs in a process of its own.
func serveEcho(address string) error {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.PUT("/", func(c echo.Context) error { return c.JSON(200, struct{}{}) })
	return e.Start(address)
}

// The scripts do what the servers ask of the database, one transaction at a time, with
// prepared statements. Each runs as often as requests were sent.
const (
	exchangeScript = `
\set a random(1, 9223372036854775807)
\set b random(1, 9223372036854775807)
select c.id, c.created_at, c.provider, c.ecosystem, c.package, c.issuer, c.lookup_key, c.pinned, g.repository_owner, g.repository_name,
	g.repository_owner_id, g.workflow_filename, g.workflow_repository, g.reusable_workflow_filename, g.environment
from trustpub_configs c
join trustpub_configs_github g on g.id = c.id
where c.issuer = :issuer::text and c.lookup_key = 'octo-org/octo-repo' and c.provider = 'github'
order by c.id;
with spent as (
	insert into trustpub_used_jtis as used (hash, hashed_token, expires_at)
	values (sha256(int8send(:a::bigint)), sha256(int8send(:b::bigint)), now() + interval '10 minutes')
	on conflict (hash) do update set hashed_token = excluded.hashed_token
		where used.hashed_token = excluded.hashed_token
	returning used.hashed_token, used.xmax = 0 as is_new
), stored as (
	insert into trustpub_tokens (hashed_token, issued_at, expires_at, issuer, subject, grants, publisher)
	select spent.hashed_token, now(), now() + interval '30 minutes', :issuer::text, :subject::text, :grants::jsonb, :publisher::jsonb
	from spent
	where spent.is_new
)
select hashed_token from spent
union all
select hashed_token from trustpub_used_jtis where hash = sha256(int8send(:a::bigint))
limit 1;
`
	introspectScript = `
select t.hashed_token, t.issued_at, t.expires_at, t.revoked_at, t.issuer, t.subject, t.publisher,
	coalesce((
		select jsonb_agg(g.value order by g.ordinality)
		from jsonb_array_elements(t.grants) with ordinality g
		where exists (
			select 1 from trustpub_configs c
			where c.id = (g.value ->> 'config_id')::bigint and c.provider = g.value ->> 'provider'
		)
	), '[]') as grants
from trustpub_tokens t
where t.hashed_token = :hash::bytea;
`
)

// bench is what pgbench found.
type bench struct {
	perSecond float64
	mean      time.Duration
}

// pgbench runs a script with so many clients for n transactions.
func (s *stack) pgbench(ctx context.Context, script string, clients, n int) (bench, error) {
	var grants, publisher, hash string
	err := s.query(ctx, `select grants, publisher, '\x' || encode(hashed_token, 'hex') from trustpub_tokens limit 1`, &grants, &publisher, &hash)
	if err != nil {
		return bench{}, fmt.Errorf("read a token: %w", err)
	}
	file, err := os.CreateTemp("", "trustpub-pgbench")
	if err != nil {
		return bench{}, err
	}
	defer func() { _ = os.Remove(file.Name()) }()
	_, err = file.WriteString(script)
	if err != nil {
		return bench{}, err
	}
	err = file.Close()
	if err != nil {
		return bench{}, err
	}
	command := exec.CommandContext(ctx, s.postgres.Program("pgbench"), "-n", "-M", "prepared", "-f", file.Name(),
		"-c", strconv.Itoa(clients), "-j", strconv.Itoa(min(clients, 2)), "-t", strconv.Itoa(max(n/clients, 1)),
		"-D", "issuer="+s.ci.URL(), "-D", "subject=repo:octo-org/octo-repo:ref:refs/tags/v1.2.3", "-D", "grants="+grants, "-D", "publisher="+publisher, "-D", "hash="+hash,
		"-h", s.postgres.Folder(), "-U", "postgres", "postgres")
	output, err := command.CombinedOutput()
	if err != nil {
		return bench{}, fmt.Errorf("%s: %w: %s", filepath.Base(command.Path), err, output)
	}
	return readBench(string(output))
}

var (
	tpsLine     = regexp.MustCompile(`(?m)^tps = ([0-9.]+)`)
	latencyLine = regexp.MustCompile(`(?m)^latency average = ([0-9.]+) ms`)
)

// readBench reads pgbench's report.
func readBench(report string) (bench, error) {
	tps, latency := tpsLine.FindStringSubmatch(report), latencyLine.FindStringSubmatch(report)
	if tps == nil || latency == nil {
		return bench{}, fmt.Errorf("pgbench's report has no tps or no latency: %s", report)
	}
	perSecond, err := strconv.ParseFloat(tps[1], 64)
	if err != nil {
		return bench{}, err
	}
	milliseconds, err := strconv.ParseFloat(latency[1], 64)
	if err != nil {
		return bench{}, err
	}
	return bench{perSecond: perSecond, mean: time.Duration(milliseconds * float64(time.Millisecond))}, nil
}
