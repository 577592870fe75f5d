package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/cmd/trustpub/cijob"
)

var errRefused = errors.New("refused")

func unavailableFor(after time.Duration) error {
	return &unavailableError{err: errors.New("the server rests"), after: after}
}

func TestOnlyWhatMayImproveIsTriedAgain(t *testing.T) {
	noToken := fmt.Errorf("no ID token: %w", cijob.ErrUnavailable)
	tests := []struct {
		name    string
		results []error
		pauses  []time.Duration
		want    string
	}{
		{"success", []error{nil}, nil, ""},
		{"a refusal", []error{errRefused, nil}, nil, "refused"},
		{"a server that comes back", []error{unavailableFor(0), nil}, []time.Duration{time.Second}, ""},
		{"a CI system that comes back", []error{noToken, nil}, []time.Duration{time.Second}, ""},
		{"a server that comes back and refuses", []error{unavailableFor(0), errRefused, nil}, []time.Duration{time.Second}, "refused"},
		{"pauses double", []error{unavailableFor(0), noToken, unavailableFor(0), nil}, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}, ""},
		{"the server's time is kept", []error{unavailableFor(5 * time.Second), unavailableFor(7 * time.Second), nil}, []time.Duration{5 * time.Second, 7 * time.Second}, ""},
		{"the longest time", []error{unavailableFor(20 * time.Second), nil}, []time.Duration{20 * time.Second}, ""},
		{"a longer time is not waited for", []error{unavailableFor(21 * time.Second), nil}, nil, "can be asked again in 21s"},
		{"four times at most", []error{noToken, noToken, noToken, unavailableFor(0), nil}, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}, "the server rests"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var pauses []time.Duration
			var log strings.Builder
			r := retrier{log: &log, sleep: func(_ context.Context, pause time.Duration) error {
				pauses = append(pauses, pause)
				return nil
			}}
			attempts := 0

			err := r.do(t.Context(), func(context.Context) error {
				attempts++
				return tt.results[attempts-1]
			})

			require.Equal(t, tt.pauses, pauses)
			require.Equal(t, len(tt.pauses)+1, attempts)
			require.Equal(t, len(tt.pauses), strings.Count(log.String(), "\n"), "each pause is told of")
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestNothingIsTriedAgainAfterTheTimeIsUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	attempts := 0
	r := retrier{log: &strings.Builder{}, sleep: sleep}

	err := r.do(ctx, func(context.Context) error {
		attempts++
		cancel()
		return unavailableFor(time.Second)
	})

	require.ErrorContains(t, err, "rests")
	require.Equal(t, 1, attempts)
}

func TestASleepEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	require.NoError(t, sleep(ctx, time.Nanosecond))
	cancel()
	require.ErrorIs(t, sleep(ctx, time.Hour), context.Canceled)
}
