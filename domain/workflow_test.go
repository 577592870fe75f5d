package domain_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/domain"
)

const (
	sha1Hash   = "0123456789abcdef0123456789abcdef01234567"
	sha256Hash = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)

func TestParseWorkflowRefTakesTheFileAndTheRefApart(t *testing.T) {
	longest := strings.Repeat("a", 251) + ".yml"
	tests := []struct {
		name, ref string
		want      domain.WorkflowRef
	}{
		{"branch", "octo/repo/.github/workflows/release.yml@refs/heads/main", ref("release.yml", "refs/heads/main")},
		{"tag", "octo/repo/.github/workflows/release.yml@refs/tags/v1.0.0", ref("release.yml", "refs/tags/v1.0.0")},
		{"pull request", "octo/repo/.github/workflows/release.yml@refs/pull/7/merge", ref("release.yml", "refs/pull/7/merge")},
		{"yaml", "octo/repo/.github/workflows/release.yaml@refs/heads/main", ref("release.yaml", "refs/heads/main")},
		{"branch with slashes", "octo/repo/.github/workflows/release.yml@refs/heads/a/b/c", ref("release.yml", "refs/heads/a/b/c")},
		{"SHA-1 commit", "octo/repo/.github/workflows/release.yml@" + sha1Hash, ref("release.yml", sha1Hash)},
		{"SHA-256 commit", "octo/repo/.github/workflows/release.yml@" + sha256Hash, ref("release.yml", sha256Hash)},

		{"branch named like a workflow file", "octo/repo/.github/workflows/evil.yml@refs/heads/release.yml", ref("evil.yml", "refs/heads/release.yml")},
		{"branch named like a workflow reference", "octo/repo/.github/workflows/evil.yml@refs/heads/octo/repo/.github/workflows/release.yml@refs/heads/main", ref("evil.yml", "refs/heads/octo/repo/.github/workflows/release.yml@refs/heads/main")},
		{"branch that ends in a workflow file and a ref", "octo/repo/.github/workflows/evil.yml@refs/heads/release.yml@refs/heads/main", ref("evil.yml", "refs/heads/release.yml@refs/heads/main")},
		{"branch that holds at signs", "octo/repo/.github/workflows/evil.yml@refs/heads/@/@release.yml@", ref("evil.yml", "refs/heads/@/@release.yml@")},
		{"branch with dots", "octo/repo/.github/workflows/evil.yml@refs/heads/../release.yml", ref("evil.yml", "refs/heads/../release.yml")},
		{"tag named like a commit", "octo/repo/.github/workflows/evil.yml@refs/tags/release.yml@" + sha1Hash, ref("evil.yml", "refs/tags/release.yml@"+sha1Hash)},

		{"file with an at sign", "octo/repo/.github/workflows/re@lease.yml@refs/heads/main", ref("re@lease.yml", "refs/heads/main")},
		{"file that begins with another workflow file", "octo/repo/.github/workflows/release.yml@evil.yml@refs/heads/main", ref("release.yml@evil.yml", "refs/heads/main")},
		{"file that begins with another file and a commit", "octo/repo/.github/workflows/release.yml@" + sha1Hash + ".yml@" + sha1Hash, ref("release.yml@"+sha1Hash+".yml", sha1Hash)},
		{"file that holds refs", "octo/repo/.github/workflows/release.yml@refs.yml@refs/heads/main", ref("release.yml@refs.yml", "refs/heads/main")},
		{"file with two at signs at the end", "octo/repo/.github/workflows/@@.yml@refs/heads/main", ref("@@.yml", "refs/heads/main")},
		{"file with spaces", "octo/repo/.github/workflows/my release.yml@refs/heads/main", ref("my release.yml", "refs/heads/main")},
		{"file with a leading space", "octo/repo/.github/workflows/ release.yml@refs/heads/main", ref(" release.yml", "refs/heads/main")},
		{"file with percent-encoding, which is not decoded", "octo/repo/.github/workflows/rel%65ase.yml@refs/heads/main", ref("rel%65ase.yml", "refs/heads/main")},
		{"file with an encoded slash, which is not decoded", "octo/repo/.github/workflows/a%2frelease.yml@refs/heads/main", ref("a%2frelease.yml", "refs/heads/main")},
		{"file with letters beyond ASCII", "octo/repo/.github/workflows/réléase.yml@refs/heads/main", ref("réléase.yml", "refs/heads/main")},
		{"file with a letter that looks like another", "octo/repo/.github/workflows/reⅼease.yml@refs/heads/main", ref("reⅼease.yml", "refs/heads/main")},
		{"file with upper case, which is kept", "octo/repo/.github/workflows/Release.yml@refs/heads/main", ref("Release.yml", "refs/heads/main")},
		{"file with two endings", "octo/repo/.github/workflows/release.yml.yaml@refs/heads/main", ref("release.yml.yaml", "refs/heads/main")},
		{"file with dots", "octo/repo/.github/workflows/..release..yml@refs/heads/main", ref("..release..yml", "refs/heads/main")},
		{"file of 255 characters", "octo/repo/.github/workflows/" + longest + "@refs/heads/main", ref(longest, "refs/heads/main")},
		{"branch with letters beyond ASCII", "octo/repo/.github/workflows/release.yml@refs/heads/größer", ref("release.yml", "refs/heads/größer")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := domain.ParseWorkflowRef(tt.ref)

			require.NoError(t, err)
			require.Equal(t, tt.want, got)
		})
	}
}

func TestParseWorkflowRefRefusesAllElse(t *testing.T) {
	tests := []struct{ name, ref string }{
		{"empty", ""},
		{"only slashes", "//////"},
		{"only an at sign", "@"},
		{"bare file", "release.yml"},
		{"bare file and ref", "release.yml@refs/heads/main"},
		{"no owner", "/repo/.github/workflows/release.yml@refs/heads/main"},
		{"no repository", "octo//.github/workflows/release.yml@refs/heads/main"},
		{"neither owner nor repository", ".github/workflows/release.yml@refs/heads/main"},
		{"only one of owner and repository", "octo/.github/workflows/release.yml@refs/heads/main"},
		{"owner that begins with a hyphen", "-octo/repo/.github/workflows/release.yml@refs/heads/main"},
		{"owner with a dot", "oc.to/repo/.github/workflows/release.yml@refs/heads/main"},
		{"owner with a Kelvin sign", "octo\u212a/repo/.github/workflows/release.yml@refs/heads/main"},
		{"repository of dots", "octo/../.github/workflows/release.yml@refs/heads/main"},
		{"repository with a space", "octo/re po/.github/workflows/release.yml@refs/heads/main"},
		{"repository with an at sign", "octo/repo@x/.github/workflows/release.yml@refs/heads/main"},
		{"owner too long", strings.Repeat("a", 256) + "/repo/.github/workflows/release.yml@refs/heads/main"},
		{"leading slash", "/octo/repo/.github/workflows/release.yml@refs/heads/main"},
		{"URL", "https://github.com/octo/repo/.github/workflows/release.yml@refs/heads/main"},
		{"dynamic workflow", "dynamic/github-code-scanning/codeql"},
		{"dynamic workflow with a ref", "octo/repo/dynamic/dependabot/update.yml@refs/heads/main"},

		{"another folder", "octo/repo/.github/actions/release.yml@refs/heads/main"},
		{"another dot folder", "octo/repo/.gitlab/workflows/release.yml@refs/heads/main"},
		{"folder in upper case", "octo/repo/.GitHub/Workflows/release.yml@refs/heads/main"},
		{"folder without its dot", "octo/repo/github/workflows/release.yml@refs/heads/main"},
		{"folder below another", "octo/repo/x/.github/workflows/release.yml@refs/heads/main"},
		{"slash doubled after the repository", "octo/repo//.github/workflows/release.yml@refs/heads/main"},
		{"slash doubled in the folder", "octo/repo/.github//workflows/release.yml@refs/heads/main"},
		{"slash doubled before the file", "octo/repo/.github/workflows//release.yml@refs/heads/main"},
		{"sub folder", "octo/repo/.github/workflows/sub/release.yml@refs/heads/main"},
		{"sub folder with an at sign", "octo/repo/.github/workflows/sub@x/release.yml@refs/heads/main"},
		{"sub folder named like a workflow at a ref", "octo/repo/.github/workflows/sub@refs/release.yml@refs/heads/main"},
		{"parent folder", "octo/repo/.github/workflows/../release.yml@refs/heads/main"},
		{"parent folder and back", "octo/repo/.github/workflows/../workflows/release.yml@refs/heads/main"},
		{"same folder", "octo/repo/.github/workflows/./release.yml@refs/heads/main"},
		{"backslash before the file", `octo/repo/.github/workflows/sub\release.yml@refs/heads/main`},
		{"backslashes for slashes", `octo\repo\.github\workflows\release.yml@refs/heads/main`},
		{"encoded slash in the folder", "octo/repo/.github%2fworkflows/release.yml@refs/heads/main"},
		{"encoded at sign", "octo/repo/.github/workflows/release.yml%40refs/heads/main"},
		{"only the folder", "octo/repo/.github/workflows/"},
		{"folder without a file", "octo/repo/.github/workflows/@refs/heads/main"},

		{"ending in upper case", "octo/repo/.github/workflows/release.YML@refs/heads/main"},
		{"ending in mixed case", "octo/repo/.github/workflows/release.Yaml@refs/heads/main"},
		{"another ending", "octo/repo/.github/workflows/release.json@refs/heads/main"},
		{"no ending", "octo/repo/.github/workflows/release@refs/heads/main"},
		{"ending without its dot", "octo/repo/.github/workflows/releaseyml@refs/heads/main"},
		{"dot after the ending", "octo/repo/.github/workflows/release.yml.@refs/heads/main"},
		{"space after the ending", "octo/repo/.github/workflows/release.yml @refs/heads/main"},
		{"at sign after the ending", "octo/repo/.github/workflows/release.yml@@refs/heads/main"},
		{"ending with a long s", "octo/repo/.github/workflows/release.ymſ@refs/heads/main"},
		{"file of 256 characters", "octo/repo/.github/workflows/" + strings.Repeat("a", 252) + ".yml@refs/heads/main"},

		{"no ref", "octo/repo/.github/workflows/release.yml"},
		{"empty ref", "octo/repo/.github/workflows/release.yml@"},
		{"ref without refs", "octo/repo/.github/workflows/release.yml@main"},
		{"ref without refs but with a slash", "octo/repo/.github/workflows/release.yml@heads/main"},
		{"ref that is only refs", "octo/repo/.github/workflows/release.yml@refs"},
		{"ref that ends after refs", "octo/repo/.github/workflows/release.yml@refs/"},
		{"ref in upper case", "octo/repo/.github/workflows/release.yml@REFS/heads/main"},
		{"ref that begins with a slash", "octo/repo/.github/workflows/release.yml@/refs/heads/main"},
		{"ref that begins with a space", "octo/repo/.github/workflows/release.yml@ refs/heads/main"},
		{"ref with a word before it", "octo/repo/.github/workflows/release.yml@xrefs/heads/main"},
		{"commit of 39 digits", "octo/repo/.github/workflows/release.yml@" + sha1Hash[1:]},
		{"commit of 41 digits", "octo/repo/.github/workflows/release.yml@" + sha1Hash + "0"},
		{"commit in upper case", "octo/repo/.github/workflows/release.yml@" + strings.ToUpper(sha1Hash)},
		{"commit with a letter that is no digit", "octo/repo/.github/workflows/release.yml@g" + sha1Hash[1:]},
		{"commit and a path", "octo/repo/.github/workflows/release.yml@" + sha1Hash + "/x"},
		{"short commit", "octo/repo/.github/workflows/release.yml@0123abc"},

		{"NUL in the file", "octo/repo/.github/workflows/release.yml\x00.yml@refs/heads/main"},
		{"NUL after the file", "octo/repo/.github/workflows/release.yml\x00@refs/heads/main"},
		{"newline in the file", "octo/repo/.github/workflows/rel\nease.yml@refs/heads/main"},
		{"newline after the file", "octo/repo/.github/workflows/release.yml\n@refs/heads/main"},
		{"newline at the end", "octo/repo/.github/workflows/release.yml@refs/heads/main\n"},
		{"carriage return and newline at the end", "octo/repo/.github/workflows/release.yml@refs/heads/main\r\n"},
		{"newline at the beginning", "\nocto/repo/.github/workflows/release.yml@refs/heads/main"},
		{"two lines, each well-formed", "octo/repo/.github/workflows/release.yml@refs/heads/main\nocto/repo/.github/workflows/release.yml@refs/heads/main"},
		{"tab in the ref", "octo/repo/.github/workflows/release.yml@refs/heads/ma\tin"},
		{"escape in the ref", "octo/repo/.github/workflows/release.yml@refs/heads/\x1b[2J"},
		{"delete in the file", "octo/repo/.github/workflows/rel\x7fease.yml@refs/heads/main"},
		{"control character beyond ASCII in the file", "octo/repo/.github/workflows/rel\u0085ease.yml@refs/heads/main"},
		{"file that is not UTF-8", "octo/repo/.github/workflows/rel\xffease.yml@refs/heads/main"},
		{"ref that is not UTF-8", "octo/repo/.github/workflows/release.yml@refs/heads/\xc3"},
		{"byte order mark", "\ufeffocto/repo/.github/workflows/release.yml@refs/heads/main"},
		{"slash beyond ASCII", "octo/repo/.github/workflows∕release.yml@refs/heads/main"},
		{"at sign beyond ASCII", "octo/repo/.github/workflows/release.yml＠refs/heads/main"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := domain.ParseWorkflowRef(tt.ref)

			requireError(t, err, domain.KindInvalid, domain.CodeInvalidClaim)
			require.Zero(t, got)
		})
	}
}

func ref(file, ref string) domain.WorkflowRef {
	return domain.WorkflowRef{Repository: domain.Repository{Owner: "octo", Name: "repo"}, File: file, Ref: ref}
}

func FuzzParseWorkflowRef(f *testing.F) {
	for _, seed := range []string{
		"octo/repo/.github/workflows/release.yml@refs/heads/main",
		"octo/repo/.github/workflows/release.yaml@" + sha1Hash,
		"octo/repo/.github/workflows/release.yml@evil.yml@refs/heads/x/release.yml@refs/tags/v1",
		"octo/repo/.github/workflows/sub@refs/release.yml@refs/heads/main",
		"octo/repo/.github/workflows/../release.yml@refs/",
		"octo/repo/.github/workflows/rel\x00\xff\u0085.yml@refs/heads/main\r\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := domain.ParseWorkflowRef(s)
		if err != nil {
			require.Zero(t, got)
			return
		}
		require.Equal(t, s, got.Repository.String()+"/.github/workflows/"+got.File+"@"+got.Ref)
		require.NotContains(t, got.File, "/")
		require.Regexp(t, `\.ya?ml$`, got.File)
		// Nothing behind the file's own "@" decides what the file is called.
		moved, err := domain.ParseWorkflowRef(got.Repository.String() + "/.github/workflows/" + got.File + "@refs/heads/x.yml@refs/tags/y.yml")
		require.NoError(t, err)
		require.Equal(t, got.File, moved.File)
	})
}
