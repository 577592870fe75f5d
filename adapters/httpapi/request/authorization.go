package request

import (
	"net/http"
	"strings"

	"github.com/trustpub/trustpub/domain"
)

// Authorization returns the scheme and the credential of the one Authorization
// header that r has (RFC 9110 section 11.6.2). A header without a space is a
// credential with an empty scheme. No header, several, and one without a credential
// are an error of KindUnauthenticated.
func Authorization(r *http.Request) (scheme, credential string, err error) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return "", "", Unauthenticated("The request needs one Authorization header of the form: Bearer TOKEN.")
	}
	value := strings.Trim(values[0], " \t")
	scheme, credential, hasScheme := strings.Cut(value, " ")
	if !hasScheme {
		scheme, credential = "", value
	}
	credential = strings.TrimLeft(credential, " ")
	if credential == "" {
		return "", "", Unauthenticated("The Authorization header is empty. Its form is: Bearer TOKEN.")
	}
	return scheme, credential, nil
}

// IsBearer reports whether a scheme is that of RFC 6750, in any case.
func IsBearer(scheme string) bool { return strings.EqualFold(scheme, "Bearer") }

// Unauthenticated returns the error for a missing or wrong credential.
func Unauthenticated(message string) error {
	return &domain.Error{Kind: domain.KindUnauthenticated, Code: domain.CodeUnauthenticated, Message: message}
}
