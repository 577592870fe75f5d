package application_test

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/memory"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest"
)

// errDown is what a dependency says that is down: nothing that a client may see.
var errDown = errors.New("dial tcp 10.0.0.1:5432: connection refused")

// verifier knows some ID tokens, and refuses every other.
type verifier struct {
	known map[string]domain.Claims
	err   error // What it answers instead; nil for nothing.
}

func (v *verifier) Verify(_ context.Context, idToken string) (domain.Claims, error) {
	if v.err != nil {
		return domain.Claims{}, v.err
	}
	claims, ok := v.known[idToken]
	if !ok {
		return domain.Claims{}, domain.Refuse(domain.CodeMalformedJWT, "The ID token is no JWT.")
	}
	return claims, nil
}

// store is the store in memory, whose operations fail on demand, by their names.
type store struct {
	*memory.Store

	fails map[string]error
	// saves counts the calls of SaveToken.
	saves int
	// created is the config that it was last asked to create.
	created domain.Config
}

func (s *store) FindConfigs(ctx context.Context, claims domain.Claims) ([]domain.Config, error) {
	if err := s.fails["FindConfigs"]; err != nil {
		return nil, err
	}
	return s.Store.FindConfigs(ctx, claims)
}

func (s *store) SaveToken(ctx context.Context, token domain.AccessToken, jti domain.UsedJTI, pins []domain.Pin) error {
	s.saves++
	if err := s.fails["SaveToken"]; err != nil {
		return err
	}
	return s.Store.SaveToken(ctx, token, jti, pins)
}

func (s *store) FindToken(ctx context.Context, hash domain.TokenHash) (domain.AccessToken, error) {
	if err := s.fails["FindToken"]; err != nil {
		return domain.AccessToken{}, err
	}
	return s.Store.FindToken(ctx, hash)
}

func (s *store) RevokeToken(ctx context.Context, hash domain.TokenHash, at time.Time) (bool, error) {
	if err := s.fails["RevokeToken"]; err != nil {
		return false, err
	}
	return s.Store.RevokeToken(ctx, hash, at)
}

func (s *store) CreateConfig(ctx context.Context, config domain.Config, limit int) (domain.Config, error) {
	s.created = config
	if err := s.fails["CreateConfig"]; err != nil {
		return nil, err
	}
	return s.Store.CreateConfig(ctx, config, limit)
}

func (s *store) Config(ctx context.Context, id int64) (domain.Config, error) {
	if err := s.fails["Config"]; err != nil {
		return nil, err
	}
	return s.Store.Config(ctx, id)
}

func (s *store) ListConfigs(ctx context.Context, query application.ListQuery) (application.ConfigPage, error) {
	if err := s.fails["ListConfigs"]; err != nil {
		return application.ConfigPage{}, err
	}
	return s.Store.ListConfigs(ctx, query)
}

func (s *store) DeleteConfig(ctx context.Context, id int64) error {
	if err := s.fails["DeleteConfig"]; err != nil {
		return err
	}
	return s.Store.DeleteConfig(ctx, id)
}

// auditor remembers what it was told.
type auditor struct {
	mu     sync.Mutex
	events []application.Event
}

func (a *auditor) Record(_ context.Context, event application.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events = append(a.events, event)
}

// only returns the one event that was recorded, and forgets it.
func (a *auditor) only(t *testing.T) application.Event {
	t.Helper()
	require.Len(t, a.events, 1)
	event := a.events[0]
	a.events = nil
	return event
}

// world is the use cases around one store, with a clock that stands still until it is
// moved. octo-org/octo-repo exchanges "jwt", "jwt2" and "no-publisher".
type world struct {
	now      time.Time
	verifier *verifier
	store    *store
	auditor  *auditor
	exchange *application.ExchangeService
	tokens   *application.TokenService
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		now: trustpubtest.Now(),
		verifier: &verifier{known: map[string]domain.Claims{
			"jwt":  trustpubtest.NewClaims(t),
			"jwt2": trustpubtest.NewClaims(t),
			"no-publisher": trustpubtest.NewClaims(t, func(_ *domain.Registered, w *domain.Workload) {
				w.Repository.Name = "unheard-of"
			}),
			"other-workflow": trustpubtest.NewClaims(t, func(_ *domain.Registered, w *domain.Workload) { w.Workflow = "ci.yml" }),
		}},
		store:   &store{Store: memory.New(), fails: map[string]error{}},
		auditor: &auditor{},
	}
	var err error
	w.exchange, err = application.NewExchangeService(w.exchangeConfig(t))
	require.NoError(t, err)
	w.tokens, err = application.NewTokenService(w.tokenConfig(t))
	require.NoError(t, err)
	return w
}

func (w *world) exchangeConfig(t *testing.T) application.ExchangeConfig {
	t.Helper()
	return application.ExchangeConfig{
		Verifier: w.verifier, Configs: w.store, Tokens: w.store, Auditor: w.auditor,
		Prefix: newPrefix(t), Now: func() time.Time { return w.now }, Rand: rand.Reader,
	}
}

func (w *world) tokenConfig(t *testing.T) application.TokenConfig {
	t.Helper()
	return application.TokenConfig{
		Tokens: w.store, Auditor: w.auditor, Prefixes: []domain.TokenPrefix{newPrefix(t)}, Now: func() time.Time { return w.now },
	}
}

// trust lets the workload publish the packages, and returns the configs' IDs.
func (w *world) trust(t *testing.T, packages ...string) []int64 {
	t.Helper()
	var ids []int64
	for _, name := range packages {
		config := trustpubtest.NewGitHubConfig(t, func(p *domain.GitHubConfigParams) { p.Package.Name = name })
		stored, err := w.store.Store.CreateConfig(t.Context(), config, 5)
		require.NoError(t, err)
		ids = append(ids, stored.Common().ID)
	}
	return ids
}

// issue exchanges "jwt" for a token and forgets the audit event of it.
func (w *world) issue(t *testing.T) application.Issued {
	t.Helper()
	issued, err := w.exchange.Exchange(t.Context(), application.ExchangeRequest{IDToken: "jwt"})
	require.NoError(t, err)
	w.auditor.events = nil
	return issued
}

func newPrefix(t *testing.T) domain.TokenPrefix {
	t.Helper()
	prefix, err := domain.NewTokenPrefix(domain.DefaultTokenPrefix)
	require.NoError(t, err)
	return prefix
}

func cargo(name string) domain.Package { return domain.Package{Ecosystem: "cargo", Name: name} }

// requireError fails the test unless err is of that kind and code, and shows the
// client nothing of errDown.
func requireError(t *testing.T, err error, kind domain.Kind, code domain.Code) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, code, domain.CodeOf(err), "code of %v", err)
	require.Equal(t, kind, domain.KindOf(err), "kind of %v", err)
	require.NotContains(t, domain.MessageOf(err), "10.0.0.1")
}
