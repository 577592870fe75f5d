package ha_test

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/internal/faults/ha"
)

func TestWhatIsMissingIsNamedWithTheWayToGetIt(t *testing.T) {
	t.Setenv("PATH", "")
	_, err := ha.Start(t.Context(), ha.Config{})
	require.ErrorContains(t, err, "scripts/setup-ha")
	require.ErrorContains(t, err, "apt-get install")
	require.ErrorContains(t, err, "patroni")
	require.ErrorContains(t, err, "etcd-server")
}

func TestAClusterRefusesAddressesThatAreNotItsOwn(t *testing.T) {
	tests := []struct{ name, network string }{
		{"an address that is taken", "127.0.99"},
		{"an address of another machine", "192.0.2"},
	}
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.99.12:8008")
	require.NoError(t, err)
	t.Cleanup(func() { _ = taken.Close() })
	fakePrograms(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := ha.Start(t.Context(), ha.Config{Network: test.network})
			require.ErrorContains(t, err, "the cluster needs "+test.network)
		})
	}
}

// fakePrograms puts programs on PATH that are never started.
func fakePrograms(t *testing.T) {
	t.Helper()
	folder := t.TempDir()
	for _, name := range []string{"patroni", "etcd", "haproxy"} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte("#!/bin/false\n"), 0o700))
	}
	t.Setenv("PATH", folder)
}
