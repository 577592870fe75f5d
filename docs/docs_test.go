package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
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
