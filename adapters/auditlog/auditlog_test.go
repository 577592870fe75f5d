package auditlog_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/auditlog"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest"
)

// jti is that of the workload in the tests.
const jti = "jti-1"

// record returns the lines that an event makes, from a logger of that level.
func record(t *testing.T, least slog.Level, event application.Event) []map[string]any {
	t.Helper()
	var out bytes.Buffer
	auditor := auditlog.New(slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: least})))
	auditor.Record(application.WithRequestID(t.Context(), "request-1"), event)
	var lines []map[string]any
	for line := range strings.Lines(out.String()) {
		var members map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &members))
		require.NotEmpty(t, members["time"])
		delete(members, "time")
		lines = append(lines, members)
	}
	return lines
}

func claims(t *testing.T) domain.Claims {
	t.Helper()
	return trustpubtest.NewClaims(t, func(r *domain.Registered, _ *domain.Workload) { r.JWTID = jti })
}

// publisher is what is recorded of the workload of claims.
func publisher() map[string]any {
	return map[string]any{
		"provider": "github", "issuer": trustpubtest.Issuer, "jti": jti,
		"subject":    "repo:octo-org/octo-repo:ref:refs/tags/v1.2.3",
		"repository": "octo-org/octo-repo", "run_id": "1234567890",
	}
}

func TestEachEventIsOneLineOfTheAuditRecord(t *testing.T) {
	t.Parallel()
	pkg := domain.Package{Ecosystem: "cargo", Name: "demo"}
	hash := strings.Repeat("ab", 32)
	unavailable := domain.Unavailable(domain.CodeStoreUnavailable, errors.New("dial tcp 10.1.2.3: password=hunter2"), "The database can't answer.")
	tests := []struct {
		name  string
		event application.Event
		want  map[string]any
	}{
		{
			name:  "an exchange",
			event: application.Event{Action: application.ActionExchange, Claims: claims(t), TokenHash: hash, Packages: []domain.Package{pkg, {Ecosystem: "npm", Name: "demo"}}},
			want: map[string]any{
				"level": "INFO", "action": "exchange", "outcome": "done", "token_sha256": hash,
				"packages": []any{"cargo/demo", "npm/demo"}, "publisher": publisher(),
			},
		},
		{
			name:  "a refusal before the ID token was verified",
			event: application.Event{Action: application.ActionExchange, Err: domain.Refuse(domain.CodeExpired, "It expired.")},
			want:  map[string]any{"level": "WARN", "action": "exchange", "outcome": "refused", "code": "expired", "detail": "It expired."},
		},
		{
			name:  "a refusal after the ID token was verified",
			event: application.Event{Action: application.ActionExchange, Claims: claims(t), Err: domain.Refuse(domain.CodeNoPublisher, "Nobody trusts it.")},
			want: map[string]any{
				"level": "WARN", "action": "exchange", "outcome": "refused", "code": "no_publisher", "detail": "Nobody trusts it.", "publisher": publisher(),
			},
		},
		{
			name:  "a refusal that was wrapped",
			event: application.Event{Action: application.ActionExchange, Err: fmt.Errorf("save token: %w", domain.Refuse(domain.CodeAlreadyUsed, "It was used."))},
			want:  map[string]any{"level": "WARN", "action": "exchange", "outcome": "refused", "code": "already_used", "detail": "It was used."},
		},
		{
			name:  "a failure of a dependency, without its cause",
			event: application.Event{Action: application.ActionExchange, Err: unavailable},
			want:  map[string]any{"level": "ERROR", "action": "exchange", "outcome": "refused", "code": "store_unavailable", "detail": "The database can't answer."},
		},
		{
			name:  "a defect, without its text",
			event: application.Event{Action: application.ActionExchange, Err: errors.New("index out of range: hunter2")},
			want:  map[string]any{"level": "ERROR", "action": "exchange", "outcome": "refused", "code": "internal_error", "detail": "internal error"},
		},
		{
			name:  "a revocation",
			event: application.Event{Action: application.ActionRevoke, TokenHash: hash},
			want:  map[string]any{"level": "INFO", "action": "revoke", "outcome": "done", "token_sha256": hash},
		},
		{
			name: "a new config",
			event: application.Event{
				Action: application.ActionCreateConfig, Actor: "operator", Provider: domain.ProviderGitHub, ConfigID: 7, Packages: []domain.Package{pkg},
			},
			want: map[string]any{
				"level": "INFO", "action": "create_config", "outcome": "done", "actor": "operator", "provider": "github",
				"config_id": float64(7), "packages": []any{"cargo/demo"},
			},
		},
		{
			name:  "a config that breaks a rule, without what was pasted into it",
			event: application.Event{Action: application.ActionCreateConfig, Actor: "operator", Err: domain.Invalid(domain.CodeInvalidConfig, "The owner %q is none.", "cio_tp_secret")},
			want:  map[string]any{"level": "WARN", "action": "create_config", "outcome": "refused", "actor": "operator", "code": "invalid_config"},
		},
		{
			name:  "a deletion that was not allowed",
			event: application.Event{Action: application.ActionDeleteConfig, Actor: "mallory", ConfigID: 7, Err: &domain.Error{Kind: domain.KindForbidden, Code: domain.CodeForbidden, Message: "No."}},
			want: map[string]any{
				"level": "WARN", "action": "delete_config", "outcome": "refused", "actor": "mallory", "code": "forbidden", "detail": "No.", "config_id": float64(7),
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			lines := record(t, slog.LevelDebug, tt.event)
			tt.want["msg"] = "audit"
			tt.want["request_id"] = "request-1"
			require.Empty(t, cmp.Diff([]map[string]any{tt.want}, lines))
		})
	}
}

func TestTheLevelSaysWhoseFaultItWas(t *testing.T) {
	t.Parallel()
	tests := []struct {
		kind domain.Kind
		want string
	}{
		{domain.KindInternal, "ERROR"},
		{domain.KindUnavailable, "ERROR"},
		{domain.KindInvalid, "WARN"},
		{domain.KindRefused, "WARN"},
		{domain.KindUnauthenticated, "WARN"},
		{domain.KindForbidden, "WARN"},
		{domain.KindNotFound, "WARN"},
		{domain.KindConflict, "WARN"},
	}
	for _, tt := range tests {
		lines := record(t, slog.LevelDebug, application.Event{
			Action: application.ActionRevoke, Err: &domain.Error{Kind: tt.kind, Code: domain.CodeNotFound, Message: "No."},
		})
		require.Len(t, lines, 1)
		require.Equal(t, tt.want, lines[0]["level"], "kind %d", tt.kind)
	}
}

func TestWhatTheLoggerLeavesOutIsNotWritten(t *testing.T) {
	t.Parallel()
	done := application.Event{Action: application.ActionRevoke}
	refused := application.Event{Action: application.ActionRevoke, Err: domain.Refuse(domain.CodeExpired, "No.")}
	failed := application.Event{Action: application.ActionRevoke, Err: errors.New("no")}
	require.Len(t, record(t, slog.LevelInfo, done), 1)
	require.Empty(t, record(t, slog.LevelWarn, done))
	require.Len(t, record(t, slog.LevelWarn, refused), 1)
	require.Empty(t, record(t, slog.LevelError, refused))
	require.Len(t, record(t, slog.LevelError, failed), 1)
}

// TestNoClaimForgesALine gives every part that a stranger has a say in a line break
// and quotes, in both formats of the log.
func TestALineHasTheIDOfTheTraceThatShowsTheRequest(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	auditor := auditlog.New(slog.New(slog.NewTextHandler(&out, nil)))

	auditor.Record(t.Context(), application.Event{Action: application.ActionRevoke})
	require.NotContains(t, out.String(), "trace_id")
	auditor.Record(application.WithTraceID(t.Context(), "0af7651916cd43dd8448eb211c80319c"), application.Event{Action: application.ActionRevoke})
	require.Contains(t, out.String(), " trace_id=0af7651916cd43dd8448eb211c80319c\n")
}

func TestNoClaimForgesALine(t *testing.T) {
	t.Parallel()
	const evil = "x\"}\nlevel=INFO msg=audit action=exchange outcome=done \u2028\x1b[2J"
	event := application.Event{
		Action: application.ActionExchange,
		Err:    domain.Refuse(domain.CodeNoPublisher, "%s", evil),
		Actor:  evil,
		Claims: trustpubtest.NewClaims(t, func(r *domain.Registered, w *domain.Workload) {
			r.Subject, r.JWTID = evil, evil
			w.Details = domain.NewDetails(map[string]string{"ref": evil, evil: "x"})
		}),
		Packages: []domain.Package{{Ecosystem: "cargo", Name: evil}},
	}
	var text, object bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&text, nil), slog.NewJSONHandler(&object, nil)} {
		auditlog.New(slog.New(handler)).Record(application.WithRequestID(t.Context(), evil), event)
	}
	for _, out := range []string{text.String(), object.String()} {
		require.Equal(t, 1, strings.Count(out, "\n"), out)
		require.NotContains(t, out, "\x1b")
	}
	require.Contains(t, text.String(), "level=WARN msg=audit action=exchange outcome=refused")
}

func TestTheDetailsOfAPublisherStandInAlphabeticalOrder(t *testing.T) {
	t.Parallel()
	details := map[string]string{"sha": "1", "actor": "2", "ref": "3", "run_id": "4", "event_name": "5"}
	event := application.Event{Action: application.ActionExchange, Claims: trustpubtest.NewClaims(t, func(_ *domain.Registered, w *domain.Workload) {
		w.Details = domain.NewDetails(details)
	})}
	var out bytes.Buffer
	auditlog.New(slog.New(slog.NewTextHandler(&out, nil))).Record(t.Context(), event)
	require.Contains(t, out.String(), "publisher.actor=2 publisher.event_name=5 publisher.ref=3 publisher.run_id=4 publisher.sha=1\n")
	require.NotContains(t, out.String(), "request_id", "a request without ID has none")
}
