package application

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/trustpub/trustpub/domain"
)

// Action is what an [Event] records.
type Action string

// The actions.
const (
	ActionExchange Action = "exchange"
	ActionRevoke   Action = "revoke"
	// ActionRevokeLeaked is the revocation of a token that a secret scanner found.
	ActionRevokeLeaked Action = "revoke_leaked"
	ActionCreateConfig Action = "create_config"
	ActionDeleteConfig Action = "delete_config"
)

// Event is one line of the audit record. It holds no secret: of a token only its
// SHA-256, which no request accepts in its place.
type Event struct {
	// Action is what was tried.
	Action Action
	// Err is nil when it was done, and else why it was not: domain.CodeOf(Err) is
	// the code that the client got.
	Err error
	// Protocol is the wire protocol of an exchange, as ExchangeRequest has it.
	Protocol string
	// Duration is how long an exchange took; zero for other actions.
	Duration time.Duration
	// Actor is the ID of the caller, for config changes.
	Actor string
	// Claims is the verified workload of an exchange; the zero value when the ID
	// token was refused before it was verified.
	Claims domain.Claims
	// TokenHash is the SHA-256 of the access token in hex; empty when there is none.
	TokenHash string
	// LeakSource is the sort of place where a leaked token was found.
	LeakSource string
	// Packages are those that the token covers, or that of the config.
	Packages []domain.Package
	// Provider and ConfigID name the config, for config changes.
	Provider string
	ConfigID int64
}

func hexHash(h domain.TokenHash) string { return hex.EncodeToString(h[:]) }

type requestIDKey struct{}

// WithRequestID returns a context that carries the ID of the request being
// served, for logs and the audit record.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// RequestID returns the ID that [WithRequestID] put there; empty when none.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

type traceIDKey struct{}

// WithTraceID returns a context that carries the ID of the trace that shows the request
// being served, for logs and the audit record.
func WithTraceID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, traceIDKey{}, id)
}

// TraceID returns the ID that [WithTraceID] put there; empty when none.
func TraceID(ctx context.Context) string {
	id, _ := ctx.Value(traceIDKey{}).(string)
	return id
}

// storeError passes a store's *domain.Error on and reports any other error as
// store_unavailable: nothing that goes wrong in a store may pass for a verdict.
func storeError(err error) error {
	if err == nil || domain.KindOf(err) != domain.KindInternal {
		return err
	}
	return domain.Unavailable(domain.CodeStoreUnavailable, err,
		"The registry's database can't answer right now. Try again in a few seconds.")
}
