package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/httpapi/cratesio"
	"github.com/trustpub/trustpub/adapters/httpapi/oauth"
	"github.com/trustpub/trustpub/domain"
)

func TestEachKindOfErrorHasItsStatusInBothDialects(t *testing.T) {
	t.Parallel()
	tests := []struct {
		kind       domain.Kind
		wantStatus int
		wantOAuth  string
	}{
		{domain.KindInternal, 500, "server_error"},
		{domain.KindInvalid, 400, "invalid_request"},
		{domain.KindRefused, 400, "invalid_request"},
		{domain.KindUnauthenticated, 401, "invalid_token"},
		{domain.KindForbidden, 403, "access_denied"},
		{domain.KindNotFound, 404, "invalid_request"},
		{domain.KindConflict, 409, "invalid_request"},
		{domain.KindUnavailable, 503, "temporarily_unavailable"},
	}
	for _, tt := range tests {
		t.Run(strconv.Itoa(tt.wantStatus), func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t, func(cfg *setup) {
				cfg.Exchange = contextKeeper{func(context.Context) error {
					return fmt.Errorf("wrapped: %w", &domain.Error{Kind: tt.kind, Code: "a_code", Message: "A sentence.", Err: errors.New("a cause")})
				}}
			})
			wantMessage := "A sentence."
			if tt.kind == domain.KindInternal {
				wantMessage = "internal error"
			}
			for _, q := range []call{
				jsonTo(http.MethodPut, tokensPath, `{"jwt":"x"}`),
				formTo("/oauth/token", exchangeForm(nil).Encode()),
			} {
				// Not all of these are documented: an exchange has no conflicts.
				response := r.send(t, q)
				require.Equal(t, tt.wantStatus, response.StatusCode)
				require.Equal(t, tt.wantStatus == 401, response.Header.Get("Www-Authenticate") == "Bearer")
				require.Equal(t, tt.wantStatus == 503, response.Header.Get("Retry-After") == "5")
				require.NotContains(t, response.Body, "a cause")
				got := read(t, response)
				if q.target == tokensPath {
					require.Equal(t, wantMessage, got.Errors[0].Detail)
					require.Equal(t, "a_code", got.Errors[0].Code)
					continue
				}
				require.Equal(t, tt.wantOAuth, got.Error)
				require.Equal(t, wantMessage, got.Description)
				require.Equal(t, "a_code", got.Code)
			}
		})
	}
}

func TestAnErrorThatNobodyClassifiedIsAnInternalError(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, func(cfg *setup) {
		cfg.Exchange = contextKeeper{func(context.Context) error { return errors.New("password of the database") }}
	})
	response := r.do(t, jsonTo(http.MethodPut, tokensPath, `{"jwt":"x"}`))
	require.Equal(t, http.StatusInternalServerError, response.StatusCode)
	require.JSONEq(t, `{"errors":[{"detail":"internal error","code":"internal_error"}]}`, response.Body)
}

func TestAHandlerThatAbortsIsLeftToTheServer(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, func(cfg *setup) {
		cfg.Exchange = contextKeeper{func(context.Context) error { panic(http.ErrAbortHandler) }}
	})
	require.PanicsWithError(t, http.ErrAbortHandler.Error(), func() {
		r.api.ServeHTTP(httptest.NewRecorder(), jsonTo(http.MethodPut, tokensPath, `{"jwt":"x"}`).http())
	})
}

func TestADialectRefusesAConfigurationThatLacksSomething(t *testing.T) {
	t.Parallel()
	_, err := cratesio.New(cratesio.Config{})
	require.Error(t, err)
	_, err = oauth.New(oauth.Config{})
	require.Error(t, err)
	good := newRegistry(t).cfg
	_, err = cratesio.New(cratesio.Config{Exchange: good.Exchange, Tokens: good.Tokens, Publishers: good.Publishers, Authenticator: good.Authenticator})
	require.Error(t, err, "no audience")
	_, err = oauth.New(oauth.Config{Exchange: good.Exchange, Tokens: good.Tokens, Authenticator: good.Authenticator, Now: good.Now, Issuer: good.Issuer})
	require.Error(t, err, "no audience")
	_, err = oauth.New(oauth.Config{Exchange: good.Exchange, Tokens: good.Tokens, Authenticator: good.Authenticator, Now: good.Now, Audience: good.Audience})
	require.Error(t, err, "no issuer")
}
