package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestServeExitsWith0AfterSIGINTAndSIGTERM(t *testing.T) {
	executable, err := os.Executable()
	require.NoError(t, err)
	// Under this name, the test binary is the program.
	program := filepath.Join(t.TempDir(), "trustpub")
	require.NoError(t, os.Symlink(executable, program))
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		for range 3 { // Two listeners for one signal would take turns.
			command := exec.CommandContext(t.Context(), program, "serve")
			command.Env = append(os.Environ(), "TRUSTPUB_LISTEN=127.0.0.1:0", "DATABASE_URL=sqlite::memory:", "TRUSTPUB_LOG_LEVEL=info")
			log, err := command.StderrPipe()
			require.NoError(t, err)
			require.NoError(t, command.Start())
			var printed strings.Builder
			lines := bufio.NewScanner(log)
			for lines.Scan() {
				printed.WriteString(lines.Text() + "\n")
				if strings.Contains(lines.Text(), `"listening"`) {
					require.NoError(t, command.Process.Signal(signal))
				}
			}

			require.NoError(t, command.Wait(), "%s: %s", signal, &printed)
			require.Contains(t, printed.String(), `"draining"`)
		}
	}
}
