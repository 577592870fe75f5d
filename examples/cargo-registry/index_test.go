package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheIndexIsWhereCargoLooksForIt(t *testing.T) {
	tests := []struct{ name, want string }{
		{"a", "1/a"},
		{"ab", "2/ab"},
		{"abc", "3/a/abc"},
		{"abcd", "ab/cd/abcd"},
		{"Serde_JSON", "se/rd/serde_json"},
		{"A-B", "3/a/a-b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, indexPath(tt.name))
		})
	}
}

func TestTheIndexHasALineWithTheChecksumOfWhatIsDownloaded(t *testing.T) {
	h := startHost(t)
	h.trust(t, "demo-crate")
	status, body := h.call(t, http.MethodGet, "/index/de/mo/demo-crate", "", "")
	require.Equal(t, http.StatusNotFound, status, body)
	status, body = h.call(t, http.MethodPut, publishPath, h.exchange(t), goodUpload().body(t))
	require.Equal(t, http.StatusOK, status, body)

	status, lines := h.call(t, http.MethodGet, "/index/de/mo/demo-crate", "", "")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, 1, strings.Count(lines, "\n"))
	var line struct{ Name, Vers, Cksum string }
	require.NoError(t, json.Unmarshal([]byte(lines), &line))
	require.Equal(t, "demo-crate", line.Name)
	require.Equal(t, "0.1.0", line.Vers)

	status, crate := h.call(t, http.MethodGet, "/api/v1/crates/demo-crate/0.1.0/download", "", "")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, line.Cksum, hexHash(crate))
}

func TestNothingButTheCratesIsServed(t *testing.T) {
	h := startHost(t)
	h.trust(t, "demo-crate")
	status, body := h.call(t, http.MethodPut, publishPath, h.exchange(t), goodUpload().body(t))
	require.Equal(t, http.StatusOK, status, body)
	require.NoError(t, os.WriteFile(filepath.Join(h.data, "secret"), []byte("classified"), 0o600))
	paths := []string{
		"/index/", "/index/demo-crate", "/index/de/mo/demo_crate", "/index/DE/MO/DEMO-CRATE", "/index/de/mo/Demo-Crate", "/index/x/demo-crate",
		"/index/de/mo/other", "/index/%2e%2e/secret", "/index/..%2fsecret", "/index/de/mo/..%2f..%2fsecret", "/index/de/mo/demo-crate/0.1.0",
		"/api/v1/crates/demo_crate/0.1.0/download", "/api/v1/crates/other/0.1.0/download", "/api/v1/crates/demo-crate/0.1.1/download",
		"/api/v1/crates/..%2f..%2fsecret/0.1.0/download", "/api/v1/crates/%2e%2e/0.1.0/download", "/api/v1/crates/demo-crate/..%2f..%2fsecret/download",
		"/api/v1/crates/demo-crate/0.1.0%2findex/download", "/api/v1/crates/.new-x/0.1.0/download", "/people.json", "/data/crates",
	}
	for _, path := range paths {
		status, body := h.call(t, http.MethodGet, path, "", "")
		require.GreaterOrEqual(t, status, http.StatusBadRequest, path)
		require.Less(t, status, http.StatusInternalServerError, path)
		require.NotContains(t, body, "classified", path)
	}
}
