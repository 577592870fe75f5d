package oidc

import (
	"context"
	"crypto"
	"maps"

	"github.com/trustpub/trustpub/domain"
)

// StaticKeySet is a [KeySet] that never changes: for a site that can't reach the
// issuer and is given its keys, and for tests of an embedder.
type StaticKeySet struct{ keys map[string]crypto.PublicKey }

var _ KeySet = (*StaticKeySet)(nil)

// NewStaticKeySet returns a key set of these keys by their IDs.
func NewStaticKeySet(keys map[string]crypto.PublicKey) *StaticKeySet {
	return &StaticKeySet{keys: maps.Clone(keys)}
}

// Key implements [KeySet].
func (s *StaticKeySet) Key(_ context.Context, keyID string) (crypto.PublicKey, error) {
	key, ok := s.keys[keyID]
	if !ok {
		return nil, unknownKey(keyID)
	}
	return key, nil
}

func unknownKey(keyID string) error {
	return domain.Refuse(domain.CodeUnknownKey,
		"The key %q that signed the ID token is not among its issuer's keys. Ask the CI provider for a new ID token.", printable(keyID))
}
