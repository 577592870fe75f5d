package metrics

import (
	"context"

	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// codeOK is the result code of what was done.
const codeOK = "ok"

// Auditor returns an auditor that counts every event and passes it on to next.
func (m *Metrics) Auditor(next application.Auditor) application.Auditor {
	return auditor{metrics: m, next: next}
}

type auditor struct {
	metrics *Metrics
	next    application.Auditor
}

// Record implements [application.Auditor].
func (a auditor) Record(ctx context.Context, event application.Event) {
	a.metrics.count(event)
	a.next.Record(ctx, event)
}

func (m *Metrics) count(event application.Event) {
	code := codeOK
	if event.Err != nil {
		code = string(domain.CodeOf(event.Err))
	}
	switch event.Action {
	case application.ActionExchange:
		m.exchanges.WithLabelValues(orUnknown(event.Claims.Provider()), orUnknown(event.Protocol), code).Inc()
		m.exchangeDuration.WithLabelValues(orUnknown(event.Protocol)).Observe(event.Duration.Seconds())
	case application.ActionRevoke, application.ActionRevokeLeaked:
		m.revocations.WithLabelValues(string(event.Action), code).Inc()
	case application.ActionCreateConfig, application.ActionDeleteConfig:
		m.configChanges.WithLabelValues(string(event.Action), code).Inc()
	}
}

func orUnknown(value string) string {
	if value == "" {
		return "unknown"
	}
	return value
}
