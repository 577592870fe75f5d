package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"path"
	"strings"

	"github.com/trustpub/trustpub/adapters/strictjson"
)

const (
	// maxUnpacked is the most bytes that a tarball has when it is unpacked.
	maxUnpacked = 256 << 20
	// maxManifest is the most bytes that a package.json has.
	maxManifest = 1 << 20
	// maxPadding is how many zeros may follow the last entry.
	maxPadding = 64 << 10
	// top is the folder in which npm packs everything, and manifestPath the file in it
	// that says what package this is.
	top          = "package/"
	manifestPath = top + "package.json"
)

// readTarball returns the package.json of a tarball, which must be of that package and
// version. All entries must be plain files below package/, named as a path is written
// without detours: npm unpacks whatever the first folder is called, so that another one
// could hold another package.json.
func readTarball(tarball []byte, name, version string) (map[string]json.RawMessage, error) {
	unpacked, err := gzip.NewReader(bytes.NewReader(tarball))
	if err != nil {
		return nil, invalid("The tarball is not compressed with gzip.")
	}
	bounded := &io.LimitedReader{R: unpacked, N: maxUnpacked}
	manifest, err := findManifest(tar.NewReader(bounded))
	if err != nil {
		return nil, err
	}
	// Nothing may follow that another reader of the tarball would take for more entries.
	rest, err := io.ReadAll(io.LimitReader(bounded, maxPadding))
	if err != nil || bounded.N == 0 || len(rest) == maxPadding || len(bytes.Trim(rest, "\x00")) > 0 {
		return nil, invalid("The tarball has more than %d bytes when it is unpacked, or something follows its end.", maxUnpacked)
	}
	return readManifest(manifest, name, version)
}

// findManifest returns the package.json of a tarball, once all entries were looked at.
func findManifest(entries *tar.Reader) (manifest []byte, err error) {
	for {
		entry, err := entries.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, invalid("The tarball can't be read to its end, or has more than %d bytes when it is unpacked.", maxUnpacked)
		}
		if !isPlain(entry) {
			return nil, invalid("The tarball holds an entry that is no file below %s, or whose path has detours.", top)
		}
		if !strings.EqualFold(entry.Name, manifestPath) {
			continue
		}
		if manifest != nil || entry.Name != manifestPath {
			return nil, invalid("The tarball holds %s more than once, or in other letters.", manifestPath)
		}
		manifest, err = io.ReadAll(io.LimitReader(entries, maxManifest+1))
		if err != nil || len(manifest) > maxManifest {
			return nil, invalid("The file %s in the tarball can't be read, or has more than %d bytes.", manifestPath, maxManifest)
		}
	}
	if manifest == nil {
		return nil, invalid("The tarball does not hold %s.", manifestPath)
	}
	return manifest, nil
}

// isPlain reports whether an entry is a file below package/, or a folder there. A sparse
// file is none: it has two names, of which npm goes by the other.
func isPlain(entry *tar.Header) bool {
	for record := range entry.PAXRecords {
		if strings.HasPrefix(record, "GNU.sparse.") {
			return false
		}
	}
	clean := path.Clean(entry.Name)
	switch entry.Typeflag {
	case tar.TypeReg:
		return clean == entry.Name && strings.HasPrefix(entry.Name, top)
	case tar.TypeDir:
		return clean+"/" == entry.Name && strings.HasPrefix(entry.Name, top)
	}
	return false
}

// readManifest reads a package.json, in which no member occurs twice.
func readManifest(content []byte, name, version string) (map[string]json.RawMessage, error) {
	members, err := strictjson.Object(content)
	if err != nil {
		return nil, invalid("The file %s in the tarball is not one JSON object in UTF-8 whose members occur once each.", manifestPath)
	}
	if members["name"] != name || members["version"] != version {
		return nil, invalid("The file %s in the tarball is not that of %s@%s, as which it was sent.", manifestPath, name, version)
	}
	var manifest map[string]json.RawMessage
	err = json.Unmarshal(content, &manifest)
	if err != nil {
		return nil, invalid("The file %s in the tarball can't be read.", manifestPath)
	}
	return manifest, nil
}
