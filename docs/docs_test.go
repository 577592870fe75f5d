package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
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
