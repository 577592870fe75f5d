package domain

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Kind says what sort of failure an [Error] is. The edges of the program map it
// to their own vocabulary, such as an HTTP status; nothing inside does.
type Kind int

// The kinds of failure. The zero value is KindInternal, so that an error nobody
// classified is never mistaken for a client's mistake.
const (
	// KindInternal is a defect of ours. Its text is never shown to a client.
	KindInternal Kind = iota
	// KindInvalid is input that can't be understood or breaks a rule of form.
	KindInvalid
	// KindRefused is well-formed input that verification or policy turns down.
	KindRefused
	// KindUnauthenticated is a missing, malformed or unknown credential.
	KindUnauthenticated
	// KindForbidden is a caller who is known but may not do this.
	KindForbidden
	// KindNotFound is a named thing that does not exist.
	KindNotFound
	// KindConflict is a change that what is stored already rules out.
	KindConflict
	// KindUnavailable is a dependency that can't answer now; trying again may help.
	KindUnavailable
	// KindLimited is a caller who asks more often than is allowed; trying again later
	// helps.
	KindLimited
)

// Code is the stable, machine-readable name of one reason of failure. Clients may
// branch on it, docs/errors.md explains each, and it never changes its meaning.
type Code string

// The codes. Those of an exchange stand in the order in which they are checked.
const (
	// CodeInternal is a defect of ours.
	CodeInternal Code = "internal_error"

	// CodeMalformedRequest is a request body or parameter that can't be understood.
	CodeMalformedRequest Code = "malformed_request"
	// CodeMalformedJWT is an ID token that is no JWS in compact serialisation with a JSON object inside.
	CodeMalformedJWT Code = "malformed_jwt"
	// CodeUnsupportedIssuer is an ID token from an issuer that is not enabled here.
	CodeUnsupportedIssuer Code = "unsupported_issuer"
	// CodeUnsupportedAlgorithm is a JWS signed with an algorithm that the provider does not use.
	CodeUnsupportedAlgorithm Code = "unsupported_algorithm"
	// CodeUnsupportedHeader is a JWS header with a critical extension (RFC 7515 section 4.1.11).
	CodeUnsupportedHeader Code = "unsupported_header"
	// CodeMissingKeyID is a JWS header without a key ID.
	CodeMissingKeyID Code = "missing_key_id"
	// CodeUnknownKey is a key ID that is not in the issuer's key set.
	CodeUnknownKey Code = "unknown_key"
	// CodeKeysUnavailable is an issuer whose key set can't be loaded and of which no usable copy is held.
	CodeKeysUnavailable Code = "keys_unavailable"
	// CodeInvalidSignature is a JWS whose signature does not verify.
	CodeInvalidSignature Code = "invalid_signature"
	// CodeWrongAudience is an ID token made for somebody else.
	CodeWrongAudience Code = "wrong_audience"
	// CodeExpired is an ID token past its expiry.
	CodeExpired Code = "expired"
	// CodeNotYetValid is an ID token from the future.
	CodeNotYetValid Code = "not_yet_valid"
	// CodeLifetimeTooLong is an ID token that claims to live longer than any CI provider's.
	CodeLifetimeTooLong Code = "lifetime_too_long"
	// CodeMissingClaim is a claim that a rule reads and that is absent, empty or of another type.
	CodeMissingClaim Code = "missing_claim"
	// CodeInvalidClaim is a claim that is present but has no acceptable form.
	CodeInvalidClaim Code = "invalid_claim"
	// CodeForbiddenClaim is a claim with a value under which a job of that provider never publishes.
	CodeForbiddenClaim Code = "forbidden_claim"
	// CodeUnsupportedEvent is a workflow trigger under which untrusted code may run.
	CodeUnsupportedEvent Code = "unsupported_event"
	// CodeNoPublisher is a repository for which no publisher config exists.
	CodeNoPublisher Code = "no_publisher"
	// CodeRepositoryRenamed is a repository whose configs were made for its former name.
	CodeRepositoryRenamed Code = "repository_renamed"
	// CodeOwnerIDMismatch is a repository owner whose account is not the configured one.
	CodeOwnerIDMismatch Code = "owner_id_mismatch"
	// CodePinnedIDMismatch is an immutable ID other than the one that the config was pinned to at its first exchange.
	CodePinnedIDMismatch Code = "pinned_id_mismatch"
	// CodeWorkflowMismatch is a workflow file that no config of the repository names.
	CodeWorkflowMismatch Code = "workflow_mismatch"
	// CodeReusableWorkflowMismatch is a reusable workflow that no config of the workflow names.
	CodeReusableWorkflowMismatch Code = "reusable_workflow_mismatch"
	// CodeEnvironmentMismatch is an environment that no config of the workflow accepts.
	CodeEnvironmentMismatch Code = "environment_mismatch"
	// CodeClaimMismatch is a claim of a provider without kind of its own whose value no config accepts.
	CodeClaimMismatch Code = "claim_mismatch"
	// CodeAlreadyUsed is an ID token that was exchanged before.
	CodeAlreadyUsed Code = "already_used"
	// CodeStoreUnavailable is a database that can't answer, or whose answer is unknown.
	CodeStoreUnavailable Code = "store_unavailable"

	// CodeInvalidScope is a requested scope that is not part of what would be granted.
	CodeInvalidScope Code = "invalid_scope"
	// CodeInvalidTarget is a requested audience or resource other than this registry.
	CodeInvalidTarget Code = "invalid_target"
	// CodeUnsupportedGrantType is an OAuth grant type other than token exchange.
	CodeUnsupportedGrantType Code = "unsupported_grant_type"

	// CodeInvalidToken is an access token that is malformed, unknown, expired or revoked.
	CodeInvalidToken Code = "invalid_token"
	// CodePackageNotCovered is an active access token used for a package it does not cover.
	CodePackageNotCovered Code = "package_not_covered"

	// CodeInvalidWebhookSignature is a webhook message that nobody whose key is held has signed.
	CodeInvalidWebhookSignature Code = "invalid_webhook_signature"
	// CodeWebhookKeysUnavailable is a webhook's sender whose keys can't be loaded now.
	CodeWebhookKeysUnavailable Code = "webhook_keys_unavailable"

	// CodeUnauthenticated is a missing or wrong credential for an administrative endpoint.
	CodeUnauthenticated Code = "unauthenticated"
	// CodeForbidden is a caller who may not manage the publishers of a package.
	CodeForbidden Code = "forbidden"
	// CodeNotEnabled is an endpoint whose credential is not configured.
	CodeNotEnabled Code = "not_enabled"
	// CodeInvalidConfig is a publisher config that breaks a rule of form.
	CodeInvalidConfig Code = "invalid_config"
	// CodeUnknownOwner is a repository owner that the CI provider does not know.
	CodeUnknownOwner Code = "unknown_owner"
	// CodeOwnerLookupUnavailable is a CI provider's API that can't tell an owner's ID now.
	CodeOwnerLookupUnavailable Code = "owner_lookup_unavailable"
	// CodeDuplicateConfig is a publisher config that exists already.
	CodeDuplicateConfig Code = "duplicate_config"
	// CodeTooManyConfigs is a package that has all the publisher configs it may have.
	CodeTooManyConfigs Code = "too_many_configs"
	// CodeNotFound is a thing or an endpoint that does not exist.
	CodeNotFound Code = "not_found"

	// CodeRateLimited is an exchange beyond the rate that its address or its issuer may have.
	CodeRateLimited Code = "rate_limited"
	// CodeOverloaded is a request beyond those that the server works on at a time.
	CodeOverloaded Code = "overloaded"
	// CodeDraining is a server that is about to stop, and tells balancers so.
	CodeDraining Code = "draining"
)

// IsUntrusted reports whether a code says that an ID token is good, and that no config
// trusts its workload.
func IsUntrusted(code Code) bool {
	return slices.Contains([]Code{
		CodeNoPublisher, CodeRepositoryRenamed, CodeOwnerIDMismatch,
		CodePinnedIDMismatch, CodeWorkflowMismatch, CodeReusableWorkflowMismatch, CodeEnvironmentMismatch, CodeClaimMismatch,
	}, code)
}

// Error is a failure that may be explained to a client. It is the only error
// type whose text reaches one: of any other error the client sees "internal
// error", and the log sees the text.
type Error struct {
	// Kind decides how an edge presents the failure.
	Kind Kind
	// Code names the reason for machines.
	Code Code
	// Message is one or two whole sentences for the client: what was wrong, what
	// was expected, what to do next. It holds no secret and no internals.
	Message string
	// RetryAfter is how long to wait before trying again, where that is known. Zero
	// leaves it to the edge.
	RetryAfter time.Duration
	// Err is the cause, for the log alone. It may be nil.
	Err error
}

// Error returns the code, the message and the cause: text for a log.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.Err)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Message)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of the first [Error] in err's chain, and KindInternal
// where there is none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return KindInternal
}

// CodeOf returns the code of the first [Error] in err's chain, and CodeInternal
// where there is none.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeInternal
}

// MessageOf returns the sentence of the first [Error] in err's chain, and
// "internal error" where there is none, so that no internals leak.
func MessageOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok && e.Kind != KindInternal {
		return e.Message
	}
	return "internal error"
}

// RetryAfterOf returns how long to wait by the first [Error] in err's chain, and zero
// where that is not known.
func RetryAfterOf(err error) time.Duration {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.RetryAfter
	}
	return 0
}

// Limited returns an error of [KindLimited] for a caller who may try again after that
// time.
func Limited(retryAfter time.Duration, format string, args ...any) *Error {
	return &Error{Kind: KindLimited, Code: CodeRateLimited, Message: fmt.Sprintf(format, args...), RetryAfter: retryAfter}
}

// Refuse returns an error of [KindRefused]: the ID token was understood and
// turned down.
func Refuse(code Code, format string, args ...any) *Error {
	return &Error{Kind: KindRefused, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Invalid returns an error of [KindInvalid]: the input breaks a rule of form.
func Invalid(code Code, format string, args ...any) *Error {
	return &Error{Kind: KindInvalid, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Unavailable returns an error of [KindUnavailable] whose cause is err.
func Unavailable(code Code, err error, format string, args ...any) *Error {
	return &Error{Kind: KindUnavailable, Code: code, Message: fmt.Sprintf(format, args...), Err: err}
}
