package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// server is one process of trustpub, which can be ended and started again at the same
// address. It is not safe for concurrent use.
type server struct {
	program string
	address string
	env     []string
	log     string // Standard error of all its lives, one after the other.
	process *os.Process
	exited  chan struct{}
}

func (s *server) url() string { return "http://" + s.address }

// start starts the process and waits for nothing. The kernel ends it when this process
// dies. That signal is bound to the thread that started it, which is therefore kept.
func (s *server) start() error {
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	started, exited := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		command := exec.Command(s.program, "serve")
		command.Env = s.env
		command.Stderr = log
		command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		err := command.Start()
		if err == nil {
			s.process = command.Process
		}
		started <- err
		if err == nil {
			_ = command.Wait() // How it ends does not matter, only that it has.
		}
		_ = log.Close()
		close(exited)
	}()
	err = <-started
	if err != nil {
		return fmt.Errorf("start trustpub: %w", err)
	}
	s.exited = exited
	return nil
}

// running reports whether the process has not ended.
func (s *server) running() bool {
	if s.exited == nil {
		return false
	}
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

// kill ends the process with SIGKILL.
func (s *server) kill() {
	if s.running() {
		_ = s.process.Kill()
		<-s.exited
	}
}

// terminate ends the process as a service manager does, and returns how long that
// took. It fails when the process does not end.
func (s *server) terminate() (time.Duration, error) {
	if !s.running() {
		return 0, errors.New("the server had ended by itself")
	}
	begin := time.Now()
	err := s.process.Signal(syscall.SIGTERM)
	if err != nil {
		return 0, err
	}
	select {
	case <-s.exited:
		return time.Since(begin), nil
	case <-time.After(30 * time.Second):
		s.kill()
		return 0, errors.New("the server did not end within 30 s of SIGTERM")
	}
}

// awaitReady returns how long it took until /readyz answered 200. It fails when the
// process ends before.
func (s *server) awaitReady(ctx context.Context, atMost time.Duration) (time.Duration, error) {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		if s.answers(ctx, client, "/readyz") {
			return time.Since(begin), nil
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("the server at %s is not ready after %s", s.address, atMost)
		case <-s.exited:
			return 0, fmt.Errorf("the server at %s ended: %s", s.address, s.lastWords())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// answers reports whether a GET of path is answered 200.
func (s *server) answers(ctx context.Context, client *http.Client, path string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url()+path, http.NoBody)
	if err != nil {
		return false
	}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// lastWords returns the end of the log.
func (s *server) lastWords() string {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}

// memory returns the resident memory of the process in MiB.
func (s *server) memory() (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.process.Pid))
	if err != nil {
		return 0, err
	}
	_, after, found := strings.Cut(string(status), "\nVmRSS:")
	if !found {
		return 0, errors.New("the server has ended")
	}
	kib, err := strconv.ParseFloat(strings.Fields(after)[0], 64)
	return kib / 1024, err
}

// descriptors returns how many files and connections the process has open.
func (s *server) descriptors() (int, error) {
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.process.Pid))
	return len(open), err
}

// buildProgram builds the program under test into folder.
func buildProgram(ctx context.Context, folder string) (string, error) {
	program := filepath.Join(folder, "trustpub")
	output, err := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/trustpub/trustpub/cmd/trustpub").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build trustpub: %w: %s", err, output)
	}
	return program, nil
}

// freeAddress returns an address of this machine on which nobody listens.
func freeAddress(ctx context.Context) (string, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
