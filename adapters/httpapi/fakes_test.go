package httpapi_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

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

// store keeps everything in memory, and fails with down when that is set.
type store struct {
	mu      sync.Mutex
	down    error
	lastID  int64
	configs []domain.GitHubConfig
	tokens  map[domain.TokenHash]domain.AccessToken
	used    map[domain.UsedJTI]bool
}

func newStore() *store {
	return &store{tokens: map[domain.TokenHash]domain.AccessToken{}, used: map[domain.UsedJTI]bool{}}
}

func (s *store) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = err
}

func (s *store) lock() (unlock func(), err error) {
	s.mu.Lock()
	return s.mu.Unlock, s.down
}

func (s *store) FindConfigs(_ context.Context, claims domain.Claims) ([]domain.Config, error) {
	unlock, err := s.lock()
	defer unlock()
	var found []domain.Config
	for i := range s.configs {
		c := s.configs[i]
		if c.Issuer() == claims.Issuer() && c.Repository().Key() == claims.Repository().Key() {
			found = append(found, c)
		}
	}
	return found, err
}

func (s *store) CreateGitHubConfig(_ context.Context, config domain.GitHubConfig, limit int) (domain.GitHubConfig, error) {
	unlock, err := s.lock()
	defer unlock()
	if err != nil {
		return domain.GitHubConfig{}, err
	}
	count := 0
	for i := range s.configs {
		c := s.configs[i]
		if c.Package() != config.Package() {
			continue
		}
		count++
		if c.Repository().Key() == config.Repository().Key() && c.WorkflowFilename() == config.WorkflowFilename() && c.EnvironmentKey() == config.EnvironmentKey() {
			return domain.GitHubConfig{}, &domain.Error{Kind: domain.KindConflict, Code: domain.CodeDuplicateConfig, Message: "There is an identical publisher."}
		}
	}
	if count >= limit {
		return domain.GitHubConfig{}, &domain.Error{Kind: domain.KindConflict, Code: domain.CodeTooManyConfigs, Message: "The package has all the publishers that it may have."}
	}
	s.lastID++
	params := domain.GitHubConfigParams{
		ID: s.lastID, CreatedAt: config.CreatedAt(), Package: config.Package(), Issuer: config.Issuer(),
		Owner: config.Repository().Owner, Repository: config.Repository().Name, OwnerID: config.OwnerID(),
		WorkflowFilename: config.WorkflowFilename(),
	}
	if environment, ok := config.Environment(); ok {
		params.Environment = &environment
	}
	stored, err := domain.NewGitHubConfig(params)
	if err == nil {
		s.configs = append(s.configs, stored)
	}
	return stored, err
}

func (s *store) find(id int64) (int, error) {
	i := slices.IndexFunc(s.configs, func(c domain.GitHubConfig) bool { return c.ID() == id })
	if i < 0 {
		return 0, &domain.Error{Kind: domain.KindNotFound, Code: domain.CodeNotFound, Message: "There is no publisher config with that ID."}
	}
	return i, nil
}

func (s *store) GitHubConfig(_ context.Context, id int64) (domain.GitHubConfig, error) {
	unlock, err := s.lock()
	defer unlock()
	if err != nil {
		return domain.GitHubConfig{}, err
	}
	i, err := s.find(id)
	if err != nil {
		return domain.GitHubConfig{}, err
	}
	return s.configs[i], nil
}

func (s *store) ListGitHubConfigs(_ context.Context, query application.ListQuery) (application.GitHubConfigPage, error) {
	unlock, err := s.lock()
	defer unlock()
	var page application.GitHubConfigPage
	for i := range s.configs {
		c := s.configs[i]
		if c.Package() != query.Package {
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
	return page, err
}

func (s *store) DeleteGitHubConfig(_ context.Context, id int64) error {
	unlock, err := s.lock()
	defer unlock()
	if err != nil {
		return err
	}
	i, err := s.find(id)
	if err != nil {
		return err
	}
	s.configs = slices.Delete(s.configs, i, i+1)
	return nil
}

func (s *store) SaveToken(_ context.Context, token domain.AccessToken, jti domain.UsedJTI) error {
	unlock, err := s.lock()
	defer unlock()
	if err != nil {
		return err
	}
	if s.used[jti] {
		return domain.Refuse(domain.CodeAlreadyUsed, "The ID token was used before. Ask the CI provider for another.")
	}
	s.used[jti], s.tokens[token.Hash] = true, token
	return nil
}

func (s *store) FindToken(_ context.Context, hash domain.TokenHash) (domain.AccessToken, error) {
	unlock, err := s.lock()
	defer unlock()
	token, known := s.tokens[hash]
	if err == nil && !known {
		err = &domain.Error{Kind: domain.KindNotFound, Code: domain.CodeNotFound, Message: "There is no such token."}
	}
	return token, err
}

func (s *store) RevokeToken(_ context.Context, hash domain.TokenHash, at time.Time) (bool, error) {
	unlock, err := s.lock()
	defer unlock()
	token, known := s.tokens[hash]
	if err != nil || !known || !token.RevokedAt.IsZero() {
		return false, err
	}
	token.RevokedAt = at
	s.tokens[hash] = token
	return true, nil
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
