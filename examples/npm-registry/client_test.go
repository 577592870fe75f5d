package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// client is a real npm in an environment of its own, with nothing in it but what a test
// gives it.
type client struct {
	host        *host
	folder      string // The package that it works in.
	environment []string
}

// newNPM returns an npm in the folder of a package of that name.
func newNPM(t *testing.T, h *host, name, version string, environment ...string) *client {
	t.Helper()
	home := t.TempDir()
	n := &client{host: h, folder: t.TempDir(), environment: append([]string{
		"PATH=" + npmPath(t),
		"HOME=" + home,
		"npm_config_userconfig=" + filepath.Join(home, ".npmrc"),
		"npm_config_globalconfig=" + filepath.Join(home, "npmrc"),
		"npm_config_cache=" + filepath.Join(home, "cache"),
		"npm_config_registry=" + h.url + "/",
		"npm_config_update_notifier=false",
		"npm_config_fetch_retries=0",
	}, environment...)}
	n.write(t, name, version)
	return n
}

// write makes the package's files anew.
func (n *client) write(t *testing.T, name, version string) {
	t.Helper()
	manifest := fmt.Sprintf(`{"name":%q,"version":%q,"description":"A test.","license":"MIT","main":"index.js"}`, name, version)
	require.NoError(t, os.WriteFile(filepath.Join(n.folder, "package.json"), []byte(manifest), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(n.folder, "index.js"), []byte("module.exports = 'published'\n"), 0o600))
}

// signIn stores a token as npm does.
func (n *client) signIn(t *testing.T, token string) {
	t.Helper()
	_, withoutScheme, _ := strings.Cut(n.host.url, ":")
	n.run(t, "config", "set", withoutScheme+"/:_authToken="+token)
}

// try runs npm and returns what it wrote.
func (n *client) try(t *testing.T, arguments ...string) (stdout, stderr string, err error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "/usr/bin/env", append([]string{"npm"}, arguments...)...) // env looks on the PATH that it is given.
	command.Dir, command.Env = n.folder, n.environment
	var out, errs strings.Builder
	command.Stdout, command.Stderr = &out, &errs
	err = command.Run()
	return out.String(), errs.String(), err
}

// run is try for what must succeed.
func (n *client) run(t *testing.T, arguments ...string) string {
	t.Helper()
	stdout, stderr, err := n.try(t, arguments...)
	require.NoError(t, err, "npm %s\n%s%s", strings.Join(arguments, " "), stdout, stderr)
	return stdout
}

// fail is try for what must not succeed. It returns the standard error.
func (n *client) fail(t *testing.T, arguments ...string) string {
	t.Helper()
	stdout, stderr, err := n.try(t, arguments...)
	require.Error(t, err, "npm %s\n%s%s", strings.Join(arguments, " "), stdout, stderr)
	return stderr
}

// minorOfTrust is that of the first npm 11 that knows npm trust.
const minorOfTrust = 15

var npmVersion = regexp.MustCompile(`(?m)^(\d+)\.(\d+)\.\d+`)

// npmPath is the PATH on which there is an npm to test with: that of the process, or one
// with what scripts/setup-npm installed because there was none, or an old one.
func npmPath(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	own := filepath.Join(cache, "trustpub", "npm", "node_modules", ".bin")
	for _, path := range []string{os.Getenv("PATH"), own + string(os.PathListSeparator) + os.Getenv("PATH")} {
		command := exec.CommandContext(t.Context(), "/usr/bin/env", "npm", "--version")
		command.Env = []string{"PATH=" + path, "HOME=" + t.TempDir()}
		output, err := command.Output()
		version := npmVersion.FindSubmatch(output)
		if err != nil || version == nil {
			continue
		}
		major, _ := strconv.Atoi(string(version[1]))
		minor, _ := strconv.Atoi(string(version[2]))
		if major > 11 || major == 11 && minor >= minorOfTrust {
			return path
		}
	}
	t.Fatalf("These tests need npm 11.%d or later, with Node.js. Run scripts/setup-npm, which installs it.", minorOfTrust)
	return ""
}
