package tracing

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// Verifier returns next with a span for each ID token. One that is traced already is
// returned as it is.
func (t *Tracing) Verifier(next application.Verifier) application.Verifier {
	if _, isTraced := next.(verifier); t == nil || isTraced {
		return next
	}
	return verifier{t.tracer, next}
}

type verifier struct {
	tracer trace.Tracer
	next   application.Verifier
}

// Verify implements [application.Verifier].
func (v verifier) Verify(ctx context.Context, idToken string) (domain.Claims, error) {
	ctx, span := v.tracer.Start(ctx, "verify ID token")
	claims, err := v.next.Verify(ctx, idToken)
	if err == nil {
		span.SetAttributes(keyProvider.String(claims.Provider()))
	}
	end(span, err)
	return claims, err
}

// ConfigFinder returns next with a span for each look-up.
func (t *Tracing) ConfigFinder(next application.ConfigFinder) application.ConfigFinder {
	if t == nil {
		return next
	}
	return configFinder{t.tracer, next}
}

type configFinder struct {
	tracer trace.Tracer
	next   application.ConfigFinder
}

// FindConfigs implements [application.ConfigFinder].
func (f configFinder) FindConfigs(ctx context.Context, claims domain.Claims) ([]domain.Config, error) {
	ctx, span := f.tracer.Start(ctx, "find configs")
	configs, err := f.next.FindConfigs(ctx, claims)
	end(span, err)
	return configs, err
}

// ConfigMemory returns next with a span for each token that it saves, which is that of
// TokenStore: recalling asks nobody.
func (t *Tracing) ConfigMemory(next application.ConfigMemory) application.ConfigMemory {
	if t == nil {
		return next
	}
	return configMemory{next, t.tracer}
}

type configMemory struct {
	application.ConfigMemory

	tracer trace.Tracer
}

// SaveRecalled implements [application.ConfigMemory]. That something has changed is no
// fault, and begins a look-up.
func (m configMemory) SaveRecalled(ctx context.Context, token domain.AccessToken, claims domain.Claims, recalled application.Recalled) error {
	ctx, span := m.tracer.Start(ctx, "save token")
	err := m.ConfigMemory.SaveRecalled(ctx, token, claims, recalled)
	if errors.Is(err, application.ErrOutdated) {
		span.SetAttributes(keyOutdated.Bool(true))
		span.End()
		return err
	}
	end(span, err)
	return err
}

// TokenStore returns next with a span for each call.
func (t *Tracing) TokenStore(next application.TokenStore) application.TokenStore {
	if t == nil {
		return next
	}
	return tokenStore{t.tracer, next}
}

type tokenStore struct {
	tracer trace.Tracer
	next   application.TokenStore
}

// SaveToken implements [application.TokenStore].
func (s tokenStore) SaveToken(ctx context.Context, token domain.AccessToken, jti domain.UsedJTI, pins []domain.Pin) error {
	ctx, span := s.tracer.Start(ctx, "save token")
	err := s.next.SaveToken(ctx, token, jti, pins)
	end(span, err)
	return err
}

// FindToken implements [application.TokenStore].
func (s tokenStore) FindToken(ctx context.Context, hash domain.TokenHash) (domain.AccessToken, error) {
	ctx, span := s.tracer.Start(ctx, "find token")
	token, err := s.next.FindToken(ctx, hash)
	end(span, err)
	return token, err
}

// RevokeToken implements [application.TokenStore].
func (s tokenStore) RevokeToken(ctx context.Context, hash domain.TokenHash, at time.Time) (bool, error) {
	ctx, span := s.tracer.Start(ctx, "revoke token")
	revoked, err := s.next.RevokeToken(ctx, hash, at)
	end(span, err)
	return revoked, err
}

// ExpiredRemover returns next with a span for each batch, which is the root of a trace:
// it is nobody's request.
func (t *Tracing) ExpiredRemover(next application.ExpiredRemover) application.ExpiredRemover {
	if t == nil {
		return next
	}
	return expiredRemover{t.tracer, next}
}

type expiredRemover struct {
	tracer trace.Tracer
	next   application.ExpiredRemover
}

// RemoveExpired implements [application.ExpiredRemover].
func (r expiredRemover) RemoveExpired(ctx context.Context, before time.Time, limit int) (int, error) {
	ctx, span := r.tracer.Start(ctx, "remove expired rows")
	removed, err := r.next.RemoveExpired(ctx, before, limit)
	end(span, err)
	return removed, err
}

// OwnerLookup returns next with a span for each look-up, which asks a server of others.
func (t *Tracing) OwnerLookup(next application.OwnerLookup) application.OwnerLookup {
	if t == nil {
		return next
	}
	return ownerLookup{t.tracer, next}
}

type ownerLookup struct {
	tracer trace.Tracer
	next   application.OwnerLookup
}

// OwnerID implements [application.OwnerLookup].
func (l ownerLookup) OwnerID(ctx context.Context, issuer, login string) (int64, error) {
	ctx, span := l.tracer.Start(ctx, "look up owner ID", trace.WithSpanKind(trace.SpanKindClient))
	id, err := l.next.OwnerID(ctx, issuer, login)
	end(span, err)
	return id, err
}

// Auditor returns next, with what an event says of the request on the request's span.
func (t *Tracing) Auditor(next application.Auditor) application.Auditor {
	if t == nil {
		return next
	}
	return auditor{next}
}

type auditor struct{ next application.Auditor }

// Record implements [application.Auditor].
func (a auditor) Record(ctx context.Context, event application.Event) {
	span := trace.SpanFromContext(ctx)
	span.SetAttributes(keyAction.String(string(event.Action)))
	if event.Protocol != "" {
		span.SetAttributes(keyProtocol.String(event.Protocol))
	}
	if provider := event.Claims.Provider(); provider != "" {
		span.SetAttributes(keyProvider.String(provider))
	}
	a.next.Record(ctx, event)
}
