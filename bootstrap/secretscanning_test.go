package bootstrap_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const scanningPath = "/api/github/secret-scanning/verify"

// scanner is GitHub's secret scanning: it signs messages, and lists its public key.
type scanner struct {
	key     *ecdsa.PrivateKey
	keysURL string
}

func startScanner(t *testing.T) *scanner {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	require.NoError(t, err)
	list, err := json.Marshal(map[string]any{"public_keys": []any{map[string]any{
		"key_identifier": "the-key", "is_current": true, "key": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
	}}})
	require.NoError(t, err)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(list) }))
	t.Cleanup(server.Close)
	return &scanner{key: key, keysURL: server.URL}
}

// tell sends a signed message with the tokens, and returns the labels.
func (g *scanner) tell(t *testing.T, s *server, tokens ...string) []string {
	t.Helper()
	message := []map[string]string{}
	for _, token := range tokens {
		message = append(message, map[string]string{"token": token, "type": "demo", "url": "https://github.example/leak", "source": "commit"})
	}
	body, err := json.Marshal(message)
	require.NoError(t, err)
	digest := sha256.Sum256(body)
	signature, err := ecdsa.SignASN1(rand.Reader, g.key, digest[:])
	require.NoError(t, err)
	a := g.post(t, s, string(body), base64.StdEncoding.EncodeToString(signature))
	require.Equal(t, http.StatusOK, a.status, a.body)
	var answers []struct {
		Raw   string `json:"token_raw"`
		Type  string `json:"token_type"`
		Label string `json:"label"`
	}
	require.NoError(t, json.Unmarshal([]byte(a.body), &answers))
	require.Len(t, answers, len(tokens))
	labels := make([]string, 0, len(tokens))
	for i, answer := range answers {
		require.Equal(t, tokens[i], answer.Raw)
		require.Equal(t, "demo", answer.Type)
		labels = append(labels, answer.Label)
	}
	return labels
}

func (g *scanner) post(t *testing.T, s *server, body, signature string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+scanningPath, strings.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Github-Public-Key-Identifier", "the-key")
	request.Header.Set("Github-Public-Key-Signature", signature)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return answer{response.StatusCode, response.Header, string(content)}
}

func TestATokenThatLiesInPublicIsRevokedAndThenLabelled(t *testing.T) {
	ci, github := startIssuer(t), startScanner(t)
	s := startServer(t, settingsFor(t, ci, map[string]string{
		"DATABASE_URL":                      "sqlite:" + filepath.Join(t.TempDir(), "trustpub.db"),
		"TRUSTPUB_SECRET_SCANNING_KEYS_URL": github.keysURL,
	}))
	s.configure(t, demoConfig)
	exchanged := func() string {
		a := s.exchange(t, sign(t, ci, ci.GitHubClaims()))
		token, _ := a.member(t, "token").(string)
		require.NotEmpty(t, token, a.body)
		return token
	}
	leaked, safe := exchanged(), exchanged()

	require.Equal(t, http.StatusBadRequest, github.post(t, s, `[{"token":"`+leaked+`","type":"demo"}]`, "MEQCIQ==").status)
	require.Equal(t, true, s.introspect(t, leaked).member(t, "active"), "whoever signed that is not GitHub")

	require.Equal(t, []string{"true_positive", "false_positive", "true_positive"}, github.tell(t, s, leaked, leaked+"x", leaked))

	require.Equal(t, false, s.introspect(t, leaked).member(t, "active"))
	require.Equal(t, true, s.introspect(t, safe).member(t, "active"))
	require.Equal(t, []string{"true_positive"}, github.tell(t, s, leaked))
	require.Equal(t, 1, strings.Count(s.log.String(), `"action":"revoke_leaked"`))
	require.Contains(t, s.log.String(), `"leak_source":"commit"`)
	require.NotContains(t, s.log.String(), leaked)
	require.NotContains(t, s.log.String(), "github.example/leak")
}

func TestSecretScanningIsOffUnlessItsKeysAreSet(t *testing.T) {
	s := startServer(t, settingsFor(t, nil, nil))

	require.Equal(t, http.StatusNotFound, s.call(t, http.MethodPost, scanningPath, "", "application/json", "[]").status)
}
