package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"syscall"
	"time"
)

// release is one version of a package.
type release struct {
	Name      string                     `json:"name"`
	Version   string                     `json:"version"`
	Tag       string                     `json:"tag"`
	Published time.Time                  `json:"published"`
	Integrity string                     `json:"integrity"`
	Shasum    string                     `json:"shasum"`
	Manifest  map[string]json.RawMessage `json:"manifest"` // The package.json of the tarball.
}

// storage keeps releases on disk: NAME/VERSION/ with the tarball and what is told of it.
// It is safe for concurrent use, also by several processes. Nothing in it can leave its
// folder, which os.Root sees to whatever a name may hold.
type storage struct{ root *os.Root }

const (
	tarballFile = "package.tgz"
	releaseFile = "release.json"
	// unfinished begins the names of folders that are still being written, and that a
	// crash may leave behind. No package's name begins so.
	unfinished = ".new-"
)

// errExists is a version that was published before.
var errExists = errors.New("the version exists")

// openStorage makes the folder if need be.
func openStorage(folder string) (*storage, error) {
	err := os.MkdirAll(folder, 0o750)
	if err != nil {
		return nil, fmt.Errorf("make the folder for packages: %w", err)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("open the folder for packages: %w", err)
	}
	return &storage{root}, nil
}

// folder is that of a package: one segment, also for a name with a scope.
func folder(name string) string { return url.PathEscape(name) }

// save stores a release, wholly or not at all, and never over another: its files are
// written to a folder of their own, which gets its name in one step that fails when the
// name is taken. errExists says that it was.
func (s *storage) save(r release, tarball []byte) (err error) {
	told, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode the release: %w", err)
	}
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
	for name, content := range map[string][]byte{tarballFile: tarball, releaseFile: told} {
		err = s.write(path.Join(temporary, name), content)
		if err != nil {
			return fmt.Errorf("write the file %s: %w", name, err)
		}
	}
	err = s.root.MkdirAll(folder(r.Name), 0o750)
	if err != nil {
		return fmt.Errorf("make the package's folder: %w", err)
	}
	err = s.root.Rename(temporary, path.Join(folder(r.Name), r.Version))
	if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, fs.ErrExist) {
		return errExists
	}
	if err != nil {
		return fmt.Errorf("name the folder: %w", err)
	}
	return s.sync(path.Join(folder(r.Name), r.Version), folder(r.Name), ".")
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

// sync makes the names in folders last, as a write alone makes content last.
func (s *storage) sync(folders ...string) error {
	for _, name := range folders {
		opened, err := s.root.Open(name)
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

// tarball returns a release's tarball, or an error that is fs.ErrNotExist.
func (s *storage) tarball(name, version string) ([]byte, error) {
	return s.root.ReadFile(path.Join(folder(name), version, tarballFile))
}

// releases returns all of a package's, none when there are none.
func (s *storage) releases(name string) ([]release, error) {
	versions, err := fs.ReadDir(s.root.FS(), folder(name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list versions: %w", err)
	}
	releases := make([]release, 0, len(versions))
	for _, version := range versions {
		told, err := s.root.ReadFile(path.Join(folder(name), version.Name(), releaseFile))
		if err != nil {
			return nil, fmt.Errorf("read a release: %w", err)
		}
		var r release
		err = json.Unmarshal(told, &r)
		if err != nil {
			return nil, fmt.Errorf("decode a release: %w", err)
		}
		releases = append(releases, r)
	}
	return releases, nil
}
