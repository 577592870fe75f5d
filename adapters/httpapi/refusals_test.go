package httpapi_test

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/domain"
)

// ofKind returns an error of the domain.
func ofKind(kind domain.Kind, code domain.Code) error {
	return fmt.Errorf("wrapped: %w", &domain.Error{Kind: kind, Code: code, Message: "A sentence.", Err: io.ErrUnexpectedEOF})
}

// declaredCodes returns all codes of errors that the domain declares.
func declaredCodes(t *testing.T) []string {
	t.Helper()
	source, err := os.ReadFile("../../domain/error.go")
	require.NoError(t, err)
	var codes []string
	for _, match := range regexp.MustCompile(`(?m)^\tCode\w+ +Code = "(\w+)"`).FindAllSubmatch(source, -1) {
		codes = append(codes, string(match[1]))
	}
	require.NotEmpty(t, codes)
	slices.Sort(codes)
	return codes
}

// refusal is what a protocol answers to an error of an exchange.
type refusal struct {
	kind domain.Kind
	code domain.Code
	// pypi is PyPI's code, and the statuses are those of the two protocols.
	pypi                       string
	pypiStatus, rubygemsStatus int
}

// refusals are all errors that an exchange can end with, and what else the domain has.
var refusals = []refusal{
	{domain.KindInternal, domain.CodeInternal, "internal_error", 500, 500},
	{domain.KindInvalid, domain.CodeMalformedRequest, "invalid-payload", 422, 400},
	{domain.KindRefused, domain.CodeMalformedJWT, "invalid-payload", 422, 400},
	{domain.KindRefused, domain.CodeUnsupportedIssuer, "invalid-payload", 422, 404},
	{domain.KindRefused, domain.CodeUnsupportedAlgorithm, "invalid-token", 422, 404},
	{domain.KindRefused, domain.CodeUnsupportedHeader, "invalid-token", 422, 404},
	{domain.KindRefused, domain.CodeMissingKeyID, "invalid-token", 422, 404},
	{domain.KindRefused, domain.CodeUnknownKey, "invalid-token", 422, 404},
	{domain.KindUnavailable, domain.CodeKeysUnavailable, "keys_unavailable", 503, 503},
	{domain.KindRefused, domain.CodeInvalidSignature, "invalid-token", 422, 404},
	{domain.KindRefused, domain.CodeWrongAudience, "invalid-token", 422, 404},
	{domain.KindRefused, domain.CodeExpired, "invalid-token", 422, 404},
	{domain.KindRefused, domain.CodeNotYetValid, "invalid-token", 422, 404},
	{domain.KindRefused, domain.CodeLifetimeTooLong, "invalid-token", 422, 404},
	{domain.KindRefused, domain.CodeMissingClaim, "invalid-token", 422, 404},
	{domain.KindRefused, domain.CodeInvalidClaim, "invalid-token", 422, 404},
	{domain.KindRefused, domain.CodeForbiddenClaim, "invalid-publisher", 422, 404},
	{domain.KindRefused, domain.CodeUnsupportedEvent, "invalid-publisher", 422, 404},
	{domain.KindRefused, domain.CodeNoPublisher, "invalid-publisher", 422, 404},
	{domain.KindRefused, domain.CodeRepositoryRenamed, "invalid-publisher", 422, 404},
	{domain.KindRefused, domain.CodeOwnerIDMismatch, "invalid-publisher", 422, 404},
	{domain.KindRefused, domain.CodePinnedIDMismatch, "invalid-publisher", 422, 404},
	{domain.KindRefused, domain.CodeWorkflowMismatch, "invalid-publisher", 422, 404},
	{domain.KindRefused, domain.CodeReusableWorkflowMismatch, "invalid-publisher", 422, 404},
	{domain.KindRefused, domain.CodeEnvironmentMismatch, "invalid-publisher", 422, 404},
	{domain.KindRefused, domain.CodeClaimMismatch, "invalid-publisher", 422, 404},
	{domain.KindRefused, domain.CodeAlreadyUsed, "invalid-reuse-token", 422, 404},
	{domain.KindUnavailable, domain.CodeStoreUnavailable, "store_unavailable", 503, 503},
	{domain.KindLimited, domain.CodeRateLimited, "rate_limited", 429, 429},
	{domain.KindUnavailable, domain.CodeOverloaded, "overloaded", 503, 503},
	// What follows is no outcome of these exchanges, but an embedding registry's own
	// ports may say it.
	{domain.KindUnavailable, domain.CodeDraining, "draining", 503, 503},
	{domain.KindInvalid, domain.CodeInvalidScope, "invalid-payload", 422, 400},
	{domain.KindInvalid, domain.CodeInvalidTarget, "invalid-payload", 422, 400},
	{domain.KindInvalid, domain.CodeUnsupportedGrantType, "invalid-payload", 422, 400},
	{domain.KindUnauthenticated, domain.CodeInvalidToken, "invalid_token", 422, 401},
	{domain.KindForbidden, domain.CodePackageNotCovered, "package_not_covered", 422, 403},
	{domain.KindRefused, domain.CodeInvalidWebhookSignature, "invalid-token", 422, 404},
	{domain.KindUnavailable, domain.CodeWebhookKeysUnavailable, "webhook_keys_unavailable", 503, 503},
	{domain.KindUnauthenticated, domain.CodeUnauthenticated, "unauthenticated", 422, 401},
	{domain.KindForbidden, domain.CodeForbidden, "forbidden", 422, 403},
	{domain.KindForbidden, domain.CodeNotEnabled, "not-enabled", 422, 403},
	{domain.KindInvalid, domain.CodeInvalidConfig, "invalid-payload", 422, 400},
	{domain.KindInvalid, domain.CodeUnknownOwner, "invalid-payload", 422, 400},
	{domain.KindUnavailable, domain.CodeOwnerLookupUnavailable, "owner_lookup_unavailable", 503, 503},
	{domain.KindConflict, domain.CodeDuplicateConfig, "duplicate_config", 422, 409},
	{domain.KindConflict, domain.CodeTooManyConfigs, "too_many_configs", 422, 409},
	{domain.KindNotFound, domain.CodeNotFound, "not_found", 404, 404},
}

func TestTheTableOfRefusalsHasEveryCode(t *testing.T) {
	t.Parallel()
	var codes []string
	for _, r := range refusals {
		codes = append(codes, string(r.code))
	}
	slices.Sort(codes)
	require.Equal(t, declaredCodes(t), codes)
}
