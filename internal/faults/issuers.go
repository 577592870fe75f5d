package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

const (
	// failureCoolDown is the server's pause after a fetch that failed.
	failureCoolDown = 5 * time.Second
	// unknownKeyCoolDown is the server's pause after a fetch for an unknown key.
	unknownKeyCoolDown = time.Minute
	// refreshInterval is how long a withdrawn key is accepted at most, the jitter of a
	// tenth included, when nothing else causes a fetch.
	refreshInterval = 15*time.Minute + 90*time.Second
	// gross is how long no exchange with a known key may take, whatever issuers do.
	gross = time.Second
	// growth is how much the server's memory may grow while issuers misbehave, in MiB.
	growth = 32.0
)

// misdeeds are all with which a fetch fails.
func misdeeds() []misdeed {
	return []misdeed{down, hanging, resetting, dripping, huge, brokenJSON, emptySet, unusableKey, redirecting}
}

// issuersScenario is the trial of hostile issuers: one server that trusts an issuer for each misdeed.
type issuersScenario struct {
	*stage

	http *http.Client
	// issuers misbehave, each in its own way, in the order of misdeeds.
	issuers []*hostile
	// rotating behaves, and changes its keys.
	rotating *hostile
	// elsewhere serves keys of its own to whoever follows a redirect, and counts them.
	elsewhere *issuer.Issuer
	followed  atomic.Int64
}

// hostileIssuers shows that misbehaving issuers neither hold up nor grow the server,
// that keys which are held go on, and how soon a new and a withdrawn key take effect.
// The long form waits for a withdrawn key to be refused without anything but time.
func hostileIssuers(ctx context.Context, st *stage, n int) error {
	s := &issuersScenario{stage: st, http: &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	err := s.start(ctx)
	if err != nil {
		return err
	}
	// The change of keys takes a minute, most of which the rest needs as well.
	rotated := make(chan error, 1)
	var rotation string
	go func() {
		var err error
		rotation, err = s.rotates(ctx)
		rotated <- err
	}()
	err = errors.Join(s.misbehave(ctx), <-rotated)
	s.tell("%s", rotation)
	if n > len(misdeeds()) {
		err = errors.Join(err, s.withdraws(ctx))
	}
	return err
}

// misbehave lets every issuer but the rotating one misbehave, and behave again.
func (s *issuersScenario) misbehave(ctx context.Context) error {
	before, err := s.measure(ctx, "issuers that behave", 6*time.Second)
	if err != nil {
		return err
	}
	for i, m := range misdeeds() {
		err = s.issuers[i].become(m)
		if err != nil {
			return err
		}
		s.faults++
	}
	// A fetch that hangs lasts for 5 s, and so does the pause after it: two fetches.
	during, err := s.measure(ctx, "issuers that misbehave", 16*time.Second)
	if err != nil {
		return err
	}
	return errors.Join(s.checkMeasured(before, during), s.checkFetches(), s.recovers(ctx))
}

func (s *issuersScenario) start(ctx context.Context) error {
	var err error
	s.elsewhere, err = issuer.New(issuer.Config{URL: "http://127.0.0.1:9"})
	if err != nil {
		return err
	}
	handler := s.elsewhere.Handler()
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.followed.Add(1)
		handler.ServeHTTP(w, r)
	}))
	s.later(other.Close)
	providers := make([]string, 0, len(misdeeds())+1)
	for range len(misdeeds()) + 1 {
		h, err := startHostile(other.URL)
		if err != nil {
			return err
		}
		s.later(h.close)
		s.issuers = append(s.issuers, h)
		providers = append(providers, "github="+h.URL())
	}
	s.onSQLite()
	server, err := s.newServer(ctx)
	if err != nil {
		return err
	}
	server.env = append(server.env, "TRUSTPUB_PROVIDERS="+strings.Join(providers, ","))
	err = server.start()
	if err != nil {
		return err
	}
	_, err = server.awaitReady(ctx, 30*time.Second)
	if err != nil {
		return err
	}
	for i, h := range s.issuers {
		err = s.addPublisher(fmt.Sprintf(strings.Replace(publisher, "%q", `%q,"issuer":%q`, 1), fmt.Sprintf("demo-%d", i), h.URL()))
		if err != nil {
			return err
		}
	}
	last := len(s.issuers) - 1
	s.rotating, s.issuers = s.issuers[last], s.issuers[:last]
	return nil
}

// measured is how exchanges went while issuers did something.
type measured struct {
	latencies []time.Duration
	refused   map[string]int
	flooded   int
	memory    float64 // MiB
}

// measure exchanges ID tokens of all issuers one after the other, each under a key
// that the server holds, while a flood of other ID tokens goes on: at first with
// signatures that are wrong, and when issuers misbehave under keys that nobody knows.
func (s *issuersScenario) measure(ctx context.Context, what string, d time.Duration) (measured, error) {
	m := measured{refused: map[string]int{}}
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var flood sync.WaitGroup
	var flooded atomic.Int64
	for _, h := range s.issuers {
		flood.Go(func() {
			for ctx.Err() == nil {
				s.unknown(ctx, h, what == "issuers that behave")
				flooded.Add(1)
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	var worker error
	for i := 0; ctx.Err() == nil && worker == nil; i++ {
		worker = s.one(ctx, s.issuers[i%len(s.issuers)], &m)
		time.Sleep(5 * time.Millisecond)
	}
	cancel()
	flood.Wait()
	m.flooded = int(flooded.Load())
	var err error
	m.memory, err = s.servers[0].memory()
	s.tell("%s: under known keys %s; refused %v; %d ID tokens of others; memory %.0f MiB", what, describe(m.latencies), m.refused, m.flooded, m.memory)
	return m, errors.Join(worker, err)
}

// one exchanges an ID token of an issuer under its known key.
func (s *issuersScenario) one(ctx context.Context, h *hostile, m *measured) error {
	jwt, err := h.Sign(h.GitHubClaims())
	if err != nil {
		return err
	}
	begin := time.Now()
	status, code, err := ask(ctx, s.http, s.servers[0].url(), jwt)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // The end came in between.
	}
	switch {
	case err != nil:
		return err
	case status == http.StatusOK:
		m.latencies = append(m.latencies, time.Since(begin))
	default:
		m.refused[fmt.Sprint(status, " ", code)]++
	}
	return nil
}

// unknown sends an ID token that must be refused.
func (s *issuersScenario) unknown(ctx context.Context, h *hostile, knownKey bool) {
	claims := h.GitHubClaims()
	jti, _ := claims["jti"].(string)
	option := issuer.WithHeader("kid", jti)
	if knownKey {
		option = issuer.WithHeader("typ", "JWT")
	}
	jwt, err := h.Sign(claims, option)
	if err != nil {
		return
	}
	if knownKey {
		jwt = jwt[:len(jwt)-8] + "AAAAAAAA"
	}
	_, _, _ = ask(ctx, s.http, s.servers[0].url(), jwt) // What is answered does not matter here.
}

func (s *issuersScenario) checkMeasured(before, during measured) error {
	var problems []error
	for _, m := range []measured{before, during} {
		if len(m.latencies) == 0 || len(m.refused) > 0 {
			problems = append(problems, fmt.Errorf("of the exchanges under known keys %d succeeded, and these were refused: %v", len(m.latencies), m.refused))
		}
	}
	if slowest := quantile(during.latencies, 1); slowest > gross {
		problems = append(problems, fmt.Errorf("an exchange under a known key took %s while issuers misbehaved", slowest))
	}
	if grown := during.memory - before.memory; grown > growth {
		problems = append(problems, fmt.Errorf("the server's memory grew by %.0f MiB while issuers misbehaved", grown))
	}
	return errors.Join(problems...)
}

// checkFetches makes sure that each misdeed was met, and not more often than once in
// a pause.
func (s *issuersScenario) checkFetches() error {
	var problems []error
	for i, m := range misdeeds() {
		begun := s.issuers[i].fetches()
		s.tell("%s: %d fetches", m, len(begun))
		if len(begun) == 0 && m != down {
			problems = append(problems, fmt.Errorf("%s: the server never fetched the keys, so nothing was shown", m))
		}
		for j := 1; j < len(begun); j++ {
			if gap := begun[j].Sub(begun[j-1]); gap < failureCoolDown {
				problems = append(problems, fmt.Errorf("%s: two fetches within %s", m, gap))
			}
		}
	}
	hugeOne := s.issuers[slices.Index(misdeeds(), huge)]
	s.tell("of 100 MB, the server and the buffers in between took %.1f MB a fetch", float64(hugeOne.sent.Load())/float64(max(1, len(hugeOne.fetches())))/1e6)
	if followed := s.followed.Load(); followed > 0 {
		problems = append(problems, fmt.Errorf("the server followed a redirect of an issuer %d times", followed))
	}
	return errors.Join(problems...)
}
