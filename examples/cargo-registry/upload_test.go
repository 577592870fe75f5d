package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
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

func (u upload) archive(tb testing.TB) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range u.entries {
		require.NoError(tb, w.WriteHeader(&e.Header))
		_, err := w.Write([]byte(e.content))
		require.NoError(tb, err)
	}
	require.NoError(tb, w.Close())
	return b.Bytes()
}

func zip(archive []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(archive)
	_ = w.Close()
	return b.Bytes()
}

func (u upload) body(tb testing.TB) string {
	tb.Helper()
	metadata, err := json.Marshal(map[string]any{"name": u.name, "vers": u.version, "deps": []any{}, "features": map[string]any{}})
	require.NoError(tb, err)
	if u.compress == nil {
		u.compress = zip
	}
	return part(string(metadata)) + part(string(u.compress(u.archive(tb)))) + u.after
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
	names := []string{
		"", ".", "..", "../other", "a/b", `a\b`, "/etc", "demo-crate/../other", "demo-crate\x00", "demo crate", "demo.crate", "-demo", "_demo", "1demo",
		"demo-crat\u212a", "démo", "demo-crate\n", strings.Repeat("a", 65),
	}
	versions := []string{
		"", "1", "1.0", "1.0.0.0", "01.0.0", "1.0.0-01", "1.0.0-", "1.0.0+", "v1.0.0", "1.0.0 ", "1.0.0\n", "../../x", "1.0.0/..", "1.0.0-a/b", `1.0.0-a\b`,
		"1.0.0-" + strings.Repeat("a", 100),
	}
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

func TestAnUploadThatCannotBeStoredIsAnInternalErrorAndLeavesNothing(t *testing.T) {
	h := startHost(t)
	h.trust(t, "demo-crate")
	token := h.exchange(t)
	inTheWay := filepath.Join(h.data, "crates", "demo-crate")
	require.NoError(t, os.WriteFile(inTheWay, nil, 0o600))

	status, body := h.call(t, http.MethodPut, publishPath, token, goodUpload().body(t))

	require.Equal(t, http.StatusInternalServerError, status)
	require.JSONEq(t, `{"errors":[{"detail":"internal error"}]}`, body)
	require.Equal(t, map[string]string{"/demo-crate": hexHash("")}, h.published(t))
}
