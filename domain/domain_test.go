package domain_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/domain"
)

// requireError fails the test unless err is of that kind and code, and has a
// sentence for the client.
func requireError(t *testing.T, err error, kind domain.Kind, code domain.Code) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, code, domain.CodeOf(err), "code of %v", err)
	require.Equal(t, kind, domain.KindOf(err), "kind of %v", err)
	require.Regexp(t, `^[A-Z].*\.$`, domain.MessageOf(err))
}
