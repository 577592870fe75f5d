package githubkeys

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/trustpub/trustpub/adapters/remotekeys"
	"github.com/trustpub/trustpub/adapters/strictjson"
	"github.com/trustpub/trustpub/domain"
)

// maxDocument bounds the answer in bytes; GitHub's has about 1 KiB.
const maxDocument = 256 << 10

// fetcher fetches the keys.
type fetcher struct {
	url    string
	client *remotekeys.Client
	logger *slog.Logger
}

func newFetcher(cfg Config) (*fetcher, error) {
	err := domain.ValidateKeySetURL(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("githubkeys: %w", err)
	}
	client, err := remotekeys.NewClient(cfg.Transport)
	if err != nil {
		return nil, fmt.Errorf("githubkeys: %w", err)
	}
	return &fetcher{url: cfg.URL, client: client, logger: cfg.Logger}, nil
}

// fetch returns the usable keys that are current, by their IDs. None is no error where
// GitHub says of its keys that they are not current.
func (f *fetcher) fetch(ctx context.Context) (map[string]*ecdsa.PublicKey, error) {
	document, err := f.client.Get(ctx, f.url, "application/vnd.github+json, application/json", maxDocument)
	if err != nil {
		return nil, err
	}
	return f.parse(ctx, document)
}

// parse reads {"public_keys":[{"key_identifier":"…","key":"a PEM block","is_current":true}]}.
// One key that is unusable leaves the others usable, but two of one ID make the answer
// unusable: nobody could say which of them is meant.
func (f *fetcher) parse(ctx context.Context, document []byte) (map[string]*ecdsa.PublicKey, error) {
	object, err := strictjson.Object(document)
	if err != nil {
		return nil, fmt.Errorf("decode answer: %w", err)
	}
	entries, ok := object["public_keys"].([]any)
	if !ok {
		return nil, errors.New("the answer has no array public_keys")
	}
	current := map[string]*ecdsa.PublicKey{}
	seen := map[string]bool{}
	usable := 0
	for _, entry := range entries {
		k, err := parseKey(entry)
		if err != nil {
			f.logger.WarnContext(ctx, "a public key of secret scanning is skipped", slog.Any("error", err))
			continue
		}
		if seen[k.id] {
			return nil, errors.New("the answer has two keys with one key_identifier")
		}
		seen[k.id] = true
		usable++
		if k.isCurrent {
			current[k.id] = k.public
		}
	}
	if usable == 0 {
		return nil, errors.New("the answer has no usable key")
	}
	return current, nil
}

// publicKey is one key of the answer.
type publicKey struct {
	id        string
	public    *ecdsa.PublicKey
	isCurrent bool
}

func parseKey(entry any) (publicKey, error) {
	object, ok := entry.(map[string]any)
	if !ok {
		return publicKey{}, errors.New("the key is no object")
	}
	id, _ := object["key_identifier"].(string)
	text, _ := object["key"].(string)
	isCurrent, ok := object["is_current"].(bool)
	if id == "" || text == "" || !ok {
		return publicKey{}, errors.New("the key lacks key_identifier, key or is_current")
	}
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "PUBLIC KEY" || strings.TrimSpace(string(rest)) != "" {
		return publicKey{}, errors.New("the key is not one PEM block of type PUBLIC KEY")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return publicKey{}, fmt.Errorf("parse key: %w", err)
	}
	public, ok := parsed.(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() {
		return publicKey{}, errors.New("the key is not one for ECDSA on P-256")
	}
	return publicKey{id: id, public: public, isCurrent: isCurrent}, nil
}
