package main

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

// answerOfIssuer is what a hostile issuer answerOfIssuer, and how much of the body came.
type answerOfIssuer struct {
	header   http.Header
	body     []byte
	err, cut error
}

// askForKeys asks a hostile issuer for its key set, and does not follow redirects.
func askForKeys(t *testing.T, h *hostile) answerOfIssuer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.URL()+"/.well-known/jwks", http.NoBody)
	require.NoError(t, err)
	client := &http.Client{
		Timeout:       1500 * time.Millisecond,
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		return answerOfIssuer{err: err}
	}
	defer func() { _ = response.Body.Close() }()
	body, cut := io.ReadAll(io.LimitReader(response.Body, 3<<20))
	return answerOfIssuer{header: response.Header, body: body, cut: cut}
}

func startHostileTest(t *testing.T, m misdeed) *hostile {
	t.Helper()
	h, err := startHostile("http://elsewhere.example")
	require.NoError(t, err)
	t.Cleanup(h.close)
	require.NoError(t, h.become(m))
	return h
}

func TestAHostileIssuerDoesWhatItsMisdeedSays(t *testing.T) {
	t.Parallel()
	keysIn := func(t *testing.T, a answerOfIssuer) []json.RawMessage {
		t.Helper()
		require.NoError(t, a.err)
		var set struct {
			Keys []json.RawMessage `json:"keys"`
		}
		require.NoError(t, json.Unmarshal(a.body, &set))
		return set.Keys
	}
	tests := map[misdeed]func(*testing.T, answerOfIssuer){
		behaved:     func(t *testing.T, a answerOfIssuer) { require.Len(t, keysIn(t, a), 1) },
		down:        func(t *testing.T, a answerOfIssuer) { require.ErrorContains(t, a.err, "connection refused") },
		hanging:     func(t *testing.T, a answerOfIssuer) { require.ErrorContains(t, a.err, "Client.Timeout") },
		resetting:   func(t *testing.T, a answerOfIssuer) { require.ErrorContains(t, a.err, "connection reset") },
		emptySet:    func(t *testing.T, a answerOfIssuer) { require.Empty(t, keysIn(t, a)) },
		unusableKey: func(t *testing.T, a answerOfIssuer) { require.Len(t, keysIn(t, a), 1) },
		huge:        func(t *testing.T, a answerOfIssuer) { require.Len(t, a.body, 3<<20, "all that was read of it") },
		dripping: func(t *testing.T, a answerOfIssuer) {
			require.Error(t, a.cut)
			require.Len(t, a.body, 1, "one byte within a second and a half")
		},
		brokenJSON: func(t *testing.T, a answerOfIssuer) {
			require.NotEmpty(t, a.body)
			require.False(t, json.Valid(a.body))
		},
		redirecting: func(t *testing.T, a answerOfIssuer) {
			require.Equal(t, "http://elsewhere.example/.well-known/jwks", a.header.Get("Location"))
		},
	}
	require.Len(t, tests, len(misdeeds())+1)
	for m, check := range tests {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			check(t, askForKeys(t, startHostileTest(t, m)))
		})
	}
}

func TestAnIssuerThatWasDownComesBackAtItsAddress(t *testing.T) {
	t.Parallel()
	h := startHostileTest(t, down)
	require.NoError(t, h.become(behaved))
	answer := askForKeys(t, h)
	require.NoError(t, answer.err)
	require.Contains(t, string(answer.body), h.KeyID())
}

func TestFetchesThatComeTooSoonAreAViolation(t *testing.T) {
	t.Parallel()
	now := time.Now()
	regular := []time.Time{now, now.Add(failureCoolDown), now.Add(2 * failureCoolDown)}
	tests := []struct {
		name    string
		fetches []time.Time
		want    string
	}{
		{"one in each pause", regular, ""},
		{"two in a pause", append(regular, now.Add(2*failureCoolDown+time.Second)), "two fetches within 1s"},
		{"none, so that nothing was shown", nil, "never fetched"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := &issuersScenario{stage: &stage{}}
			for range misdeeds() {
				s.issuers = append(s.issuers, &hostile{begun: regular})
			}
			s.issuers[len(s.issuers)-1].begun = test.fetches

			err := s.checkFetches()

			if test.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestWhatIssuersMustNotCauseIsAViolation(t *testing.T) {
	t.Parallel()
	quick := measured{latencies: []time.Duration{time.Millisecond}, memory: 20}
	tests := []struct {
		name   string
		during measured
		want   string
	}{
		{"nothing", quick, ""},
		{"an exchange that waits", measured{latencies: []time.Duration{gross + 1}, memory: 20}, "took"},
		{"a refusal", measured{latencies: quick.latencies, refused: map[string]int{"503 keys_unavailable": 1}, memory: 20}, "keys_unavailable"},
		{"no exchange at all", measured{memory: 20}, "0 succeeded"},
		{"memory", measured{latencies: quick.latencies, memory: 20 + growth + 1}, "memory grew"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := (&issuersScenario{}).checkMeasured(quick, test.during)
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestPresignedIDTokensAreAllDifferent(t *testing.T) {
	t.Parallel()
	ci, err := issuer.New(issuer.Config{URL: "http://127.0.0.1:9"})
	require.NoError(t, err)
	jwts, err := presign(t.Context(), ci, 9)
	require.NoError(t, err)
	seen := map[string]bool{}
	for jwt := range jwts {
		seen[jwt] = true
	}
	require.Len(t, seen, 9)
}
