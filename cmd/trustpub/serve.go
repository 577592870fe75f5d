package main

import (
	"github.com/spf13/cobra"

	"github.com/trustpub/trustpub/bootstrap"
)

func newServe() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the HTTP server until SIGINT or SIGTERM",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := loadSettings(cmd, nil)
			if err != nil {
				return err
			}
			return bootstrap.Serve(cmd.Context(), settings, newLogger(settings), nil)
		},
	}
	addSettings(cmd)
	return cmd
}
