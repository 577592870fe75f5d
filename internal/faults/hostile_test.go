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

// ask asks a hostile issuer for its key set, and does not follow redirects.
func askForKeys(t *testing.T, h *hostile) (*http.Response, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.URL()+"/.well-known/jwks", http.NoBody)
	require.NoError(t, err)
	client := &http.Client{
		Timeout:       1500 * time.Millisecond,
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err == nil {
		t.Cleanup(func() { _ = response.Body.Close() })
	}
	return response, err
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
	keysIn := func(t *testing.T, response *http.Response) []json.RawMessage {
		t.Helper()
		var set struct {
			Keys []json.RawMessage `json:"keys"`
		}
		require.NoError(t, json.NewDecoder(response.Body).Decode(&set))
		return set.Keys
	}
	tests := map[misdeed]func(*testing.T, *http.Response, error){
		behaved: func(t *testing.T, r *http.Response, err error) {
			require.NoError(t, err)
			require.Len(t, keysIn(t, r), 1)
		},
		down:      func(t *testing.T, _ *http.Response, err error) { require.ErrorContains(t, err, "connection refused") },
		hanging:   func(t *testing.T, _ *http.Response, err error) { require.ErrorContains(t, err, "Client.Timeout") },
		resetting: func(t *testing.T, _ *http.Response, err error) { require.ErrorContains(t, err, "connection reset") },
		dripping: func(t *testing.T, r *http.Response, err error) {
			require.NoError(t, err)
			got, err := io.ReadAll(r.Body)
			require.Error(t, err)
			require.Len(t, got, 1, "one byte within a second and a half")
		},
		huge: func(t *testing.T, r *http.Response, err error) {
			require.NoError(t, err)
			n, _ := io.Copy(io.Discard, r.Body)
			require.Greater(t, n, int64(2<<20))
		},
		brokenJSON: func(t *testing.T, r *http.Response, err error) {
			require.NoError(t, err)
			require.Error(t, json.NewDecoder(r.Body).Decode(&struct{}{}))
		},
		emptySet: func(t *testing.T, r *http.Response, err error) {
			require.NoError(t, err)
			require.Empty(t, keysIn(t, r))
		},
		unusableKey: func(t *testing.T, r *http.Response, err error) {
			require.NoError(t, err)
			require.Len(t, keysIn(t, r), 1)
		},
		redirecting: func(t *testing.T, r *http.Response, err error) {
			require.NoError(t, err)
			require.Equal(t, "http://elsewhere.example/.well-known/jwks", r.Header.Get("Location"))
		},
	}
	require.Len(t, tests, len(misdeeds())+1)
	for m, check := range tests {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			response, err := askForKeys(t, startHostileTest(t, m))
			check(t, response, err)
		})
	}
}

func TestAnIssuerThatWasDownComesBackAtItsAddress(t *testing.T) {
	t.Parallel()
	h := startHostileTest(t, down)
	require.NoError(t, h.become(behaved))
	response, err := askForKeys(t, h)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, response.StatusCode)
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
