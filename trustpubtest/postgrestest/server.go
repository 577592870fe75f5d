package postgrestest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/trustpub/trustpub/adapters/postgres/pqconn"
)

// Server is a throw-away PostgreSQL server on a Unix socket.
type Server struct {
	bin        string
	folder     string
	credential *syscall.Credential
	process    *os.Process
	exited     chan struct{}
}

// Start starts a throw-away server for a program that is no test. It ends with
// [Server.Stop], and at the latest with the program.
func Start(options Options) (*Server, error) { return start(options) }

// Stop ends the server and removes its data.
func (s *Server) Stop() { s.stop() }

// PID returns the process ID of the server, whose children are its connections.
func (s *Server) PID() int { return s.process.Pid }

// Program returns the path of another of PostgreSQL's programs, such as pgbench, of
// the server's version where there is one, or else as it is found on PATH.
func (s *Server) Program(name string) string {
	path := filepath.Join(s.bin, name)
	_, err := os.Stat(path)
	if err != nil {
		return name
	}
	return path
}

// URL returns the URL of the server's database postgres.
func (s *Server) URL() string {
	return "postgres://postgres@/postgres?sslmode=disable&host=" + s.folder
}

// Folder returns the folder of the Unix socket, which is a host for libpq.
func (s *Server) Folder() string { return s.folder }

// Socket returns the path of the Unix socket, for a proxy in between.
func (s *Server) Socket() string { return filepath.Join(s.folder, ".s.PGSQL.5432") }

// Pause freezes all of the server's processes, as a host that is out of memory or a
// cut network cable does: connections stay open, and nothing answers.
func (s *Server) Pause() error { return s.signalAll(syscall.SIGSTOP) }

// Resume undoes Pause.
func (s *Server) Resume() error { return s.signalAll(syscall.SIGCONT) }

// Kill ends all of the server's processes at once, as a loss of power does.
func (s *Server) Kill() error {
	err := s.Pause() // They would see their parent's end, and do their last things.
	if err != nil {
		return err
	}
	children, err := childrenOf(s.process.Pid)
	for _, pid := range append(children, s.process.Pid) {
		err = errors.Join(err, syscall.Kill(pid, syscall.SIGKILL))
	}
	<-s.exited
	return err
}

// Restart starts a server again that was killed, on the data that it left behind.
func (s *Server) Restart() error {
	select {
	case <-s.exited:
	default:
		return errors.New("postgrestest: the server runs")
	}
	return s.run()
}

// signalAll signals the server first, so that it starts no process that is missed.
func (s *Server) signalAll(signal syscall.Signal) error {
	err := s.process.Signal(signal)
	if err != nil {
		return fmt.Errorf("postgrestest: %w", err)
	}
	children, err := childrenOf(s.process.Pid)
	if err != nil {
		return fmt.Errorf("postgrestest: %w", err)
	}
	for _, pid := range children {
		err = syscall.Kill(pid, signal)
		if err != nil && !errors.Is(err, syscall.ESRCH) { // It may have ended by itself.
			return fmt.Errorf("postgrestest: %w", err)
		}
	}
	return nil
}

// childrenOf returns the child processes of a process.
func childrenOf(parent int) ([]int, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
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
	return pids, nil
}

func (s *Server) stop() {
	_ = s.Resume()
	_ = s.process.Signal(syscall.SIGQUIT) // Immediate shutdown: there is nothing to keep.
	select {
	case <-s.exited:
	case <-time.After(10 * time.Second):
		_ = s.process.Kill()
		<-s.exited
	}
	_ = os.RemoveAll(s.folder)
}

func start(options Options) (*Server, error) {
	bin, err := findBinaries("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return nil, err
	}
	// A socket's path has about 100 characters, so the folder is a short one.
	folder, err := os.MkdirTemp("/tmp", "tppg")
	if err != nil {
		return nil, fmt.Errorf("postgrestest: %w", err)
	}
	s := &Server{bin: bin, folder: folder}
	err = s.prepare(options)
	if err == nil {
		err = s.run()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("postgrestest: %w", err), os.RemoveAll(folder))
	}
	return s, nil
}

var errNoServer = errors.New(`postgrestest: there is no PostgreSQL server.
These tests need one: initdb and postgres are neither on PATH nor under /usr/lib/postgresql/*/bin.
Install it, for example with
  apt-get update && apt-get install -y postgresql
or set TEST_DATABASE_URL to a server on which databases may be created, such as
  postgres://USER:PASSWORD@HOST/postgres`)

// findBinaries returns the folder that holds initdb and postgres: of PATH, or of the
// newest version that was installed, as Debian's packages do, in a folder of its own.
func findBinaries(installed string) (string, error) {
	candidates, err := filepath.Glob(installed)
	if err != nil {
		return "", err
	}
	slices.SortFunc(candidates, func(a, b string) int { return version(b) - version(a) })
	if path, err := exec.LookPath("initdb"); err == nil {
		path, err = filepath.EvalSymlinks(path)
		if err == nil {
			candidates = append([]string{path}, candidates...)
		}
	}
	for _, initdb := range candidates {
		folder := filepath.Dir(initdb)
		_, err := os.Stat(filepath.Join(folder, "postgres"))
		if err == nil {
			return folder, nil
		}
	}
	return "", errNoServer
}

func version(initdb string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(initdb))))
	return n
}

func (s *Server) data() string { return filepath.Join(s.folder, "data") }

// prepare makes the cluster's files.
func (s *Server) prepare(options Options) error {
	var err error
	s.credential, err = unprivileged(s.folder)
	if err != nil {
		return err
	}
	initdb := exec.Command(filepath.Join(s.bin, "initdb"), "--pgdata", s.data(), "--username", "postgres",
		"--auth", "trust", "--no-sync", "--encoding", "UTF8", "--locale", "C")
	initdb.Dir = s.folder
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: s.credential}
	output, err := initdb.CombinedOutput()
	if err != nil {
		return fmt.Errorf("initdb: %w: %s", err, output)
	}
	config, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = config.WriteString(options.lines(s.folder))
	return errors.Join(err, config.Close())
}

// run starts the server and waits until it answers.
func (s *Server) run() error {
	log := &bytes.Buffer{}
	err := s.launch(log)
	if err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	err = s.await()
	if err != nil {
		_ = s.process.Kill()
		<-s.exited
		return fmt.Errorf("%w: %s", err, log)
	}
	return nil
}

// launch starts the server so that the kernel ends it when this process dies. That
// signal is bound to the thread that started it, which is therefore kept.
func (s *Server) launch(log io.Writer) error {
	started, exited := make(chan error), make(chan struct{})
	s.exited = exited
	go func() {
		runtime.LockOSThread()
		command := exec.Command(filepath.Join(s.bin, "postgres"), "-D", s.data())
		command.Dir = s.folder
		command.Stderr = log
		command.SysProcAttr = &syscall.SysProcAttr{Credential: s.credential, Pdeathsig: syscall.SIGQUIT}
		err := command.Start()
		if err == nil {
			s.process = command.Process
		}
		started <- err
		if err == nil {
			_ = command.Wait() // How it ends does not matter, only that it has.
		}
		close(exited)
	}()
	return <-started
}

func (s *Server) await() error {
	db, err := pqconn.Open(s.URL(), 0)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		err = db.PingContext(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-s.exited:
			return errors.New("the server ended at once")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// unprivileged returns who runs the server, as initdb refuses root: the current
// user, or for root the user postgres or nobody, to whom folder is then given.
func unprivileged(folder string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		account, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, fmt.Errorf("find an unprivileged user: %w", err)
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(folder, int(uid), int(gid))
}
