package oidc

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

// Bounds of an RSA key: below, it can be broken; above, verifying is slow enough
// to be an attack. The upper one is go-jose's, which a host program could change.
const (
	minRSABits = 2048
	maxRSABits = 4096
)

// keyFilter takes a key set apart and keeps what can verify an ID token of its
// issuer.
type keyFilter struct {
	algorithms []algorithm
	logger     *slog.Logger
}

// jwk is what is looked at of a JSON Web Key (RFC 7517) before it is decoded.
type jwk struct {
	KeyID      string   `json:"kid"`
	Use        string   `json:"use"`
	Operations []string `json:"key_ops"`
	Algorithm  string   `json:"alg"`
}

// parse returns the usable keys of a key set by their IDs. Keys are decoded one by
// one, so that one that can't be used never disables its neighbours. Of different
// keys with one ID none is kept, as it can't be told which one is meant. A set
// without a usable key is an error.
func (f keyFilter) parse(ctx context.Context, document []byte) (map[string]crypto.PublicKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	err := json.Unmarshal(document, &set)
	if err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	keys := map[string]crypto.PublicKey{}
	ambiguous := map[string]bool{}
	for i, raw := range set.Keys {
		id, key, err := f.key(raw)
		if err != nil {
			f.logger.DebugContext(ctx, "skipped a key of the key set", slog.Int("index", i), slog.String("key_id", printable(id)), slog.Any("reason", err))
			continue
		}
		first, taken := keys[id]
		if taken && !key.Equal(first) {
			ambiguous[id] = true
		}
		keys[id] = key
	}
	for id := range ambiguous {
		f.logger.WarnContext(ctx, "skipped different keys that share one ID", slog.String("key_id", printable(id)))
		delete(keys, id)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("none of its %d keys can be used", len(set.Keys))
	}
	return keys, nil
}

// publicKey is what the public keys of the standard library have in common.
type publicKey interface {
	Equal(other crypto.PublicKey) bool
}

// key decodes one key, or says why it is skipped.
func (f keyFilter) key(raw json.RawMessage) (string, publicKey, error) {
	var head jwk
	err := json.Unmarshal(raw, &head)
	if err != nil {
		return "", nil, err
	}
	switch {
	case head.KeyID == "" || len(head.KeyID) > maxKeyID:
		return head.KeyID, nil, errors.New("no usable key ID")
	case head.Use != "" && head.Use != "sig":
		return head.KeyID, nil, fmt.Errorf("its use is %q", printable(head.Use))
	case head.Operations != nil && !slices.Contains(head.Operations, "verify"):
		return head.KeyID, nil, errors.New("it is not for verifying")
	case head.Algorithm != "" && !slices.Contains(names(f.algorithms), head.Algorithm):
		return head.KeyID, nil, fmt.Errorf("its algorithm is %q", printable(head.Algorithm))
	}
	var full jose.JSONWebKey
	err = full.UnmarshalJSON(raw)
	if err != nil {
		return head.KeyID, nil, err
	}
	key, ok := full.Key.(publicKey)
	if !ok || !f.fits(key) {
		return head.KeyID, nil, errors.New("its type or its size is not usable")
	}
	return head.KeyID, key, nil
}

// fits reports whether an algorithm of the issuer can use the key.
func (f keyFilter) fits(key publicKey) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		bits := k.N.BitLen()
		return f.uses("RS", "PS") && bits >= minRSABits && bits <= maxRSABits && k.E >= 3 && k.E%2 == 1
	case *ecdsa.PublicKey:
		return f.uses("ES")
	}
	return false
}

// uses reports whether an algorithm of the issuer begins with one of the families.
func (f keyFilter) uses(families ...string) bool {
	return slices.ContainsFunc(f.algorithms, func(a algorithm) bool { return slices.Contains(families, a.name[:2]) })
}
