package application

import (
	"context"
	"fmt"

	"github.com/trustpub/trustpub/domain"
)

// Leak is an access token that somebody found where it should not be.
type Leak struct {
	// AccessToken is what was found; it need not be a token of ours.
	AccessToken string
	// Source is the sort of place where it was found, for the audit record. It is one
	// of a known list of words, and nothing that the finder made up.
	Source string
}

// RevokeLeaked ends the life of every token among leaks now, and returns for each leak
// whether it is a token that was given out here. True means that the database holds the
// token as revoked. What is malformed or unknown is false, and so is a token that was
// forgotten after its expiry. Leaks may repeat each other.
//
// When the database fails there is no answer about any of them, and the error is
// KindUnavailable with CodeStoreUnavailable. What was revoked before stays revoked, so
// that the same call again goes on from there.
func (s *TokenService) RevokeLeaked(ctx context.Context, leaks []Leak) ([]bool, error) {
	known := make([]bool, 0, len(leaks))
	verdicts := make(map[domain.TokenHash]bool, len(leaks))
	for _, leak := range leaks {
		secret, err := s.parse(leak.AccessToken)
		if err != nil {
			known = append(known, false)
			continue
		}
		hash := secret.Hash()
		verdict, seen := verdicts[hash]
		if !seen {
			verdict, err = s.revokeLeaked(ctx, hash, leak.Source)
			if err != nil {
				return nil, err
			}
			verdicts[hash] = verdict
		}
		known = append(known, verdict)
	}
	return known, nil
}

// revokeLeaked revokes one token and reports whether there is such a token. It looks
// the token up first, as RevokeToken does not tell one that is unknown from one that
// was revoked before.
func (s *TokenService) revokeLeaked(ctx context.Context, hash domain.TokenHash, source string) (bool, error) {
	token, err := s.cfg.Tokens.FindToken(ctx, hash)
	isUnknown := domain.KindOf(err) == domain.KindNotFound
	if err != nil && !isUnknown {
		return false, fmt.Errorf("find leaked token: %w", storeError(err))
	}
	if !token.RevokedAt.IsZero() {
		return true, nil
	}
	// Of one that is unknown, RevokeToken makes sure.
	revoked, err := s.cfg.Tokens.RevokeToken(ctx, hash, s.cfg.Now().UTC())
	err = storeError(err)
	// Where neither is the case, another call revoked it meanwhile, or it had expired
	// and is forgotten.
	if revoked || err != nil {
		s.cfg.Auditor.Record(ctx, Event{
			Action: ActionRevokeLeaked, TokenHash: hexHash(hash), LeakSource: source, Packages: token.Packages(), Err: err,
		})
	}
	if err != nil {
		return false, fmt.Errorf("revoke leaked token: %w", err)
	}
	return revoked || !isUnknown, nil
}
