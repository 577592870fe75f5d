package httpapi_test

import (
	"bytes"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/httpapi/openapi"
)

var openAPIRouter = sync.OnceValues(func() (routers.Router, error) {
	document, err := openapi3.NewLoader().LoadFromData(openapi.Document())
	if err != nil {
		return nil, err
	}
	return gorillamux.NewRouter(document)
})

// checkAgainstOpenAPI fails the test when the document does not describe that
// answer to q. What the document leaves to its introduction is not looked at:
// HEAD, OPTIONS, and paths and methods that do not exist.
func checkAgainstOpenAPI(tb testing.TB, q call, response reply) {
	tb.Helper()
	router, err := openAPIRouter()
	require.NoError(tb, err)
	if response.StatusCode == http.StatusMethodNotAllowed || q.method == http.MethodHead || q.method == http.MethodOptions {
		return
	}
	r := q.http()
	route, params, err := router.FindRoute(r)
	if err != nil {
		require.Equal(tb, http.StatusNotFound, response.StatusCode, "%s %s is not in the OpenAPI document", q.method, q.target)
		return
	}
	err = openapi3filter.ValidateResponse(tb.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route},
		Status:                 response.StatusCode,
		Header:                 response.Header,
		Body:                   io.NopCloser(strings.NewReader(response.Body)),
		Options:                &openapi3filter.Options{IncludeResponseStatus: true},
	})
	require.NoError(tb, err, "%s %s answered %d %s", q.method, q.target, response.StatusCode, response.Body)
}

func TestOpenAPIDocumentIsValid(t *testing.T) {
	t.Parallel()
	document, err := openapi3.NewLoader().LoadFromData(openapi.Document())
	require.NoError(t, err)
	require.Equal(t, "3.1.0", document.OpenAPI)
	require.NoError(t, document.Validate(t.Context()))
}

var routeParameter = regexp.MustCompile(`:([a-z]+)`)

func TestOpenAPIDocumentDescribesEveryRouteAndNoOther(t *testing.T) {
	t.Parallel()
	document, err := openapi3.NewLoader().LoadFromData(openapi.Document())
	require.NoError(t, err)
	var described, registered []string
	for path, item := range document.Paths.Map() {
		for method := range item.Operations() {
			described = append(described, method+" "+path)
		}
	}
	for _, route := range newRegistry(t).api.Routes() {
		if route.Method != http.MethodHead {
			registered = append(registered, route.Method+" "+routeParameter.ReplaceAllString(route.Path, "{$1}"))
		}
	}
	slices.Sort(described)
	slices.Sort(registered)
	require.Equal(t, described, registered)
}

func TestEveryGetHasHead(t *testing.T) {
	t.Parallel()
	var get, head []string
	for _, route := range newRegistry(t).api.Routes() {
		switch route.Method {
		case http.MethodGet:
			get = append(get, route.Path)
		case http.MethodHead:
			head = append(head, route.Path)
		}
	}
	require.ElementsMatch(t, get, head)
}

func TestOpenAPIDocumentIsServed(t *testing.T) {
	t.Parallel()
	response := newRegistry(t).do(t, bare(http.MethodGet, "/openapi.json"))
	require.Equal(t, http.StatusOK, response.StatusCode)
	require.True(t, bytes.Equal(openapi.Document(), []byte(response.Body)))
}

// A check that can't fail would prove nothing.
func TestTheOpenAPICheckSeesAnAnswerThatIsNotDescribed(t *testing.T) {
	t.Parallel()
	router, err := openAPIRouter()
	require.NoError(t, err)
	q := jsonTo(http.MethodPut, tokensPath, `{"jwt":"x"}`)
	route, params, err := router.FindRoute(q.http())
	require.NoError(t, err)
	for _, body := range []string{`{"token":"t"}`, `{"token":"t","expires_at":"2026-07-01T12:00:00Z","more":1}`, `{"token":"t","expires_at":"soon"}`} {
		err = openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
			RequestValidationInput: &openapi3filter.RequestValidationInput{Request: q.http(), PathParams: params, Route: route},
			Status:                 http.StatusOK,
			Header:                 http.Header{"Content-Type": {"application/json"}},
			Body:                   io.NopCloser(strings.NewReader(body)),
		})
		require.Error(t, err, body)
	}
}
