package githubapi_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/githubapi"
	"github.com/trustpub/trustpub/domain"
)

const (
	issuer = "https://token.actions.githubusercontent.com"
	other  = "https://ghes.test/_services/token"
)

// newLookup returns a look-up that asks a server of the test for issuer.
func newLookup(t *testing.T, handler http.HandlerFunc) *githubapi.OwnerLookup {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return githubapi.New(map[string]string{issuer: server.URL}, server.Client().Transport)
}

// answer returns a handler that gives one answer to everything.
func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// requireUnavailable checks that err is a 503 that offers the way out, and that its
// cause stays in the log.
func requireUnavailable(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, domain.CodeOwnerLookupUnavailable, domain.CodeOf(err), "%v", err)
	require.Equal(t, domain.KindUnavailable, domain.KindOf(err))
	require.Equal(t, `GitHub can't be asked for the ID of the owner "octo-org" right now. Try again later, or give it as repository_owner_id.`,
		domain.MessageOf(err))
	require.Error(t, errors.Unwrap(err), "the cause, for the log")
}

func TestAnOwnersIDIsAskedOfTheAPIOfItsIssuer(t *testing.T) {
	t.Parallel()
	lookup := newLookup(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/users/octo-org" || r.URL.RawQuery != "" ||
			r.Header.Get("Accept") != "application/vnd.github+json" || r.Header.Get("User-Agent") == "" ||
			r.Header.Get("X-Github-Api-Version") == "" || r.Header.Get("Authorization") != "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_, _ = w.Write([]byte(`{"login":"octo-org","id":9223372036854775807,"type":"Organization","node_id":"x"}`))
	})
	id, err := lookup.OwnerID(t.Context(), issuer, "octo-org")
	require.NoError(t, err)
	require.Equal(t, int64(9223372036854775807), id)
}

func TestAnOwnerThatGitHubDoesNotKnowIsTheClientsMistake(t *testing.T) {
	t.Parallel()
	_, err := newLookup(t, answer(http.StatusNotFound, `{"message":"Not Found"}`)).OwnerID(t.Context(), issuer, "octo-org")
	require.Equal(t, domain.CodeUnknownOwner, domain.CodeOf(err))
	require.Equal(t, domain.KindInvalid, domain.KindOf(err))
	require.Equal(t, `GitHub has no account named "octo-org". Check the spelling of the repository owner.`, domain.MessageOf(err))
}

func TestAnIssuerWithoutAnAPIIsNeverLookedUpElsewhere(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	lookup := newLookup(t, func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		_, _ = w.Write([]byte(`{"id":65}`))
	})
	for _, unknown := range []string{other, "", issuer + "/", issuer + "/octo-enterprise"} {
		_, err := lookup.OwnerID(t.Context(), unknown, "octo-org")
		require.Equal(t, domain.CodeUnknownOwner, domain.CodeOf(err), unknown)
		require.Equal(t, domain.KindInvalid, domain.KindOf(err), unknown)
		require.Contains(t, domain.MessageOf(err), "repository_owner_id", "the way out")
	}
	require.Zero(t, requests.Load())
}

func TestAnAnswerThatIsNoAccountIsGitHubsFault(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		status int
		body   string
	}{
		{"201", http.StatusCreated, `{"id":65}`},
		{"204", http.StatusNoContent, ""},
		{"304", http.StatusNotModified, ""},
		{"400", http.StatusBadRequest, `{"id":65}`},
		{"401", http.StatusUnauthorized, `{"message":"Bad credentials"}`},
		{"403, a rate limit", http.StatusForbidden, `{"message":"API rate limit exceeded"}`},
		{"410", http.StatusGone, `{"id":65}`},
		{"429", http.StatusTooManyRequests, `{"id":65}`},
		{"500", http.StatusInternalServerError, `{"id":65}`},
		{"503", http.StatusServiceUnavailable, "<html>"},
		{"empty", http.StatusOK, ""},
		{"garbage", http.StatusOK, "<html>Unicorn!</html>"},
		{"cut off", http.StatusOK, `{"id":65`},
		{"with something after it", http.StatusOK, `{"id":65} {"id":66}`},
		{"null", http.StatusOK, "null"},
		{"an array", http.StatusOK, `[{"id":65}]`},
		{"without id", http.StatusOK, `{"login":"octo-org"}`},
		{"id null", http.StatusOK, `{"id":null}`},
		{"id 0", http.StatusOK, `{"id":0}`},
		{"id below 0", http.StatusOK, `{"id":-65}`},
		{"id a string", http.StatusOK, `{"id":"65"}`},
		{"id with a fraction", http.StatusOK, `{"id":65.5}`},
		{"id beyond an int64", http.StatusOK, `{"id":9223372036854775808}`},
		{"id of any length", http.StatusOK, `{"id":1e300}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			id, err := newLookup(t, answer(tt.status, tt.body)).OwnerID(t.Context(), issuer, "octo-org")
			requireUnavailable(t, err)
			require.Zero(t, id)
		})
	}
}

func TestRedirectsOfTheAPIAreNotFollowed(t *testing.T) {
	t.Parallel()
	var followed atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		followed.Add(1)
		_, _ = w.Write([]byte(`{"id":666}`))
	}))
	t.Cleanup(elsewhere.Close)
	for _, status := range []int{301, 302, 303, 307, 308} {
		lookup := newLookup(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+"/users/octo-org", status)
		})
		_, err := lookup.OwnerID(t.Context(), issuer, "octo-org")
		requireUnavailable(t, err)
	}
	require.Zero(t, followed.Load())
}

func TestAnAnswerOfTheAPIHasAtMost1MiB(t *testing.T) {
	t.Parallel()
	const account = `{"id":65}`
	exactly := account + strings.Repeat(" ", 1<<20-len(account))
	id, err := newLookup(t, answer(http.StatusOK, exactly)).OwnerID(t.Context(), issuer, "octo-org")
	require.NoError(t, err)
	require.Equal(t, int64(65), id)

	for _, more := range []int{1, 16 << 20} {
		body := exactly + strings.Repeat(" ", more)
		_, err = newLookup(t, answer(http.StatusOK, body)).OwnerID(t.Context(), issuer, "octo-org")
		requireUnavailable(t, err)
	}
}

func TestAnAPIThatCannotBeReachedIsUnavailable(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(answer(http.StatusOK, `{"id":65}`))
	lookup := githubapi.New(map[string]string{issuer: server.URL}, server.Client().Transport)
	server.Close()
	_, err := lookup.OwnerID(t.Context(), issuer, "octo-org")
	requireUnavailable(t, err)
}

// hanging is a transport that answers nothing until the request is over.
type hanging struct{}

func (hanging) RoundTrip(request *http.Request) (*http.Response, error) {
	<-request.Context().Done()
	return nil, request.Context().Err()
}

func TestARequestToTheAPITakesAtMostFiveSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lookup := githubapi.New(map[string]string{issuer: "https://api.test"}, hanging{})
		begun := time.Now()
		_, err := lookup.OwnerID(t.Context(), issuer, "octo-org")
		requireUnavailable(t, err)
		require.Equal(t, 5*time.Second, time.Since(begun))
	})
}

func TestARequestThatIsOverWaitsForNoAPI(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		lookup := githubapi.New(map[string]string{issuer: "https://api.test"}, hanging{})
		begun := time.Now()
		_, err := lookup.OwnerID(ctx, issuer, "octo-org")
		requireUnavailable(t, err)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(begun))
	})
}

func TestALoginNeverLeavesItsPlaceInThePath(t *testing.T) {
	t.Parallel()
	for _, login := range []string{"a/b", "a?b=c", "a#b", "a%2fb", "a b", "a\r\nX-Evil: 1", "ſ", "../orgs/x", "..", "."} {
		var path atomic.Value
		path.Store("")
		lookup := newLookup(t, func(w http.ResponseWriter, r *http.Request) {
			path.Store(r.URL.Path)
			w.WriteHeader(http.StatusNotFound)
		})
		_, err := lookup.OwnerID(t.Context(), issuer, login)
		require.Equal(t, domain.CodeUnknownOwner, domain.CodeOf(err), "%q: %v", login, err)
		require.Equal(t, "/users/"+login, path.Load(), "%q", login)
	}
}
