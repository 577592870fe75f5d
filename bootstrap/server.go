package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"go.uber.org/fx"
	"go.uber.org/fx/fxevent"

	"github.com/trustpub/trustpub/adapters/httpapi"
)

const (
	// drainTimeout is how long requests in flight may go on after a stop was asked for.
	drainTimeout = 10 * time.Second
	// startTimeout bounds the start, in which a replica may wait for another's
	// migrations.
	startTimeout = 5 * time.Minute
	// stopTimeout bounds the stop: draining, and closing what is behind.
	stopTimeout = drainTimeout + 5*time.Second
)

// Server is the stand-alone server: [Module] with a database, its migrations and a
// listener. listening is called with the address once requests are accepted.
func Server(settings Settings, logger *slog.Logger, listening func(net.Addr)) fx.Option {
	return fx.Options(
		fx.WithLogger(func() fxevent.Logger {
			l := &fxevent.SlogLogger{Logger: logger}
			l.UseLogLevel(slog.LevelDebug)
			l.UseErrorLevel(slog.LevelDebug) // Serve returns what goes wrong.
			return l
		}),
		fx.StartTimeout(startTimeout),
		fx.StopTimeout(stopTimeout),
		fx.Supply(logger),
		fx.Provide(func(lc fx.Lifecycle) (*Database, error) { return startDatabase(lc, settings) }),
		ProvideStore(func(db *Database) Store { return db.Store }),
		Module(settings),
		fx.Decorate(func(db *Database) Readiness { return db.Ready }),
		fx.Invoke(func(lc fx.Lifecycle, shutdowner fx.Shutdowner, api *httpapi.API) {
			listen(lc, shutdowner, settings.Listen, api, logger, listening)
		}),
	)
}

// Serve runs [Server] until ctx ends, then drains requests in flight and returns
// nil.
func Serve(ctx context.Context, settings Settings, logger *slog.Logger, listening func(net.Addr)) error {
	app := fx.New(Server(settings, logger, listening))
	startCtx, cancel := context.WithTimeout(ctx, app.StartTimeout())
	defer cancel()
	err := app.Start(startCtx)
	if err != nil {
		return unwrapStart(err)
	}
	var failure error
	select {
	case <-ctx.Done():
	case <-app.Done():
		failure = errors.New("the HTTP server ended by itself; the log says why")
	}
	stopCtx, cancelStop := context.WithTimeout(context.WithoutCancel(ctx), app.StopTimeout())
	defer cancelStop()
	return errors.Join(failure, app.Stop(stopCtx))
}

// unwrapStart takes off what fx puts around a constructor's error, so that an
// operator reads the reason and not the dependency graph.
func unwrapStart(err error) error {
	if setting, ok := errors.AsType[*SettingError](err); ok {
		return setting
	}
	return fmt.Errorf("start: %w", err)
}

// startDatabase opens the database, makes sure of its schema at the start and
// closes it at the stop.
func startDatabase(lc fx.Lifecycle, settings Settings) (*Database, error) {
	db, err := OpenDatabase(settings.DatabaseURL)
	if err != nil {
		return nil, err
	}
	lc.Append(fx.Hook{
		OnStart: func(ctx context.Context) error { return db.Prepare(ctx, settings.Migrate) },
		OnStop:  func(context.Context) error { return db.Close() },
	})
	return db, nil
}

// listen serves the handler from the application's start to its stop.
func listen(lc fx.Lifecycle, shutdowner fx.Shutdowner, address string, handler http.Handler, logger *slog.Logger, listening func(net.Addr)) {
	server := httpapi.NewServer(handler)
	lc.Append(fx.Hook{
		OnStart: func(ctx context.Context) error {
			var config net.ListenConfig
			listener, err := config.Listen(ctx, "tcp", address)
			if err != nil {
				return &SettingError{"TRUSTPUB_LISTEN", fmt.Sprintf("%v; use a free HOST:PORT of this machine", err)}
			}
			go func() {
				err := server.Serve(listener)
				if !errors.Is(err, http.ErrServerClosed) {
					logger.ErrorContext(context.WithoutCancel(ctx), "http server ended", slog.Any("error", err))
					_ = shutdowner.Shutdown()
				}
			}()
			logger.InfoContext(ctx, "listening", slog.String("address", listener.Addr().String()))
			if listening != nil {
				listening(listener.Addr())
			}
			return nil
		},
		OnStop: func(ctx context.Context) error {
			logger.InfoContext(ctx, "draining")
			ctx, cancel := context.WithTimeout(ctx, drainTimeout)
			defer cancel()
			err := server.Shutdown(ctx)
			if errors.Is(err, context.DeadlineExceeded) {
				logger.WarnContext(ctx, "requests in flight were cut off")
				return server.Close()
			}
			return err
		},
	})
}
