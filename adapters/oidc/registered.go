package oidc

import (
	"encoding/json"
	"strings"
	"time"
	"unicode"

	"github.com/trustpub/trustpub/domain"
)

// maxJWTID is the longest jti in bytes.
const maxJWTID = 255

// maxSubject is the longest sub in bytes; it is recorded, and matched on nowhere.
const maxSubject = 2048

// registered checks the claims that every provider's ID token has, of a payload
// whose signature was verified. That iss is the issuer's is true already: it chose
// the keys. id stands for the jti where the provider has none, and is empty else.
func (v *Verifier) registered(raw domain.RawClaims, id string) (domain.Registered, error) {
	err := v.checkAudience(raw["aud"])
	if err != nil {
		return domain.Registered{}, err
	}
	r := domain.Registered{}
	r.Issuer, _ = raw["iss"].(string)
	r.IssuedAt, r.ExpiresAt, err = v.checkTimes(raw)
	if err != nil {
		return domain.Registered{}, err
	}
	r.AcceptableUntil = r.ExpiresAt.Add(v.leeway)
	r.JWTID = id
	if id == "" {
		r.JWTID, err = raw.String("jti")
	}
	if err != nil {
		return domain.Registered{}, err
	}
	if len(r.JWTID) > maxJWTID {
		return domain.Registered{}, domain.Refuse(domain.CodeInvalidClaim, "The jti of the ID token is longer than %d bytes.", maxJWTID)
	}
	// sub is for the record only, so an odd one is left out rather than refused.
	r.Subject, _ = raw["sub"].(string)
	if len(r.Subject) > maxSubject || strings.ContainsFunc(r.Subject, unicode.IsControl) {
		r.Subject = ""
	}
	return r, nil
}

// checkAudience accepts the configured audience alone: as a string, or as the only
// element of an array. A token with a second audience was made for others too, who
// could use it here.
func (v *Verifier) checkAudience(aud any) error {
	if list, ok := aud.([]any); ok && len(list) == 1 {
		aud = list[0]
	}
	got, ok := aud.(string)
	if ok && got == v.audience {
		return nil
	}
	if !ok || got == "" {
		return domain.Refuse(domain.CodeWrongAudience,
			"The ID token must have exactly one audience, which must be %q. Ask the CI provider for an ID token with that audience.", v.audience)
	}
	return domain.Refuse(domain.CodeWrongAudience,
		"The ID token was made for the audience %q, but this registry is %q. Ask the CI provider for an ID token with that audience.", printable(got), v.audience)
}

// checkTimes refuses what is over, what has not begun, and what claims to live
// longer than any CI job, each with the leeway. "now" is read once.
func (v *Verifier) checkTimes(raw domain.RawClaims) (issuedAt, expiresAt time.Time, err error) {
	now := v.now()
	issuedAt, err = timeClaim(raw, "iat")
	if err != nil {
		return time.Time{}, time.Time{}, err
	}
	expiresAt, err = timeClaim(raw, "exp")
	if err != nil {
		return time.Time{}, time.Time{}, err
	}
	notBefore := issuedAt
	if _, ok := raw["nbf"]; ok {
		notBefore, err = timeClaim(raw, "nbf")
		if err != nil {
			return time.Time{}, time.Time{}, err
		}
	}
	latest := now.Add(v.leeway)
	switch {
	case !now.Before(expiresAt.Add(v.leeway)):
		err = domain.Refuse(domain.CodeExpired,
			"The ID token expired at %s, and it is %s. Ask the CI provider for a new one right before the exchange.", stamp(expiresAt), stamp(now))
	case notBefore.After(latest), issuedAt.After(latest):
		err = domain.Refuse(domain.CodeNotYetValid,
			"The ID token is not valid before %s, and it is %s. Check the clocks.", stamp(later(notBefore, issuedAt)), stamp(now))
	case !expiresAt.After(issuedAt):
		err = domain.Refuse(domain.CodeInvalidClaim,
			"The ID token expires at %s, which is not after %s, when it was issued.", stamp(expiresAt), stamp(issuedAt))
	case expiresAt.Sub(issuedAt) > maxLifetime:
		err = domain.Refuse(domain.CodeLifetimeTooLong,
			"The ID token lives from %s to %s, which is longer than the 24 hours that are accepted.", stamp(issuedAt), stamp(expiresAt))
	}
	return issuedAt, expiresAt, err
}

// timeClaim reads a NumericDate (RFC 7519 section 2): seconds since 1970, maybe
// with a fraction, which is cut off.
func timeClaim(raw domain.RawClaims, name string) (time.Time, error) {
	number, ok := raw[name].(json.Number)
	if !ok {
		return time.Time{}, domain.Refuse(domain.CodeMissingClaim,
			"The ID token lacks the claim %q, which must be a number of seconds since 1970.", name)
	}
	const year10000 = 253402300800
	seconds, err := number.Float64()
	if err != nil || seconds < 0 || seconds >= year10000 {
		return time.Time{}, domain.Refuse(domain.CodeInvalidClaim,
			"The claim %q of the ID token is %s, which is no number of seconds from 1970 to 9999.", name, printable(number.String()))
	}
	return time.Unix(int64(seconds), 0).UTC(), nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
