package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

const publishPath = "/api/v1/crates/new"

// upload is an upload to be spoiled: what the metadata says, and what is in the .crate.
type upload struct {
	name, version string
	entries       []entry
	// compress makes the .crate of the archive; nil is gzip.
	compress func(archive []byte) []byte
	// after is what follows the .crate.
	after string
}

type entry struct {
	tar.Header

	content string
}

func file(name, content string) entry {
	return entry{tar.Header{Name: name, Mode: 0o644, Typeflag: tar.TypeReg, Size: int64(len(content)), Format: tar.FormatGNU}, content}
}

// goodUpload is what cargo would send.
func goodUpload() upload {
	return upload{name: "demo-crate", version: "0.1.0", entries: []entry{
		file("demo-crate-0.1.0/Cargo.toml", normalised("demo-crate", "0.1.0")),
		file("demo-crate-0.1.0/src/lib.rs", ""),
	}}
}

// normalised is a Cargo.toml as cargo writes it.
func normalised(name, version string) string {
	return fmt.Sprintf("# THIS FILE IS GENERATED\n#\n\n[package]\nedition = \"2021\"\nrust-version = \"1.68\"\nname = %q\nversion = %q\nbuild = false\n\n[lib]\nname = \"lib\"\n", name, version)
}

func (u upload) archive(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range u.entries {
		require.NoError(t, w.WriteHeader(&e.Header))
		_, err := w.Write([]byte(e.content))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

func zip(archive []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(archive)
	_ = w.Close()
	return b.Bytes()
}

func (u upload) body(t *testing.T) string {
	t.Helper()
	metadata, err := json.Marshal(map[string]any{"name": u.name, "vers": u.version, "deps": []any{}, "features": map[string]any{}})
	require.NoError(t, err)
	if u.compress == nil {
		u.compress = zip
	}
	return part(string(metadata)) + part(string(u.compress(u.archive(t)))) + u.after
}

// part is a part of an upload: its length, and itself.
func part(content string) string {
	return string(binary.LittleEndian.AppendUint32(nil, uint32(len(content)))) + content
}

// requireRefused publishes, and checks that cargo would print want and that nothing was
// stored.
func requireRefused(t *testing.T, h *host, token, body string, wantStatus int, want string) {
	t.Helper()
	status, answer := h.call(t, http.MethodPut, publishPath, token, body)
	var refusal struct{ Errors []struct{ Detail string } }
	require.NoError(t, json.Unmarshal([]byte(answer), &refusal), answer)
	require.Len(t, refusal.Errors, 1, answer)
	require.Contains(t, refusal.Errors[0].Detail, want)
	require.Equal(t, wantStatus, status)
	require.Empty(t, h.published(t))
}

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

func TestAnUploadThatIsCutOffOrTooLargeIsRefused(t *testing.T) {
	h := startHost(t)
	h.trust(t, "demo-crate")
	token := h.exchange(t)
	good := goodUpload().body(t)
	metadata := `{"name":"demo-crate","vers":"0.1.0"}`
	huge := string([]byte{0xff, 0xff, 0xff, 0xff})
	tests := []struct{ name, body, want string }{
		{"nothing", "", "ends before the metadata begins"},
		{"half a length", good[:2], "ends before the metadata begins"},
		{"half the metadata", good[:10], "ends within the metadata"},
		{"metadata alone", part(metadata), "ends before the .crate begins"},
		{"half the .crate", good[:len(good)-1], "ends within the .crate"},
		{"huge length of the metadata", huge, "more than 1048576"},
		{"huge length of the .crate", part(metadata) + huge, "more than 10485760"},
		{".crate one byte too large", part(metadata) + part(strings.Repeat("x", maxCrate+1)), "more than 10485760"},
		{"metadata that is no JSON", part("x") + part(""), "not the JSON that cargo sends"},
		{"metadata that is a list", part("[]") + part(""), "not the JSON that cargo sends"},
		{"metadata with a number as name", part(`{"name":1,"vers":"0.1.0"}`) + part(""), "not the JSON that cargo sends"},
		{"metadata without a name", part(`{"vers":"0.1.0"}`) + part(""), `"" is no name of a crate`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			requireRefused(t, h, token, tt.body, http.StatusBadRequest, tt.want)
		})
	}
}

func TestANameOrAVersionThatCouldMeanAnotherPlaceIsRefused(t *testing.T) {
	h := startHost(t)
	h.trust(t, "demo-crate")
	token := h.exchange(t)
	names := []string{"", ".", "..", "../other", "a/b", `a\b`, "/etc", "demo-crate/../other", "demo-crate\x00", "demo crate", "demo.crate", "-demo", "_demo", "1demo",
		"demo-crat\u212a", "démo", "demo-crate\n", strings.Repeat("a", 65)}
	versions := []string{"", "1", "1.0", "1.0.0.0", "01.0.0", "1.0.0-01", "1.0.0-", "1.0.0+", "v1.0.0", "1.0.0 ", "1.0.0\n", "../../x", "1.0.0/..", "1.0.0-a/b", `1.0.0-a\b`,
		"1.0.0-" + strings.Repeat("a", 100)}
	for _, name := range names {
		u := goodUpload()
		u.name = name
		requireRefused(t, h, token, u.body(t), http.StatusBadRequest, "is no name of a crate")
	}
	for _, version := range versions {
		u := goodUpload()
		u.version = version
		requireRefused(t, h, token, u.body(t), http.StatusBadRequest, "is no version")
	}
}

func TestAnUploadNeedsOneAuthorizationHeader(t *testing.T) {
	h := startHost(t)
	h.trust(t, "demo-crate")
	requireRefused(t, h, "", goodUpload().body(t), http.StatusForbidden, "Authorization header")
}

func TestOfUploadsOfOneVersionAtOnceOneIsStored(t *testing.T) {
	h := startHost(t)
	h.trust(t, "demo-crate")
	token := h.exchange(t)
	const uploads = 8
	var wait sync.WaitGroup
	statuses := make(chan int, uploads)
	for i := range uploads {
		u := goodUpload()
		u.version = fmt.Sprintf("0.1.0+%d", i)
		u.entries = []entry{file("demo-crate-"+u.version+"/Cargo.toml", normalised("demo-crate", u.version))}
		body := u.body(t)
		wait.Go(func() {
			status, _ := h.call(t, http.MethodPut, publishPath, token, body)
			statuses <- status
		})
	}
	wait.Wait()
	close(statuses)

	count := map[int]int{}
	for status := range statuses {
		count[status]++
	}
	require.Equal(t, map[int]int{http.StatusOK: 1, http.StatusConflict: uploads - 1}, count)
	require.Len(t, h.published(t), 2, "a .crate and a line of the index, and nothing unfinished")
}
