// Package issuer is an OIDC issuer for tests and local development. It imitates
// that of GitHub Actions over real HTTP: discovery, a key set with real RSA keys,
// and the endpoint at which a job asks for its ID token. Keys can be rotated and
// withdrawn, and each document can be made to fail in the ways that issuers do.
//
// It vouches for anything that it is asked to, so nothing but a test or a
// developer's own machine must trust it.
package issuer

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Config holds what an [Issuer] needs. The zero value is what [Start] needs.
type Config struct {
	// Address is where an issuer made by [Start] listens. Empty is a free port of
	// 127.0.0.1.
	Address string
	// URL is the issuer URL of an issuer made by [New]. Start finds its own.
	URL string
	// GenerateKey makes a signing key. Nil makes an RSA key of 2048 bits, which takes
	// a good part of a second: tests that need many issuers can share a key here.
	GenerateKey func() (*rsa.PrivateKey, error)
	// Now is the clock for the times in claims. Nil is time.Now.
	Now func() time.Time
	// Claims are what an ID token from the request endpoint says, but for aud, jti and
	// the times. Nil is [Issuer.GitHubClaims].
	Claims func() Claims
}

// Issuer is an OIDC issuer. It is safe for concurrent use.
type Issuer struct {
	cfg          Config
	server       *http.Server
	url          string
	requestToken string
	stop         chan struct{}
	stopOnce     sync.Once

	mu        sync.Mutex
	signer    key
	published []key
	extra     []json.RawMessage
	faults    map[Document]Fault
	counts    map[Document]int
	rotated   int
}

type key struct {
	id      string
	private *rsa.PrivateKey
}

// Document is one of the documents that a verifier fetches.
type Document string

// The documents.
const (
	Discovery Document = "discovery"
	KeySet    Document = "key set"
)

// Start makes an issuer with one key and begins to listen.
func Start(cfg Config) (*Issuer, error) {
	if cfg.Address == "" {
		cfg.Address = "127.0.0.1:0"
	}
	var listen net.ListenConfig
	listener, err := listen.Listen(context.Background(), "tcp", cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("issuer: listen: %w", err)
	}
	cfg.URL = "http://" + listener.Addr().String()
	i, err := New(cfg)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	i.server = &http.Server{Handler: i.Handler(), ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = i.server.Serve(listener) }()
	return i, nil
}

// New makes an issuer with one key that listens nowhere: whoever calls it serves
// [Issuer.Handler] at cfg.URL.
func New(cfg Config) (*Issuer, error) {
	if cfg.URL == "" {
		return nil, errors.New("issuer: URL is missing")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.GenerateKey == nil {
		cfg.GenerateKey = func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) }
	}
	i := &Issuer{
		cfg:          cfg,
		url:          cfg.URL,
		requestToken: randomHex(),
		stop:         make(chan struct{}),
		faults:       map[Document]Fault{},
		counts:       map[Document]int{},
	}
	if i.cfg.Claims == nil {
		i.cfg.Claims = i.GitHubClaims
	}
	_, err := i.Rotate()
	if err != nil {
		return nil, err
	}
	return i, nil
}

// Close stops listening and lets go of requests that a fault keeps waiting. It
// may be called more than once.
func (i *Issuer) Close() error {
	i.stopOnce.Do(func() { close(i.stop) })
	if i.server == nil {
		return nil
	}
	return i.server.Close()
}

// URL returns the issuer URL.
func (i *Issuer) URL() string { return i.url }

// RequestURL is what ACTIONS_ID_TOKEN_REQUEST_URL holds in a job. As at GitHub it
// has a query already, so that "&audience=AUDIENCE" can be appended.
func (i *Issuer) RequestURL() string { return i.url + "/idtoken?api-version=2.0" }

// RequestToken is what ACTIONS_ID_TOKEN_REQUEST_TOKEN holds in a job.
func (i *Issuer) RequestToken() string { return i.requestToken }

// Rotate makes a new key that signs from now on, and returns its ID. The old keys
// stay in the key set until they are withdrawn.
func (i *Issuer) Rotate() (string, error) {
	private, err := i.cfg.GenerateKey()
	if err != nil {
		return "", fmt.Errorf("issuer: generate key: %w", err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.rotated++
	i.signer = key{id: fmt.Sprintf("key-%d-%s", i.rotated, randomHex()[:8]), private: private}
	i.published = append(i.published, i.signer)
	return i.signer.id, nil
}

// Withdraw takes a key out of the key set. If it is the one that signs it goes on
// signing, as a thief would.
func (i *Issuer) Withdraw(keyID string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.published = slices.DeleteFunc(i.published, func(k key) bool { return k.id == keyID })
}

// KeyID returns the ID of the key that signs.
func (i *Issuer) KeyID() string { return i.signing().id }

// PublicKey returns the public half of the key that signs.
func (i *Issuer) PublicKey() *rsa.PublicKey { return &i.signing().private.PublicKey }

func (i *Issuer) signing() key {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.signer
}

// AddToKeySet adds raw JSON to the keys of the key set, such as a key that can't be
// used.
func (i *Issuer) AddToKeySet(raw ...json.RawMessage) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.extra = append(i.extra, raw...)
}

// Requests returns how often a document was asked for.
func (i *Issuer) Requests(d Document) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.counts[d]
}

// keySet returns the key set as it is published.
func (i *Issuer) keySet() []byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	all := slices.Clone(i.extra)
	for _, k := range i.published {
		public := jose.JSONWebKey{Key: &k.private.PublicKey, KeyID: k.id, Algorithm: "RS256", Use: "sig"}
		all = append(all, mustJSON(public))
	}
	return mustJSON(map[string]any{"keys": all})
}

func randomHex() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // It never fails, says its documentation.
	return hex.EncodeToString(b[:])
}

// mustJSON encodes what can't fail to be encoded.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("issuer: encode %T: %v", v, err))
	}
	return b
}
