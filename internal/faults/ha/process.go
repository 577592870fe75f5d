package ha

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/trustpub/trustpub/internal/program"
)

// process is a program of the cluster, which can be started again on what it left.
type process struct {
	path       string
	args       []string
	folder     string
	log        string
	credential *syscall.Credential
	// deathSignal is what the kernel sends when this program ends without Close.
	deathSignal syscall.Signal

	running *program.Process // nil before the first start.
}

// start starts the program, which ends with this process at the latest.
func (p *process) start() error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("ha: %w", err)
	}
	defer func() { _ = log.Close() }() // The program has its own.
	command := exec.Command(p.path, p.args...)
	command.Dir = p.folder
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Credential: p.credential}
	p.running, err = program.Start(command, p.deathSignal)
	if err != nil {
		return fmt.Errorf("ha: %w", err)
	}
	return nil
}

// signalTree signals a process before its children, so that it starts none that is
// missed. Children that end meanwhile are no error.
func signalTree(parent int, signal syscall.Signal) error {
	err := syscall.Kill(parent, signal)
	if err != nil {
		return fmt.Errorf("ha: signal process %d: %w", parent, err)
	}
	for _, child := range childrenOf(parent) {
		err = syscall.Kill(child, signal)
		if err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("ha: signal process %d: %w", child, err)
		}
	}
	return nil
}

// killTree ends a process and its children at once, as a loss of power does.
func killTree(parent int) error {
	err := signalTree(parent, syscall.SIGSTOP) // The children would see their parent's end, and do their last things.
	if err != nil {
		return err
	}
	for _, pid := range append(childrenOf(parent), parent) {
		err = syscall.Kill(pid, syscall.SIGKILL)
		if err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("ha: kill process %d: %w", pid, err)
		}
	}
	return nil
}

// childrenOf returns the child processes of a process.
func childrenOf(parent int) []int {
	files, _ := filepath.Glob("/proc/[0-9]*/stat") // The pattern is a good one.
	var pids []int
	for _, file := range files {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // The process has ended.
		}
		// "PID (COMMAND) STATE PPID …", where COMMAND may hold anything.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			if err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
