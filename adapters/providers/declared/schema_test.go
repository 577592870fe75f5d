package declared_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/providers/declared"
)

func TestTheSchemaAcceptsTheShippedFiles(t *testing.T) {
	schema := compileSchema(t)
	files, err := filepath.Glob("shipped/*.yaml")
	require.NoError(t, err)
	require.Len(t, files, 5)
	for _, name := range files {
		text, err := os.ReadFile(name)
		require.NoError(t, err)

		require.True(t, accepts(t, schema, string(text)), name)
	}
}

// Where the schema sees less than the program, the row says so; it never sees more.
func TestTheSchemaAgreesWithTheProgram(t *testing.T) {
	schema := compileSchema(t)
	for _, tt := range goodFiles() {
		require.True(t, accepts(t, schema, tt.file), tt.name)
	}
	missed, seen := 0, 0
	for _, tt := range badFiles() {
		require.Equal(t, tt.schema, accepts(t, schema, tt.file), tt.name)
		if tt.schema {
			missed++
		} else {
			seen++
		}
	}
	require.Greater(t, seen, 2*missed)
}

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(declared.Schema()))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	require.NoError(t, compiler.AddResource("providers.schema.json", document))
	schema, err := compiler.Compile("providers.schema.json")
	require.NoError(t, err)
	return schema
}

// accepts reports whether the text is YAML that the schema accepts, as an editor reads
// it: leniently.
func accepts(t *testing.T, schema *jsonschema.Schema, text string) bool {
	t.Helper()
	var value any
	decoder := yaml.NewDecoder(strings.NewReader(strings.TrimPrefix(text, "\ufeff")), yaml.AllowDuplicateMapKey())
	err := decoder.Decode(&value)
	if err != nil {
		return false
	}
	asJSON, err := json.Marshal(value)
	if err != nil {
		return false
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	require.NoError(t, err)
	return schema.Validate(document) == nil
}
