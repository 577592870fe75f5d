package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"syscall"
)

// storage keeps releases on disk: NAME/VERSION/ with the files crate and index, the
// latter the release's line in the index. It is safe for concurrent use, also by
// several processes. Nothing in it can leave its folder, which os.Root sees to whatever
// a name may hold.
type storage struct{ root *os.Root }

const (
	crateFile = "crate"
	indexFile = "index"
	// unfinished begins the names of folders that are still being written, and that a
	// crash may leave behind. No crate's name begins so.
	unfinished = ".new-"
)

// openStorage makes the folder if need be.
func openStorage(folder string) (*storage, error) {
	err := os.MkdirAll(folder, 0o750)
	if err != nil {
		return nil, fmt.Errorf("make the folder for crates: %w", err)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("open the folder for crates: %w", err)
	}
	return &storage{root}, nil
}

// errExists is a version that was published before.
var errExists = errors.New("the version exists")

// save stores a release, wholly or not at all, and never over another: both files are
// written to a folder of their own, which gets its name in one step that fails when
// the name is taken. errExists says that it was.
func (s *storage) save(r release, crate, index []byte) (err error) {
	temporary := unfinished + rand.Text()
	err = s.root.Mkdir(temporary, 0o750)
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.root.RemoveAll(temporary))
		}
	}()
	for name, content := range map[string][]byte{crateFile: crate, indexFile: index} {
		err = s.write(path.Join(temporary, name), content)
		if err != nil {
			return fmt.Errorf("write the file %s: %w", name, err)
		}
	}
	err = s.root.MkdirAll(r.name, 0o750)
	if err != nil {
		return fmt.Errorf("make the crate's folder: %w", err)
	}
	err = s.root.Rename(temporary, path.Join(r.name, r.immutable()))
	if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, fs.ErrExist) {
		return errExists
	}
	if err != nil {
		return fmt.Errorf("name the folder: %w", err)
	}
	return s.sync(path.Join(r.name, r.immutable()), r.name, ".")
}

// sync makes the names in folders last, as a write alone makes content last.
func (s *storage) sync(folders ...string) error {
	for _, folder := range folders {
		opened, err := s.root.Open(folder)
		if err != nil {
			return fmt.Errorf("open a folder: %w", err)
		}
		err = errors.Join(opened.Sync(), opened.Close())
		if err != nil {
			return fmt.Errorf("sync a folder: %w", err)
		}
	}
	return nil
}

// write makes a new file whose content is on disk when it returns.
func (s *storage) write(name string, content []byte) error {
	file, err := s.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Sync(), file.Close())
}

// crate returns a release's .crate, or an error that is fs.ErrNotExist.
func (s *storage) crate(r release) ([]byte, error) {
	return s.root.ReadFile(path.Join(r.name, r.immutable(), crateFile))
}

// index returns the lines of all of a crate's releases, none when there are none.
func (s *storage) index(name string) ([]byte, error) {
	versions, err := fs.ReadDir(s.root.FS(), name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list versions: %w", err)
	}
	var lines [][]byte
	for _, version := range versions {
		line, err := s.root.ReadFile(path.Join(name, version.Name(), indexFile))
		if err != nil {
			return nil, fmt.Errorf("read a line of the index: %w", err)
		}
		lines = append(lines, line)
	}
	return slices.Concat(lines...), nil
}
