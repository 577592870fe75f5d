package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/trustpub/trustpub/internal/program"
)

// server is one process of trustpub, which can be ended and started again at the same
// address. It is not safe for concurrent use.
type server struct {
	program string
	address string
	env     []string
	log     string           // Standard error of all its lives, one after the other.
	process *program.Process // nil before the first start.
}

func (s *server) url() string { return "http://" + s.address }

// start starts the process and waits for nothing. It ends with this process at the
// latest.
func (s *server) start() error {
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // The server has its own.
	command := exec.Command(s.program, "serve")
	command.Env = s.env
	command.Stderr = log
	s.process, err = program.Start(command, syscall.SIGKILL)
	return err
}

// running reports whether the process has not ended.
func (s *server) running() bool { return s.process.Running() }

// kill ends the process with SIGKILL, if it runs.
func (s *server) kill() { _ = s.process.Kill() }

// terminate ends the process as a service manager does, and returns how long that
// took. It fails when the process does not end.
func (s *server) terminate() (time.Duration, error) {
	if !s.running() {
		return 0, errors.New("the server had ended by itself")
	}
	begin := time.Now()
	if !s.process.Stop(syscall.SIGTERM, 30*time.Second) {
		return 0, errors.New("the server did not end within 30 s of SIGTERM")
	}
	return time.Since(begin), nil
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
		case <-s.process.Exited():
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
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.process.PID()))
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
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.process.PID()))
	return len(open), err
}
