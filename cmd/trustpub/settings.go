package main

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"reflect"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/trustpub/trustpub/bootstrap"
)

// addSettings gives cmd a flag for each of the named settings, or for all that
// have a flag when none is named. A flag is nothing but another way to set the
// environment variable, so both always mean the same; the flag wins.
func addSettings(cmd *cobra.Command, names ...string) {
	for _, field := range reflect.VisibleFields(reflect.TypeFor[bootstrap.Settings]()) {
		flag, variable := field.Tag.Get("flag"), field.Tag.Get("env")
		if flag == "" || len(names) > 0 && !slices.Contains(names, variable) {
			continue
		}
		usage := fmt.Sprintf("%s [%s", field.Tag.Get("usage"), variable)
		if value, ok := field.Tag.Lookup("envDefault"); ok {
			usage += ", default " + value
		}
		cmd.Flags().String(flag, "", usage+"]")
	}
}

// loadSettings reads the environment with cmd's flags, and then overrides, laid
// over it.
func loadSettings(cmd *cobra.Command, overrides map[string]string) (bootstrap.Settings, error) {
	environment := bootstrap.Environment()
	maps.Copy(environment, overrides)
	for _, field := range reflect.VisibleFields(reflect.TypeFor[bootstrap.Settings]()) {
		flag := cmd.Flags().Lookup(field.Tag.Get("flag"))
		if flag != nil && flag.Changed {
			environment[field.Tag.Get("env")] = flag.Value.String()
		}
	}
	return bootstrap.LoadSettings(environment)
}

// newLogger returns a logger to standard error.
func newLogger(settings bootstrap.Settings) *slog.Logger {
	options := &slog.HandlerOptions{Level: settings.LogLevel.Level}
	format := settings.LogFormat
	if format == "" {
		format = bootstrap.LogJSON
		if term.IsTerminal(int(os.Stderr.Fd())) {
			format = bootstrap.LogText
		}
	}
	if format == bootstrap.LogText {
		return slog.New(slog.NewTextHandler(os.Stderr, options))
	}
	return slog.New(slog.NewJSONHandler(os.Stderr, options))
}
