package request

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/trustpub/trustpub/application"
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

// Closed returns the Authenticator of endpoints for which none was configured: they
// are closed, and say how to open them. what begins a sentence, and setting is that
// of the stand-alone server.
func Closed(what, setting string) Authenticator { return closed{what, setting} }

type closed struct{ what, setting string }

// Authenticate implements Authenticator.
func (c closed) Authenticate(*http.Request) (application.Actor, error) {
	return application.Actor{}, &domain.Error{
		Kind: domain.KindForbidden, Code: domain.CodeNotEnabled,
		Message: fmt.Sprintf("%s is not enabled here, because no credential is configured for it. The operator of a trustpub server enables it with the setting %s, a registry that embeds trustpub with an authenticator of its own.", c.what, c.setting),
	}
}

// Unauthenticated returns the error for a missing or wrong credential.
func Unauthenticated(message string) error {
	return &domain.Error{Kind: domain.KindUnauthenticated, Code: domain.CodeUnauthenticated, Message: message}
}
