package main

import (
	"crypto/rand"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/domain"
)

// project is a folder in which the real cargo works, with a home of its own.
type project struct {
	folder, home string
}

// newProject makes a crate from its manifest and its source. The registry is called
// example.
func newProject(t *testing.T, h *host, manifest, source string) *project {
	t.Helper()
	_, err := exec.LookPath("cargo")
	require.NoError(t, err, "this test publishes with the real cargo: install one of 1.68 or newer, for example with scripts/setup or apt-get install -y cargo")
	p := &project{folder: t.TempDir(), home: t.TempDir()}
	p.write(t, "Cargo.toml", manifest)
	p.write(t, "src/lib.rs", source)
	p.write(t, ".cargo/config.toml", "[registries.example]\nindex = \"sparse+"+h.url+"/index/\"\n")
	return p
}

func (p *project) write(t *testing.T, name, content string) {
	t.Helper()
	name = filepath.Join(p.folder, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o750))
	require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
}

// cargo runs cargo as a CI job does, with the token in the environment, and returns
// what it printed.
func (p *project) cargo(t *testing.T, token string, args ...string) (string, error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "cargo", args...)
	command.Dir = p.folder
	command.Env = []string{"CARGO_HOME=" + p.home, "CARGO_TARGET_DIR=" + filepath.Join(p.home, "target"), "CARGO_TERM_COLOR=never"}
	for _, variable := range os.Environ() {
		// rustup finds its toolchains with these. No proxy, and no settings of the machine's own.
		if name, _, _ := strings.Cut(variable, "="); name == "PATH" || name == "HOME" || strings.HasPrefix(name, "RUSTUP_") {
			command.Env = append(command.Env, variable)
		}
	}
	if token != "" {
		command.Env = append(command.Env, "CARGO_REGISTRIES_EXAMPLE_TOKEN="+token)
	}
	printed, err := command.CombinedOutput()
	return string(printed), err
}

func (p *project) publish(t *testing.T, token string) (string, error) {
	t.Helper()
	return p.cargo(t, token, "publish", "--registry", "example", "--no-verify", "--allow-dirty")
}

func manifestOf(name, version string) string {
	return "[package]\nname = \"" + name + "\"\nversion = \"" + version + "\"\nedition = \"2021\"\ndescription = \"An example.\"\nlicense = \"MIT\"\n"
}

func TestCargoPublishesWithAnExchangedTokenAndAnotherCrateDependsOnIt(t *testing.T) {
	h := startHost(t)
	h.trust(t, "demo-crate")
	h.trust(t, "other")
	version, err := newProject(t, h, manifestOf("demo-crate", "0.1.0"), "").cargo(t, "", "--version")
	require.NoError(t, err)
	t.Log(strings.TrimSpace(version))

	first := newProject(t, h, manifestOf("demo-crate", "0.1.0"), "pub fn answer() -> u32 { 42 }\n")
	printed, err := first.publish(t, h.exchange(t))
	require.NoError(t, err, printed)
	t.Log(printed)
	require.Contains(t, printed, "Published demo-crate v0.1.0", "cargo waited until the version was in the index")

	// A renamed, optional dependency with a feature of the newer syntax.
	second := newProject(t, h, manifestOf("other", "1.0.0-beta.1+build.5")+
		"[features]\ndefault = [\"dep:renamed\"]\n[dependencies]\nrenamed = { package = \"demo-crate\", version = \"0.1\", registry = \"example\", optional = true }\n",
		"pub fn twice() -> u32 { renamed::answer() * 2 }\n")
	printed, err = second.publish(t, h.exchange(t))
	require.NoError(t, err, printed)

	consumer := newProject(t, h, manifestOf("consumer", "0.0.0")+
		"[dependencies]\nother = { version = \"1.0.0-beta.1\", registry = \"example\" }\n",
		"pub fn twice() -> u32 { other::twice() }\n#[test]\nfn it_is_84() { assert_eq!(twice(), 84); }\n")
	printed, err = consumer.cargo(t, "", "test", "--quiet")
	require.NoError(t, err, printed)
	require.Contains(t, printed, "1 passed")
}

func TestCargoIsToldWhyAnUploadIsRefused(t *testing.T) {
	tests := []struct {
		name, crate, want string
		// spoil makes the token one that must not publish, or returns another.
		spoil func(t *testing.T, h *host, token string, config int64) string
	}{
		{
			name: "a crate that the token does not cover", crate: "other",
			want: `does not cover the package "cargo/other"`,
		},
		{
			name: "a crate of another owner", crate: "hers",
			want: `does not cover the package "cargo/hers"`,
		},
		{
			name: "another spelling of the covered crate", crate: "demo_crate",
			want: `The crate "demo_crate" is called "demo-crate" here`,
		},
		{
			name: "the covered crate in capitals", crate: "Demo-Crate",
			want: `The crate "Demo-Crate" is called "demo-crate" here`,
		},
		{
			name: "a crate that the registry does not know", crate: "unknown",
			want: `has no crate "unknown"`,
		},
		{
			name: "after the token's expiry", crate: "demo-crate", want: "unknown, expired or revoked",
			spoil: func(_ *testing.T, h *host, token string, _ int64) string {
				h.late.Store(int64(30 * time.Minute))
				return token
			},
		},
		{
			name: "after revocation", crate: "demo-crate", want: "unknown, expired or revoked",
			spoil: func(t *testing.T, h *host, token string, _ int64) string {
				t.Helper()
				status, _ := h.call(t, http.MethodDelete, tokensPath, "Bearer "+token, "")
				require.Equal(t, http.StatusNoContent, status)
				return token
			},
		},
		{
			name: "after the publisher was deleted", crate: "demo-crate", want: "unknown, expired or revoked",
			spoil: func(t *testing.T, h *host, token string, config int64) string {
				t.Helper()
				h.distrust(t, config)
				return token
			},
		},
		{
			name: "a well-formed token that nobody was given", crate: "demo-crate", want: "unknown, expired or revoked",
			spoil: func(t *testing.T, _ *host, _ string, _ int64) string {
				t.Helper()
				prefix, err := domain.NewTokenPrefix("cio_tp_")
				require.NoError(t, err)
				secret, err := domain.NewSecret(prefix, rand.Reader)
				require.NoError(t, err)
				return secret.Reveal()
			},
		},
		{
			name: "a random token", crate: "demo-crate", want: "not one of this registry",
			spoil: func(*testing.T, *host, string, int64) string { return rand.Text() },
		},
		{
			name: "a token with one character changed", crate: "demo-crate", want: "not one of this registry",
			spoil: func(_ *testing.T, _ *host, token string, _ int64) string {
				last := "a"
				if strings.HasSuffix(token, last) {
					last = "b"
				}
				return token[:len(token)-1] + last
			},
		},
		{
			name: "the token of a user", crate: "demo-crate", want: "not one of this registry",
			spoil: func(*testing.T, *host, string, int64) string { return aliceToken },
		},
	}
	h := startHost(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			defer h.late.Store(0)
			config := h.trust(t, "demo-crate")
			token := h.exchange(t)
			if tt.spoil != nil {
				token = tt.spoil(t, h, token, config)
			}

			printed, err := newProject(t, h, manifestOf(tt.crate, "0.1.0"), "").publish(t, token)

			t.Log(printed)
			require.Error(t, err, printed)
			require.Contains(t, printed, tt.want)
			require.NotContains(t, printed, token)
			require.Empty(t, h.published(t), "nothing was stored")
			if tt.name != "after the publisher was deleted" {
				h.distrust(t, config)
			}
		})
	}
}

// The registry refuses it before it has read it, and cargo must still read why.
func TestCargoIsToldWhyALargeUploadIsRefused(t *testing.T) {
	h := startHost(t)
	h.trust(t, "demo-crate")
	token := h.exchange(t)
	large := newProject(t, h, manifestOf("other", "0.1.0"), "")
	noise := make([]byte, 9<<20)
	_, err := rand.Read(noise)
	require.NoError(t, err)
	large.write(t, "noise", string(noise))

	printed, err := large.publish(t, token)

	require.Error(t, err)
	require.Contains(t, printed, `does not cover the package "cargo/other"`)
}

// cargo looks into the index before it uploads, so it is told without the registry's help.
func TestCargoDoesNotPublishAVersionTwice(t *testing.T) {
	h := startHost(t)
	h.trust(t, "demo-crate")
	token := h.exchange(t)
	printed, err := newProject(t, h, manifestOf("demo-crate", "0.1.0"), "").publish(t, token)
	require.NoError(t, err, printed)
	stored := h.published(t)

	printed, err = newProject(t, h, manifestOf("demo-crate", "0.1.0+other"), "pub fn changed() {}\n").publish(t, token)

	require.Error(t, err)
	require.Contains(t, printed, "already exists on `example` index")
	require.Equal(t, stored, h.published(t))
}
