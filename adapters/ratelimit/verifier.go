package ratelimit

import (
	"context"
	"errors"

	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// Verifier is an [application.Verifier] that lets each issuer have so many good ID
// tokens in a time. It protects what comes after it, the database and the registry,
// from an issuer that floods them, such as the CI of one enterprise. It is safe for
// concurrent use.
//
// An ID token counts once its signature and its claims are found good, although that
// costs the time of verifying those that are then turned down. Who sends an ID token
// writes its issuer: if it counted before, anybody could spend the bucket of any
// issuer with text alone, and so keep all of its jobs from publishing. Who floods the
// server with bad tokens is for the limit per address.
type Verifier struct {
	next    application.Verifier
	issuers *Limiter
}

// NewVerifier returns next with a limit per issuer.
func NewVerifier(next application.Verifier, issuers *Limiter) (*Verifier, error) {
	if next == nil || issuers == nil {
		return nil, errors.New("ratelimit: the verifier needs another and a limiter")
	}
	return &Verifier{next: next, issuers: issuers}, nil
}

// Verify implements [application.Verifier]. An ID token too many is KindLimited, and
// can be used when there is room again.
func (v *Verifier) Verify(ctx context.Context, idToken string) (domain.Claims, error) {
	claims, err := v.next.Verify(ctx, idToken)
	if err != nil {
		return domain.Claims{}, err
	}
	wait, ok := v.issuers.Take(claims.Issuer())
	if !ok {
		return domain.Claims{}, domain.Limited(wait, "Too many ID tokens of this issuer are exchanged here at the moment. Try again after the time that Retry-After tells.")
	}
	return claims, nil
}
