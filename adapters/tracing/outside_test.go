package tracing_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	_ "modernc.org/sqlite"

	"github.com/trustpub/trustpub/adapters/sqlite"
	"github.com/trustpub/trustpub/adapters/tracing"
)

// roundTrip sends a request to a server that answers with status.
func roundTrip(t *testing.T, traces *tracing.Tracing, status int) (*url.URL, http.Header) {
	t.Helper()
	var header http.Header
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header = r.Header.Clone()
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/"+hostile+"?q="+hostile, http.NoBody)
	require.NoError(t, err)
	request.Header.Set("Authorization", hostile)
	response, err := (&http.Client{Transport: traces.Transport(http.DefaultTransport)}).Do(request)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return request.URL, header
}

func TestAFetchNamesItsServerAndNeitherTheURLNorTheTrace(t *testing.T) {
	t.Parallel()
	for status, failed := range map[int]bool{200: false, 302: false, 404: true, 503: true} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			t.Parallel()
			r := newRecorder(t)
			at, header := roundTrip(t, r.tracing(t), status)

			span := r.one(t)
			require.Equal(t, "GET", span.Name())
			require.Equal(t, trace.SpanKindClient, span.SpanKind())
			want := map[string]string{"http.request.method": "GET", "server.address": "127.0.0.1", "server.port": at.Port(), "http.response.status_code": strconv.Itoa(status)}
			if failed {
				want["error.type"] = strconv.Itoa(status)
			}
			require.Equal(t, want, attributes(span))
			require.Equal(t, failed, span.Status().Code == codes.Error)
			require.Empty(t, header.Get("Traceparent"))
			require.NotContains(t, r.out.String(), hostile)
		})
	}
}

// broken is a transport that fails.
type broken struct{}

func (broken) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New(hostile) }

func TestAFetchThatFailsDoesSoWithoutItsText(t *testing.T) {
	t.Parallel()
	for target, port := range map[string]string{"https://ci.example/": "443", "http://ci.example/": "80", "https://ci.example:8443/": "8443"} {
		r := newRecorder(t)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody)
		require.NoError(t, err)

		_, err = r.tracing(t).Transport(broken{}).RoundTrip(request) //nolint:bodyclose // There is none.

		require.EqualError(t, err, hostile)
		span := r.one(t)
		require.Equal(t, codes.Error, span.Status().Code)
		require.Equal(t, map[string]string{"http.request.method": "GET", "server.address": "ci.example", "server.port": port, "error.type": "_OTHER"}, attributes(span))
		require.NotContains(t, r.out.String(), hostile)
	}
}

func TestAStatementIsShownWithoutItsParametersAndOnlyForWhatIsTraced(t *testing.T) {
	t.Parallel()
	r := newRecorder(t)
	db, err := sqlite.Open(sqlite.Memory, sqlite.OpenDBWith(r.tracing(t).OpenSQLite))
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	do := func(ctx context.Context) {
		_, err := db.Writer().ExecContext(ctx, `create table if not exists t (a text unique, check (a <> 'x'))`)
		require.NoError(t, err)
		_, err = db.Writer().ExecContext(ctx, `insert into t (a) values (?) on conflict do nothing`, hostile)
		require.NoError(t, err)
		var got string
		require.NoError(t, db.Writer().QueryRowContext(ctx, `select a from t where a = ?`, hostile).Scan(&got))
		require.Equal(t, hostile, got)
		tx, err := db.Writer().BeginTx(ctx, nil)
		require.NoError(t, err)
		_, err = tx.ExecContext(ctx, `insert into t (a) values (?)`, hostile)
		require.Error(t, err)
		require.NoError(t, tx.Rollback())
	}

	do(t.Context())
	require.Empty(t, r.Ended(), "nobody's request")

	ctx, span := r.provider.Tracer("test").Start(t.Context(), "parent")
	do(ctx)
	span.End()

	statements, failed := map[string]bool{}, 0
	for _, s := range r.Ended() {
		if s.Name() == "parent" {
			continue
		}
		require.Equal(t, trace.SpanKindClient, s.SpanKind())
		require.Equal(t, "sqlite", attributes(s)["db.system.name"])
		require.Empty(t, s.Events())
		statements[attributes(s)["db.query.text"]] = true
		if code := attributes(s)["db.response.status_code"]; code != "" {
			require.Equal(t, "2067", code, "SQLITE_CONSTRAINT_UNIQUE")
			failed++
		}
	}
	require.Equal(t, 1, failed)
	require.True(t, statements[`insert into t (a) values (?)`])
	require.True(t, statements[`select a from t where a = ?`])
	require.NotContains(t, r.out.String(), hostile)
}
