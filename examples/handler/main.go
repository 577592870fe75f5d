// Command handler embeds trustpub as an http.Handler under a prefix of the host's
// own mux, on the host's own SQLite database.
package main

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"time"

	"go.uber.org/fx"
	_ "modernc.org/sqlite"

	"github.com/trustpub/trustpub/adapters/httpapi"
	"github.com/trustpub/trustpub/adapters/sqlite"
	"github.com/trustpub/trustpub/bootstrap"
	"github.com/trustpub/trustpub/migrations"
)

func main() {
	ctx := context.Background()
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	mux, stop, err := newMux(ctx, bootstrap.Environment(), "registry.db", logger)
	if err != nil {
		logger.ErrorContext(ctx, "starting failed", slog.Any("error", err))
		os.Exit(1)
	}
	server := &http.Server{Addr: "127.0.0.1:8080", Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	logger.ErrorContext(ctx, "the server ended", slog.Any("error", server.ListenAndServe()))
	_ = stop(ctx)
}

// newMux is the host's mux: its own pages, and trustpub under /trust. Clients are
// told the URL with that prefix.
func newMux(ctx context.Context, environment map[string]string, path string, logger *slog.Logger) (*http.ServeMux, func(context.Context) error, error) {
	settings, err := bootstrap.LoadSettings(environment)
	if err != nil {
		return nil, nil, err
	}
	db, err := sqlite.Open(path)
	if err != nil {
		return nil, nil, err
	}
	migrator, err := migrations.SQLite(db.Writer())
	if err != nil {
		return nil, nil, err
	}
	_, err = migrator.Up(ctx)
	if err != nil {
		return nil, nil, err
	}

	var api *httpapi.API
	app := fx.New(
		fx.NopLogger,
		fx.Supply(logger),
		bootstrap.ProvideStore(func() *sqlite.Store { return sqlite.NewStore(db) }),
		bootstrap.Module(settings),
		fx.Decorate(func() bootstrap.PublicURL { return bootstrap.PublicURL("https://" + settings.DomainName + "/trust") }),
		fx.Populate(&api),
	)
	err = app.Start(ctx)
	if err != nil {
		return nil, nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("a registry\n")) })
	mux.Handle("/trust/", http.StripPrefix("/trust", api))
	return mux, app.Stop, nil
}
