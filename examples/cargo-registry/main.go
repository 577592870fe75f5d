// Command cargo-registry is a small cargo registry that CI jobs publish to without a
// stored secret: it embeds trustpub, which exchanges a job's ID token for an access
// token, and checks that token at every upload. docs/cargo.md shows it at work.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/fx"
	"go.uber.org/fx/fxevent"
	_ "modernc.org/sqlite"

	"github.com/trustpub/trustpub/adapters/httpapi"
	"github.com/trustpub/trustpub/adapters/sqlite"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/bootstrap"
	"github.com/trustpub/trustpub/migrations"
)

// options are the registry's own settings; trustpub's come from the environment.
type options struct {
	people string // The file of users and owners.
	data   string // The folder of the crates and of trustpub's database.
	url    string // Where cargo reaches the registry.
}

func (o options) cratesFolder() string { return filepath.Join(o.data, "crates") }

func main() {
	ctx := context.Background()
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	settings, err := bootstrap.LoadSettings(bootstrap.Environment())
	if err != nil {
		logger.ErrorContext(ctx, "reading settings failed", slog.Any("error", err))
		os.Exit(2)
	}
	var o options
	flag.StringVar(&o.people, "people", "people.json", "file of the users and the crates' owners")
	flag.StringVar(&o.data, "data", "data", "folder for the crates and the database")
	flag.StringVar(&o.url, "url", "https://"+settings.DomainName, "URL under which cargo reaches the registry")
	flag.Parse()
	fx.New(
		newApp(settings, o, logger),
		fx.WithLogger(func() fxevent.Logger {
			l := &fxevent.SlogLogger{Logger: logger}
			l.UseLogLevel(slog.LevelDebug)
			return l
		}),
		fx.Invoke(func(lc fx.Lifecycle, mux *http.ServeMux) { serve(lc, settings.Listen, mux, logger) }),
	).Run()
}

// newApp is the registry, with trustpub in it. Its handler is the *http.ServeMux.
func newApp(settings bootstrap.Settings, o options, logger *slog.Logger) fx.Option {
	return fx.Options(
		fx.Supply(o, logger),
		fx.Provide(
			http.NewServeMux,
			newRegistry,
			openDatabase,
			func() (*people, error) { return loadPeople(o.people) },
		),

		bootstrap.ProvideStore(sqlite.NewStore),
		bootstrap.Module(settings),
		fx.Decorate(
			func(p *people) application.Ownership { return p },
			func(p *people) bootstrap.Authenticators { return bootstrap.Authenticators{Publishers: p} },
			func() bootstrap.PublicURL { return bootstrap.PublicURL(o.url) },
		),
		fx.Invoke(func(mux *http.ServeMux, r *registry, trustpub *httpapi.API) {
			r.register(mux)
			mux.Handle("/", trustpub)
		}),
	)
}

// openDatabase opens trustpub's database, beside the crates.
func openDatabase(lc fx.Lifecycle, o options) (*sqlite.DB, error) {
	err := os.MkdirAll(o.data, 0o750)
	if err != nil {
		return nil, fmt.Errorf("make the folder for the database: %w", err)
	}
	db, err := sqlite.Open(filepath.Join(o.data, "trustpub.db"))
	if err != nil {
		return nil, err
	}
	migrator, err := migrations.SQLite(db.Writer())
	if err != nil {
		return nil, err
	}
	lc.Append(fx.Hook{
		OnStart: func(ctx context.Context) error {
			_, err := migrator.Up(ctx)
			return err
		},
		OnStop: func(context.Context) error { return db.Close() },
	})
	return db, nil
}

// serve listens from the application's start to its stop.
func serve(lc fx.Lifecycle, address string, handler http.Handler, logger *slog.Logger) {
	server := httpapi.NewServer(handler)
	server.ReadTimeout, server.WriteTimeout = time.Minute, 2*time.Minute // Crates are larger than tokens.
	lc.Append(fx.Hook{
		OnStart: func(ctx context.Context) error {
			var config net.ListenConfig
			listener, err := config.Listen(ctx, "tcp", address)
			if err != nil {
				return err
			}
			logger.InfoContext(ctx, "listening", slog.String("address", listener.Addr().String()))
			go func() { logger.InfoContext(ctx, "the server ended", slog.Any("reason", server.Serve(listener))) }()
			return nil
		},
		OnStop: server.Shutdown,
	})
}
