package httpapi_test

import (
	"bytes"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the responses to testdata instead of comparing them")

// alsoTrusts finds the packages that a conversation needs besides the crates.
var alsoTrusts = regexp.MustCompile(`octo/app may also publish ([a-z]+)/(\S+)\.`)

var generatedID = regexp.MustCompile(`^[0-9a-f]{32}$`)

// TestGoldenConversations replays the conversations of testdata/*/*.txtar: each a
// sequence of requests to one registry and of the responses to them, byte for byte.
// The words in capitals that requests hold stand for credentials, and the same
// words stand for them in responses. A generated request ID shows as GENERATED.
func TestGoldenConversations(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.ToSlash(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			replay(t, file)
		})
	}
}

func replay(t *testing.T, file string) {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	require.NoError(t, err)
	r := newRegistry(t, func(cfg *setup) {
		if strings.Contains(string(archive.Comment), "without credentials") {
			cfg.Authenticator, cfg.RegistryAuthenticator = nil, nil
		}
	})
	for _, pkg := range alsoTrusts.FindAllStringSubmatch(string(archive.Comment), -1) {
		r.trust(t, pkg[1], pkg[2])
	}
	if strings.Contains(string(archive.Comment), "without a database") {
		r.store.fail(errDown)
	}
	words := map[string]string{
		"GOOD_JWT": goodJWT, "NEXT_JWT": goodJWT2, "STRANGE_JWT": strangeJWT, "KEYLESS_JWT": keylessJWT, "BROKEN_JWT": brokenJWT,
		"ADMIN_TOKEN": adminToken, "REGISTRY_TOKEN": registryToken, "ACCESS_TOKEN": accessToken, "UNKNOWN_TOKEN": unknownToken,
	}
	var got []txtar.File
	for _, f := range archive.Files {
		if !strings.HasSuffix(f.Name, ".request") {
			continue
		}
		text := string(f.Data)
		for word, value := range words {
			text = strings.ReplaceAll(text, word, value)
		}
		answer := show(r.do(t, parseRequest(t, text)))
		for word, value := range words {
			answer = strings.ReplaceAll(answer, value, word)
		}
		got = append(got, f, txtar.File{Name: strings.TrimSuffix(f.Name, ".request") + ".response", Data: []byte(answer)})
	}
	actual := txtar.Format(&txtar.Archive{Comment: archive.Comment, Files: got})
	if *update {
		require.NoError(t, os.WriteFile(file, actual, 0o600))
		return
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), string(actual), "run the test with -update to take this over")
}

// parseRequest reads a request as it stands in a golden file: a line with method
// and target, headers, an empty line, a body of one line.
func parseRequest(t *testing.T, text string) call {
	t.Helper()
	head, body, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(strings.TrimSuffix(head, "\n"), "\n")
	method, target, ok := strings.Cut(lines[0], " ")
	require.True(t, ok, lines[0])
	q := call{method: method, target: target, header: http.Header{}, body: strings.TrimSuffix(body, "\n")}
	for _, line := range lines[1:] {
		name, value, ok := strings.Cut(line, ": ")
		require.True(t, ok, line)
		q = q.with(name, value)
	}
	return q
}

// show writes a response as it stands in a golden file.
func show(response reply) string {
	var out bytes.Buffer
	fmt.Fprintf(&out, "%d\n", response.StatusCode)
	var names []string
	for name := range response.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		value := strings.Join(response.Header.Values(name), ", ")
		if name == "X-Request-Id" && generatedID.MatchString(value) {
			value = "GENERATED"
		}
		fmt.Fprintf(&out, "%s: %s\n", name, value)
	}
	if body := response.Body; body != "" {
		fmt.Fprintf(&out, "\n%s\n", strings.TrimSuffix(body, "\n"))
	}
	return out.String()
}
