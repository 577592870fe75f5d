// Command fx embeds trustpub in a registry that is an fx application already: the
// host brings its logger, its database handle, its package owners and its mux.
package main

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"time"

	"go.uber.org/fx"

	"github.com/trustpub/trustpub/adapters/httpapi"
	"github.com/trustpub/trustpub/adapters/postgres"
	"github.com/trustpub/trustpub/adapters/postgres/pqconn"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/bootstrap"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/migrations"
)

func main() {
	ctx := context.Background()
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	environment := bootstrap.Environment()
	settings, err := bootstrap.LoadSettings(environment)
	if err != nil {
		logger.ErrorContext(ctx, "reading settings failed", slog.Any("error", err))
		os.Exit(2)
	}
	fx.New(
		newApp(settings, logger, environment["DATABASE_URL"]),
		fx.Invoke(func(mux *http.ServeMux) {
			server := &http.Server{Addr: settings.Listen, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
			go func() { logger.ErrorContext(ctx, "the server ended", slog.Any("error", server.ListenAndServe())) }()
		}),
	).Run()
}

// newApp is the host's application, with trustpub in it.
func newApp(settings bootstrap.Settings, logger *slog.Logger, databaseURL string) fx.Option {
	return fx.Options(
		fx.Supply(logger, owners{"cargo/demo": "alice"}),
		fx.Provide(
			http.NewServeMux,
			func(lc fx.Lifecycle) (*sql.DB, error) { return openDatabase(lc, databaseURL) },
		),

		bootstrap.ProvideStore(postgres.NewStore),
		bootstrap.Module(settings),
		fx.Decorate(
			func(o owners) application.Ownership { return o },
			func() bootstrap.Authenticators { return bootstrap.Authenticators{Publishers: sessions{}} },
		),
		fx.Invoke(func(mux *http.ServeMux, api *httpapi.API) { mux.Handle("/", api) }),
	)
}

// openDatabase is the host's own way to its database. trustpub's tables, which all
// begin with trustpub_, are migrated along.
func openDatabase(lc fx.Lifecycle, databaseURL string) (*sql.DB, error) {
	db, err := pqconn.Open(databaseURL, 0)
	if err != nil {
		return nil, err
	}
	migrator, err := migrations.Postgres(db)
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

// owners are the host's package owners: who may decide which workflow is trusted.
type owners map[string]string

// MayManage implements application.Ownership.
func (o owners) MayManage(_ context.Context, actor application.Actor, pkg domain.Package) error {
	if o[pkg.String()] != actor.ID {
		return &domain.Error{Kind: domain.KindForbidden, Code: domain.CodeForbidden, Message: "You do not own that package."}
	}
	return nil
}

// sessions are the host's users. A real host looks the session's cookie up; here,
// the cookie is the user's name.
type sessions struct{}

// Authenticate implements httpapi.Authenticator.
func (sessions) Authenticate(r *http.Request) (application.Actor, error) {
	cookie, err := r.Cookie("user")
	if errors.Is(err, http.ErrNoCookie) {
		return application.Actor{}, &domain.Error{Kind: domain.KindUnauthenticated, Code: domain.CodeUnauthenticated, Message: "Sign in first."}
	}
	if err != nil {
		return application.Actor{}, err
	}
	return application.Actor{ID: cookie.Value}, nil
}
