package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// file is an entry of a tarball.
type file struct {
	name, content string
	kind          byte
	records       map[string]string
}

const goodManifest = `{"name":"@octo/app","version":"1.0.0"}`

// pack makes a tarball, with more bytes behind its end.
func pack(t *testing.T, behind string, files ...file) []byte {
	t.Helper()
	var packed bytes.Buffer
	compressed := gzip.NewWriter(&packed)
	writer := tar.NewWriter(compressed)
	for _, f := range files {
		if f.kind == 0 {
			f.kind = tar.TypeReg
		}
		header := &tar.Header{Name: f.name, Typeflag: f.kind, Mode: 0o644, Size: int64(len(f.content)), PAXRecords: f.records}
		if f.kind != tar.TypeReg {
			header.Linkname, header.Size = f.content, 0
		}
		require.NoError(t, writer.WriteHeader(header))
		if f.kind == tar.TypeReg {
			_, err := writer.Write([]byte(f.content))
			require.NoError(t, err)
		}
	}
	require.NoError(t, writer.Close())
	_, err := compressed.Write([]byte(behind))
	require.NoError(t, err)
	require.NoError(t, compressed.Close())
	return packed.Bytes()
}

// object is a JSON object.
type object = map[string]any

// uploadOf returns what npm publish sends for @octo/app@1.0.0 with that tarball.
func uploadOf(tarball []byte) object {
	sum512, sum1 := sha512.Sum512(tarball), sha1.Sum(tarball)
	return object{
		"_id": "@octo/app", "name": "@octo/app", "dist-tags": object{"latest": "1.0.0"}, "access": nil,
		"versions": object{"1.0.0": object{
			"name": "@octo/app", "version": "1.0.0", "scripts": object{"install": "harmless"},
			"dist": object{
				"integrity": "sha512-" + base64.StdEncoding.EncodeToString(sum512[:]), "shasum": hex.EncodeToString(sum1[:]),
				"tarball": "http://elsewhere.example/app.tgz",
			},
		}},
		"_attachments": object{"@octo/app-1.0.0.tgz": object{
			"content_type": "application/octet-stream", "data": base64.StdEncoding.EncodeToString(tarball), "length": len(tarball),
		}},
	}
}

func encode(t *testing.T, v any) string {
	t.Helper()
	encoded, err := json.Marshal(v)
	require.NoError(t, err)
	return string(encoded)
}

func TestAnUploadIsStoredAndToldAsItsTarballHasIt(t *testing.T) {
	h := startHost(t)
	h.trust(t)
	tarball := pack(t, "", file{name: "package/", kind: tar.TypeDir}, file{name: "package/index.js", content: "1"},
		file{name: "package/package.json", content: `{"name":"@octo/app","version":"1.0.0","scripts":{"install":"true"},"big":9007199254740993}`})
	status, body := h.call(t, http.MethodPut, h.url+"/@octo%2fapp", h.exchange(t), encode(t, uploadOf(tarball)))
	require.Equal(t, http.StatusOK, status, body)

	status, body = h.call(t, http.MethodGet, h.url+"/@octo/app", "", "")
	require.Equal(t, http.StatusOK, status)
	sum512, sum1 := sha512.Sum512(tarball), sha1.Sum(tarball)
	require.JSONEq(t, `{"_id":"@octo/app","name":"@octo/app","dist-tags":{"latest":"1.0.0"},"versions":{"1.0.0":{
		"_id":"@octo/app@1.0.0","name":"@octo/app","version":"1.0.0","scripts":{"install":"true"},"big":9007199254740993,
		"dist":{"tarball":"`+h.url+`/@octo/app/-/app-1.0.0.tgz","integrity":"sha512-`+base64.StdEncoding.EncodeToString(sum512[:])+`","shasum":"`+hex.EncodeToString(sum1[:])+`"}}}}`, body)
	require.Contains(t, body, "9007199254740993", "no number is rounded")
	status, body = h.call(t, http.MethodGet, h.url+"/@octo/app/-/app-1.0.0.tgz", "", "")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, tarball, []byte(body))
}

func TestATarballThatIsNotWhatItIsSaidToBeIsRefused(t *testing.T) {
	good := file{name: "package/package.json", content: goodManifest}
	evil := `{"name":"@octo/app","version":"1.0.0","scripts":{"install":"evil"}}`
	tests := []struct {
		name    string
		tarball []byte
		want    string
	}{
		{"nothing", nil, "gzip"},
		{"no gzip", []byte("tar"), "gzip"},
		{"cut off", pack(t, "", good)[:60], "read to its end"},
		{"no manifest", pack(t, "", file{name: "package/index.js"}), "does not hold package/package.json"},
		{"manifest further down", pack(t, "", file{name: "package/x/package.json", content: goodManifest}), "does not hold package/package.json"},
		{"another name", pack(t, "", file{name: good.name, content: `{"name":"@octo/other","version":"1.0.0"}`}), "not that of @octo/app@1.0.0"},
		{"another version", pack(t, "", file{name: good.name, content: `{"name":"@octo/app","version":"1.0.1"}`}), "not that of @octo/app@1.0.0"},
		{"no name", pack(t, "", file{name: good.name, content: `{"version":"1.0.0"}`}), "not that of @octo/app@1.0.0"},
		{"manifest that is no object", pack(t, "", file{name: good.name, content: `[]`}), "one JSON object"},
		{"name twice in the manifest", pack(t, "", file{name: good.name, content: `{"name":"@octo/other","name":"@octo/app","version":"1.0.0"}`}), "one JSON object"},
		{"manifest twice", pack(t, "", good, file{name: good.name, content: evil}), "more than once"},
		{"manifest in capitals too", pack(t, "", good, file{name: "package/Package.JSON", content: evil}), "more than once"},
		{"manifest in another folder too", pack(t, "", good, file{name: "other/package.json", content: evil}), "no file below"},
		{"manifest by a detour", pack(t, "", good, file{name: "package/x/../package.json", content: evil}), "detours"},
		{"manifest by a dot", pack(t, "", good, file{name: "package/./package.json", content: evil}), "detours"},
		{"file outside", pack(t, "", good, file{name: "package/../../x"}), "detours"},
		{"absolute path", pack(t, "", good, file{name: "/package/x"}), "no file below"},
		{"symbolic link", pack(t, "", good, file{name: "package/x", content: "/etc/passwd", kind: tar.TypeSymlink}), "no file below"},
		{"hard link", pack(t, "", good, file{name: "package/x", content: "/etc/passwd", kind: tar.TypeLink}), "no file below"},
		{"device", pack(t, "", good, file{name: "package/x", kind: tar.TypeChar}), "no file below"},
		{"another tarball behind", pack(t, "\x00\x00x", good), "follows its end"},
		{"padding without end", pack(t, strings.Repeat("\x00", maxPadding), good), "follows its end"},
		{"manifest too large", pack(t, "", file{name: good.name, content: strings.Repeat(" ", maxManifest) + goodManifest}), "more than"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := readTarball(test.tarball, "@octo/app", "1.0.0")
			require.ErrorContains(t, err, test.want)
		})
	}
	_, err := readTarball(pack(t, strings.Repeat("\x00", 1024), good), "@octo/app", "1.0.0")
	require.NoError(t, err, "zeros that fill the last record up are no harm")
}

func TestAnUploadThatContradictsItselfIsRefused(t *testing.T) {
	h := startHost(t)
	tarball := pack(t, "", file{name: "package/package.json", content: goodManifest})
	with := func(name string, value any) func(object) {
		return func(u object) { u[name] = value }
	}
	version := func(name string, value any) func(object) {
		return func(u object) { u["versions"].(object)["1.0.0"].(object)[name] = value }
	}
	dist := func(name string, value any) func(object) {
		return func(u object) {
			d := maps.Clone(u["versions"].(object)["1.0.0"].(object)["dist"].(object))
			d[name] = value
			version("dist", d)(u)
		}
	}
	tests := []struct {
		name   string
		change func(object)
		want   string
	}{
		{"another name", with("name", "@octo/other"), "not of the package"},
		{"another name of the version", version("name", "@octo/other"), "not of the package"},
		{"another version of the version", version("version", "1.0.1"), "same version"},
		{"another version in the tag", with("dist-tags", object{"latest": "1.0.1"}), "same version"},
		{"version that is none", func(u object) {
			u["versions"] = object{"../../x": object{"name": "@octo/app", "version": "../../x"}}
			u["dist-tags"] = object{"latest": "../../x"}
		}, "same version"},
		{"two versions", func(u object) { u["versions"].(object)["1.0.1"] = object{} }, "one version"},
		{"no version", with("versions", object{}), "one version"},
		{"two tags", with("dist-tags", object{"latest": "1.0.0", "next": "1.0.0"}), "one tag"},
		{"no attachment", with("_attachments", object{}), "one attachment"},
		{"provenance", func(u object) { u["_attachments"].(object)["@octo/app-1.0.0.sigstore"] = object{} }, "--provenance=false"},
		{"attachment of another name", with("_attachments", object{"app.tgz": object{"data": ""}}), "name of the package"},
		{"tag like a version", with("dist-tags", object{"v1": "1.0.0"}), "looks like a version"},
		{"tag like a range", with("dist-tags", object{"x": "1.0.0"}), "looks like a version"},
		{"tag with a slash", with("dist-tags", object{"a/b": "1.0.0"}), "tag"},
		{"other integrity", dist("integrity", "sha512-AAAA"), "integrity and shasum"},
		{"no integrity", dist("integrity", ""), "integrity and shasum"},
		{"other shasum", dist("shasum", strings.Repeat("0", 40)), "integrity and shasum"},
		{"no shasum", dist("shasum", ""), "integrity and shasum"},
		{"data that is no base64", with("_attachments", object{"@octo/app-1.0.0.tgz": object{"data": "%"}}), "npm publish sends"},
		{"another tarball", func(u object) {
			other := pack(t, "", file{name: "package/package.json", content: `{"name":"@octo/other","version":"1.0.0"}`})
			maps.Copy(u, uploadOf(other))
		}, "not that of @octo/app@1.0.0"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			upload := uploadOf(tarball)
			test.change(upload)
			status, body := h.call(t, http.MethodPut, h.url+"/@octo%2fapp", aliceToken, encode(t, upload))
			require.Equal(t, http.StatusBadRequest, status)
			require.Contains(t, body, test.want)
			status, _ = h.call(t, http.MethodGet, h.url+"/@octo%2fapp", "", "")
			require.Equal(t, http.StatusNotFound, status)
		})
	}
	for _, body := range []string{"x", "[]", `{"name":"@octo/other","name":"@octo/app"}`, `{"versions":1}`, strings.Repeat(" ", maxUpload+1)} {
		status, _ := h.call(t, http.MethodPut, h.url+"/@octo%2fapp", aliceToken, body)
		require.Equal(t, http.StatusBadRequest, status)
	}
}

func TestWhoMayNotPublishIsToldSo(t *testing.T) {
	h := startHost(t)
	h.trust(t)
	upload := encode(t, uploadOf(pack(t, "", file{name: "package/package.json", content: goodManifest})))
	tests := []struct {
		name, path, token string
		status            int
	}{
		{"nobody", "/@octo%2fapp", "", http.StatusUnauthorized},
		{"a token of nobody", "/@octo%2fapp", "mallory", http.StatusUnauthorized},
		{"an ID token", "/@octo%2fapp", "eyJhbGciOiJSUzI1NiJ9.e30.c2ln", http.StatusUnauthorized},
		{"a user who does not own it", "/@octo%2fapp", bobToken, http.StatusForbidden},
		{"an access token for another package", "/@octo%2fother", h.exchange(t), http.StatusForbidden},
		{"an unknown package", "/unknown", aliceToken, http.StatusNotFound},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			status, body := h.call(t, http.MethodPut, h.url+test.path, test.token, upload)
			require.Equal(t, test.status, status, body)
		})
	}
}

func TestAVersionIsPublishedOnceHoweverManyTryAtOnce(t *testing.T) {
	store, err := openStorage(t.TempDir())
	require.NoError(t, err)
	var wg sync.WaitGroup
	var saved, refused atomic.Int32
	for i := range 8 {
		wg.Go(func() {
			err := store.save(release{Name: "@octo/app", Version: "1.0.0"}, []byte{byte(i)})
			switch {
			case err == nil:
				saved.Add(1)
			case errors.Is(err, errExists):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, saved.Load())
	require.EqualValues(t, 7, refused.Load())
}

func TestARefusedVersionLeavesNothingBehind(t *testing.T) {
	folder := t.TempDir()
	store, err := openStorage(folder)
	require.NoError(t, err)
	require.NoError(t, store.save(release{Name: "@octo/app", Version: "1.0.0"}, []byte("first")))
	require.ErrorIs(t, store.save(release{Name: "@octo/app", Version: "1.0.0"}, []byte("second")), errExists)
	tarball, err := store.tarball("@octo/app", "1.0.0")
	require.NoError(t, err)
	require.Equal(t, "first", string(tarball))
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Equal(t, "@octo%2Fapp", entries[0].Name())
}
