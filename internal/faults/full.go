package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// volumeSize is that of the small volume, in bytes.
const volumeSize = 64 << 20

// diskFull fills the volume that holds the SQLite database, and makes room again.
func diskFull(ctx context.Context, s *stage, n int) error {
	folder, err := s.smallVolume()
	if err != nil {
		return err
	}
	s.databaseURL = "sqlite:" + filepath.Join(folder, "trustpub.db")
	err = s.serve(ctx, 1)
	if err != nil {
		return err
	}
	s.client.begin(ctx)
	filler := filepath.Join(folder, "filler")
	for range n {
		time.Sleep(500 * time.Millisecond)
		before := s.client.seen().statuses["503"]
		err = fill(filler)
		if err != nil {
			return err
		}
		s.faults++
		time.Sleep(3 * time.Second)
		answered := s.client.seen().statuses["503"] - before
		err = os.Remove(filler)
		if err != nil {
			return err
		}
		if answered == 0 {
			s.violate("no request was answered 503 while the disk was full")
		}
		s.tell("disk full: %d answers 503", answered)
		err = s.recovered(ctx, time.Now(), recoveredWithin)
		if err != nil {
			return err
		}
	}
	if !s.servers[0].running() {
		s.violate("the server ended")
	}
	return s.finish()
}

var errNoVolume = errors.New(`there is no small volume to fill.
This scenario needs one, and may neither mount one here nor find one.
Run it as root on a machine or in a container that may mount (docker run --cap-add SYS_ADMIN),
or in a container whose /dev/shm is small, as Docker makes it (64 MB)`)

// smallVolume returns a folder on a volume of its own that may be filled: one that is
// mounted for it, or else a container's small /dev/shm.
func (s *stage) smallVolume() (string, error) {
	folder := filepath.Join(s.folder, "volume")
	err := os.Mkdir(folder, 0o700)
	if err != nil {
		return "", err
	}
	err = syscall.Mount("tmpfs", folder, "tmpfs", 0, fmt.Sprintf("size=%d", volumeSize))
	if err == nil {
		s.later(func() { _ = syscall.Unmount(folder, syscall.MNT_DETACH) })
		return folder, nil
	}
	var shared syscall.Statfs_t
	statErr := syscall.Statfs("/dev/shm", &shared)
	if statErr != nil || shared.Blocks*uint64(max(shared.Bsize, 0)) > 4*volumeSize {
		return "", fmt.Errorf("mount: %w: %w", err, errNoVolume)
	}
	folder, err = os.MkdirTemp("/dev/shm", "trustpub-faults")
	if err != nil {
		return "", err
	}
	s.later(func() { _ = os.RemoveAll(folder) })
	return folder, nil
}

// fill writes a file until there is no room for another byte.
func fill(path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	for size := 1 << 20; size > 0 && err == nil; {
		_, err = file.Write(make([]byte, size))
		if errors.Is(err, syscall.ENOSPC) {
			size, err = size/2, nil
		}
	}
	return errors.Join(err, file.Close())
}
