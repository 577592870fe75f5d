package httpapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/trustpub/trustpub/adapters/httpapi/request"
	"github.com/trustpub/trustpub/application"
)

// Authenticator tells who sent a request to an endpoint that needs a credential.
// An embedding registry supplies its own users here; [BearerToken] is the one of
// the stand-alone server.
type Authenticator = request.Authenticator

// MinBearerToken is the fewest characters that a token for [BearerToken] has.
const MinBearerToken = 32

type bearerToken struct {
	hash  [sha256.Size]byte
	actor application.Actor
}

// BearerToken returns an Authenticator that knows one caller, by one token in an
// Authorization header of the scheme Bearer (RFC 6750 section 2.1). The token must
// have at least [MinBearerToken] characters of printable ASCII without space; the
// error for another does not show it. Hashes are compared, in constant time, so
// that neither content nor length of the token shows in the time that it takes.
func BearerToken(token string, actor application.Actor) (Authenticator, error) {
	if len(token) < MinBearerToken {
		return nil, fmt.Errorf("httpapi: the bearer token has %d characters, fewer than %d", len(token), MinBearerToken)
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("httpapi: the bearer token holds a character that is not printable ASCII, or a space")
	}
	if actor.ID == "" {
		return nil, errors.New("httpapi: the actor of the bearer token has no ID")
	}
	return &bearerToken{hash: sha256.Sum256([]byte(token)), actor: actor}, nil
}

// Authenticate implements Authenticator.
func (b *bearerToken) Authenticate(r *http.Request) (application.Actor, error) {
	scheme, token, err := request.Authorization(r)
	if err != nil {
		return application.Actor{}, err
	}
	hash := sha256.Sum256([]byte(token))
	if !request.IsBearer(scheme) || subtle.ConstantTimeCompare(hash[:], b.hash[:]) != 1 {
		return application.Actor{}, request.Unauthenticated("The Authorization header does not hold the token of this endpoint. Its form is: Bearer TOKEN.")
	}
	return b.actor, nil
}
