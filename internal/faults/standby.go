package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/trustpub/trustpub/internal/program"
)

// standby is a synchronous standby of the stage's PostgreSQL.
type standby struct {
	url     string
	process *program.Process
	frozen  []int
}

// newStandby copies the primary and follows it, on another socket in its folder.
func (s *stage) newStandby(ctx context.Context) (*standby, error) {
	const port = "5433"
	folder := s.postgres.Folder()
	owner, err := os.Stat(folder)
	if err != nil {
		return nil, err
	}
	var credential *syscall.Credential
	if stat, ok := owner.Sys().(*syscall.Stat_t); ok && os.Getuid() == 0 {
		credential = &syscall.Credential{Uid: stat.Uid, Gid: stat.Gid}
	}
	data := filepath.Join(folder, "standby")
	backup := exec.CommandContext(ctx, s.postgres.Program("pg_basebackup"), "--pgdata", data, "--write-recovery-conf", "--wal-method", "stream",
		"--checkpoint", "fast", "--no-sync", "--dbname", "host="+folder+" user=postgres application_name=standby")
	backup.Dir, backup.SysProcAttr = folder, &syscall.SysProcAttr{Credential: credential}
	output, err := backup.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("pg_basebackup: %w: %s", err, output)
	}
	command := exec.Command(s.postgres.Program("postgres"), "-D", data, "-p", port)
	command.Dir, command.SysProcAttr = folder, &syscall.SysProcAttr{Credential: credential}
	process, err := program.Start(command, syscall.SIGQUIT)
	if err != nil {
		return nil, fmt.Errorf("the standby: %w", err)
	}
	b := &standby{url: s.postgres.URL() + "&port=" + port, process: process}
	s.later(func() {
		b.thaw()
		_ = b.process.Signal(syscall.SIGQUIT)
		<-b.process.Exited()
	})
	return b, nil
}

// query reads a value from the standby.
func (b *standby) query(ctx context.Context, statement string, dest any) error {
	db, err := openDatabase(b.url)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	return db.QueryRowContext(ctx, statement).Scan(dest)
}

// freeze stops the process that receives the log, and the one that would start another.
func (b *standby) freeze(ctx context.Context) error {
	var receiver int
	err := b.query(ctx, `select pid from pg_stat_wal_receiver`, &receiver)
	if err != nil {
		return fmt.Errorf("find the standby's receiver: %w", err)
	}
	for _, pid := range []int{b.process.PID(), receiver} {
		err = syscall.Kill(pid, syscall.SIGSTOP)
		if err != nil {
			return err
		}
		b.frozen = append(b.frozen, pid)
	}
	return nil
}

// thaw undoes freeze.
func (b *standby) thaw() {
	for _, pid := range b.frozen {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
	b.frozen = nil
}

const (
	// inSync is whether commits wait for the standby.
	inSync = `select exists (select from pg_stat_replication where sync_state = 'sync')`
	// cancelWaiting is what an administrator does who sees commits that wait for ever.
	cancelWaiting = `select count(*) from (select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep') c`
)

// standbyFrozen freezes the synchronous standby, cancels the commits that wait for it,
// and in the end fails over to it: what a client was told is then all that counts.
func standbyFrozen(ctx context.Context, s *stage, n int) error {
	err := s.onPostgres()
	if err != nil {
		return err
	}
	b, err := s.newStandby(ctx)
	if err != nil {
		return err
	}
	err = s.execute(ctx, `alter system set synchronous_standby_names = 'standby'`, `select pg_reload_conf()`)
	if err != nil {
		return err
	}
	err = s.database(func(db *sql.DB) error { return awaitTrue(ctx, db, inSync) })
	if err != nil {
		return fmt.Errorf("await the standby: %w", err)
	}
	err = s.serve(ctx, 1)
	if err != nil {
		return err
	}
	s.client.begin(ctx)
	for i := range n {
		time.Sleep(500 * time.Millisecond)
		err = s.cancelCommits(ctx, b)
		if err != nil {
			return err
		}
		if i == n-1 {
			return s.failOver(ctx, b)
		}
		b.thaw()
		err = s.recovered(ctx, time.Now(), recoveredWithin)
		if err != nil {
			return err
		}
	}
	return nil
}

// cancelCommits freezes the standby and cancels waiting commits for some seconds. No
// exchange may succeed that began when the standby was frozen.
func (s *stage) cancelCommits(ctx context.Context, b *standby) error {
	before := s.client.seen().statuses["503"]
	err := b.freeze(ctx)
	if err != nil {
		return err
	}
	s.faults++
	time.Sleep(100 * time.Millisecond) // A signal is delivered when its process next runs.
	frozen, cancelled := time.Now(), 0
	err = s.database(func(db *sql.DB) error {
		for time.Since(frozen) < 3*time.Second {
			var now int
			err := db.QueryRowContext(ctx, cancelWaiting).Scan(&now)
			if err != nil {
				return err
			}
			cancelled += now
			time.Sleep(20 * time.Millisecond)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if _, ok := s.client.firstSuccess(frozen); ok {
		s.violate("an exchange succeeded while the standby was frozen")
	}
	answered := s.client.seen().statuses["503"] - before
	if cancelled == 0 || answered == 0 {
		s.violate("%d commits were cancelled, and %d requests answered 503", cancelled, answered)
	}
	s.tell("%d waits for the standby cancelled, %d answers 503, none 200", cancelled, answered)
	return nil
}

// failOver loses the primary while the standby is frozen, and audits the standby.
func (s *stage) failOver(ctx context.Context, b *standby) error {
	err := s.postgres.Kill()
	if err != nil {
		return err
	}
	s.client.end()
	s.client.stop = nil
	b.thaw()
	// Waiting in the statement itself could hold up what it waits for.
	var asked bool
	err = b.query(ctx, `select pg_promote(false)`, &asked)
	if err != nil {
		return fmt.Errorf("promote the standby: %w", err)
	}
	db, err := openDatabase(b.url)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	err = awaitTrue(ctx, db, `select not pg_is_in_recovery()`)
	if err != nil {
		return fmt.Errorf("await the standby's promotion: %w", err)
	}
	s.auditURL = b.url
	s.tell("the primary was then lost, and the standby audited")
	return nil
}
