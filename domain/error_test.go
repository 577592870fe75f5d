package domain_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/domain"
)

func TestOnlyAnErrorOfTheDomainSpeaksToTheClient(t *testing.T) {
	secret := errors.New("dial postgres://user:pw@10.0.0.1")
	refused := domain.Refuse(domain.CodeExpired, "The ID token expired at %s.", "noon")
	unavailable := domain.Unavailable(domain.CodeStoreUnavailable, secret, "Try again in %d seconds.", 5)
	tests := []struct {
		name    string
		err     error
		kind    domain.Kind
		code    domain.Code
		message string
	}{
		{"nil", nil, domain.KindInternal, domain.CodeInternal, "internal error"},
		{"any other error", secret, domain.KindInternal, domain.CodeInternal, "internal error"},
		{"any other error, wrapped", fmt.Errorf("find configs: %w", secret), domain.KindInternal, domain.CodeInternal, "internal error"},
		{"the zero value", &domain.Error{}, domain.KindInternal, "", "internal error"},
		{"of kind internal", &domain.Error{Code: domain.CodeInternal, Message: secret.Error()}, domain.KindInternal, domain.CodeInternal, "internal error"},
		{"refusal", refused, domain.KindRefused, domain.CodeExpired, "The ID token expired at noon."},
		{"refusal, wrapped twice", fmt.Errorf("exchange: %w", fmt.Errorf("verify: %w", refused)), domain.KindRefused, domain.CodeExpired, "The ID token expired at noon."},
		{"refusal, joined with another error", errors.Join(secret, refused), domain.KindRefused, domain.CodeExpired, "The ID token expired at noon."},
		{"invalid", domain.Invalid(domain.CodeInvalidScope, "The scope is not valid."), domain.KindInvalid, domain.CodeInvalidScope, "The scope is not valid."},
		{"unavailable", unavailable, domain.KindUnavailable, domain.CodeStoreUnavailable, "Try again in 5 seconds."},
		{"the outermost of two", domain.Unavailable(domain.CodeKeysUnavailable, refused, "Try again."), domain.KindUnavailable, domain.CodeKeysUnavailable, "Try again."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.kind, domain.KindOf(tt.err))
			require.Equal(t, tt.code, domain.CodeOf(tt.err))
			require.Equal(t, tt.message, domain.MessageOf(tt.err))
		})
	}
}

func TestAnErrorShowsItsCauseToTheLogAlone(t *testing.T) {
	err := domain.Unavailable(domain.CodeStoreUnavailable, io.ErrUnexpectedEOF, "Try again.")

	require.Equal(t, "store_unavailable: Try again.: unexpected EOF", err.Error())
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.NotContains(t, domain.MessageOf(err), "EOF")

	without := domain.Refuse(domain.CodeExpired, "The ID token expired.")
	require.Equal(t, "expired: The ID token expired.", without.Error())
	require.NoError(t, without.Unwrap())
}

func TestTheZeroKindIsInternal(t *testing.T) {
	var kind domain.Kind

	require.Equal(t, domain.KindInternal, kind)
}
