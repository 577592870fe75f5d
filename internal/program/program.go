// Package program builds trustpub and runs programs beside a tool that measures or
// breaks them. None of them outlives the tool.
package program

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// Build builds trustpub into a folder and returns the path of the program.
func Build(ctx context.Context, folder string) (string, error) {
	path := filepath.Join(folder, "trustpub")
	output, err := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/trustpub/trustpub/cmd/trustpub").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build trustpub: %w: %s", err, output)
	}
	return path, nil
}

// FreeAddress returns an address of this machine on which nobody listens.
func FreeAddress(ctx context.Context) (string, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// Process is a program that was started. A nil one does not run.
type Process struct {
	process *os.Process
	exited  chan struct{}
}

// Start starts a command so that the kernel sends it deathSignal when this process dies.
// That signal is bound to the thread that started it, which is therefore kept.
func Start(command *exec.Cmd, deathSignal syscall.Signal) (*Process, error) {
	if command.SysProcAttr == nil {
		command.SysProcAttr = &syscall.SysProcAttr{}
	}
	command.SysProcAttr.Pdeathsig = deathSignal
	started, exited := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		err := command.Start()
		started <- err
		if err == nil {
			_ = command.Wait() // How it ends does not matter, only that it has.
		}
		close(exited)
	}()
	err := <-started
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(command.Path), err)
	}
	return &Process{process: command.Process, exited: exited}, nil
}

// PID returns the process ID.
func (p *Process) PID() int { return p.process.Pid }

// Exited is closed when the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Running reports whether the process was started and has not ended.
func (p *Process) Running() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// Signal sends a signal.
func (p *Process) Signal(signal syscall.Signal) error { return p.process.Signal(signal) }

// Kill ends the process at once. It is an error when it does not run.
func (p *Process) Kill() error {
	if !p.Running() {
		return errors.New("the process does not run")
	}
	err := p.process.Kill()
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.exited
	return nil
}

// Stop asks the process to end, frozen or not, and ends it if it does not within the
// patience. It reports whether it did.
func (p *Process) Stop(signal syscall.Signal, patience time.Duration) bool {
	if !p.Running() {
		return true
	}
	_ = p.process.Signal(syscall.SIGCONT)
	_ = p.process.Signal(signal)
	select {
	case <-p.exited:
		return true
	case <-time.After(patience):
		_ = p.process.Kill()
		<-p.exited
		return false
	}
}
