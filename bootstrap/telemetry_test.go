package bootstrap_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/fx"

	"github.com/trustpub/trustpub/adapters/tracing"
	"github.com/trustpub/trustpub/bootstrap"
)

// tracingOf returns what a server traces with; nil is nothing.
func tracingOf(t *testing.T, environment map[string]string) *tracing.Tracing {
	t.Helper()
	var traces *tracing.Tracing
	app := fx.New(
		bootstrap.Server(settingsFor(t, nil, environment), slog.New(slog.DiscardHandler), bootstrap.ListenerEvents{}),
		fx.Populate(&traces),
	)
	require.NoError(t, app.Start(t.Context()))
	require.NoError(t, app.Stop(t.Context()))
	return traces
}

func TestTracesAreOffUnlessTheyAreAskedFor(t *testing.T) {
	const collector = "http://127.0.0.1:1"
	tests := []struct {
		name        string
		environment map[string]string
		on          bool
	}{
		{"nothing is set", nil, false},
		{"set to nothing", map[string]string{"OTEL_TRACES_EXPORTER": "", "OTEL_EXPORTER_OTLP_ENDPOINT": ""}, false},
		{"no exporter", map[string]string{"OTEL_TRACES_EXPORTER": "none"}, false},
		{"no exporter, but a collector", map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": collector}, false},
		{"switched off", map[string]string{"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"}, false},
		{"switched off in capitals", map[string]string{"OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT": collector}, false},
		{"switched off, whatever else is set", map[string]string{"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "zipkin", "OTEL_TRACES_SAMPLER": "some"}, false},
		{"a collector for metrics", map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": collector}, false},
		{"whose it would be", map[string]string{"OTEL_SERVICE_NAME": "x", "OTEL_RESOURCE_ATTRIBUTES": "a=b", "OTEL_TRACES_SAMPLER": "always_on"}, false},
		{"off, and a protocol that is another program's", map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, false},
		{"an exporter", map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, true},
		{"standard output", map[string]string{"OTEL_TRACES_EXPORTER": "console"}, true},
		{"a collector", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": collector}, true},
		{"a collector for traces", map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": collector}, true},
		{"not switched off", map[string]string{"OTEL_SDK_DISABLED": "false", "OTEL_TRACES_EXPORTER": "otlp"}, true},
		{"everything", map[string]string{
			"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SERVICE_NAME": "x", "OTEL_RESOURCE_ATTRIBUTES": "a=b,c=d%2Ce", "OTEL_PROPAGATORS": "tracecontext,baggage",
			"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
			"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_HEADERS": "api-key=a%20b", "OTEL_EXPORTER_OTLP_TIMEOUT": "1000",
			"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip", "OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_BSP_EXPORT_TIMEOUT": "1000",
			"OTEL_BSP_MAX_QUEUE_SIZE": "100", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "100",
		}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.on, tracingOf(t, tt.environment) != nil)
		})
	}
}

func TestAVariableOfOpenTelemetryThatIsUnusableStopsTheStart(t *testing.T) {
	const secret = "hunter2"
	empty := filepath.Join(t.TempDir(), "empty")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	tests := []struct{ setting, value, accepted string }{
		{"OTEL_SDK_DISABLED", "yes", "use true or false"},
		{"OTEL_TRACES_EXPORTER", "zipkin", "use otlp, console or none"},
		{"OTEL_TRACES_EXPORTER", "OTLP", "use otlp, console or none"},
		{"OTEL_TRACES_EXPORTER", "otlp,console", "use otlp, console or none"},
		{"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "use http/protobuf"},
		{"OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "use http/protobuf"},
		{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc", "use http/protobuf"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "use http://HOST:PORT"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://", "use http://HOST:PORT"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://u:" + secret + "@collector:4318", "OTEL_EXPORTER_OTLP_HEADERS for a credential"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:x" + secret, "use http://HOST:PORT"},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "grpc://collector:4317", "use http://HOST:PORT"},
		{"OTEL_EXPORTER_OTLP_HEADERS", secret, "use KEY=VALUE"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "=" + secret, "use KEY=VALUE"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "a=" + secret + "%", "use KEY=VALUE"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "a=" + secret + "%0Ab: c", "characters that none may have"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "a b=" + secret, "characters that none may have"},
		{"OTEL_EXPORTER_OTLP_TRACES_HEADERS", secret, "use KEY=VALUE"},
		{"OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "whole number"},
		{"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "0", "whole number"},
		{"OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "use gzip or none"},
		{"OTEL_EXPORTER_OTLP_CERTIFICATE", filepath.Join(t.TempDir(), "none"), "no such file"},
		{"OTEL_EXPORTER_OTLP_CERTIFICATE", empty, "PEM"},
		{"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", empty, "set OTEL_EXPORTER_OTLP_CLIENT_KEY too"},
		{"OTEL_EXPORTER_OTLP_CLIENT_KEY", empty, "set OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE too"},
		{"OTEL_TRACES_SAMPLER", "jaeger_remote", "always_on, always_off, traceidratio"},
		{"OTEL_TRACES_SAMPLER", "parentbased_", "always_on, always_off, traceidratio"},
		{"OTEL_TRACES_SAMPLER_ARG", "2", "from 0 to 1"},
		{"OTEL_TRACES_SAMPLER_ARG", "-0.1", "from 0 to 1"},
		{"OTEL_TRACES_SAMPLER_ARG", "NaN", "from 0 to 1"},
		{"OTEL_TRACES_SAMPLER_ARG", "half", "from 0 to 1"},
		{"OTEL_PROPAGATORS", "b3", "use tracecontext, baggage or none"},
		{"OTEL_RESOURCE_ATTRIBUTES", "service.name", "use KEY=VALUE"},
		{"OTEL_BSP_SCHEDULE_DELAY", "5s", "whole number"},
		{"OTEL_BSP_EXPORT_TIMEOUT", "-1", "whole number"},
		{"OTEL_BSP_MAX_QUEUE_SIZE", "0", "whole number"},
		{"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4096", "at most OTEL_BSP_MAX_QUEUE_SIZE, which is 2048"},
	}
	for _, tt := range tests {
		t.Run(tt.setting+"="+tt.value, func(t *testing.T) {
			environment := map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_TRACES_SAMPLER": "traceidratio"}
			environment[tt.setting] = tt.value

			err := bootstrap.Serve(t.Context(), settingsFor(t, nil, environment), slog.New(slog.DiscardHandler), nil)

			var setting *bootstrap.SettingError
			require.ErrorAs(t, err, &setting)
			require.Equal(t, tt.setting, setting.Setting)
			require.Contains(t, setting.Problem, tt.accepted)
			require.NotContains(t, err.Error(), secret)
			require.NotContains(t, err.Error(), "\n")
		})
	}
}

func TestTheVariablesOfOpenTelemetryAreNotPrinted(t *testing.T) {
	s := settingsFor(t, nil, map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "api-key=" + longToken})
	asJSON, err := json.Marshal(s)
	require.NoError(t, err)
	var logged strings.Builder
	slog.New(slog.NewTextHandler(&logged, nil)).Info("settings", "telemetry", s.Telemetry)

	for _, printed := range []string{fmt.Sprint(s), fmt.Sprintf("%+v", s), fmt.Sprintf("%#v", s), s.Telemetry.String(), string(asJSON), logged.String()} {
		require.NotContains(t, printed, longToken)
		require.Contains(t, printed, "OTEL_EXPORTER_OTLP_HEADERS")
	}
}

func TestTheURLForTracesIsWholeAndTheOtherIsTheirBase(t *testing.T) {
	tests := []struct {
		name        string
		environment map[string]string
		want        string
	}{
		{"for all", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "URL"}, "/v1/traces"},
		{"for all, with a path", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "URL/base/"}, "/base/v1/traces"},
		{"for traces", map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "URL/spans"}, "/spans"},
		{"for traces, without a path", map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "URL"}, "/"},
		{"both", map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "URL/spans", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, "/spans"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			paths := make(chan string, 100)
			collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { paths <- r.URL.Path }))
			t.Cleanup(collector.Close)
			environment := maps.Clone(tt.environment)
			for name, value := range environment {
				environment[name] = strings.Replace(value, "URL", collector.URL, 1)
			}
			s := startServer(t, settingsFor(t, nil, environment))
			s.call(t, http.MethodGet, "/healthz", "", "", "")

			require.NoError(t, s.stop())

			require.Equal(t, tt.want, <-paths)
		})
	}
}

func TestNeitherAnExchangeNorTheStopWaitsForACollector(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // Nobody accepts.
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, gone.Close())
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
		case <-time.After(time.Minute):
		}
	}))
	t.Cleanup(slow.Close)
	tests := []struct {
		name, url string
		stop      time.Duration
	}{
		{"down", "http://" + gone.Addr().String(), 2 * time.Second},
		{"hanging", "http://" + listener.Addr().String(), 5 * time.Second},
		{"slow", slow.URL, 5 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ci := startIssuer(t)
			s := startServer(t, settingsFor(t, ci, map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": tt.url, "OTEL_BSP_SCHEDULE_DELAY": "1",
				"OTEL_BSP_MAX_QUEUE_SIZE": "4", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "4",
			}))
			s.configure(t, demoConfig)

			began := time.Now()
			for range 20 {
				require.Equal(t, http.StatusOK, s.exchange(t, sign(t, ci, ci.GitHubClaims())).status)
			}
			require.Less(t, time.Since(began), 4*time.Second)

			began = time.Now()
			require.NoError(t, s.stop())
			require.Less(t, time.Since(began), tt.stop)
			require.Contains(t, s.log.String(), "could not be sent")
		})
	}
}
