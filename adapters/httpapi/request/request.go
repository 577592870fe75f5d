// Package request reads HTTP requests for the dialects of httpapi: bounded
// bodies, strict JSON, parameters that occur once, and credentials. Whatever a
// client sends, the outcome is a value or an error that names the client's
// mistake and never repeats the client's words, which may hold a secret.
package request

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"

	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// Authenticator tells who sent a request to an endpoint that needs a credential.
// Implementations are safe for concurrent use.
type Authenticator interface {
	// Authenticate returns the caller, whose ID is not empty. A missing or wrong
	// credential is a *domain.Error of KindUnauthenticated, a caller who may not use
	// the endpoint at all is one of KindForbidden. It must not read the body.
	Authenticate(r *http.Request) (application.Actor, error)
}

// StatusError is a client's mistake that HTTP itself has a status for, whatever
// protocol is spoken above it.
type StatusError struct {
	// Status is the HTTP status to answer with.
	Status int
	// Err tells the client what is wrong.
	Err *domain.Error
}

// Error returns the text of Err.
func (e *StatusError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *StatusError) Unwrap() error { return e.Err }

// StatusOf returns the status of the first [StatusError] in err's chain, and
// false where there is none.
func StatusOf(err error) (int, bool) {
	if e, ok := errors.AsType[*StatusError](err); ok {
		return e.Status, true
	}
	return 0, false
}

// MethodNotAllowed is the error for a method that a path does not have.
func MethodNotAllowed() error {
	return statusError(http.StatusMethodNotAllowed, domain.CodeMalformedRequest,
		"This endpoint does not have that method. The Allow header lists those that it has.")
}

func statusError(status int, code domain.Code, format string, args ...any) error {
	return &StatusError{Status: status, Err: domain.Invalid(code, format, args...)}
}

func malformed(format string, args ...any) error {
	return domain.Invalid(domain.CodeMalformedRequest, format, args...)
}

// Recovered returns the error for a panic with that value. It shows the value of
// a runtime error only, such as a nil dereference: any other may hold a secret.
func Recovered(value any) error {
	if err, ok := value.(interface {
		error
		RuntimeError()
	}); ok {
		return fmt.Errorf("panic: %w", err)
	}
	return fmt.Errorf("panic with a value of type %T", value)
}

// retryAfter is after how many seconds to try again where nothing better is known:
// about the time after which a key set is fetched again and a database has another
// primary.
const retryAfter = 5

// RetryAfter returns the Retry-After header (RFC 9110 section 10.2.3) of a 429 and a
// 503 for err: whole seconds, at least one.
func RetryAfter(err error) string {
	wait := domain.RetryAfterOf(err)
	if wait <= 0 {
		return strconv.Itoa(retryAfter)
	}
	return strconv.Itoa(int(math.Ceil(wait.Seconds())))
}
