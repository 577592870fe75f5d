package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A code that is not explained helps nobody, and one that does not exist misleads.
func TestEveryErrorCodeIsExplainedAndNoOther(t *testing.T) {
	page, err := os.ReadFile("errors.md")
	require.NoError(t, err)
	var explained []string
	for _, match := range regexp.MustCompile("(?m)^\\| `([a-z_]+)`").FindAllSubmatch(page, -1) {
		explained = append(explained, string(match[1]))
	}
	slices.Sort(explained)

	declared := declaredCodes(t, "../domain/error.go")

	require.NotEmpty(t, declared)
	require.Equal(t, declared, explained)
}

// A snippet that no compiler sees is soon wrong, so each line of the README's stands
// in an example.
func TestEveryLineOfGoInTheReadmeIsInAnExample(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	var code strings.Builder
	files, err := filepath.Glob("../examples/*/main.go")
	require.NoError(t, err)
	for _, file := range files {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		code.Write(content)
	}
	lines := map[string]bool{}
	for line := range strings.Lines(code.String()) {
		lines[strings.TrimSpace(line)] = true
	}

	snippets := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllSubmatch(readme, -1)

	require.Len(t, snippets, 4)
	for _, snippet := range snippets {
		for line := range strings.Lines(string(snippet[1])) {
			require.True(t, lines[strings.TrimSpace(line)], line)
		}
	}
}

// A threat model that names no test, or one that is gone, is a promise and no proof.
func TestEveryAttackOfTheThreatModelNamesTestsThatExist(t *testing.T) {
	page, err := os.ReadFile("threat-model.md")
	require.NoError(t, err)
	tests, suite := testsOfTheProject(t), storeSuite(t)

	attacks := 0
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if len(cells) != 3 || strings.HasPrefix(line, "| attack") || strings.HasPrefix(line, "| ---") {
			require.False(t, strings.HasPrefix(line, "|") && len(cells) != 3, "a row has three cells: %s", line)
			continue
		}
		attacks++
		named := regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+)`").FindAllStringSubmatch(cells[2], -1)
		require.NotEmpty(t, named, line)
		for _, name := range named {
			require.True(t, slices.Contains(tests, name[1]), "there is no test %s", name[1])
		}
		_, ofSuite, _ := strings.Cut(cells[2], "store suite")
		for _, name := range regexp.MustCompile(`"([^"]+)"`).FindAllStringSubmatch(ofSuite, -1) {
			require.Contains(t, suite, name[1])
		}
	}
	require.Greater(t, attacks, 30)
}

// A link that leads nowhere is where a reader gives up.
func TestEveryLinkToAFileOfTheProjectLeadsThere(t *testing.T) {
	pages, err := filepath.Glob("*.md")
	require.NoError(t, err)
	more, err := filepath.Glob("../*.md")
	require.NoError(t, err)

	links := 0
	for _, page := range append(pages, more...) {
		content, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, match := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllSubmatch(content, -1) {
			target, heading, _ := strings.Cut(string(match[1]), "#")
			if strings.Contains(target, "://") {
				continue
			}
			links++
			file := filepath.Join(filepath.Dir(page), target)
			if target == "" {
				file = page
			}
			_, err := os.Stat(file)
			require.NoError(t, err, "%s links to it", page)
			require.True(t, heading == "" || slices.Contains(anchors(t, file), heading), "%s links to #%s, which %s does not have", page, heading, file)
		}
	}
	require.Greater(t, links, 50)
}

// anchors returns the fragments by which the headings of a page are linked to.
func anchors(t *testing.T, page string) []string {
	t.Helper()
	content, err := os.ReadFile(page)
	require.NoError(t, err)
	var found []string
	for _, match := range regexp.MustCompile("(?m)^#+ (.+)$").FindAllSubmatch(content, -1) {
		heading := regexp.MustCompile("[^a-z0-9 _-]").ReplaceAllString(strings.ToLower(string(match[1])), "")
		found = append(found, strings.ReplaceAll(heading, " ", "-"))
	}
	return found
}

// testsOfTheProject returns the names of all tests and fuzz targets.
func testsOfTheProject(t *testing.T) []string {
	t.Helper()
	declaration := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Za-z0-9]+)\(`)
	var names []string
	err := filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		content, err := os.ReadFile(path)
		for _, match := range declaration.FindAllSubmatch(content, -1) {
			names = append(names, string(match[1]))
		}
		return err
	})
	require.NoError(t, err)
	return names
}

// storeSuite returns the names of the parts of trustpubtest.TestStore.
func storeSuite(t *testing.T) []string {
	t.Helper()
	content, err := os.ReadFile("../trustpubtest/store.go")
	require.NoError(t, err)
	var names []string
	for _, match := range regexp.MustCompile(`\brun\("([^"]+)"`).FindAllSubmatch(content, -1) {
		names = append(names, string(match[1]))
	}
	return names
}

// declaredCodes returns the values of the constants of type Code in a file, sorted.
func declaredCodes(t *testing.T, file string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	require.NoError(t, err)
	var codes []string
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		name, ok := spec.Type.(*ast.Ident)
		if !ok || name.Name != "Code" {
			return true
		}
		for _, value := range spec.Values {
			code, err := strconv.Unquote(value.(*ast.BasicLit).Value)
			require.NoError(t, err)
			codes = append(codes, code)
		}
		return true
	})
	slices.Sort(codes)
	return codes
}

// The settings that the page on scaling recommends are those of the cluster that the suite
// of faults breaks, so that what it says of them was shown.
func TestTheSettingsOfTheScalingPageAreThoseThatFaultsAreShownWith(t *testing.T) {
	page, err := os.ReadFile("scaling.md")
	require.NoError(t, err)
	used := map[string]bool{}
	for _, file := range []string{"../internal/faults/ha/patroni.yml.tmpl", "../internal/faults/ha/haproxy.cfg.tmpl"} {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		for line := range strings.Lines(string(content)) {
			used[strings.TrimSpace(line)] = true
		}
	}

	excerpts := regexp.MustCompile("(?s)```(?:yaml\n(bootstrap:.*?)|\n(listen .*?))```").FindAllSubmatch(page, -1)

	require.Len(t, excerpts, 2)
	for _, excerpt := range excerpts {
		for line := range strings.Lines(string(excerpt[1]) + string(excerpt[2])) {
			require.True(t, used[strings.TrimSpace(line)], line)
		}
	}
}
