package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// received are the spans that a collector got, by their names.
type received struct {
	mu       sync.Mutex
	spans    map[string]*tracepb.Span
	resource map[string]string
	problem  string
}

// ServeHTTP takes spans as OTLP has them (https://opentelemetry.io/docs/specs/otlp/#otlphttp).
func (c *received) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	var sent tracepb.TracesData
	if err != nil || proto.Unmarshal(body, &sent) != nil || r.Method != http.MethodPost || r.URL.Path != "/v1/traces" ||
		r.Header.Get("Content-Type") != "application/x-protobuf" || r.Header.Get("Api-Key") != "a key" {
		c.problem = "an unexpected request"
		return
	}
	for _, resource := range sent.GetResourceSpans() {
		for _, a := range resource.GetResource().GetAttributes() {
			c.resource[a.GetKey()] = a.GetValue().GetStringValue()
		}
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				c.spans[span.GetName()] = span
			}
		}
	}
}

// serve runs the program until it listens and use has returned, and returns its log.
func serve(t *testing.T, use func(url string), environment ...string) string {
	t.Helper()
	executable, err := os.Executable()
	require.NoError(t, err)
	program := filepath.Join(t.TempDir(), "trustpub")
	require.NoError(t, os.Symlink(executable, program))
	command := exec.CommandContext(t.Context(), program, "serve")
	command.Env = append(append(os.Environ(), "TRUSTPUB_LISTEN=127.0.0.1:0", "DATABASE_URL=sqlite::memory:"), environment...)
	log, err := command.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	var printed strings.Builder
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		printed.WriteString(lines.Text() + "\n")
		var line struct{ Msg, Address string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
			use("http://" + line.Address)
			require.NoError(t, command.Process.Signal(syscall.SIGTERM))
		}
	}
	require.NoError(t, command.Wait(), "%s", &printed)
	return printed.String()
}

func TestTheProgramSendsTracesWhenTheStandardVariablesSaySo(t *testing.T) {
	c := &received{spans: map[string]*tracepb.Span{}, resource: map[string]string{}}
	collector := httptest.NewServer(c)
	t.Cleanup(collector.Close)

	log := serve(t, func(url string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url+"/api/v1/trusted_publishing/tokens?token=hostile", strings.NewReader(`{"jwt":"hostile"}`))
		require.NoError(t, err)
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		require.Equal(t, http.StatusBadRequest, response.StatusCode)
		require.NoError(t, response.Body.Close())
	}, "OTEL_EXPORTER_OTLP_ENDPOINT="+collector.URL, "OTEL_EXPORTER_OTLP_HEADERS=api-key=a%20key",
		"OTEL_SERVICE_NAME=publishing", "OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=test")

	require.Empty(t, c.problem)
	require.Equal(t, "publishing", c.resource["service.name"])
	require.Equal(t, "test", c.resource["deployment.environment.name"])
	request, verify := c.spans["PUT /api/v1/trusted_publishing/tokens"], c.spans["verify ID token"]
	require.NotNil(t, request)
	require.NotNil(t, verify)
	require.Equal(t, tracepb.Span_SPAN_KIND_SERVER, request.GetKind())
	require.Empty(t, request.GetParentSpanId())
	require.Len(t, request.GetLinks(), 1)
	require.Equal(t, request.GetSpanId(), verify.GetParentSpanId())
	attributes := map[string]string{}
	for _, a := range request.GetAttributes() {
		attributes[a.GetKey()] = a.GetValue().GetStringValue()
	}
	require.Equal(t, "malformed_jwt", attributes["trustpub.code"])
	for _, span := range c.spans {
		require.NotContains(t, span.String(), "hostile")
	}
	require.Contains(t, log, `"trace_id"`)
	require.NotContains(t, log, "could not be sent")
}

func TestTheProgramSendsNoTracesUnlessTheyAreAskedFor(t *testing.T) {
	for _, variable := range []string{"OTEL_TRACES_EXPORTER=none", "OTEL_SDK_DISABLED=true", "OTEL_SERVICE_NAME=x"} {
		log := serve(t, func(url string) {
			response, err := http.Get(url + "/healthz")
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
		}, variable)
		require.NotContains(t, log, "trace_id")
	}
}
