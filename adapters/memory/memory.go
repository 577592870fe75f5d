// Package memory keeps trustpub's data in maps: for tests, and for a server that may
// forget everything at its end.
package memory

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// Store implements the storage ports. It is safe for concurrent use.
type Store struct {
	mu      sync.Mutex
	lastID  int64
	configs []domain.GitHubConfig // by ascending ID
	tokens  map[domain.TokenHash]domain.AccessToken
	used    map[usedKey]usedJTI
}

type usedKey struct{ issuer, id string }

type usedJTI struct {
	hash      domain.TokenHash
	expiresAt time.Time
}

var (
	_ application.ConfigFinder      = (*Store)(nil)
	_ application.GitHubConfigStore = (*Store)(nil)
	_ application.TokenStore        = (*Store)(nil)
	_ application.ExpiredRemover    = (*Store)(nil)
)

// New returns an empty store.
func New() *Store {
	return &Store{tokens: map[domain.TokenHash]domain.AccessToken{}, used: map[usedKey]usedJTI{}}
}

// FindConfigs implements [application.ConfigFinder].
func (s *Store) FindConfigs(ctx context.Context, claims domain.Claims) ([]domain.Config, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []domain.Config
	for _, c := range s.configs {
		if claims.Provider() == domain.ProviderGitHub && c.Issuer() == claims.Issuer() && c.Repository().Key() == claims.Repository().Key() {
			found = append(found, c)
		}
	}
	return found, nil
}

// CreateGitHubConfig implements [application.GitHubConfigStore].
func (s *Store) CreateGitHubConfig(ctx context.Context, config domain.GitHubConfig, limit int) (domain.GitHubConfig, error) {
	if ctx.Err() != nil {
		return domain.GitHubConfig{}, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ofPackage := 0
	for _, other := range s.configs {
		if other.Package() != config.Package() {
			continue
		}
		ofPackage++
		if same(other, config) {
			return domain.GitHubConfig{}, domain.DuplicateConfig()
		}
	}
	if ofPackage >= limit {
		return domain.GitHubConfig{}, domain.TooManyConfigs(ofPackage)
	}
	s.lastID++
	stored := config.WithID(s.lastID)
	s.configs = append(s.configs, stored)
	return stored, nil
}

// same reports whether two configs of one package are identical.
func same(a, b domain.GitHubConfig) bool {
	return a.Issuer() == b.Issuer() && a.Repository().Key() == b.Repository().Key() && a.OwnerID() == b.OwnerID() &&
		a.WorkflowFilename() == b.WorkflowFilename() && a.EnvironmentKey() == b.EnvironmentKey()
}

// GitHubConfig implements [application.GitHubConfigStore].
func (s *Store) GitHubConfig(ctx context.Context, id int64) (domain.GitHubConfig, error) {
	if ctx.Err() != nil {
		return domain.GitHubConfig{}, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.index(id)
	if i < 0 {
		return domain.GitHubConfig{}, domain.ConfigNotFound(id)
	}
	return s.configs[i], nil
}

func (s *Store) index(id int64) int {
	return slices.IndexFunc(s.configs, func(c domain.GitHubConfig) bool { return c.ID() == id })
}

// ListGitHubConfigs implements [application.GitHubConfigStore].
func (s *Store) ListGitHubConfigs(ctx context.Context, query application.ListQuery) (application.GitHubConfigPage, error) {
	if ctx.Err() != nil {
		return application.GitHubConfigPage{}, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var page application.GitHubConfigPage
	for _, c := range s.configs {
		if query.Package != (domain.Package{}) && c.Package() != query.Package {
			continue
		}
		page.Total++
		switch {
		case c.ID() <= query.After:
		case len(page.Configs) == query.Limit:
			page.More = true
		default:
			page.Configs = append(page.Configs, c)
		}
	}
	return page, nil
}

// DeleteGitHubConfig implements [application.GitHubConfigStore].
func (s *Store) DeleteGitHubConfig(ctx context.Context, id int64) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.index(id)
	if i < 0 {
		return domain.ConfigNotFound(id)
	}
	s.configs = slices.Delete(s.configs, i, i+1)
	return nil
}

// SaveToken implements [application.TokenStore].
func (s *Store) SaveToken(ctx context.Context, token domain.AccessToken, jti domain.UsedJTI) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := usedKey{jti.Issuer, jti.ID}
	if used, ok := s.used[key]; ok {
		if used.hash == token.Hash {
			return nil
		}
		return domain.AlreadyUsed()
	}
	if _, taken := s.tokens[token.Hash]; taken {
		return errors.New("save token: its hash is taken")
	}
	s.used[key] = usedJTI{hash: token.Hash, expiresAt: jti.ExpiresAt}
	s.tokens[token.Hash] = clone(token)
	return nil
}

// FindToken implements [application.TokenStore].
func (s *Store) FindToken(ctx context.Context, hash domain.TokenHash) (domain.AccessToken, error) {
	if ctx.Err() != nil {
		return domain.AccessToken{}, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	token, ok := s.tokens[hash]
	if !ok {
		return domain.AccessToken{}, domain.TokenNotFound()
	}
	token = clone(token)
	token.Grants = slices.DeleteFunc(token.Grants, func(g domain.Grant) bool {
		return g.Provider != domain.ProviderGitHub || s.index(g.ConfigID) < 0
	})
	return token, nil
}

// RevokeToken implements [application.TokenStore].
func (s *Store) RevokeToken(ctx context.Context, hash domain.TokenHash, at time.Time) (bool, error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	token, ok := s.tokens[hash]
	if !ok || !token.RevokedAt.IsZero() {
		return false, nil
	}
	token.RevokedAt = at.UTC()
	s.tokens[hash] = token
	return true, nil
}

// RemoveExpired implements [application.ExpiredRemover].
func (s *Store) RemoveExpired(ctx context.Context, before time.Time, limit int) (int, error) {
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	removed := removeSome(s.tokens, limit, func(t domain.AccessToken) bool { return t.ExpiresAt.Before(before) })
	removed += removeSome(s.used, limit, func(u usedJTI) bool { return u.expiresAt.Before(before) })
	return removed, nil
}

// removeSome deletes at most limit values that are expired.
func removeSome[K comparable, V any](m map[K]V, limit int, expired func(V) bool) int {
	removed := 0
	for key, value := range m {
		if removed < limit && expired(value) {
			delete(m, key)
			removed++
		}
	}
	return removed
}

// clone keeps what is stored apart from what callers hold.
func clone(t domain.AccessToken) domain.AccessToken {
	t.Grants = slices.Clone(t.Grants)
	t.Publisher = maps.Clone(t.Publisher)
	return t
}
