// Package metrics counts what trustpub does and shows it to Prometheus. It has a
// registry of its own, so nothing of it is global, and all its names begin with
// trustpub_. The values of its labels are few, and none of them is a client's text.
package metrics

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/trustpub/trustpub/application"
)

// Config holds what a [Metrics] needs.
type Config struct {
	// Now is the clock. It is required.
	Now func() time.Time
	// Runtime adds the metrics of the Go runtime and of the process, whose names begin
	// with go_ and process_.
	Runtime bool
}

// Metrics are all metrics. It is safe for concurrent use, and its methods do not
// block.
type Metrics struct {
	now      func() time.Time
	registry *prometheus.Registry

	exchanges        *prometheus.CounterVec
	exchangeDuration *prometheus.HistogramVec
	revocations      *prometheus.CounterVec
	configChanges    *prometheus.CounterVec
	requestDuration  *prometheus.HistogramVec
	batchSize        *prometheus.HistogramVec
	sweeps           *prometheus.CounterVec
	swept            prometheus.Counter
	sweepDuration    prometheus.Histogram
}

// latencies are the upper bounds in seconds. An exchange takes a few milliseconds, and
// a request is ended after some seconds.
var latencies = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}

// New checks cfg and returns metrics that are all zero.
func New(cfg Config) (*Metrics, error) {
	if cfg.Now == nil {
		return nil, errors.New("metrics: the clock Now is missing")
	}
	m := &Metrics{
		now:      cfg.Now,
		registry: prometheus.NewRegistry(),
		exchanges: counter("exchanges_total",
			"Exchanges by the provider of the ID token (unknown until it is verified), wire protocol and result code (ok: a token was minted).", "provider", "protocol", "code"),
		exchangeDuration: histogram("exchange_duration_seconds",
			"How long exchanges took, from the ID token to the access token or the refusal, without HTTP.", latencies, "protocol"),
		revocations: counter("revocations_total", "Revocations of access tokens by action (revoke: asked for by who holds the token; revoke_leaked: found in public) and result code.", "action", "code"),
		configChanges: counter("config_changes_total",
			"Publisher configs created and deleted, or not, by action and result code.", "action", "code"),
		requestDuration: histogram("http_request_duration_seconds",
			"How long HTTP requests took, by route pattern (none: there is no such path), method and status.", latencies, "route", "method", "status"),
		batchSize: histogram("group_commit_batch_size",
			"How many concurrent calls shared one statement, by operation.", []float64{1, 2, 4, 8, 16, 32, 64, 128}, "operation"),
		sweeps: counter("sweeps_total", "Sweeps of expired rows by outcome.", "outcome"),
		swept: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "trustpub_swept_rows_total", Help: "Expired rows removed.",
		}),
		sweepDuration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "trustpub_sweep_duration_seconds", Help: "How long sweeps of expired rows took.",
			Buckets: []float64{.01, .1, 1, 10, 60},
		}),
	}
	err := m.register(cfg.Runtime)
	if err != nil {
		return nil, err
	}
	return m, nil
}

func (m *Metrics) register(runtime bool) error {
	all := []prometheus.Collector{
		m.exchanges, m.exchangeDuration, m.revocations, m.configChanges, m.requestDuration,
		m.batchSize, m.sweeps, m.swept, m.sweepDuration,
	}
	if runtime {
		all = append(all, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	for _, c := range all {
		err := m.registry.Register(c)
		if err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
	}
	// An alert on the increase of a series needs its zero.
	for _, outcome := range []string{outcomeSuccess, outcomeFailure} {
		m.sweeps.WithLabelValues(outcome)
	}
	return nil
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "trustpub_" + name, Help: help}, labels)
}

func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "trustpub_" + name, Help: help, Buckets: buckets}, labels)
}

// Gatherer returns the registry, for a host that shows these metrics beside its own.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// Handler answers with all metrics in the format that Prometheus asks for.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// ObserveRequest counts one HTTP request. The route must be a pattern, and the method
// one of a fixed set.
func (m *Metrics) ObserveRequest(route, method string, status int, elapsed time.Duration) {
	if route == "" {
		route = "none"
	}
	m.requestDuration.WithLabelValues(route, method, strconv.Itoa(status)).Observe(elapsed.Seconds())
}

// ObserveBatch counts one statement of a store that size calls shared. The operation
// must be one of a fixed set.
func (m *Metrics) ObserveBatch(operation string, size int) {
	m.batchSize.WithLabelValues(operation).Observe(float64(size))
}

// ObserveSweep counts one sweep; it is an Observe of application.SweeperConfig.
func (m *Metrics) ObserveSweep(result application.SweepResult) {
	m.sweeps.WithLabelValues(outcome(result.Err == nil)).Inc()
	m.swept.Add(float64(result.Removed))
	m.sweepDuration.Observe(result.Duration.Seconds())
}

const (
	outcomeSuccess = "success"
	outcomeFailure = "failure"
)

func outcome(succeeded bool) string {
	if succeeded {
		return outcomeSuccess
	}
	return outcomeFailure
}
