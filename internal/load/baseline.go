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

// bench is what pgbench found.
type bench struct {
	perSecond float64
	mean      time.Duration
}

// pgbench measures what the site's servers ask of the database, one transaction at a
// time, with prepared statements, as often as requests are sent.
func (m *measurement) pgbench(ctx context.Context, s *site, clients int) (result, error) {
	script, err := s.script(ctx, m.mode)
	if err != nil {
		return result{}, err
	}
	before, err := cpuOfFamily(m.stack.postgresPID())
	if err != nil {
		return result{}, err
	}
	transactions := max(m.n/clients, 1)
	b, own, err := s.runPgbench(ctx, script, clients, transactions)
	if err != nil {
		return result{}, err
	}
	after, err := cpuOfFamily(m.stack.postgresPID())
	if err != nil {
		return result{}, err
	}
	each := func(d time.Duration) time.Duration { return d / time.Duration(transactions*clients) }
	return result{what: rowPgbench, connections: clients, perSecond: b.perSecond, p50: b.mean, database: each(after - before), client: each(own)}, nil
}

// runPgbench runs a script and returns pgbench's findings and its own CPU time.
func (s *site) runPgbench(ctx context.Context, script string, clients, transactions int) (bench, time.Duration, error) {
	var grants, publisher, hash string
	err := s.query(ctx, `select grants, publisher, '\x' || encode(hashed_token, 'hex') from trustpub_tokens limit 1`, &grants, &publisher, &hash)
	if err != nil {
		return bench{}, 0, fmt.Errorf("read a token: %w", err)
	}
	file := filepath.Join(s.stack.folder, "pgbench.sql")
	err = os.WriteFile(file, []byte(script), 0o600)
	if err != nil {
		return bench{}, 0, err
	}
	command := exec.CommandContext(ctx, s.stack.postgres.Program("pgbench"), "-n", "-M", "prepared", "-f", file,
		"-c", strconv.Itoa(clients), "-j", strconv.Itoa(min(clients, 2)), "-t", strconv.Itoa(transactions),
		"-D", "issuer="+s.stack.ci.URL(), "-D", "subject=repo:octo-org/octo-repo:ref:refs/tags/v1.2.3", "-D", "grants="+grants, "-D", "publisher="+publisher, "-D", "hash="+hash,
		"-h", s.stack.postgres.Folder(), "-U", "postgres", s.databaseName)
	output, err := command.CombinedOutput()
	if err != nil {
		return bench{}, 0, fmt.Errorf("%s: %w: %s", filepath.Base(command.Path), err, output)
	}
	b, err := readBench(string(output))
	return b, command.ProcessState.UserTime() + command.ProcessState.SystemTime(), err
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
