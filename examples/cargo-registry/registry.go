package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/trustpub/trustpub/adapters/httpapi/request"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// ecosystem is that of every package here.
const ecosystem = "cargo"

// registry is a sparse cargo registry: what cargo needs to publish, to resolve and to
// download.
type registry struct {
	url     string // Without a trailing slash.
	people  *people
	storage *storage
	tokens  *application.TokenService
	logger  *slog.Logger
}

// register adds the registry's endpoints to mux.
func (r *registry) register(mux *http.ServeMux) {
	mux.HandleFunc("GET /index/config.json", r.serveConfig)
	mux.HandleFunc("GET /index/{path...}", r.serveIndex)
	mux.HandleFunc("GET /api/v1/crates/{name}/{version}/download", r.serveDownload)
	mux.HandleFunc("PUT /api/v1/crates/new", r.servePublish)
}

// serveConfig tells cargo where the rest is
// (https://doc.rust-lang.org/cargo/reference/registry-index.html#index-configuration).
func (r *registry) serveConfig(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"dl": r.url + "/api/v1/crates", "api": r.url})
}

// serveIndex answers with a crate's releases, one a line. cargo asks for a crate under
// its one name only, in lower case.
func (r *registry) serveIndex(w http.ResponseWriter, req *http.Request) {
	asked := req.PathValue("path")
	known, found := r.people.crates[sameName(path.Base(asked))]
	if !found || asked != indexPath(known.name) {
		r.fail(w, req, notFound("There is no such crate here."))
		return
	}
	lines, err := r.storage.index(known.name)
	if err == nil && len(lines) == 0 {
		err = notFound("The crate has no version yet.")
	}
	if err != nil {
		r.fail(w, req, err)
		return
	}
	// With it, cargo asks for what is new since.
	sum := sha256.Sum256(lines)
	w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:])+`"`)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(lines))
}

// serveDownload answers with a .crate.
func (r *registry) serveDownload(w http.ResponseWriter, req *http.Request) {
	wanted, err := newRelease(req.PathValue("name"), req.PathValue("version"))
	if err != nil {
		r.fail(w, req, err)
		return
	}
	crate, err := r.storage.crate(wanted)
	if errors.Is(err, fs.ErrNotExist) {
		err = notFound("There is no such version here.")
	}
	if err != nil {
		r.fail(w, req, err)
		return
	}
	w.Header().Set("Content-Type", "application/gzip")
	_, _ = w.Write(crate)
}

// servePublish accepts an upload of cargo publish.
func (r *registry) servePublish(w http.ResponseWriter, req *http.Request) {
	err := r.publish(req, http.MaxBytesReader(w, req.Body, maxUpload))
	if err != nil {
		r.fail(w, req, err)
		return
	}
	writeJSON(w, http.StatusOK, struct{}{})
}

// publish checks an upload and stores it. The token comes first: it is checked for the
// name in the upload's own metadata, before the .crate is read, and the .crate must
// then be of that very name.
func (r *registry) publish(req *http.Request, body io.Reader) error {
	ctx := req.Context()
	_, presented, err := request.Authorization(req) // cargo sends the token without a scheme.
	if err != nil {
		return err
	}
	uploaded, wanted, err := readMetadata(body)
	if err != nil {
		return err
	}
	known, err := r.people.crate(wanted.name)
	if err != nil {
		return err
	}
	token, err := r.tokens.Verify(ctx, presented, domain.Package{Ecosystem: ecosystem, Name: known.name})
	if err != nil {
		return err
	}
	crate, err := readPart(body, "the .crate", maxCrate)
	if err != nil {
		return err
	}
	err = readEnd(body)
	if err != nil {
		return err
	}
	err = checkCrate(crate, wanted)
	if err != nil {
		return err
	}
	line, err := uploaded.line(crate)
	if err != nil {
		return err
	}
	err = r.storage.save(wanted, crate, line)
	if errors.Is(err, errExists) {
		return &domain.Error{
			Kind: domain.KindConflict, Code: domain.CodeMalformedRequest,
			Message: fmt.Sprintf("The version %s of %s was published before, and a version never changes. Publish another.", wanted.version, wanted.name),
		}
	}
	if err != nil {
		return fmt.Errorf("save the release: %w", err)
	}
	r.logger.InfoContext(ctx, "published", slog.String("crate", wanted.name), slog.String("version", wanted.version),
		slog.String("repository", token.Publisher.Get("repository")), slog.String("run_id", token.Publisher.Get("run_id")))
	return nil
}

// fail answers with an error in the form whose detail cargo prints. What is not meant
// for clients goes to the log.
func (r *registry) fail(w http.ResponseWriter, req *http.Request, err error) {
	status := statusOf(err)
	if status >= http.StatusInternalServerError {
		r.logger.ErrorContext(req.Context(), "request failed", slog.String("route", req.Pattern), slog.Any("error", err))
	}
	type detail struct {
		Detail string `json:"detail"`
	}
	writeJSON(w, status, map[string][]detail{"errors": {{domain.MessageOf(err)}}})
}

// statusOf is the status of a failure: 403 also for a token that is no good, as cargo's
// documentation asks for
// (https://doc.rust-lang.org/cargo/reference/registry-web-api.html).
func statusOf(err error) int {
	switch domain.KindOf(err) {
	case domain.KindInvalid, domain.KindRefused:
		return http.StatusBadRequest
	case domain.KindUnauthenticated, domain.KindForbidden:
		return http.StatusForbidden
	case domain.KindNotFound:
		return http.StatusNotFound
	case domain.KindConflict:
		return http.StatusConflict
	case domain.KindUnavailable:
		return http.StatusServiceUnavailable
	case domain.KindLimited:
		return http.StatusTooManyRequests
	case domain.KindInternal:
	}
	return http.StatusInternalServerError
}

func notFound(message string) error {
	return &domain.Error{Kind: domain.KindNotFound, Code: domain.CodeNotFound, Message: message}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) //nolint:errchkjson // The client is gone.
}

// newRegistry opens the storage and returns the registry.
func newRegistry(options options, people *people, tokens *application.TokenService, logger *slog.Logger) (*registry, error) {
	storage, err := openStorage(options.cratesFolder())
	if err != nil {
		return nil, err
	}
	return &registry{url: strings.TrimSuffix(options.url, "/"), people: people, storage: storage, tokens: tokens, logger: logger}, nil
}
