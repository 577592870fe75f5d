package main

import (
	"context"
	"io"
	"log/slog"

	"go.uber.org/fx"

	"github.com/trustpub/trustpub/adapters/postgres"
	"github.com/trustpub/trustpub/adapters/postgres/pqconn"
	"github.com/trustpub/trustpub/bootstrap"
)

// serveUnshared is trustpub serve, but for a store that gives each call a statement of
// its own. It runs in a process of its own.
func serveUnshared(ctx context.Context, stderr io.Writer) error {
	settings, err := bootstrap.LoadSettings(bootstrap.Environment())
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: settings.LogLevel.Level}))
	return bootstrap.Serve(ctx, settings, logger, nil, fx.Decorate(func(db *bootstrap.Database) *bootstrap.Database {
		unshared := *db
		unshared.Store = postgres.NewStore(db.Pools["postgres"], postgres.StatementContext(pqconn.Unwatched), postgres.Unshared())
		return &unshared
	}))
}
