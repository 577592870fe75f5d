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
	configs []domain.Config // by ascending ID
	tokens  map[domain.TokenHash]domain.AccessToken
	used    map[usedKey]usedJTI
}

type usedKey struct{ issuer, id string }

type usedJTI struct {
	hash      domain.TokenHash
	expiresAt time.Time
}

var (
	_ application.ConfigFinder   = (*Store)(nil)
	_ application.ConfigStore    = (*Store)(nil)
	_ application.TokenStore     = (*Store)(nil)
	_ application.ExpiredRemover = (*Store)(nil)
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
	var found, renamed []domain.Config
	for _, config := range s.configs {
		common := config.Common()
		switch {
		case common.Provider != claims.Provider(), common.Issuer != claims.Issuer():
		case common.Key == claims.Key():
			found = append(found, config)
		case len(common.Pinned) > 0 && maps.Equal(common.Pinned, claims.IDs()):
			renamed = append(renamed, config)
		}
	}
	if len(found) == 0 {
		return renamed, nil
	}
	return found, nil
}

// CreateConfig implements [application.ConfigStore].
func (s *Store) CreateConfig(ctx context.Context, config domain.Config, limit int) (domain.Config, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ofPackage := 0
	for _, other := range s.configs {
		if other.Common().Package != config.Common().Package {
			continue
		}
		ofPackage++
		if other.Identity() == config.Identity() {
			return nil, domain.DuplicateConfig()
		}
	}
	if ofPackage >= limit {
		return nil, domain.TooManyConfigs(ofPackage)
	}
	s.lastID++
	stored := config.Stored(s.lastID, config.Common().Pinned)
	s.configs = append(s.configs, stored)
	return stored, nil
}

// Config implements [application.ConfigStore].
func (s *Store) Config(ctx context.Context, id int64) (domain.Config, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.index(id)
	if i < 0 {
		return nil, domain.ConfigNotFound(id)
	}
	return s.configs[i], nil
}

func (s *Store) index(id int64) int {
	return slices.IndexFunc(s.configs, func(c domain.Config) bool { return c.Common().ID == id })
}

// ListConfigs implements [application.ConfigStore].
func (s *Store) ListConfigs(ctx context.Context, query application.ListQuery) (application.ConfigPage, error) {
	if ctx.Err() != nil {
		return application.ConfigPage{}, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var page application.ConfigPage
	for _, config := range s.configs {
		common := config.Common()
		if query.Package != (domain.Package{}) && common.Package != query.Package ||
			query.Kind != "" && domain.ConfigKindFor(common.Provider) != query.Kind {
			continue
		}
		page.Total++
		switch {
		case common.ID <= query.After:
		case len(page.Configs) == query.Limit:
			page.More = true
		default:
			page.Configs = append(page.Configs, config)
		}
	}
	return page, nil
}

// DeleteConfig implements [application.ConfigStore].
func (s *Store) DeleteConfig(ctx context.Context, id int64) error {
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
func (s *Store) SaveToken(ctx context.Context, token domain.AccessToken, jti domain.UsedJTI, pins []domain.Pin) error {
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
	pinned, err := s.pinned(pins)
	if err != nil {
		return err
	}
	for i, config := range pinned {
		s.configs[i] = config
	}
	s.used[key] = usedJTI{hash: token.Hash, expiresAt: jti.ExpiresAt}
	s.tokens[token.Hash] = clone(token)
	return nil
}

// pinned returns the configs that pins change, by their index.
func (s *Store) pinned(pins []domain.Pin) (map[int]domain.Config, error) {
	changed := map[int]domain.Config{}
	for _, p := range pins {
		i := s.index(p.ConfigID)
		if i < 0 {
			continue
		}
		now := s.configs[i].Common().Pinned
		if !maps.Equal(now, p.Before) && !maps.Equal(now, p.After) {
			return nil, domain.PinnedMeanwhile()
		}
		changed[i] = s.configs[i].Stored(p.ConfigID, p.After)
	}
	return changed, nil
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
		i := s.index(g.ConfigID)
		return i < 0 || s.configs[i].Common().Provider != g.Provider
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
	return t
}
