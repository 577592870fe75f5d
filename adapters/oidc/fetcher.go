package oidc

import (
	"context"
	"crypto"
	"fmt"
	"log/slog"

	"github.com/go-jose/go-jose/v4/json"

	"github.com/trustpub/trustpub/adapters/remotekeys"
	"github.com/trustpub/trustpub/domain"
)

const (
	// maxDocument bounds a document of an issuer; GitHub's key set has about 5 KiB.
	maxDocument = 1 << 20
	// accepted are the media types of an issuer's documents.
	accepted = "application/json, application/jwk-set+json"
)

// fetcher fetches the key set of one issuer.
type fetcher struct {
	issuer string
	client *remotekeys.Client
	filter keyFilter
}

func newFetcher(cfg RemoteKeySetConfig) (*fetcher, error) {
	err := domain.ValidateIssuer(cfg.Issuer)
	if err != nil {
		return nil, fmt.Errorf("oidc: %w", err)
	}
	algorithms, err := asymmetric(cfg.Algorithms)
	if err != nil {
		return nil, fmt.Errorf("oidc: issuer %q: %w", cfg.Issuer, err)
	}
	client, err := remotekeys.NewClient(cfg.Transport)
	if err != nil {
		return nil, fmt.Errorf("oidc: %w", err)
	}
	return &fetcher{
		issuer: cfg.Issuer,
		client: client,
		filter: keyFilter{algorithms: algorithms, logger: cfg.Logger.With(slog.String("issuer", cfg.Issuer))},
	}, nil
}

// fetch returns the issuer's usable keys by their IDs, at least one.
func (f *fetcher) fetch(ctx context.Context) (map[string]crypto.PublicKey, error) {
	keySetURL, err := f.discover(ctx)
	if err != nil {
		return nil, fmt.Errorf("discovery: %w", err)
	}
	document, err := f.client.Get(ctx, keySetURL, accepted, maxDocument)
	if err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	keys, err := f.filter.parse(ctx, document)
	if err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	return keys, nil
}

// discover returns the URL of the key set (OpenID Connect Discovery 1.0 section 4).
func (f *fetcher) discover(ctx context.Context) (string, error) {
	document, err := f.client.Get(ctx, f.issuer+"/.well-known/openid-configuration", accepted, maxDocument)
	if err != nil {
		return "", err
	}
	var configuration struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	err = json.Unmarshal(document, &configuration)
	if err != nil {
		return "", fmt.Errorf("decode: %w", err)
	}
	if configuration.Issuer != f.issuer {
		return "", fmt.Errorf("the document is that of the issuer %q", printable(configuration.Issuer))
	}
	err = domain.ValidateKeySetURL(configuration.JWKSURI)
	if err != nil {
		return "", err
	}
	return configuration.JWKSURI, nil
}
