package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/trustpub/trustpub/adapters/httpapi/npm"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// registry is an npm registry: what npm needs to publish, to resolve and to download.
type registry struct {
	url     string // Without a trailing slash.
	people  *people
	storage *storage
	tokens  *application.TokenService
	logger  *slog.Logger
	Now     func() time.Time
}

// newRegistry opens the storage and returns the registry.
func newRegistry(o options, p *people, tokens *application.TokenService, logger *slog.Logger) (*registry, error) {
	storage, err := openStorage(filepath.Join(o.data, "packages"))
	if err != nil {
		return nil, err
	}
	return &registry{
		url: strings.TrimSuffix(o.url, "/"), people: p, storage: storage, tokens: tokens, logger: logger,
		Now: time.Now,
	}, nil
}

// packages serves what is under the packages' names. Those with a scope are one segment,
// @scope%2fname, or two.
func (r *registry) packages() http.Handler {
	mux := http.NewServeMux()
	for _, name := range []string{"/{name}", "/{scope}/{name}"} {
		mux.HandleFunc("GET "+name, r.answer(r.packument))
		mux.HandleFunc("PUT "+name, r.answer(r.servePublish))
		mux.HandleFunc("GET "+name+"/-/{file}", r.serveTarball)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, req *http.Request) {
		r.fail(w, req, notFound("There is no such endpoint here."))
	})
	return mux
}

// packageOf returns the package that a request is about.
func (r *registry) packageOf(req *http.Request) (domain.Package, error) {
	name := req.PathValue("name")
	if scope := req.PathValue("scope"); scope != "" {
		name = scope + "/" + name
	}
	pkg, err := npm.NewPackage(name)
	if err != nil {
		return domain.Package{}, err
	}
	if !r.people.knows(pkg) {
		return domain.Package{}, notFound("There is no such package here. Ask the operator of the registry for it.")
	}
	return pkg, nil
}

func (r *registry) servePing(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, struct{}{})
}

// serveWhoami tells a user's name.
func (r *registry) serveWhoami(w http.ResponseWriter, req *http.Request) {
	actor, err := r.people.Authenticate(req)
	if err != nil {
		r.fail(w, req, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"username": actor.ID})
}

// packument answers with all that is known of a package
// (https://github.com/npm/registry/blob/main/docs/responses/package-metadata.md).
func (r *registry) packument(_ http.ResponseWriter, req *http.Request) (any, error) {
	pkg, err := r.packageOf(req)
	if err != nil {
		return nil, err
	}
	releases, err := r.storage.releases(pkg.Name)
	if err == nil && len(releases) == 0 {
		err = notFound("The package has no version yet.")
	}
	if err != nil {
		return nil, err
	}
	versions, tags, newest := map[string]any{}, map[string]string{}, map[string]time.Time{}
	for _, release := range releases {
		versions[release.Version] = r.manifest(release)
		if newest[release.Tag].Before(release.Published) { // A tag is where it was put last.
			tags[release.Tag], newest[release.Tag] = release.Version, release.Published
		}
	}
	return map[string]any{"_id": pkg.Name, "name": pkg.Name, "dist-tags": tags, "versions": versions}, nil
}

// manifest is a release's package.json, with where its tarball is and its hashes.
func (r *registry) manifest(release release) map[string]any {
	manifest := map[string]any{}
	for name, value := range release.Manifest {
		manifest[name] = value
	}
	manifest["_id"] = release.Name + "@" + release.Version
	manifest["dist"] = map[string]string{
		"tarball":   r.url + "/" + release.Name + "/-/" + path.Base(release.Name) + "-" + release.Version + ".tgz",
		"integrity": release.Integrity,
		"shasum":    release.Shasum,
	}
	return manifest
}

// serveTarball answers with a tarball.
func (r *registry) serveTarball(w http.ResponseWriter, req *http.Request) {
	pkg, err := r.packageOf(req)
	if err != nil {
		r.fail(w, req, err)
		return
	}
	file, isOf := strings.CutPrefix(req.PathValue("file"), path.Base(pkg.Name)+"-")
	version, isTarball := strings.CutSuffix(file, ".tgz")
	if !isOf || !isTarball || !isVersion(version) {
		r.fail(w, req, notFound("There is no such file here."))
		return
	}
	tarball, err := r.storage.tarball(pkg.Name, version)
	if errors.Is(err, fs.ErrNotExist) {
		err = notFound("There is no such version here.")
	}
	if err != nil {
		r.fail(w, req, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(tarball)
}

// servePublish accepts an upload of npm publish.
func (r *registry) servePublish(w http.ResponseWriter, req *http.Request) (any, error) {
	body := http.MaxBytesReader(w, req.Body, maxUpload)
	err := r.publish(req, body)
	// npm reads the answer once it has sent all. Were the connection closed before, it
	// would print that, and not why; so the rest is let in, up to the bound, and forgotten.
	_, _ = io.Copy(io.Discard, body)
	return map[string]bool{"ok": true}, err
}

// publish checks an upload and stores it. Who may do so is settled first, for the
// package in the URL; the upload and the tarball in it must then be of that very package.
func (r *registry) publish(req *http.Request, body io.Reader) error {
	pkg, err := r.packageOf(req)
	if err != nil {
		return err
	}
	publisher, err := r.publisher(req, pkg)
	if err != nil {
		return err
	}
	release, tarball, err := readUpload(body, pkg)
	if err != nil {
		return err
	}
	release.Published = r.Now().UTC()
	err = r.storage.save(release, tarball)
	if errors.Is(err, errExists) {
		return &domain.Error{
			Kind: domain.KindConflict, Code: domain.CodeMalformedRequest,
			Message: fmt.Sprintf("The version %s was published before, and a version never changes. Publish another.", release.Version),
		}
	}
	if err != nil {
		return fmt.Errorf("save the release: %w", err)
	}
	r.logger.InfoContext(req.Context(), "published", slog.String("package", release.Name), slog.String("version", release.Version), publisher)
	return nil
}

// publisher returns who publishes pkg, for the log: a user who owns it, or a CI job with
// an access token for exactly this package.
func (r *registry) publisher(req *http.Request, pkg domain.Package) (slog.Attr, error) {
	actor, err := r.people.Authenticate(req)
	if err == nil {
		return slog.String("user", actor.ID), r.people.MayManage(req.Context(), actor, pkg)
	}
	presented, err := bearer(req)
	if err != nil {
		return slog.Attr{}, err
	}
	token, err := r.tokens.Verify(req.Context(), presented, pkg)
	if err != nil {
		return slog.Attr{}, err
	}
	return slog.Group("job", slog.String("repository", token.Publisher.Get("repository")), slog.String("run_id", token.Publisher.Get("run_id"))), nil
}

// answer makes a handler of what answers with JSON or fails.
func (r *registry) answer(handle func(http.ResponseWriter, *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		v, err := handle(w, req)
		if err != nil {
			r.fail(w, req, err)
			return
		}
		writeJSON(w, http.StatusOK, v)
	}
}

// fail answers with an error in the form that npm prints. What is not meant for clients
// goes to the log.
func (r *registry) fail(w http.ResponseWriter, req *http.Request, err error) {
	status := statusOf(err)
	switch status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
	case http.StatusInternalServerError, http.StatusServiceUnavailable:
		r.logger.ErrorContext(context.WithoutCancel(req.Context()), "request failed", slog.String("route", req.Pattern), slog.Any("error", err))
	}
	writeJSON(w, status, map[string]string{"error": domain.MessageOf(err)})
}

func statusOf(err error) int {
	switch domain.KindOf(err) {
	case domain.KindInvalid, domain.KindRefused:
		return http.StatusBadRequest
	case domain.KindUnauthenticated:
		return http.StatusUnauthorized
	case domain.KindForbidden:
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
