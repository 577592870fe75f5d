package metrics

import (
	"database/sql"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// KeySetStats is the state of an issuer's key set.
type KeySetStats struct {
	// LoadedAt is when the keys that are held were loaded; zero while there are none,
	// and then no age is shown.
	LoadedAt time.Time
	// Fetched and Failed count the fetches that succeeded and that failed.
	Fetched, Failed uint64
}

// AddKeySet shows the key set of an enabled issuer; stats is called whenever metrics
// are read. It is an error to add an issuer twice.
func (m *Metrics) AddKeySet(issuer string, stats func() KeySetStats) error {
	err := m.registry.Register(&keySet{
		now: m.now, stats: stats,
		age:     description("key_set_age_seconds", "How old the keys are that are held of an issuer; not there while there are none.", "issuer", issuer),
		fetches: description("key_set_fetches_total", "Fetches of an issuer's keys by outcome.", "issuer", issuer, "outcome"),
	})
	if err != nil {
		return fmt.Errorf("metrics: key set of %s: %w", issuer, err)
	}
	return nil
}

type keySet struct {
	now          func() time.Time
	stats        func() KeySetStats
	age, fetches *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (k *keySet) Describe(out chan<- *prometheus.Desc) { out <- k.age; out <- k.fetches }

// Collect implements prometheus.Collector.
func (k *keySet) Collect(out chan<- prometheus.Metric) {
	stats := k.stats()
	if !stats.LoadedAt.IsZero() {
		out <- prometheus.MustNewConstMetric(k.age, prometheus.GaugeValue, k.now().Sub(stats.LoadedAt).Seconds())
	}
	out <- prometheus.MustNewConstMetric(k.fetches, prometheus.CounterValue, float64(stats.Fetched), outcomeSuccess)
	out <- prometheus.MustNewConstMetric(k.fetches, prometheus.CounterValue, float64(stats.Failed), outcomeFailure)
}

// AddPool shows a pool of database connections under a name. It is an error to add a
// name twice.
func (m *Metrics) AddPool(name string, db *sql.DB) error {
	err := m.registry.Register(&pool{
		stats:       db.Stats,
		connections: description("database_connections", "Open connections of a pool by state.", "pool", name, "state"),
		most:        description("database_connections_max", "The most connections that a pool may open.", "pool", name),
		waits:       description("database_waits_total", "How often a connection of a pool had to be waited for.", "pool", name),
		waited:      description("database_wait_seconds_total", "How long connections of a pool were waited for.", "pool", name),
	})
	if err != nil {
		return fmt.Errorf("metrics: pool %s: %w", name, err)
	}
	return nil
}

type pool struct {
	stats                            func() sql.DBStats
	connections, most, waits, waited *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (p *pool) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{p.connections, p.most, p.waits, p.waited} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (p *pool) Collect(out chan<- prometheus.Metric) {
	stats := p.stats()
	out <- prometheus.MustNewConstMetric(p.connections, prometheus.GaugeValue, float64(stats.InUse), "in_use")
	out <- prometheus.MustNewConstMetric(p.connections, prometheus.GaugeValue, float64(stats.Idle), "idle")
	out <- prometheus.MustNewConstMetric(p.most, prometheus.GaugeValue, float64(stats.MaxOpenConnections))
	out <- prometheus.MustNewConstMetric(p.waits, prometheus.CounterValue, float64(stats.WaitCount))
	out <- prometheus.MustNewConstMetric(p.waited, prometheus.CounterValue, stats.WaitDuration.Seconds())
}

// description describes a metric with one label that is always the same.
func description(name, help, label, value string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("trustpub_"+name, help, labels, prometheus.Labels{label: value})
}
