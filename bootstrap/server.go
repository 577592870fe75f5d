package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"time"

	"go.uber.org/fx"
	"go.uber.org/fx/fxevent"
	"golang.org/x/net/netutil"

	"github.com/trustpub/trustpub/adapters/httpapi"
	"github.com/trustpub/trustpub/adapters/metrics"
	"github.com/trustpub/trustpub/adapters/tracing"
)

const (
	// drainTimeout is how long requests in flight may go on after a stop was asked for,
	// departTimeout included.
	drainTimeout = 10 * time.Second
	// startTimeout bounds the start, in which a replica may wait for another's
	// migrations.
	startTimeout = 5 * time.Minute
	// stopTimeout bounds the stop: draining, and closing what is behind.
	stopTimeout = drainTimeout + 5*time.Second
)

// Server is the stand-alone server: [Module] with a database, its migrations and a
// listener. events tell what becomes of the listener.
func Server(settings Settings, logger *slog.Logger, events ListenerEvents) fx.Option {
	leaving := &departure{}
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
		exportTraces(settings),
		fx.Provide(func(lc fx.Lifecycle, m *metrics.Metrics, t *tracing.Tracing) (*Database, error) {
			return startDatabase(lc, settings, m, t)
		}),
		ProvideStore(func(db *Database) Store { return db.Store }),
		Module(settings),
		fx.Decorate(func(db *Database) Readiness { return leaving.ready(db.Ready) }),
		fx.Invoke(func(lc fx.Lifecycle, api *httpapi.API) {
			listen(lc, settings, api, leaving, logger, events)
		}),
	)
}

// ListenerEvents are called by the HTTP server; nil ones are not.
type ListenerEvents struct {
	// Listening is called once requests are accepted.
	Listening func(net.Addr)
	// Failed is called when no more requests are accepted although nobody asked for
	// that.
	Failed func(error)
}

// ballastSize is how much memory is reserved and never touched, so that the system never
// provides it. What the server holds is a few MiB, and Go's collector would run whenever
// as much has come to it, which is soon under load. It runs when that and the ballast
// have doubled instead. Unlike a higher GOGC or a limit, the ballast matters less the
// more there is to hold.
const ballastSize = 18 << 20

// forgetStart collects what the start has left. Migrations leave megabytes of buffers in a
// pool, which takes two collections to be emptied; the first ones under load would take
// them for what the server holds, and let the heap grow by as much again.
func forgetStart() {
	runtime.GC()
	runtime.GC()
}

// Serve runs [Server] until ctx ends, then drains requests in flight and returns
// nil. listening is called with the address once requests are accepted; it may be
// nil. variations are added to Server, to swap with fx.Decorate what it provides.
// Signals are the caller's: fx would listen for them too, were it asked to wait.
func Serve(ctx context.Context, settings Settings, logger *slog.Logger, listening func(net.Addr), variations ...fx.Option) error {
	ballast := make([]byte, ballastSize)
	defer runtime.KeepAlive(ballast)
	failed := make(chan error, 1)
	var address net.Addr
	app := fx.New(Server(settings, logger, ListenerEvents{
		Listening: func(a net.Addr) { address = a },
		Failed:    func(err error) { failed <- err },
	}), fx.Options(variations...))
	startCtx, cancel := context.WithTimeout(ctx, app.StartTimeout())
	defer cancel()
	err := app.Start(startCtx)
	switch {
	case err == nil:
		forgetStart()
		logger.InfoContext(ctx, "listening", slog.String("address", address.String()))
		if listening != nil {
			listening(address)
		}
		select {
		case <-ctx.Done():
		case err = <-failed:
		}
	case ctx.Err() != nil:
		err = nil // It was asked to stop before it was up.
	default:
		err = unwrapStart(err)
	}
	stopCtx, cancelStop := context.WithTimeout(context.WithoutCancel(ctx), app.StopTimeout())
	defer cancelStop()
	return errors.Join(err, app.Stop(stopCtx))
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
func startDatabase(lc fx.Lifecycle, settings Settings, m *metrics.Metrics, t *tracing.Tracing) (*Database, error) {
	db, err := openDatabase(settings.DatabaseURL, instruments{tracing: t, observeBatch: func(ctx context.Context, operation string, size int) {
		m.ObserveBatch(operation, size)
		t.ObserveBatch(ctx, operation, size)
	}})
	if err != nil {
		return nil, err
	}
	for name, pool := range db.Pools {
		err = m.AddPool(name, pool)
		if err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	lc.Append(fx.Hook{
		OnStart: func(ctx context.Context) error { return db.Prepare(ctx, settings.Migrate) },
		OnStop:  func(context.Context) error { return db.Close() },
	})
	return db, nil
}

// listen serves the handler from the application's start to its stop.
func listen(lc fx.Lifecycle, settings Settings, handler http.Handler, leaving *departure, logger *slog.Logger, events ListenerEvents) {
	server := httpapi.NewServer(leaving.handler(handler))
	server.ConnState = leaving.count
	lc.Append(fx.Hook{
		OnStart: func(ctx context.Context) error {
			var config net.ListenConfig
			listener, err := config.Listen(ctx, "tcp", settings.Listen)
			if err != nil {
				return &SettingError{"TRUSTPUB_LISTEN", fmt.Sprintf("%v; use a free HOST:PORT of this machine", err)}
			}
			go func() {
				err := server.Serve(netutil.LimitListener(listener, settings.MaxConnections))
				if !errors.Is(err, http.ErrServerClosed) && events.Failed != nil {
					events.Failed(fmt.Errorf("the HTTP server ended by itself: %w", err))
				}
			}()
			if events.Listening != nil {
				events.Listening(listener.Addr())
			}
			return nil
		},
		OnStop: func(ctx context.Context) error {
			logger.InfoContext(ctx, "draining")
			ctx, cancel := context.WithTimeout(ctx, drainTimeout)
			defer cancel()
			leaving.begin(ctx)
			err := server.Shutdown(ctx)
			if errors.Is(err, context.DeadlineExceeded) {
				logger.WarnContext(ctx, "requests in flight were cut off")
				return server.Close()
			}
			return err
		},
	})
}
