// Command plain embeds trustpub with plain constructors: no fx, no migrations, no
// database driver. The registry brings its own store behind the ports; here it is
// the one in memory.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/trustpub/trustpub/adapters/auditlog"
	"github.com/trustpub/trustpub/adapters/memory"
	"github.com/trustpub/trustpub/adapters/oidc"
	"github.com/trustpub/trustpub/adapters/providers/github"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

func main() {
	ctx := context.Background()
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	registry, err := newRegistry(ctx, github.DefaultIssuer, memory.New(), logger)
	if err != nil {
		logger.ErrorContext(ctx, "starting failed", slog.Any("error", err))
		os.Exit(1)
	}
	server := &http.Server{Addr: "127.0.0.1:8080", Handler: registry, ReadHeaderTimeout: 5 * time.Second}
	logger.ErrorContext(ctx, "the server ended", slog.Any("error", server.ListenAndServe()))
}

// registry is a package registry with trusted publishing: an endpoint of its own for
// the exchange, and one that accepts uploads with the token.
type registry struct {
	*http.ServeMux

	exchange *application.ExchangeService
	tokens   *application.TokenService
}

// newRegistry wires trustpub for ID tokens of issuer, made for registry.example. The
// key set is refreshed until ctx ends.
func newRegistry(ctx context.Context, issuer string, store *memory.Store, logger *slog.Logger) (*registry, error) {
	provider, err := github.New(issuer)
	if err != nil {
		return nil, err
	}
	keys, err := oidc.NewRemoteKeySet(oidc.RemoteKeySetConfig{
		Issuer: issuer, Algorithms: provider.Algorithms(), Logger: logger, Now: time.Now,
	})
	if err != nil {
		return nil, err
	}
	go keys.Run(ctx)
	verifier, err := oidc.NewVerifier(oidc.VerifierConfig{
		Audience: "registry.example", Leeway: time.Minute, Now: time.Now,
		Sources: []oidc.Source{{Provider: provider, Keys: keys}},
	})
	if err != nil {
		return nil, err
	}
	prefix, err := domain.NewTokenPrefix("reg_tp_")
	if err != nil {
		return nil, err
	}
	auditor := auditlog.New(logger)
	exchange, err := application.NewExchangeService(application.ExchangeConfig{
		Verifier: verifier, Configs: store, Tokens: store, Auditor: auditor,
		Prefix: prefix, Now: time.Now, Rand: rand.Reader,
	})
	if err != nil {
		return nil, err
	}
	tokens, err := application.NewTokenService(application.TokenConfig{
		Tokens: store, Auditor: auditor, Prefixes: []domain.TokenPrefix{prefix}, Now: time.Now,
	})
	if err != nil {
		return nil, err
	}
	r := &registry{ServeMux: http.NewServeMux(), exchange: exchange, tokens: tokens}
	r.HandleFunc("POST /exchange", r.serveExchange)
	r.HandleFunc("PUT /packages/{name}", r.serveUpload)
	return r, nil
}

// serveExchange takes an ID token as the body and answers with an access token.
func (r *registry) serveExchange(w http.ResponseWriter, req *http.Request) {
	idToken, err := io.ReadAll(http.MaxBytesReader(w, req.Body, 16<<10))
	if err != nil {
		http.Error(w, "the ID token can't be read, or is longer than 16 KiB", http.StatusBadRequest)
		return
	}
	issued, err := r.exchange.Exchange(req.Context(), application.ExchangeRequest{IDToken: string(idToken)})
	if err != nil {
		http.Error(w, domain.MessageOf(err), statusOf(err))
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(map[string]string{"token": issued.Secret.Reveal()}) //nolint:errchkjson // The client is gone.
}

// serveUpload accepts a package from whoever holds a token for exactly that package.
func (r *registry) serveUpload(w http.ResponseWriter, req *http.Request) {
	pkg := domain.Package{Ecosystem: "generic", Name: req.PathValue("name")}
	token, err := r.tokens.Verify(req.Context(), req.Header.Get("Authorization"), pkg)
	if err != nil {
		http.Error(w, domain.MessageOf(err), statusOf(err))
		return
	}
	_, _ = fmt.Fprintf(w, "%s published by run %s\n", pkg, token.Publisher.Get("run_id"))
}

// statusOf is the host's own way to show a failure.
func statusOf(err error) int {
	switch domain.KindOf(err) {
	case domain.KindInvalid, domain.KindRefused, domain.KindNotFound, domain.KindConflict:
		return http.StatusBadRequest
	case domain.KindUnauthenticated:
		return http.StatusUnauthorized
	case domain.KindForbidden:
		return http.StatusForbidden
	case domain.KindUnavailable:
		return http.StatusServiceUnavailable
	case domain.KindLimited:
		return http.StatusTooManyRequests
	case domain.KindInternal:
	}
	return http.StatusInternalServerError
}
