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
	"strconv"
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
	err = errors.Join(writeTable(stdout, results), writeRatios(stdout, o, results))
	if err != nil {
		return err
	}
	if refused := refusals(results); len(refused) > 0 && !o.allowRefusals {
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
	jwts, err := sign(ci, o.needed(), o.audience)
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
	echo  *program.Process
	// echoAddress is where the empty handler listens.
	echoAddress string
	// tokens are what is introspected.
	tokens []string
	stops  []func()
	sent   int
}

func (m *measurement) close() {
	for _, stop := range slices.Backward(m.stops) {
		stop()
	}
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
		m.stack = &stack{registryToken: m.registryToken}
		for text := range strings.SplitSeq(m.url, ",") {
			u, err := url.Parse(text)
			if err != nil || u.Scheme != "http" || u.Port() == "" {
				return fmt.Errorf("-url %q: use http://HOST:PORT", text)
			}
			m.stack.addresses = append(m.stack.addresses, u.Host)
		}
	} else {
		m.say("starting %d trustpub on %s", m.replicas, m.database)
		m.stack, err = startStack(ctx, ci, m.database, m.replicas)
		if err != nil {
			return err
		}
		m.stops = append(m.stops, m.stack.stop)
	}
	if m.prefill > 0 {
		m.say("filling the database with %d rows of each kind", m.prefill)
		err = m.stack.fill(ctx, m.prefill)
		if err != nil {
			return err
		}
	}
	if m.baseline {
		err = m.startEcho(ctx)
		if err != nil {
			return err
		}
	}
	return m.prepareTokens(ctx)
}

func (m *measurement) prepareJWTs(stdin io.Reader) (*issuer.Issuer, error) {
	if m.options.jwts != "" {
		var err error
		m.jwts, err = readJWTs(m.options.jwts, stdin)
		if err != nil {
			return nil, err
		}
		if needed := m.needed(); len(m.jwts) < needed {
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
	m.say("signing %d ID tokens", m.needed())
	m.key = ci.PublicKey()
	m.jwts, err = sign(ci, m.needed(), m.audience)
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

// prepareTokens mints the tokens that are introspected, or the one that pins the
// publisher.
func (m *measurement) prepareTokens(ctx context.Context) error {
	if m.mode != "introspect" {
		return nil
	}
	m.say("minting %d tokens", introspected)
	m.tokens = make([]string, introspected)
	var wrong error
	o := drive(ctx, plan{
		addresses: m.stack.addresses, connections: 1, n: introspected, request: m.exchangeRequest(0),
		answered: func(i int, body []byte) {
			var answer struct {
				Token string `json:"token"`
			}
			wrong = errors.Join(wrong, json.Unmarshal(body, &answer)) // One connection: one at a time.
			m.tokens[i] = answer.Token
		},
	})
	if o.succeeded != introspected {
		return fmt.Errorf("the servers minted %d of %d tokens: %v", o.succeeded, introspected, o.refusals)
	}
	return wrong
}

func (m *measurement) exchangeRequest(first int) func([]byte, int) []byte {
	head := "PUT /api/v1/trusted_publishing/tokens HTTP/1.1\r\nHost: " + m.stack.addresses[0] + "\r\nContent-Type: application/json\r\nContent-Length: "
	return func(buffer []byte, i int) []byte {
		return appendRequest(buffer, head, `{"jwt":"`, m.jwts[first+i], `"}`)
	}
}

func (m *measurement) introspectRequest() func([]byte, int) []byte {
	head := "POST /oauth/introspect HTTP/1.1\r\nHost: " + m.stack.addresses[0] + "\r\nAuthorization: Bearer " + m.stack.registryToken +
		"\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: "
	return func(buffer []byte, i int) []byte {
		return appendRequest(buffer, head, "token=", m.tokens[i%len(m.tokens)], "")
	}
}

// emptyRequest is as long as an exchange.
func (m *measurement) emptyRequest() func([]byte, int) []byte {
	head := "PUT / HTTP/1.1\r\nHost: " + m.echoAddress + "\r\nContent-Type: application/json\r\nContent-Length: "
	return func(buffer []byte, i int) []byte {
		return appendRequest(buffer, head, `{"jwt":"`, m.jwts[i%len(m.jwts)], `"}`)
	}
}

// appendRequest appends a request: the head, which ends before the length of the body,
// and the body, which is in three parts.
func appendRequest(buffer []byte, head, before, value, after string) []byte {
	buffer = append(buffer, head...)
	buffer = strconv.AppendInt(buffer, int64(len(before)+len(value)+len(after)), 10)
	buffer = append(buffer, "\r\n\r\n"...)
	buffer = append(buffer, before...)
	buffer = append(buffer, value...)
	return append(buffer, after...)
}
