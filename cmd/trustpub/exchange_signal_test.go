package main

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestASignalGoesToTheCommandAndTheTokenIsRevokedAfterIt(t *testing.T) {
	s := newStage(t)
	executable, err := os.Executable()
	require.NoError(t, err)
	// Under this name, the test binary is the program.
	program := filepath.Join(t.TempDir(), "trustpub")
	require.NoError(t, os.Symlink(executable, program))
	tests := []struct {
		name   string
		script string
		signal syscall.Signal
		code   int
	}{
		{"SIGTERM that the command handles", `trap 'exit 7' TERM; echo $TRUSTPUB_TOKEN; i=0; while [ $i -lt 200 ]; do i=$((i+1)); sleep 0.05; done`, syscall.SIGTERM, 7},
		{"SIGINT that the command handles", `trap 'exit 8' INT; echo $TRUSTPUB_TOKEN; i=0; while [ $i -lt 200 ]; do i=$((i+1)); sleep 0.05; done`, syscall.SIGINT, 8},
		{"SIGHUP that the command handles", `trap 'exit 9' HUP; echo $TRUSTPUB_TOKEN; i=0; while [ $i -lt 200 ]; do i=$((i+1)); sleep 0.05; done`, syscall.SIGHUP, 9},
		{"SIGTERM that ends the command", `echo $TRUSTPUB_TOKEN; exec sleep 60`, syscall.SIGTERM, 128 + 15},
		{"SIGTERM that the command ignores", `trap '' TERM; echo $TRUSTPUB_TOKEN; sleep 0.3; exit 0`, syscall.SIGTERM, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			command := exec.CommandContext(t.Context(), program, "exchange", "--", "sh", "-c", tt.script)
			command.Env = append(os.Environ(), s.environment()...)
			output, err := command.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, command.Start())
			token, err := bufio.NewReader(output).ReadString('\n')
			require.NoError(t, err)
			token = strings.TrimSpace(token)
			require.True(t, s.isActive(token), "while the command runs")

			require.NoError(t, command.Process.Signal(tt.signal))
			_ = command.Wait()

			require.Equal(t, tt.code, command.ProcessState.ExitCode())
			require.False(t, s.isActive(token), "when the command has ended")
		})
	}
}

// A job that is cancelled during the exchange ends at once, and runs nothing.
func TestASignalBeforeThereIsATokenRunsNoCommand(t *testing.T) {
	s := newStage(t)
	s.fail(http.MethodPut, notAvailable, notAvailable, notAvailable, notAvailable)
	executable, err := os.Executable()
	require.NoError(t, err)
	program := filepath.Join(t.TempDir(), "trustpub")
	require.NoError(t, os.Symlink(executable, program))
	command := exec.CommandContext(t.Context(), program, "exchange", "--", "echo", "ran")
	command.Env = append(os.Environ(), s.environment()...)
	log, err := command.StderrPipe()
	require.NoError(t, err)
	ran := &strings.Builder{}
	command.Stdout = ran
	start := time.Now()
	require.NoError(t, command.Start())
	line, err := bufio.NewReader(log).ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "the next attempt")

	require.NoError(t, command.Process.Signal(syscall.SIGTERM))
	_ = command.Wait()

	require.Equal(t, exitFailure, command.ProcessState.ExitCode())
	require.Empty(t, ran.String())
	require.Less(t, time.Since(start), exchangeTimeout)
}
