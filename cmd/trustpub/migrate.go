package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/trustpub/trustpub/bootstrap"
)

func newMigrate() *cobra.Command {
	return newGroup("migrate", "Apply, revert or list the schema migrations",
		newMigration("up", "Apply all pending migrations", func(ctx context.Context, cmd *cobra.Command, db *bootstrap.Database) error {
			applied, err := db.Migrator.Up(ctx)
			if err != nil {
				return err
			}
			for _, m := range applied {
				show(cmd, "applied", m)
			}
			show(cmd, "the schema is current")
			return nil
		}),
		newMigration("down", "Revert the newest migration, and with it the data in what it made", func(ctx context.Context, cmd *cobra.Command, db *bootstrap.Database) error {
			reverted, err := db.Migrator.Down(ctx)
			if err != nil {
				return err
			}
			show(cmd, "reverted", reverted)
			return nil
		}),
		newMigration("status", "List the migrations", func(ctx context.Context, cmd *cobra.Command, db *bootstrap.Database) error {
			states, err := db.Migrator.Status(ctx)
			if err != nil {
				return err
			}
			for _, s := range states {
				show(cmd, s)
			}
			return nil
		}),
	)
}

func newMigration(name, short string, do func(context.Context, *cobra.Command, *bootstrap.Database) error) *cobra.Command {
	cmd := &cobra.Command{
		Use:   name,
		Short: short,
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := loadSettings(cmd, nil)
			if err != nil {
				return err
			}
			return withDatabase(settings, func(db *bootstrap.Database) error {
				err := do(cmd.Context(), cmd, db)
				if err != nil {
					return fmt.Errorf("migrate %s: %w", name, err)
				}
				return nil
			})
		},
	}
	addSettings(cmd, "DATABASE_URL")
	return cmd
}

// show prints a line of output. One that can't be printed is nobody's concern.
func show(cmd *cobra.Command, words ...any) {
	_, _ = fmt.Fprintln(cmd.OutOrStdout(), words...)
}

// withDatabase opens the database for the time of do.
func withDatabase(settings bootstrap.Settings, do func(*bootstrap.Database) error) error {
	db, err := bootstrap.OpenDatabase(settings.DatabaseURL)
	if err != nil {
		return err
	}
	return errors.Join(do(db), db.Close())
}
