package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"regexp"
	"strings"
)

// maxUnpacked bounds a .crate's size once it is unpacked, headers included, so that
// a small upload can't become endless work here or at whoever downloads it.
const maxUnpacked = 64 << 20

// maxManifest bounds the Cargo.toml inside a .crate.
const maxManifest = 1 << 20

// checkCrate makes sure that a .crate is what its metadata says: a gzipped tar with
// files below NAME-VERSION/ and nothing else, one of which is a Cargo.toml that gives
// this name and this version. What the token was checked for is the metadata's name;
// without this check the archive could be that of another crate.
//
// It refuses rather than interprets: whatever cargo does not write has no place in a
// .crate, and may mean something else to the program that unpacks it.
func checkCrate(crate []byte, want release) error {
	compressed := bytes.NewReader(crate)
	unzipped, err := gzip.NewReader(compressed)
	if err != nil {
		return invalid("The .crate is no gzip file. Upload what cargo package makes.")
	}
	unzipped.Multistream(false) // cargo reads the first stream alone.
	limited := &io.LimitedReader{R: unzipped, N: maxUnpacked}
	manifest, err := findManifest(tar.NewReader(limited), want)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, limited) // What is left is padding; its end is the checksum's.
	switch {
	case limited.N == 0:
		return invalid("The .crate unpacks to more than %d MiB.", maxUnpacked>>20)
	case err != nil || compressed.Len() > 0:
		return invalid("The .crate is damaged, or something follows it. Upload what cargo package makes.")
	}
	return checkManifest(manifest, want)
}

// findManifest looks at every entry, and returns the text of the manifest.
func findManifest(archive *tar.Reader, want release) ([]byte, error) {
	var manifest []byte
	for {
		entry, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, invalid("The .crate is no tar archive, or unpacks to more than %d MiB. Upload what cargo package makes.", maxUnpacked>>20)
		}
		path, isBelow := strings.CutPrefix(entry.Name, want.folder()+"/")
		switch {
		case !isBelow || !fs.ValidPath(entry.Name) || strings.ContainsAny(entry.Name, "\\:\x00"):
			return nil, invalid("The .crate has the entry %q, but all must be below %s/.", shorten(entry.Name), want.folder())
		case entry.Typeflag != tar.TypeReg || len(entry.PAXRecords) > 0:
			return nil, invalid("The .crate has the entry %q, which is no plain file. Leave out links and devices.", shorten(entry.Name))
		case !strings.EqualFold(path, "Cargo.toml"):
			continue
		case path != "Cargo.toml" || manifest != nil:
			return nil, invalid("The .crate has more than one Cargo.toml. Remove the others.")
		}
		manifest, err = io.ReadAll(io.LimitReader(archive, maxManifest+1))
		if err != nil || len(manifest) > maxManifest {
			return nil, invalid("The Cargo.toml in the .crate can't be read, or has more than %d bytes.", maxManifest)
		}
	}
	if manifest == nil {
		return nil, invalid("The .crate has no Cargo.toml. Upload what cargo package makes.")
	}
	return manifest, nil
}

// manifestPattern is the beginning of a Cargo.toml that cargo has normalised: comments,
// then the table [package] with edition, rust-version, name and version, each a plain
// string on a line of its own.
var manifestPattern = regexp.MustCompile(`\A(?:(?:#[^[:cntrl:]]*)?\n)*\[package\]\n` +
	`(?:(?:edition|rust-version) = "[^"\\[:cntrl:]]*"\n)*` +
	`name = "([^"\\[:cntrl:]]*)"\nversion = "([^"\\[:cntrl:]]*)"\n`)

// checkManifest compares the manifest's name and version. It accepts no other
// beginning than cargo's, so no parser of TOML can come to other values: a table and
// its keys are defined once (https://toml.io/en/v1.0.0#table).
func checkManifest(manifest []byte, want release) error {
	got := manifestPattern.FindSubmatch(manifest)
	if got == nil {
		return invalid("The Cargo.toml in the .crate does not begin as cargo writes it, with name and version in the table [package]. Upload what cargo package makes.")
	}
	if string(got[1]) != want.name || string(got[2]) != want.version {
		return invalid("The Cargo.toml in the .crate is that of %q %q, but the upload is for %s %s.",
			shorten(string(got[1])), shorten(string(got[2])), want.name, want.version)
	}
	return nil
}
