package issuer

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
	"time"
)

// Fault is how a document is served wrongly. The zero value is no fault. Fields can
// be combined: after the delay, status, location and body are sent.
type Fault struct {
	// Hang answers nothing until the client or the issuer goes away.
	Hang bool
	// Delay waits before answering.
	Delay time.Duration
	// Status is answered instead of 200.
	Status int
	// Location is where a Status of 3xx redirects to.
	Location string
	// Body is answered instead of the document: one that is broken or huge, a discovery
	// document of another issuer, an empty key set.
	Body []byte
}

// SetFault makes a document be served with a fault, or rightly again.
func (i *Issuer) SetFault(d Document, f Fault) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.faults[d] = f
}

// Handler serves discovery, the key set and the endpoint for ID tokens. Where the
// issuer URL has a path, strip it (http.StripPrefix).
func (i *Issuer) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		i.serve(w, r, Discovery, func() []byte {
			return mustJSON(map[string]any{
				"issuer":                                i.url,
				"jwks_uri":                              i.url + "/.well-known/jwks",
				"id_token_signing_alg_values_supported": []string{"RS256"},
				"response_types_supported":              []string{"id_token"},
				"subject_types_supported":               []string{"public"},
			})
		})
	})
	mux.HandleFunc("GET /.well-known/jwks", func(w http.ResponseWriter, r *http.Request) {
		i.serve(w, r, KeySet, i.keySet)
	})
	mux.HandleFunc("GET /idtoken", i.serveIDToken)
	return mux
}

// serve answers with a document, or with the fault that is set for it.
func (i *Issuer) serve(w http.ResponseWriter, r *http.Request, d Document, document func() []byte) {
	i.mu.Lock()
	i.counts[d]++
	fault := i.faults[d]
	i.mu.Unlock()

	delay := make(<-chan time.Time)
	if !fault.Hang {
		delay = time.After(fault.Delay)
	}
	select {
	case <-delay:
	case <-r.Context().Done():
		return
	case <-i.stop:
		return
	}
	body := fault.Body
	if body == nil {
		body = document()
	}
	w.Header().Set("Content-Type", "application/json")
	if fault.Location != "" {
		w.Header().Set("Location", fault.Location)
	}
	if fault.Status != 0 {
		w.WriteHeader(fault.Status)
	}
	_, _ = w.Write(body)
}

// serveIDToken answers as GitHub's endpoint for ID tokens does: {"value": "…"}.
func (i *Issuer) serveIDToken(w http.ResponseWriter, r *http.Request) {
	// uv and the id package of Python write the scheme in lower case (RFC 9110 section 11.1).
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare([]byte(token), []byte(i.requestToken)) != 1 {
		http.Error(w, `{"message":"the request token is missing or wrong"}`, http.StatusUnauthorized)
		return
	}
	now := i.cfg.Now().Unix()
	claims := i.cfg.Claims().With("jti", randomHex()).With("iat", now).With("nbf", now).With("exp", now+300)
	audience := r.URL.Query().Get("audience")
	if audience == "" {
		// GitHub's default is the URL of the repository's owner.
		owner, _ := claims["repository_owner"].(string)
		audience = "https://github.com/" + owner
	}
	idToken, err := i.Sign(claims.With("aud", audience))
	if err != nil {
		http.Error(w, `{"message":"signing failed"}`, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(mustJSON(map[string]string{"value": idToken}))
}

func signRS256(private *rsa.PrivateKey, input []byte) ([]byte, error) {
	digest := sha256.Sum256(input)
	return rsa.SignPKCS1v15(nil, private, crypto.SHA256, digest[:])
}
