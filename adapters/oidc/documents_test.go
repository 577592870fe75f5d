package oidc_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/oidc"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

// discovery returns a discovery document.
func discovery(t *testing.T, issuerURL, keySetURL any) []byte {
	t.Helper()
	return encodeJSON(t, map[string]any{"issuer": issuerURL, "jwks_uri": keySetURL})
}

func encodeJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return b
}

func TestADiscoveryDocumentThatIsNotTheIssuersIsNoGood(t *testing.T) {
	t.Parallel()
	ci := startIssuer(t, nil)
	at := ci.URL() + "/.well-known/jwks"
	tests := []struct {
		name string
		body []byte
	}{
		{"of another issuer", discovery(t, "https://token.actions.githubusercontent.com", at)},
		{"of the issuer with a slash", discovery(t, ci.URL()+"/", at)},
		{"of the issuer in upper case", discovery(t, strings.ToUpper(ci.URL()), at)},
		{"of no issuer", discovery(t, nil, at)},
		{"with the issuer twice", fmt.Appendf(nil, `{"issuer":"x","issuer":%q,"jwks_uri":%q}`, ci.URL(), at)},
		{"with the issuer under a name in another case", fmt.Appendf(nil, `{"Issuer":%q,"jwks_uri":%q}`, ci.URL(), at)},
		{"without key set", discovery(t, ci.URL(), nil)},
		{"with a key set without https", discovery(t, ci.URL(), "http://issuer.test/jwks")},
		{"with a key set at a private address without https", discovery(t, ci.URL(), "http://169.254.169.254/jwks")},
		{"with a key set in a file", discovery(t, ci.URL(), "file:///etc/passwd")},
		{"with a relative key set", discovery(t, ci.URL(), "/.well-known/jwks")},
		{"with user info in the key set", discovery(t, ci.URL(), strings.Replace(at, "http://", "http://user:secret@", 1))},
		{"with a key set that is no string", discovery(t, ci.URL(), []string{at})},
		{"no JSON", []byte("<html>")},
		{"empty", []byte{}},
		{"an array", []byte("[]")},
		{"null", []byte("null")},
		{"cut off", discovery(t, ci.URL(), at)[:20]},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ci.SetFault(issuer.Discovery, issuer.Fault{Body: tt.body})
			_, err := newKeySet(t, ci, newClock().Now).Key(t.Context(), ci.KeyID())
			requireUnavailable(t, err)
			require.NotContains(t, domain.MessageOf(err), "issuer.test", "the cause is for the log")
		})
	}
	require.Zero(t, ci.Requests(issuer.KeySet), "the key set must not be asked for")
}

func TestADocumentThatIsNotPlainlyServedIsNoGood(t *testing.T) {
	t.Parallel()
	ci, elsewhere := startIssuer(t, nil), startIssuer(t, nil)
	tests := []struct {
		name  string
		fault issuer.Fault
	}{
		{"301 to another server", issuer.Fault{Status: http.StatusMovedPermanently, Location: elsewhere.URL() + "/.well-known/jwks"}},
		{"302 to the same server", issuer.Fault{Status: http.StatusFound, Location: ci.URL() + "/elsewhere"}},
		{"307 to another server", issuer.Fault{Status: http.StatusTemporaryRedirect, Location: elsewhere.URL() + "/.well-known/jwks"}},
		{"308 to another server", issuer.Fault{Status: http.StatusPermanentRedirect, Location: elsewhere.URL() + "/.well-known/jwks"}},
		{"201", issuer.Fault{Status: http.StatusCreated}},
		{"206", issuer.Fault{Status: http.StatusPartialContent}},
		{"401", issuer.Fault{Status: http.StatusUnauthorized}},
		{"404", issuer.Fault{Status: http.StatusNotFound}},
		{"429", issuer.Fault{Status: http.StatusTooManyRequests}},
		{"500", issuer.Fault{Status: http.StatusInternalServerError}},
		{"503", issuer.Fault{Status: http.StatusServiceUnavailable}},
		{"larger than 1 MiB", issuer.Fault{Body: bytes.Repeat([]byte(" "), 1<<20+1)}},
		{"much larger than 1 MiB", issuer.Fault{Body: bytes.Repeat([]byte("{"), 16<<20)}},
		{"no JSON", issuer.Fault{Body: []byte("Service Unavailable")}},
	}
	for _, document := range []issuer.Document{issuer.Discovery, issuer.KeySet} {
		for _, tt := range tests {
			t.Run(string(document)+" "+tt.name, func(t *testing.T) {
				ci.SetFault(document, tt.fault)
				defer ci.SetFault(document, issuer.Fault{})
				_, err := newKeySet(t, ci, newClock().Now).Key(t.Context(), ci.KeyID())
				requireUnavailable(t, err)
			})
		}
	}
	require.Zero(t, elsewhere.Requests(issuer.Discovery)+elsewhere.Requests(issuer.KeySet), "redirects must not be followed")
	requireKey(t, newKeySet(t, ci, newClock().Now), ci.KeyID())
}

func TestADocumentOfExactly1MiBIsRead(t *testing.T) {
	t.Parallel()
	ci := startIssuer(t, nil)
	document := discovery(t, ci.URL(), ci.URL()+"/.well-known/jwks")
	document = append(document, bytes.Repeat([]byte(" "), 1<<20-len(document))...)
	ci.SetFault(issuer.Discovery, issuer.Fault{Body: document})
	requireKey(t, newKeySet(t, ci, newClock().Now), ci.KeyID())

	ci.SetFault(issuer.Discovery, issuer.Fault{Body: append(document, ' ')})
	_, err := newKeySet(t, ci, newClock().Now).Key(t.Context(), ci.KeyID())
	requireUnavailable(t, err)
}

func TestAnAnswerWithAHugeHeaderIsNoGood(t *testing.T) {
	t.Parallel()
	ci := startIssuer(t, nil)
	size := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Filler", strings.Repeat("x", size))
		ci.Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	ci.SetFault(issuer.Discovery, issuer.Fault{Body: discovery(t, server.URL, server.URL+"/.well-known/jwks")})
	keySet := func() oidc.KeySet {
		return newKeySetWith(t, oidc.RemoteKeySetConfig{Issuer: server.URL, Now: time.Now})
	}
	requireKey(t, keySet(), ci.KeyID())
	size = 128 << 10
	_, err := keySet().Key(t.Context(), ci.KeyID())
	requireUnavailable(t, err)
}

// jwkWith returns the JSON of a public key with members changed; nil leaves one out.
func jwkWith(t *testing.T, key jose.JSONWebKey, changes map[string]any) json.RawMessage {
	t.Helper()
	var members map[string]any
	require.NoError(t, json.Unmarshal(encodeJSON(t, key), &members))
	for name, value := range changes {
		if value == nil {
			delete(members, name)
			continue
		}
		members[name] = value
	}
	return encodeJSON(t, members)
}

// rsaOfBits returns a public key of that size. It need not have a private half.
func rsaOfBits(bits uint) *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), bits-1)
	return &rsa.PublicKey{N: n.Add(n, big.NewInt(1)), E: 65537}
}

func TestAKeyThatCannotBeUsedIsSkippedAndItsNeighboursAreNot(t *testing.T) {
	t.Parallel()
	good := jose.JSONWebKey{Key: &strangerKey().PublicKey, KeyID: "odd", Algorithm: "RS256", Use: "sig"}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	change := func(name string, value any) json.RawMessage {
		return jwkWith(t, good, map[string]any{name: value})
	}
	exponent := func(bytes ...byte) string { return base64.RawURLEncoding.EncodeToString(bytes) }
	sized := func(bits uint) json.RawMessage {
		return encodeJSON(t, jose.JSONWebKey{Key: rsaOfBits(bits), KeyID: "odd"})
	}
	public := encodeJSON(t, good)
	longKeyID := strings.Repeat("k", 256)
	edwards, _, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)

	tests := []struct {
		name string
		keys []json.RawMessage
		used bool
	}{
		{"a usable one", []json.RawMessage{public}, true},
		{"without use", []json.RawMessage{change("use", nil)}, true},
		{"without alg", []json.RawMessage{change("alg", nil)}, true},
		{"for verifying", []json.RawMessage{change("key_ops", []string{"verify"})}, true},
		{"with members that nobody knows", []json.RawMessage{change("extra", map[string]any{"y": 1})}, true},
		{"of 2048 bits", []json.RawMessage{sized(2048)}, true},
		{"of 4096 bits", []json.RawMessage{sized(4096)}, true},
		{"twice the same", []json.RawMessage{public, public}, true},
		{"beside an unusable one with its ID", []json.RawMessage{public, change("use", "enc")}, true},
		{"without kid", []json.RawMessage{change("kid", nil)}, false},
		{"empty kid", []json.RawMessage{change("kid", "")}, false},
		{"kid of 256 bytes", []json.RawMessage{change("kid", longKeyID)}, false},
		{"kid that is a number", []json.RawMessage{change("kid", 1)}, false},
		{"kid under a name in another case", []json.RawMessage{jwkWith(t, good, map[string]any{"kid": nil, "KID": "odd"})}, false},
		{"for encryption", []json.RawMessage{change("use", "enc")}, false},
		{"use that is none", []json.RawMessage{change("use", "SIG")}, false},
		{"for another algorithm", []json.RawMessage{change("alg", "RS512")}, false},
		{"for HMAC", []json.RawMessage{change("alg", "HS256")}, false},
		{"for encrypting with RSA", []json.RawMessage{change("alg", "RSA-OAEP")}, false},
		{"for signing alone", []json.RawMessage{change("key_ops", []string{"sign"})}, false},
		{"for nothing", []json.RawMessage{change("key_ops", []string{})}, false},
		{"key_ops that is a string", []json.RawMessage{change("key_ops", "verify")}, false},
		{"elliptic", []json.RawMessage{encodeJSON(t, jose.JSONWebKey{Key: &ec.PublicKey, KeyID: "odd"})}, false},
		{"of an Edwards curve", []json.RawMessage{encodeJSON(t, jose.JSONWebKey{Key: edwards, KeyID: "odd"})}, false},
		{"symmetric", []json.RawMessage{encodeJSON(t, jose.JSONWebKey{Key: []byte("secret"), KeyID: "odd"})}, false},
		{"private", []json.RawMessage{encodeJSON(t, jose.JSONWebKey{Key: strangerKey(), KeyID: "odd"})}, false},
		{"of an unknown type", []json.RawMessage{change("kty", "MAGIC")}, false},
		{"of no type", []json.RawMessage{change("kty", nil)}, false},
		{"type in lower case", []json.RawMessage{change("kty", "rsa")}, false},
		{"of 1024 bits", []json.RawMessage{sized(1024)}, false},
		{"of 2047 bits", []json.RawMessage{sized(2047)}, false},
		{"of 4097 bits", []json.RawMessage{sized(4097)}, false},
		{"exponent 1", []json.RawMessage{change("e", exponent(1))}, false},
		{"even exponent", []json.RawMessage{change("e", exponent(1, 0, 0))}, false},
		{"exponent 0", []json.RawMessage{change("e", exponent(0))}, false},
		{"huge exponent", []json.RawMessage{change("e", exponent(1, 0, 0, 0, 0, 0, 0, 0, 1))}, false},
		{"no exponent", []json.RawMessage{change("e", nil)}, false},
		{"no modulus", []json.RawMessage{change("n", nil)}, false},
		{"modulus that is no base64", []json.RawMessage{change("n", "+++")}, false},
		{"certificate that is none", []json.RawMessage{change("x5c", []string{"AAAA"})}, false},
		{"null", []json.RawMessage{json.RawMessage("null")}, false},
		{"string", []json.RawMessage{json.RawMessage(`"odd"`)}, false},
		{"array", []json.RawMessage{json.RawMessage("[" + string(public) + "]")}, false},
		{"duplicated member", []json.RawMessage{json.RawMessage(`{"kid":"odd",` + string(public[1:]))}, false},
		{"two different ones with one ID", []json.RawMessage{public, sized(2048)}, false},
		{"three with one ID, two of them the same", []json.RawMessage{public, sized(2048), public}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ci := startIssuer(t, nil)
			ci.AddToKeySet(tt.keys...)
			keys := newKeySet(t, ci, time.Now)
			requireKey(t, keys, ci.KeyID())
			if tt.used {
				requireKey(t, keys, "odd")
				return
			}
			for _, keyID := range []string{"odd", "", "1", longKeyID} {
				_, err := keys.Key(t.Context(), keyID)
				requireRefused(t, err, domain.CodeUnknownKey, "")
			}
		})
	}
}

// TestTheSizeOfAnRSAKeyIsBoundedWhateverTheHostProgramSet is not parallel, as it
// changes a setting that the whole process has.
func TestTheSizeOfAnRSAKeyIsBoundedWhateverTheHostProgramSet(t *testing.T) {
	before := jose.MaxRSAModulusBits
	jose.MaxRSAModulusBits = 16384
	defer func() { jose.MaxRSAModulusBits = before }()
	ci := startIssuer(t, nil)
	ci.AddToKeySet(encodeJSON(t, jose.JSONWebKey{Key: rsaOfBits(8192), KeyID: "odd"}))
	keys := newKeySet(t, ci, time.Now)
	requireKey(t, keys, ci.KeyID())
	_, err := keys.Key(t.Context(), "odd")
	requireRefused(t, err, domain.CodeUnknownKey, "")
}

func TestKeysOfEllipticCurvesServeProvidersThatUseThem(t *testing.T) {
	t.Parallel()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	ci := startIssuer(t, nil)
	ci.AddToKeySet(
		encodeJSON(t, jose.JSONWebKey{Key: &ec.PublicKey, KeyID: "ec"}),
		encodeJSON(t, jose.JSONWebKey{Key: &strangerKey().PublicKey, KeyID: "rsa"}),
	)
	keys := newKeySetWith(t, oidc.RemoteKeySetConfig{Issuer: ci.URL(), Algorithms: []string{"ES256"}, Now: time.Now})
	requireKey(t, keys, "ec")
	for _, keyID := range []string{"rsa", ci.KeyID()} {
		_, err = keys.Key(t.Context(), keyID)
		requireRefused(t, err, domain.CodeUnknownKey, "")
	}
}

func TestAKeySetWithoutAUsableKeyIsNoGood(t *testing.T) {
	t.Parallel()
	ci := startIssuer(t, nil)
	tests := []struct{ name, body string }{
		{"empty", `{"keys":[]}`},
		{"without keys", `{}`},
		{"keys null", `{"keys":null}`},
		{"keys an object", `{"keys":{}}`},
		{"keys twice", `{"keys":[],"keys":[]}`},
		{"an array", `[]`},
		{"null", `null`},
		{"only unusable keys", `{"keys":[{"kty":"oct","kid":"a","k":"AAAA"},{"kty":"RSA"},null,1]}`},
		{"cut off", `{"keys":[`},
		{"with something after it", `{"keys":[]} {}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ci.SetFault(issuer.KeySet, issuer.Fault{Body: []byte(tt.body)})
			_, err := newKeySet(t, ci, newClock().Now).Key(t.Context(), ci.KeyID())
			requireUnavailable(t, err)
		})
	}
}

func TestNewRemoteKeySetRefusesWhatIsUnsafe(t *testing.T) {
	t.Parallel()
	logger := slog.New(slog.DiscardHandler)
	good := oidc.RemoteKeySetConfig{Issuer: "https://issuer.test", Algorithms: []string{"RS256"}, Logger: logger, Now: time.Now}
	tests := []struct {
		name   string
		change func(*oidc.RemoteKeySetConfig)
		want   string
	}{
		{"no issuer", func(c *oidc.RemoteKeySetConfig) { c.Issuer = "" }, "issuer"},
		{"issuer without https", func(c *oidc.RemoteKeySetConfig) { c.Issuer = "http://issuer.test" }, "use https"},
		{"issuer with a query", func(c *oidc.RemoteKeySetConfig) { c.Issuer += "?x" }, "query"},
		{"no algorithms", func(c *oidc.RemoteKeySetConfig) { c.Algorithms = nil }, "no signature algorithm"},
		{"symmetric algorithm", func(c *oidc.RemoteKeySetConfig) { c.Algorithms = []string{"HS256"} }, `"HS256"`},
		{"algorithm none", func(c *oidc.RemoteKeySetConfig) { c.Algorithms = []string{"none"} }, `"none"`},
		{"no logger", func(c *oidc.RemoteKeySetConfig) { c.Logger = nil }, "Logger"},
		{"no clock", func(c *oidc.RemoteKeySetConfig) { c.Now = nil }, "Now"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := good
			tt.change(&cfg)
			keys, err := oidc.NewRemoteKeySet(cfg)
			require.ErrorContains(t, err, tt.want)
			require.Nil(t, keys)
		})
	}
	_, err := oidc.NewRemoteKeySet(good)
	require.NoError(t, err)
}
