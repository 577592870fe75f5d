package program_test

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/internal/program"
)

func start(t *testing.T, args ...string) *program.Process {
	t.Helper()
	p, err := program.Start(exec.Command(args[0], args[1:]...), syscall.SIGKILL)
	require.NoError(t, err)
	t.Cleanup(func() { p.Stop(syscall.SIGKILL, time.Minute) })
	return p
}

func TestAProcessRunsUntilItIsEnded(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*program.Process){
		"killed":   func(p *program.Process) { require.NoError(t, p.Kill()) },
		"asked to": func(p *program.Process) { require.True(t, p.Stop(syscall.SIGTERM, time.Minute)) },
		"asked to while stuck": func(p *program.Process) {
			require.NoError(t, p.Signal(syscall.SIGSTOP))
			require.True(t, p.Stop(syscall.SIGTERM, time.Minute))
		},
	} {
		p := start(t, "sleep", "600")
		require.Positive(t, p.PID(), name)
		require.True(t, p.Running(), name)

		end(p)

		require.False(t, p.Running(), name)
		<-p.Exited()
		require.Error(t, p.Kill(), name)
		require.True(t, p.Stop(syscall.SIGTERM, time.Minute), "%s: it has ended", name)
	}
}

func TestAProcessThatDoesNotHeedTheSignalIsEnded(t *testing.T) {
	t.Parallel()
	out, in, err := os.Pipe()
	require.NoError(t, err)
	command := exec.Command("sh", "-c", "trap '' TERM; echo; while :; do sleep 0.01; done")
	command.Stdout = in
	p, err := program.Start(command, syscall.SIGKILL)
	require.NoError(t, err)
	_, err = out.Read(make([]byte, 1)) // The trap is set.
	require.NoError(t, err)

	require.False(t, p.Stop(syscall.SIGTERM, 50*time.Millisecond))

	require.False(t, p.Running())
	require.NoError(t, errors.Join(in.Close(), out.Close()))
}

func TestWhatWasNotStartedDoesNotRun(t *testing.T) {
	t.Parallel()
	var p *program.Process
	require.False(t, p.Running())
	require.Error(t, p.Kill())
	require.True(t, p.Stop(syscall.SIGTERM, time.Minute))

	_, err := program.Start(exec.Command("/nonexistent"), syscall.SIGKILL)
	require.ErrorContains(t, err, "start nonexistent")
}
