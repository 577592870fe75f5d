package main

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/trustpub/trustpub/internal/program"
	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

// introspected is how many tokens are minted to be introspected in turn.
const introspected = 2000

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	switch {
	case o.serveEcho != "":
		return serveEcho(o.serveEcho)
	case o.serveUnshared:
		return serveUnshared(ctx, stderr)
	case o.write != "":
		return write(o, stdout)
	}
	m := &measurement{options: o, log: stderr}
	defer m.close()
	err = m.prepare(ctx, stdin)
	if err != nil {
		return err
	}
	results, err := m.measure(ctx)
	if err != nil {
		return err
	}
	err = m.report(stdout, results)
	if err != nil {
		return err
	}
	if refused := refusals(results.medians()); len(refused) > 0 && !o.allowRefusals {
		return fmt.Errorf("requests were refused: %v", refused)
	}
	return nil
}

// write signs ID tokens into a file.
func write(o options, stdout io.Writer) error {
	ci, err := issuer.Start(issuer.Config{})
	if err != nil {
		return err
	}
	defer func() { _ = ci.Close() }()
	jwts, err := signAll(ci, o)
	if err != nil {
		return err
	}
	err = writeJWTs(o.write, jwts, ci.KeyID(), ci.PublicKey())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%d ID tokens of the issuer %s, which are valid for %s\n", len(jwts), ci.URL(), lifetime)
	return err
}

// measurement is one run of the program.
type measurement struct {
	options
	log io.Writer

	jwts  []string
	key   *rsa.PublicKey // Of the ID tokens that were signed here.
	stack *stack
	sites []*site
	echo  *program.Process
	// echoAddress is where the empty handler listens.
	echoAddress string
	swept       []sweeping
	stops       []func()
}

func (m *measurement) close() {
	for _, stop := range slices.Backward(m.stops) {
		stop()
	}
}

// report writes what was measured.
func (m *measurement) report(stdout io.Writer, results *results) error {
	medians := results.medians()
	err := errors.Join(writeTable(stdout, medians), writeResident(stdout, medians), writeRatios(stdout, m.options, medians),
		writeComparison(stdout, m.options, results))
	for _, s := range m.swept {
		err = errors.Join(err, s.write(stdout))
	}
	return err
}

func (m *measurement) say(format string, args ...any) {
	_, _ = fmt.Fprintf(m.log, format+"\n", args...)
}

// prepare makes sure of ID tokens and of servers.
func (m *measurement) prepare(ctx context.Context, stdin io.Reader) error {
	ci, err := m.prepareJWTs(stdin)
	if err != nil {
		return err
	}
	if m.url != "" {
		err = m.useServers()
	} else {
		err = m.startServers(ctx, ci)
	}
	if err != nil {
		return err
	}
	m.hand()
	if m.baseline {
		err = m.startEcho(ctx)
		if err != nil {
			return err
		}
	}
	return m.prepareTokens(ctx)
}

// useServers takes servers that run already.
func (m *measurement) useServers() error {
	s := &site{subject: m.subjects()[0], stack: &stack{registryToken: m.registryToken}}
	for text := range strings.SplitSeq(m.url, ",") {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" || u.Port() == "" {
			return fmt.Errorf("-url %q: use http://HOST:PORT", text)
		}
		s.addresses = append(s.addresses, u.Host)
	}
	m.stack, m.sites = s.stack, []*site{s}
	return nil
}

// startServers starts the servers of all subjects.
func (m *measurement) startServers(ctx context.Context, ci *issuer.Issuer) error {
	m.say("starting %d trustpub on %s", m.replicas*len(m.subjects()), m.database)
	var err error
	m.stack, err = startStack(ctx, ci, m.database, m.postgresql, m.replicas)
	if err != nil {
		return err
	}
	m.stops = append(m.stops, m.stack.stop)
	var before *site
	for _, subject := range m.subjects() {
		s, err := m.stack.newSite(ctx, subject, before)
		if err != nil {
			return err
		}
		m.sites, before = append(m.sites, s), s
		if !s.besides && (s.prefill > 0 || s.repositories > 1) {
			begin := time.Now()
			m.say("filling the database of %s with %d publishers and %d rows of each other kind", s.name, max(s.prefill, s.repositories), s.prefill)
			err = s.fill(ctx)
			if err != nil {
				return err
			}
			m.say("that took %s", time.Since(begin).Round(time.Second))
		}
	}
	return nil
}

// hand gives each site its ID tokens.
func (m *measurement) hand() {
	rest := m.jwts
	for _, s := range m.sites {
		n := min(m.needed(s.subject), len(rest))
		s.jwts = rest[:n]
		if m.sweep == 0 {
			rest = rest[n:]
		}
	}
}

func (m *measurement) prepareJWTs(stdin io.Reader) (*issuer.Issuer, error) {
	needed := 0
	for _, s := range m.signed() {
		needed += m.needed(s)
	}
	if m.options.jwts != "" {
		var err error
		m.jwts, err = readJWTs(m.options.jwts, stdin)
		if err != nil {
			return nil, err
		}
		if len(m.jwts) < needed {
			return nil, fmt.Errorf("%s holds %d ID tokens, and %d are needed", m.options.jwts, len(m.jwts), needed)
		}
		if m.url != "" {
			return nil, nil //nolint:nilnil // Nobody needs an issuer.
		}
		ci, err := standIn(m.options.jwts, m.jwts)
		if err == nil {
			m.stops = append(m.stops, func() { _ = ci.Close() })
		}
		return ci, err
	}
	ci, err := issuer.Start(issuer.Config{})
	if err != nil {
		return nil, err
	}
	m.stops = append(m.stops, func() { _ = ci.Close() })
	m.say("signing %d ID tokens", needed)
	m.key = ci.PublicKey()
	m.jwts, err = signAll(ci, m.options)
	return ci, err
}

func (m *measurement) startEcho(ctx context.Context) error {
	var err error
	m.echoAddress, err = program.FreeAddress(ctx)
	if err != nil {
		return err
	}
	command := exec.Command("/proc/self/exe", "-serve-echo", m.echoAddress)
	command.Stderr = os.Stderr
	m.echo, err = program.Start(command, syscall.SIGKILL)
	if err != nil {
		return err
	}
	m.stops = append(m.stops, func() { _ = m.echo.Kill() })
	for range 100 {
		o := drive(ctx, plan{addresses: []string{m.echoAddress}, connections: 1, n: 1, request: m.emptyRequest()})
		if o.succeeded == 1 {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return errors.New("the empty handler does not answer")
}

// prepareTokens mints the tokens that are introspected or verified.
func (m *measurement) prepareTokens(ctx context.Context) error {
	if m.mode == modeExchange {
		return nil
	}
	for i, s := range m.sites {
		if s.besides {
			s.tokens = m.sites[i-1].tokens
			continue
		}
		m.say("minting %d tokens", introspected)
		err := s.mint(ctx, introspected)
		if err != nil {
			return err
		}
	}
	return nil
}

// mint exchanges ID tokens for the tokens.
func (s *site) mint(ctx context.Context, n int) error {
	s.tokens = make([]string, n)
	var wrong error
	o := drive(ctx, plan{
		addresses: s.addresses, connections: 1, n: n, request: s.exchangeRequest(0),
		answered: func(i int, body []byte) { // One connection: one at a time.
			var answer struct {
				Token string `json:"token"`
			}
			wrong = errors.Join(wrong, json.Unmarshal(body, &answer))
			s.tokens[i] = answer.Token
		},
	})
	if o.succeeded != n {
		return fmt.Errorf("the servers minted %d of %d tokens: %v", o.succeeded, n, o.refusals)
	}
	return wrong
}
