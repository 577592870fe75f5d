package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMistakesOfTheCallerExitWith2(t *testing.T) {
	for _, args := range [][]string{
		{"serve", "--token-ttl", "2h"},
		{"serve", "--no-such-flag"},
		{"serve", "extra"},
		{"no-such-command"},
		{"publisher", "remove"},
		{"publisher", "remove", "x"},
		{"publisher", "add", "github"},
		{"publisher", "add", "github", "--package", "a", "--repository", "b", "--workflow", "c.yml"},
		{"migrate", "up", "--database-url", "mysql://x"},
	} {
		require.Equal(t, exitUsage, run(t.Context(), args), "%v", args)
	}
}
