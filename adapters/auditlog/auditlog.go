// Package auditlog writes the audit record as structured log lines.
package auditlog

import (
	"context"
	"log/slog"

	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// Auditor implements [application.Auditor] on a logger: one line with the message
// "audit" per event. It is safe for concurrent use.
type Auditor struct{ logger *slog.Logger }

var _ application.Auditor = (*Auditor)(nil)

// New returns an auditor that writes to logger.
func New(logger *slog.Logger) *Auditor { return &Auditor{logger: logger} }

// Record writes the event. What was done is logged at info, what a client got
// wrong at warn, what failed on our side at error. An error's cause is left to the
// request log, so that the audit record holds codes and no internals.
func (a *Auditor) Record(ctx context.Context, event application.Event) {
	if !a.logger.Enabled(ctx, level(event.Err)) {
		return
	}
	attrs := make([]slog.Attr, 0, 16)
	attrs = append(attrs, slog.String("action", string(event.Action)), slog.String("outcome", "done"))
	if event.Err != nil {
		attrs[1] = slog.String("outcome", "refused")
		attrs = append(attrs, slog.String("code", string(domain.CodeOf(event.Err))))
		// What a client got wrong in form is quoted in the message, and may be anything.
		if domain.KindOf(event.Err) != domain.KindInvalid {
			attrs = append(attrs, slog.String("detail", domain.MessageOf(event.Err)))
		}
	}
	optional := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	optional("request_id", application.RequestID(ctx))
	optional("trace_id", application.TraceID(ctx))
	optional("protocol", event.Protocol)
	optional("actor", event.Actor)
	optional("token_sha256", event.TokenHash)
	optional("leak_source", event.LeakSource)
	optional("provider", event.Provider)
	if event.ConfigID != 0 {
		attrs = append(attrs, slog.Int64("config_id", event.ConfigID))
	}
	if len(event.Packages) > 0 {
		attrs = append(attrs, slog.Any("packages", names(event.Packages)))
	}
	if event.Claims.Issuer() != "" {
		attrs = append(attrs, publisher(event.Claims))
	}
	a.logger.LogAttrs(ctx, level(event.Err), "audit", attrs...)
}

func level(err error) slog.Level {
	if err == nil {
		return slog.LevelInfo
	}
	switch domain.KindOf(err) {
	case domain.KindInternal, domain.KindUnavailable:
		return slog.LevelError
	case domain.KindInvalid, domain.KindRefused, domain.KindUnauthenticated,
		domain.KindForbidden, domain.KindNotFound, domain.KindConflict, domain.KindLimited:
	}
	return slog.LevelWarn
}

func names(packages []domain.Package) []string {
	names := make([]string, 0, len(packages))
	for _, p := range packages {
		names = append(names, p.String())
	}
	return names
}

// publisher shows the verified workload, by the provider's own claim names in
// alphabetical order.
func publisher(claims domain.Claims) slog.Attr {
	attrs := make([]slog.Attr, 0, 32)
	attrs = append(attrs,
		slog.String("provider", claims.Provider()),
		slog.String("issuer", claims.Issuer()),
		slog.String("subject", claims.Subject()),
		slog.String("jti", claims.JWTID()),
	)
	for name, value := range claims.Details().All() {
		attrs = append(attrs, slog.String(name, value))
	}
	return slog.GroupAttrs("publisher", attrs...)
}
