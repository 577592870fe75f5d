// Command npm-registry is a small npm registry that CI jobs publish to without a stored
// secret: it embeds trustpub, which exchanges a job's ID token for an access token, and
// checks that token at every upload. docs/npm.md shows it at work.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
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
	data   string // The folder of the packages and of trustpub's database.
	url    string // Where npm reaches the registry. It may have a path.
}

func main() {
	ctx := context.Background()
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	settings, err := bootstrap.LoadSettings(bootstrap.Environment())
	if err != nil {
		logger.ErrorContext(ctx, "reading settings failed", slog.Any("error", err))
		os.Exit(2)
	}
	var o options
	flag.StringVar(&o.people, "people", "people.json", "file of the users and the packages' owners")
	flag.StringVar(&o.data, "data", "data", "folder for the packages and the database")
	flag.StringVar(&o.url, "url", "https://"+settings.DomainName, "URL under which npm reaches the registry")
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

// newApp is the registry, with trustpub in it, which speaks npm's protocol alone. Its
// handler is the *http.ServeMux.
func newApp(settings bootstrap.Settings, o options, logger *slog.Logger) fx.Option {
	settings.Protocols = []bootstrap.Protocol{bootstrap.ProtocolNPM}
	return fx.Options(
		fx.Supply(o, logger),
		fx.Provide(
			newMux,
			newRegistry,
			openDatabase,
			func() (*people, error) { return loadPeople(o.people) },
		),

		bootstrap.ProvideStore(sqlite.NewStore),
		bootstrap.Module(settings),
		fx.Decorate(
			func(p *people) application.Ownership { return p },
			func(p *people) bootstrap.Authenticators { return bootstrap.Authenticators{Publishers: p} },
		),
	)
}

// newMux puts the registry under the path of its URL, with trustpub beside it. npm asks
// for the exchange at the root of the URL's origin and for all else below its path, so
// trustpub is at both.
func newMux(o options, r *registry, trustpub *httpapi.API) (*http.ServeMux, error) {
	public, err := url.Parse(o.url)
	if err != nil {
		return nil, fmt.Errorf("the registry's URL: %w", err)
	}
	prefix := strings.TrimSuffix(public.Path, "/")

	below := http.NewServeMux()
	below.Handle("/", r.packages())
	below.Handle("/-/", trustpub)
	below.HandleFunc("GET /-/ping", r.servePing)
	below.HandleFunc("GET /-/whoami", r.serveWhoami)

	mux := http.NewServeMux()
	mux.Handle("/-/npm/", trustpub)
	mux.Handle(prefix+"/", http.StripPrefix(prefix, below))
	return mux, nil
}

// openDatabase opens trustpub's database, beside the packages.
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
	server.ReadTimeout, server.WriteTimeout = time.Minute, 2*time.Minute // Packages are larger than tokens.
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
