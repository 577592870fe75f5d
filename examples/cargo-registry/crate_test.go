package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/domain"
)

func TestAnUploadThatIsNotTheCrateOfItsMetadataIsRefused(t *testing.T) {
	h := startHost(t)
	h.trust(t, "demo-crate")
	token := h.exchange(t)
	const manifest = "demo-crate-0.1.0/Cargo.toml"
	withManifest := func(text string) func(*upload) {
		return func(u *upload) { u.entries[0] = file(manifest, text) }
	}
	with := func(e entry) func(*upload) {
		return func(u *upload) { u.entries = append(u.entries, e) }
	}
	link := func(kind byte) entry {
		return entry{Header: tar.Header{Name: "demo-crate-0.1.0/link", Linkname: "/etc/passwd", Typeflag: kind, Format: tar.FormatGNU}}
	}
	const notCargos = "does not begin as cargo writes it"
	good := normalised("demo-crate", "0.1.0")
	tests := []struct {
		name, want string
		spoil      func(*upload)
	}{
		{"manifest of another crate", `that of "other" "0.1.0"`, withManifest(normalised("other", "0.1.0"))},
		{"manifest of another spelling", `that of "demo_crate"`, withManifest(normalised("demo_crate", "0.1.0"))},
		{"manifest of another version", `that of "demo-crate" "0.2.0"`, withManifest(normalised("demo-crate", "0.2.0"))},
		{"manifest without a name", notCargos, withManifest("[package]\nversion = \"0.1.0\"\n")},
		{"manifest without a version", notCargos, withManifest("[package]\nname = \"demo-crate\"\n")},
		{"name in another table", notCargos, withManifest("[project]\n" + strings.TrimPrefix(good, "[package]"))},
		{"name in the table of a comment", notCargos, withManifest("# [package]\nname = \"demo-crate\"\nversion = \"0.1.0\"\n")},
		{"good beginning within a string", notCargos, withManifest("x = \"\"\"\n[package]\nname = \"demo-crate\"\nversion = \"0.1.0\"\n\"\"\"\n[package]\nname = \"other\"\nversion = \"0.1.0\"\n")},
		{"good beginning within a literal string", notCargos, withManifest("x = '''\n" + good + "'''\n")},
		{"good beginning in an unfinished comment", notCargos, withManifest("#\r[package]\rname = \"other\"\n" + good)},
		{"dotted key before the table", notCargos, withManifest("package.name = \"other\"\n" + good)},
		{"name with an escape", notCargos, withManifest(strings.Replace(good, "demo-crate", `demo-crat\u0065`, 1))},
		{"name as a literal string", notCargos, withManifest(strings.Replace(good, `"demo-crate"`, `'demo-crate'`, 1))},
		{"name with a quoted key", notCargos, withManifest(strings.Replace(good, `name =`, `"name" =`, 1))},
		{"byte order mark", notCargos, withManifest("\ufeff" + good)},
		{"empty manifest", notCargos, withManifest("")},
		{"no manifest", "has no Cargo.toml", func(u *upload) { u.entries = u.entries[1:] }},
		{"no entries", "has no Cargo.toml", func(u *upload) { u.entries = nil }},
		{"two manifests", "more than one Cargo.toml", with(file(manifest, normalised("other", "0.1.0")))},
		{"second manifest in another case", "more than one Cargo.toml", with(file("demo-crate-0.1.0/cargo.TOML", ""))},
		{"manifest in another case alone", "more than one Cargo.toml", func(u *upload) { u.entries[0].Name = "demo-crate-0.1.0/cargo.toml" }},
		{"manifest in a lower folder alone", "has no Cargo.toml", func(u *upload) { u.entries[0].Name = "demo-crate-0.1.0/a/Cargo.toml" }},
		{"huge manifest", "more than 1048576 bytes", withManifest(good + strings.Repeat("#", maxManifest))},
		{"folder of another crate", "must be below demo-crate-0.1.0/", with(file("other-0.1.0/Cargo.toml", ""))},
		{"folder of another version", "must be below", with(file("demo-crate-0.1.1/x", ""))},
		{"folder that only begins alike", "must be below", with(file("demo-crate-0.1.0-beta/x", ""))},
		{"file beside the folder", "must be below", with(file("x", ""))},
		{"way out", "must be below", with(file("demo-crate-0.1.0/../../x", ""))},
		{"way out and in again", "must be below", with(file("demo-crate-0.1.0/../demo-crate-0.1.0/x", ""))},
		{"absolute path", "must be below", with(file("/demo-crate-0.1.0/x", ""))},
		{"path with a dot", "must be below", with(file("./demo-crate-0.1.0/x", ""))},
		{"doubled slash", "must be below", with(file("demo-crate-0.1.0//x", ""))},
		{"backslashes", "must be below", with(file(`demo-crate-0.1.0/..\..\x`, ""))},
		{"drive letter", "must be below", with(file("demo-crate-0.1.0/C:x", ""))},
		{"symbolic link", "no plain file", with(link(tar.TypeSymlink))},
		{"hard link", "no plain file", with(link(tar.TypeLink))},
		{"device", "no plain file", with(link(tar.TypeChar))},
		{"pipe", "no plain file", with(link(tar.TypeFifo))},
		{"folder as an entry", "must be below", with(entry{Header: tar.Header{Name: "demo-crate-0.1.0/a/", Typeflag: tar.TypeDir}})},
		{"PAX header with another path", "no plain file", with(entry{Header: tar.Header{
			Name: "demo-crate-0.1.0/x", Typeflag: tar.TypeReg, Format: tar.FormatPAX, PAXRecords: map[string]string{"TRUSTPUB.x": "y"},
		}})},
		{"not a gzip file", "is no gzip file", func(u *upload) { u.compress = func(a []byte) []byte { return a } }},
		{"not a tar archive", "is no tar archive", func(u *upload) { u.compress = func([]byte) []byte { return zip([]byte("x")) } }},
		{"empty .crate", "is no gzip file", func(u *upload) { u.compress = func([]byte) []byte { return nil } }},
		{"archive cut off", "can't be read", func(u *upload) { u.compress = func(a []byte) []byte { return zip(a[:600]) } }},
		{"wrong checksum", "is damaged", func(u *upload) {
			u.compress = func(a []byte) []byte { z := zip(a); z[len(z)-5] ^= 1; return z }
		}},
		{"second gzip stream", "something follows it", func(u *upload) {
			u.compress = func(a []byte) []byte { return append(zip(a), zip([]byte("x"))...) }
		}},
		{"text after the gzip stream", "something follows it", func(u *upload) {
			u.compress = func(a []byte) []byte { return append(zip(a), "x"...) }
		}},
		{"small file that unpacks to a huge one", "unpacks to more than 64 MiB", func(u *upload) {
			u.compress = func(a []byte) []byte { return zip(append(a, make([]byte, maxUnpacked)...)) }
		}},
		{"small file with a huge entry", "unpacks to more than 64 MiB", with(file("demo-crate-0.1.0/x", strings.Repeat("\x00", maxUnpacked)))},
		{"text after the upload", "Something follows", func(u *upload) { u.after = "x" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := goodUpload()
			tt.spoil(&u)
			requireRefused(t, h, token, u.body(t), http.StatusBadRequest, tt.want)
		})
	}
	status, body := h.call(t, http.MethodPut, publishPath, token, goodUpload().body(t))
	require.Equal(t, http.StatusOK, status, body)
}

// What is accepted is an archive in which no entry is anywhere but in the release's own
// folder, whatever the upload was made of.
func FuzzUpload(f *testing.F) {
	for _, compress := range []func([]byte) []byte{nil, func(a []byte) []byte { return a }} {
		u := goodUpload()
		u.compress = compress
		f.Add([]byte(u.body(f)))
	}
	f.Add([]byte(part(`{"name":"demo-crate","vers":"0.1.0","deps":[{"name":"x","version_req":"1","explicit_name_in_toml":"y"}]}`) + part("")))
	f.Fuzz(func(t *testing.T, upload []byte) {
		body := bytes.NewReader(upload)
		m, r, err := readMetadata(body)
		if err != nil {
			require.Equal(t, domain.KindInvalid, domain.KindOf(err))
			return
		}
		require.True(t, fs.ValidPath(r.folder()) && !strings.Contains(r.folder(), "/"))
		crate, err := readPart(body, "the .crate", maxCrate)
		if err != nil {
			return
		}
		line, err := m.line(crate)
		require.NoError(t, err)
		require.Equal(t, 1, bytes.Count(line, []byte("\n")))
		err = checkCrate(crate, r)
		if err != nil {
			require.Equal(t, domain.KindInvalid, domain.KindOf(err))
			return
		}
		unzipped, err := gzip.NewReader(bytes.NewReader(crate))
		require.NoError(t, err)
		archive := tar.NewReader(unzipped)
		for {
			entry, err := archive.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(filepath.Clean(entry.Name), r.folder()+"/"), entry.Name)
		}
	})
}
