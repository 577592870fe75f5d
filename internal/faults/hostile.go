package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

// misdeed is how a hostile issuer answers.
type misdeed string

// The misdeeds. Those of the key set leave the discovery document as it should be.
const (
	behaved      misdeed = "behaved"
	down         misdeed = "down"
	hanging      misdeed = "hanging"
	resetting    misdeed = "resetting"
	dripping     misdeed = "dripping a byte a second"
	huge         misdeed = "a key set of 100 MB"
	brokenJSON   misdeed = "broken JSON"
	emptySet     misdeed = "an empty key set"
	unusableKey  misdeed = "a set with one unusable key"
	redirecting  misdeed = "redirecting elsewhere"
	hugeSize             = 100 << 20
	dripInterval         = time.Second
)

// hostile is an OIDC issuer of test tokens that can misbehave.
type hostile struct {
	*issuer.Issuer

	address string
	// elsewhere is where redirecting leads to.
	elsewhere string
	stop      chan struct{}

	mu     sync.Mutex
	server *http.Server
	// served is closed once server listens no more.
	served  chan struct{}
	misdeed misdeed
	// begun are the times at which a fetch of the keys began: at which the discovery
	// document was asked for, or a connection made by one that gets no further.
	begun []time.Time
	// sent counts the bytes of huge key sets that were taken.
	sent atomic.Int64
}

// startHostile starts an issuer that behaves.
func startHostile(elsewhere string) (*hostile, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("hostile issuer: %w", err)
	}
	h := &hostile{address: listener.Addr().String(), elsewhere: elsewhere, stop: make(chan struct{}), misdeed: behaved}
	h.Issuer, err = issuer.New(issuer.Config{URL: "http://" + h.address})
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	h.serve(listener)
	return h, nil
}

func (h *hostile) serve(listener net.Listener) {
	h.server = &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	h.served = make(chan struct{})
	go func(server *http.Server, served chan struct{}) {
		_ = server.Serve(listener)
		close(served)
	}(h.server, h.served)
}

// close ends the issuer and lets go of whoever waits for it.
func (h *hostile) close() {
	close(h.stop)
	h.mu.Lock()
	defer h.mu.Unlock()
	_ = h.server.Close()
	_ = h.Close()
}

// become changes how the issuer answers from now on, and forgets its fetches.
func (h *hostile) become(m misdeed) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	was := h.misdeed
	h.misdeed, h.begun = m, nil
	switch {
	case m == down && was != down:
		err := h.server.Close()
		<-h.served
		return err
	case m != down && was == down:
		listener, err := listenAgain(h.address)
		if err != nil {
			return fmt.Errorf("hostile issuer: %w", err)
		}
		h.serve(listener)
	}
	return nil
}

// listenAgain listens at an address of before, which for a moment may be where a
// client's connection comes from.
func listenAgain(address string) (net.Listener, error) {
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		listener, err := net.Listen("tcp", address)
		if err == nil || time.Now().After(deadline) {
			return listener, err
		}
	}
}

// fetches returns when a fetch began, since the issuer became what it is. One that is
// down can't tell.
func (h *hostile) fetches() []time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]time.Time(nil), h.begun...)
}

// ServeHTTP implements http.Handler.
func (h *hostile) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	isDiscovery := strings.HasSuffix(r.URL.Path, "/openid-configuration")
	h.mu.Lock()
	if isDiscovery {
		h.begun = append(h.begun, time.Now())
	}
	m := h.misdeed
	h.mu.Unlock()
	if isDiscovery && m != hanging && m != resetting {
		m = behaved
	}
	w.Header().Set("Content-Type", "application/json")
	switch m {
	case behaved, down:
		h.Handler().ServeHTTP(w, r)
	case hanging:
		h.pause(r.Context(), time.Hour)
	case resetting:
		reset(w)
	case dripping:
		for h.pause(r.Context(), dripInterval) {
			_, _ = w.Write([]byte(" "))
			_ = http.NewResponseController(w).Flush()
		}
	case huge:
		h.sendHuge(w)
	case brokenJSON:
		_, _ = w.Write([]byte(`{"keys":[{"kty":"RSA","kid":"`))
	case emptySet:
		_, _ = w.Write([]byte(`{"keys":[]}`))
	case unusableKey:
		_, _ = w.Write([]byte(`{"keys":[{"kty":"RSA","kid":"unusable","n":"AQAB","e":"AQAB"}]}`))
	case redirecting:
		http.Redirect(w, r, h.elsewhere+r.URL.Path, http.StatusFound)
	}
}

// pause waits, and returns false when the client or the issuer went away.
func (h *hostile) pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
	case <-h.stop:
	}
	return false
}

// sendHuge sends 100 MB, or what the client takes of it.
func (h *hostile) sendHuge(w http.ResponseWriter) {
	block := []byte(strings.Repeat(" ", 1<<20))
	for range hugeSize / len(block) {
		n, err := w.Write(block)
		h.sent.Add(int64(n))
		if err != nil {
			return
		}
	}
}

// reset ends the connection so that the client meets "connection reset by peer".
func reset(w http.ResponseWriter) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := connection.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = connection.Close()
}
