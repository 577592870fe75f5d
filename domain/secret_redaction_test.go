package domain_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/domain"
)

func TestSecretPrintsAsRedactedWhateverTheWay(t *testing.T) {
	secret, err := domain.ParseSecret(newPrefix(t, domain.DefaultTokenPrefix), zeroToken)
	require.NoError(t, err)
	shown := map[string]string{"error": fmt.Errorf("save %v: %w", secret, errors.New("down")).Error()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%c", "%U", "%e", "%t", "%20v", "%-5.2s"} {
		shown["value in "+verb] = fmt.Sprintf(verb, secret)
		shown["pointer in "+verb] = fmt.Sprintf(verb, &secret)
	}
	// What a log handler of any make gets to see.
	require.Equal(t, slog.StringValue("[redacted]"), slog.AnyValue(secret).Resolve())
	encoded, err := json.Marshal(secret)
	require.NoError(t, err)
	shown["JSON"] = string(encoded)
	encoded, err = json.Marshal(map[string]domain.Secret{"token": secret})
	require.NoError(t, err)
	shown["JSON of a map"] = string(encoded)
	for name, handler := range map[string]func(io.Writer, *slog.HandlerOptions) slog.Handler{
		"text log": func(w io.Writer, o *slog.HandlerOptions) slog.Handler { return slog.NewTextHandler(w, o) },
		"JSON log": func(w io.Writer, o *slog.HandlerOptions) slog.Handler { return slog.NewJSONHandler(w, o) },
	} {
		var b strings.Builder
		slog.New(handler(&b, nil)).Info("made", slog.Any("secret", secret))
		shown[name] = b.String()
		b.Reset()
		slog.New(handler(&b, nil)).Info("made", slog.Any("pointer", &secret))
		shown[name+" of a pointer"] = b.String()
	}
	for name, text := range shown {
		require.Contains(t, text, "[redacted]", name)
		require.NotContains(t, text, zeroToken[len("cio_tp_"):], name)
	}
}

func TestSecretDoesNotShowItselfFromInsideOtherValues(t *testing.T) {
	secret, err := domain.ParseSecret(newPrefix(t, domain.DefaultTokenPrefix), zeroToken)
	require.NoError(t, err)
	type holder struct {
		Secret  domain.Secret
		Pointer *domain.Secret
		Any     any
		List    []domain.Secret
		Map     map[string]domain.Secret
		// fmt reaches unexported fields by reflection, without asking any method.
		unexported domain.Secret
		inside     struct{ secret domain.Secret }
	}
	held := holder{
		secret, &secret, secret,
		[]domain.Secret{secret},
		map[string]domain.Secret{"k": secret},
		secret,
		struct{ secret domain.Secret }{secret},
	}

	shown := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		shown[verb] = fmt.Sprintf(verb, any(held))
		shown[verb+" of a pointer"] = fmt.Sprintf(verb, any(&held))
	}
	encoded, err := json.Marshal(held)
	require.NoError(t, err)
	shown["JSON"] = string(encoded)
	var b strings.Builder
	slog.New(slog.NewJSONHandler(&b, nil)).Info("made", slog.Any("held", held))
	slog.New(slog.NewTextHandler(&b, nil)).Info("made", slog.Any("held", held))
	shown["logs"] = b.String()

	for name, text := range shown {
		require.Contains(t, text, "[redacted]", name)
		require.NotContains(t, text, "cio_tp_", name)
		require.NotContains(t, text, "00000000000000", name)
		require.NotContains(t, strings.ToLower(text), hex.EncodeToString([]byte("cio_tp_")), name)
	}
}
