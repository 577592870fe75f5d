package httpapi_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/httpapi/cratesio"
	"github.com/trustpub/trustpub/adapters/memory"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// verdicts is a Verifier that knows some ID tokens by heart.
type verdicts map[string]func() (domain.Claims, error)

func (v verdicts) Verify(_ context.Context, idToken string) (domain.Claims, error) {
	verdict, known := v[idToken]
	if !known {
		return domain.Claims{}, domain.Refuse(domain.CodeMalformedJWT, "The ID token is no JWT.")
	}
	return verdict()
}

// store is the store in memory, which fails with down when that is set.
type store struct {
	*memory.Store

	mu     sync.Mutex
	down   error
	tokens int // How many were saved.
}

func newStore() *store { return &store{Store: memory.New()} }

func (s *store) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = err
}

func (s *store) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down
}

// configs returns how many configs there are.
func (s *store) configs(t *testing.T) int {
	t.Helper()
	page, err := s.Store.ListConfigs(t.Context(), application.ListQuery{Limit: 1})
	require.NoError(t, err)
	return page.Total
}

func (s *store) FindConfigs(ctx context.Context, claims domain.Claims) ([]domain.Config, error) {
	found, err := s.Store.FindConfigs(ctx, claims)
	return found, errors.Join(s.err(), err)
}

func (s *store) CreateConfig(ctx context.Context, config domain.Config, limit int) (domain.Config, error) {
	if err := s.err(); err != nil {
		return nil, err
	}
	return s.Store.CreateConfig(ctx, config, limit)
}

func (s *store) Config(ctx context.Context, id int64) (domain.Config, error) {
	if err := s.err(); err != nil {
		return nil, err
	}
	return s.Store.Config(ctx, id)
}

func (s *store) ListConfigs(ctx context.Context, query application.ListQuery) (application.ConfigPage, error) {
	if err := s.err(); err != nil {
		return application.ConfigPage{}, err
	}
	return s.Store.ListConfigs(ctx, query)
}

func (s *store) DeleteConfig(ctx context.Context, id int64) error {
	if err := s.err(); err != nil {
		return err
	}
	return s.Store.DeleteConfig(ctx, id)
}

func (s *store) SaveToken(ctx context.Context, token domain.AccessToken, jti domain.UsedJTI, pins []domain.Pin) error {
	if err := s.err(); err != nil {
		return err
	}
	err := s.Store.SaveToken(ctx, token, jti, pins)
	if err == nil {
		s.mu.Lock()
		s.tokens++
		s.mu.Unlock()
	}
	return err
}

func (s *store) FindToken(ctx context.Context, hash domain.TokenHash) (domain.AccessToken, error) {
	if err := s.err(); err != nil {
		return domain.AccessToken{}, err
	}
	return s.Store.FindToken(ctx, hash)
}

func (s *store) RevokeToken(ctx context.Context, hash domain.TokenHash, at time.Time) (bool, error) {
	if err := s.err(); err != nil {
		return false, err
	}
	return s.Store.RevokeToken(ctx, hash, at)
}

// accounts is an OwnerLookup that knows some accounts of GitHub.
type accounts map[string]int64

func (a accounts) OwnerID(_ context.Context, _, login string) (int64, error) {
	id, known := a[login]
	if !known {
		return 0, domain.Invalid(domain.CodeUnknownOwner, "GitHub knows no account of that name.")
	}
	return id, nil
}

// operator owns all packages but "others".
type operator struct{}

func (operator) MayManage(_ context.Context, _ application.Actor, pkg domain.Package) error {
	if pkg.Name == "others" {
		return &domain.Error{Kind: domain.KindForbidden, Code: domain.CodeForbidden, Message: "You do not own this package."}
	}
	return nil
}

// silent is an Auditor that forgets.
type silent struct{}

func (silent) Record(context.Context, application.Event) {}

var errDown = errors.New("dial tcp: connection refused")

// paramsKeeper is a PublisherService that keeps what configs it was asked to make.
type paramsKeeper struct {
	cratesio.Publishers
	asked *domain.ConfigParams
}

func (p paramsKeeper) CreateConfig(ctx context.Context, actor application.Actor, params domain.ConfigParams) (domain.Config, error) {
	*p.asked = params
	return p.Publishers.CreateConfig(ctx, actor, params)
}

// signatures is a Verifier of messages that knows one signature, of one key, by heart.
type signatures struct{}

func (signatures) Verify(_ context.Context, keyID, signature string, _ []byte) error {
	switch {
	case keyID == "keyless":
		return domain.Unavailable(domain.CodeWebhookKeysUnavailable, errDown, "The public keys can't be loaded right now.")
	case keyID != "key" || signature != "signed":
		return domain.Refuse(domain.CodeInvalidWebhookSignature, "The signature is not that of the key.")
	}
	return nil
}
