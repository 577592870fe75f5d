package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

// tokenPrefix is that of the servers' access tokens, by default.
const tokenPrefix = "cio_tp_"

// idToken is a signed ID token that is to be exchanged once.
type idToken struct{ jti, jwt string }

// client exchanges ID tokens as fast as it is told to, and keeps the journal. Every
// tenth ID token is sent twice at once, to two servers if there are two, and every
// seventh access token is revoked.
type client struct {
	journal *journal
	ci      *issuer.Issuer
	ready   chan idToken // Signed beforehand.
	http    *http.Client
	// urls are the servers' base URLs.
	urls []string
	// workers send at once, and each pauses between two requests.
	workers int
	pause   time.Duration
	// retries has what fails without a refusal sent once more, to another server.
	retries bool

	stop    context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex
	results results
}

// results are what a client saw.
type results struct {
	successes []moment
	statuses  map[string]int
	slowest   time.Duration // From sending a request to its answer or its failure.
	// unresolved are ID tokens without a token yet, and with no refusal either.
	unresolved []idToken
	secrets    []string // Access tokens.
	// broken are what must never be seen: an unexpected answer, a journal that can't be written.
	broken map[string]int
	// failedTwice counts what failed after its retry.
	failedTwice int
}

// moment is when something was sent and answered.
type moment struct{ sent, answered time.Time }

// answer is what became of one request.
type answer struct {
	status     int
	code       string
	retryAfter string
	token      string
	scope      string
	err        error
}

// undecided reports that the same request may be sent again: there was no answer, or
// one that asks for that.
func (a answer) undecided() bool { return a.err != nil || a.status == http.StatusServiceUnavailable }

// newClient returns a client that has signed n ID tokens beforehand; when these are
// used up it signs as it goes.
func newClient(j *journal, ci *issuer.Issuer, n int, urls ...string) (*client, error) {
	c := &client{
		journal: j, ci: ci, ready: make(chan idToken, n), urls: urls, workers: 8, pause: 10 * time.Millisecond,
		http: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	}
	c.results = results{statuses: map[string]int{}, broken: map[string]int{}}
	var group sync.WaitGroup
	errs := make(chan error, 4)
	for w := range 4 {
		group.Go(func() {
			for i := w; i < n; i += 4 {
				t, err := c.sign()
				if err != nil {
					errs <- err
					return
				}
				c.ready <- t
			}
		})
	}
	group.Wait()
	select {
	case err := <-errs:
		return nil, err
	default:
		return c, nil
	}
}

// sign makes an ID token that outlives the scenario.
func (c *client) sign() (idToken, error) {
	claims := c.ci.GitHubClaims().With("exp", time.Now().Add(time.Hour).Unix())
	jti, _ := claims["jti"].(string)
	jwt, err := c.ci.Sign(claims)
	return idToken{jti: jti, jwt: jwt}, err
}

func (c *client) next() idToken {
	select {
	case t := <-c.ready:
		return t
	default:
	}
	t, err := c.sign()
	if err != nil {
		c.breaks("sign: " + err.Error())
	}
	return t
}

// begin starts the workers, which go on until [client.end].
func (c *client) begin(ctx context.Context) {
	ctx, c.stop = context.WithCancel(ctx)
	for w := range c.workers {
		c.running.Go(func() {
			for i := w; ctx.Err() == nil; i++ {
				c.step(i)
				time.Sleep(c.pause)
			}
		})
	}
}

// end lets requests in flight come to their end.
func (c *client) end() {
	c.stop()
	c.running.Wait()
	c.http.CloseIdleConnections()
}

// step is one ID token's way.
func (c *client) step(i int) {
	t := c.next()
	first, second := c.urls[i%len(c.urls)], c.urls[(i+1)%len(c.urls)]
	if i%10 == 9 {
		c.replay(t, first, second)
		return
	}
	a := c.exchange(t, first)
	if a.undecided() {
		time.Sleep(20 * time.Millisecond) // A server that is gone refuses at once.
		if c.retries {
			a = c.exchange(t, second)
		}
	}
	if a.undecided() {
		c.note(func(r *results) { r.unresolved = append(r.unresolved, t); r.failedTwice++ })
	}
	if a.status == http.StatusOK && i%7 == 3 {
		c.revoke(a.token, first)
	}
}

// replay sends an ID token twice at the same time. At most one may succeed, which the
// audit looks at.
func (c *client) replay(t idToken, urls ...string) {
	var group sync.WaitGroup
	for _, u := range urls {
		group.Go(func() { c.exchange(t, u) })
	}
	group.Wait()
}

// exchange sends an ID token for an access token.
func (c *client) exchange(t idToken, base string) answer {
	e := entry{Kind: kindExchange, URL: base, JTI: t.jti}
	a := c.send(e, "/oauth/token", url.Values{
		"grant_type":         {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"subject_token":      {t.jwt},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:id_token"},
	})
	if a.err == nil && a.status != http.StatusOK && a.status != http.StatusServiceUnavailable && a.code != "already_used" {
		c.breaks(fmt.Sprintf("an exchange was answered %d %s", a.status, a.code))
	}
	return a
}

// revoke ends an access token.
func (c *client) revoke(token, base string) {
	hash := sha256.Sum256([]byte(token))
	a := c.send(entry{Kind: kindRevoke, URL: base, Token: hash[:]}, "/oauth/revoke", url.Values{"token": {token}})
	if a.err == nil && a.status != http.StatusOK && a.status != http.StatusServiceUnavailable {
		c.breaks(fmt.Sprintf("a revocation was answered %d %s", a.status, a.code))
	}
}

// send writes both lines of the journal around a request.
func (c *client) send(e entry, path string, form url.Values) answer {
	id, err := c.journal.sending(e)
	if err != nil {
		c.breaks(err.Error())
		return answer{err: err}
	}
	begin := time.Now()
	a := c.post(e.URL+path, form)
	e.ID, e.Answered, e.Status, e.Code = id, true, a.status, a.code
	if a.err != nil {
		e.Error = a.err.Error()
	}
	if a.token != "" {
		hash := sha256.Sum256([]byte(a.token))
		e.Token, e.Packages = hash[:], packagesOf(a.scope)
	}
	c.note(func(r *results) { r.saw(e, a, moment{sent: begin, answered: time.Now()}) })
	err = c.journal.write(e)
	if err != nil {
		c.breaks(err.Error())
	}
	return a
}

// saw counts an answer.
func (r *results) saw(e entry, a answer, m moment) {
	r.slowest = max(r.slowest, m.answered.Sub(m.sent))
	switch {
	case errors.Is(a.err, syscall.ECONNREFUSED):
		r.statuses["no connection"]++
	case a.err != nil:
		r.statuses["no answer"]++
	case a.status == http.StatusServiceUnavailable && a.retryAfter == "":
		r.broken["a 503 without Retry-After"]++
		r.statuses["503"]++
	default:
		r.statuses[strconv.Itoa(a.status)]++
	}
	if e.Kind == kindExchange && a.err == nil && a.status == http.StatusOK {
		r.successes = append(r.successes, m)
		r.secrets = append(r.secrets, a.token)
	}
}

func (c *client) post(address string, form url.Values) answer {
	request, err := http.NewRequest(http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return answer{err: err}
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := c.http.Do(request)
	if err != nil {
		return answer{err: err}
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{err: err} // Cut off: its status is worth nothing without its token.
	}
	a := answer{status: response.StatusCode, retryAfter: response.Header.Get("Retry-After")}
	var members struct {
		Token string `json:"access_token"`
		Scope string `json:"scope"`
		Code  string `json:"code"`
	}
	if len(body) > 0 {
		a.err = json.Unmarshal(body, &members)
	}
	a.token, a.scope, a.code = members.Token, members.Scope, members.Code
	return a
}

// packagesOf returns the packages of a scope, sorted.
func packagesOf(scope string) []string {
	var packages []string
	for token := range strings.SplitSeq(scope, " ") {
		packages = append(packages, strings.TrimPrefix(token, "publish:"))
	}
	slices.Sort(packages)
	return packages
}

func (c *client) note(change func(*results)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.results)
}

func (c *client) breaks(what string) { c.note(func(r *results) { r.broken[what]++ }) }

// seen returns a copy of what the client saw so far.
func (c *client) seen() results {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.results
	r.successes, r.unresolved, r.secrets = slices.Clone(r.successes), slices.Clone(r.unresolved), slices.Clone(r.secrets)
	r.statuses, r.broken = maps.Clone(r.statuses), maps.Clone(r.broken)
	return r
}

// settle exchanges once more what is unresolved, and returns how many ID tokens then
// gave a token, were already used, or still failed.
func (c *client) settle() (exchanged, used, failed int) {
	pending := c.seen().unresolved
	for i, t := range pending {
		a := c.exchange(t, c.urls[i%len(c.urls)])
		switch {
		case a.undecided():
			failed++
		case a.status == http.StatusOK:
			exchanged++
		default:
			used++
		}
	}
	c.note(func(r *results) { r.unresolved = nil })
	return exchanged, used, failed
}
