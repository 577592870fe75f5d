package oidc

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4/json"

	"github.com/trustpub/trustpub/domain"
)

const (
	// requestTimeout bounds one request to an issuer, reading the answer included.
	requestTimeout = 5 * time.Second
	// maxDocument bounds a document of an issuer; GitHub's key set has about 5 KiB.
	maxDocument = 1 << 20
	// maxHeader bounds the header of an answer.
	maxHeader = 64 << 10
)

// fetcher fetches the key set of one issuer.
type fetcher struct {
	issuer string
	client *http.Client
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
	transport := cfg.Transport
	if transport == nil {
		own, ok := http.DefaultTransport.(*http.Transport) //nolint:forbidigo // Its settings are copied, and it is not used.
		if !ok {
			return nil, errors.New("oidc: http.DefaultTransport was replaced; set Transport")
		}
		own = own.Clone()
		own.DisableKeepAlives = true
		own.MaxResponseHeaderBytes = maxHeader
		transport = own
	}
	return &fetcher{
		issuer: cfg.Issuer,
		client: &http.Client{
			Transport: transport,
			Timeout:   requestTimeout,
			// A redirect could lead to a host that the issuer does not vouch for.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		filter: keyFilter{algorithms: algorithms, logger: cfg.Logger.With(slog.String("issuer", cfg.Issuer))},
	}, nil
}

// fetch returns the issuer's usable keys by their IDs, at least one.
func (f *fetcher) fetch(ctx context.Context) (map[string]crypto.PublicKey, error) {
	keySetURL, err := f.discover(ctx)
	if err != nil {
		return nil, fmt.Errorf("discovery: %w", err)
	}
	document, err := f.get(ctx, keySetURL)
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
	document, err := f.get(ctx, f.issuer+"/.well-known/openid-configuration")
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

func (f *fetcher) get(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	request.Header.Set("Accept", "application/json, application/jwk-set+json")
	request.Header.Set("User-Agent", "trustpub")
	response, err := f.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask the issuer: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the issuer answered with status %d", response.StatusCode)
	}
	document, err := io.ReadAll(io.LimitReader(response.Body, maxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	if len(document) > maxDocument {
		return nil, errors.New("the answer is larger than 1 MiB")
	}
	return document, nil
}
