package trustpub_test

import (
	"cmp"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

const module = "github.com/trustpub/trustpub"

// layers are the top folders, with those of the module's folders that their
// production code may import. A folder stands for all below it. Each must be there.
var layers = map[string][]string{
	"domain":       {},
	"application":  {"domain"},
	"adapters":     {"application", "domain"}, // And its own; see adapterOf.
	"migrations":   {},
	"trustpubtest": {"application", "domain", "adapters/postgres/pqconn"},
	"bootstrap":    {"adapters", "application", "domain", "migrations"},
	"cmd":          {"bootstrap", "application", "domain", "trustpubtest/issuer"},
	// Tools that measure and break. They start variants of the server, and call parts of it.
	"internal": {"bootstrap", "adapters/postgres", "application", "domain", "trustpubtest"},
	"examples": {"bootstrap", "adapters", "application", "domain", "migrations", "trustpubtest"},
}

// formats are folders below adapters that every adapter may import, because they
// implement no port. They import nothing of the module themselves.
var formats = []string{"adapters/groupcommit", "adapters/remotekeys", "adapters/strictjson"}

// confined are packages that only the production code of some folders may import.
var confined = []struct {
	pkg     string
	folders []string
	because string
}{
	{"go.uber.org/fx", []string{"bootstrap", "internal/load", "examples"}, "fx stays in bootstrap"},
	{"github.com/caarlos0/env", []string{"bootstrap"}, "the environment stays in bootstrap"},
	{"github.com/lib/pq", []string{"adapters/postgres/pqconn", "bootstrap", "examples"}, "a host brings its own driver"},
	{"modernc.org/sqlite", []string{"bootstrap", "internal", "examples"}, "a host brings its own driver"},
	{module + "/adapters/postgres/pqconn", []string{"bootstrap", "trustpubtest", "internal", "examples"}, "it links a driver"},
	{"github.com/pressly/goose", []string{"migrations"}, "an embedder need not link it"},
	{"github.com/labstack/echo", []string{"adapters/httpapi", "internal", "examples"}, "HTTP is one adapter"},
	{"github.com/prometheus", []string{"adapters/metrics"}, "a host may count with something else"},
	{"go.opentelemetry.io", []string{"adapters/tracing", "bootstrap"}, "traces are one adapter"},
	{"go.opentelemetry.io/otel/exporters", []string{"adapters/tracing/exporter"}, "a host has an exporter of its own"},
	{"github.com/XSAM/otelsql", []string{"adapters/tracing"}, "traces are one adapter"},
	{"google.golang.org/grpc", nil, "it weighs more than all of the server"},
	{"github.com/spf13/cobra", []string{"cmd"}, "the command line is one program's"},
	{"github.com/goccy/go-yaml", []string{"adapters/providers/declared"}, "only definitions of providers are written in YAML"},
	{"github.com/santhosh-tekuri/jsonschema", nil, "tests check the schemas"},
	{"github.com/prometheus/prometheus", nil, "tests check the queries"},
	{"testing", []string{"trustpubtest"}, "test code has no place in production"},
	{"github.com/stretchr/testify", []string{"trustpubtest"}, "test code has no place in production"},
	{"github.com/google/go-cmp", []string{"trustpubtest"}, "test code has no place in production"},
	{"go.uber.org/goleak", []string{"trustpubtest"}, "test code has no place in production"},
	{"pgregory.net/rapid", []string{"trustpubtest"}, "test code has no place in production"},
}

// forbidden are packages that the production code of a folder never imports. "*" is
// everything that is neither in the standard library nor in the module.
var forbidden = map[string][]string{
	"domain":              {"context", "database/sql", "net/http", "os", "*"},
	"application":         {"database/sql", "net/http", "os", "*"},
	"trustpubtest/issuer": {"testing", "github.com/stretchr/testify", module},
}

func TestImportsPointInwards(t *testing.T) {
	problems, err := checkLayers(os.DirFS("."))

	require.NoError(t, err)
	require.Empty(t, problems)
}

func TestTheCheckOfTheLayersFindsWhatBreaksThem(t *testing.T) {
	tests := []struct {
		name, file, imports, want string
	}{
		{"domain imports application", "domain/x.go", module + "/application", "domain must not import application"},
		{"domain imports a library", "domain/x.go", "github.com/jmoiron/sqlx", "domain must not import github.com/jmoiron/sqlx"},
		{"domain imports net/http", "domain/x.go", "net/http", "domain must not import net/http"},
		{"domain imports database/sql/driver", "domain/x.go", "database/sql/driver", "domain must not import database/sql/driver"},
		{"domain imports context", "domain/x.go", "context", "domain must not import context"},
		{"domain imports os", "domain/x.go", "os", "domain must not import os"},
		{"a folder of the domain imports context", "domain/sub/x.go", "context", "domain/sub must not import context"},
		{"application imports an adapter", "application/x.go", module + "/adapters/oidc", "application must not import adapters/oidc"},
		{"application imports bootstrap", "application/x.go", module + "/bootstrap", "application must not import bootstrap"},
		{"application imports net/http/httptest", "application/x.go", "net/http/httptest", "application must not import net/http/httptest"},
		{"application imports fx", "application/x.go", "go.uber.org/fx", "application must not import go.uber.org/fx"},
		{"adapter imports adapter", "adapters/postgres/x.go", module + "/adapters/oidc", "adapters/postgres must not import adapters/oidc"},
		{"adapter imports part of an adapter", "adapters/oidc/x.go", module + "/adapters/httpapi/request", "adapters/oidc must not import adapters/httpapi/request"},
		{"part of an adapter imports an adapter", "adapters/httpapi/oauth/x.go", module + "/adapters/memory", "adapters/httpapi/oauth must not import adapters/memory"},
		{"adapter imports one whose name begins alike", "adapters/http/x.go", module + "/adapters/httpapi", "adapters/http must not import adapters/httpapi"},
		{"provider imports provider", "adapters/providers/github/x.go", module + "/adapters/providers/gitlab", "adapters/providers/github must not import adapters/providers/gitlab"},
		{"adapter imports bootstrap", "adapters/memory/x.go", module + "/bootstrap", "adapters/memory must not import bootstrap"},
		{"adapter imports migrations", "adapters/sqlite/x.go", module + "/migrations", "adapters/sqlite must not import migrations"},
		{"adapter imports fx", "adapters/memory/x.go", "go.uber.org/fx/fxtest", "adapters/memory must not import go.uber.org/fx/fxtest: fx stays in bootstrap"},
		{"store imports a driver", "adapters/postgres/x.go", "github.com/lib/pq", "adapters/postgres must not import github.com/lib/pq"},
		{"store imports its driver's folder", "adapters/postgres/x.go", module + "/adapters/postgres/pqconn", "adapters/postgres must not import adapters/postgres/pqconn: it links a driver"},
		{"adapter imports the test kit", "adapters/memory/x.go", module + "/trustpubtest", "adapters/memory must not import trustpubtest"},
		{"adapter imports the test issuer", "adapters/oidc/x.go", module + "/trustpubtest/issuer", "adapters/oidc must not import trustpubtest/issuer"},
		{"adapter imports testing", "adapters/memory/x.go", "testing", "adapters/memory must not import testing"},
		{"adapter imports testify", "adapters/memory/x.go", "github.com/stretchr/testify/require", "adapters/memory must not import github.com/stretchr/testify/require"},
		{"adapter reads YAML", "adapters/httpapi/x.go", "github.com/goccy/go-yaml/parser", "adapters/httpapi must not import github.com/goccy/go-yaml/parser"},
		{"adapter makes spans", "adapters/httpapi/x.go", "go.opentelemetry.io/otel/trace", "adapters/httpapi must not import go.opentelemetry.io/otel/trace: traces are one adapter"},
		{"format makes spans", "adapters/groupcommit/x.go", "go.opentelemetry.io/otel/trace", "adapters/groupcommit must not import go.opentelemetry.io/otel/trace: traces are one adapter"},
		{"store wraps its driver", "adapters/postgres/x.go", "github.com/XSAM/otelsql", "adapters/postgres must not import github.com/XSAM/otelsql: traces are one adapter"},
		{"tracing makes an exporter", "adapters/tracing/x.go", "go.opentelemetry.io/otel/exporters/otlp/otlptrace", "adapters/tracing must not import go.opentelemetry.io/otel/exporters/otlp/otlptrace: a host has an exporter of its own"},
		{"adapter checks a schema", "adapters/providers/declared/x.go", "github.com/santhosh-tekuri/jsonschema/v6", "adapters/providers/declared must not import github.com/santhosh-tekuri/jsonschema/v6"},
		{"adapter reads the environment", "adapters/memory/x.go", "github.com/caarlos0/env/v11", "adapters/memory must not import github.com/caarlos0/env/v11"},
		{"format imports the domain", "adapters/strictjson/x.go", module + "/domain", "adapters/strictjson must not import domain"},
		{"migrations import an adapter", "migrations/x.go", module + "/adapters/postgres", "migrations must not import adapters/postgres"},
		{"bootstrap imports cmd", "bootstrap/x.go", module + "/cmd/trustpub", "bootstrap must not import cmd/trustpub"},
		{"bootstrap imports testing", "bootstrap/x.go", "testing/fstest", "bootstrap must not import testing/fstest"},
		{"cmd imports an adapter", "cmd/trustpub/x.go", module + "/adapters/sqlite", "cmd/trustpub must not import adapters/sqlite"},
		{"cmd imports the rest of the test kit", "cmd/trustpub/x.go", module + "/trustpubtest", "cmd/trustpub must not import trustpubtest"},
		{"a tool imports another adapter", "internal/load/x.go", module + "/adapters/oidc", "internal/load must not import adapters/oidc"},
		{"another tool imports fx", "internal/faults/x.go", "go.uber.org/fx", "internal/faults must not import go.uber.org/fx: fx stays in bootstrap"},
		{"cmd imports fx", "cmd/trustpub/x.go", "go.uber.org/fx", "cmd/trustpub must not import go.uber.org/fx"},
		{"the issuer imports testing", "trustpubtest/issuer/x.go", "testing", "trustpubtest/issuer must not import testing"},
		{"the issuer imports the domain", "trustpubtest/issuer/x.go", module + "/domain", "trustpubtest/issuer must not import domain"},
		{"the module's own root is imported", "bootstrap/x.go", module, "bootstrap must not import " + module},
		{"a folder of no layer", "util/x.go", "fmt", "util belongs to no layer"},
		{"production code beside the layers", "x.go", "fmt", ". belongs to no layer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tree := soundTree()
			tree[tt.file] = source(tt.imports)

			problems, err := checkLayers(tree)

			require.NoError(t, err)
			require.Len(t, problems, 1)
			require.Contains(t, problems[0], tt.file)
			require.Contains(t, problems[0], tt.want)
		})
	}
	for layer := range layers {
		t.Run("the folder "+layer+" is missing", func(t *testing.T) {
			tree := soundTree()
			delete(tree, layer+"/sound.go")

			problems, err := checkLayers(tree)

			require.NoError(t, err)
			require.Equal(t, []string{"the layer " + layer + " is missing"}, problems)
		})
	}
	t.Run("a source file that does not parse", func(t *testing.T) {
		tree := soundTree()
		tree["domain/x.go"] = &fstest.MapFile{Data: []byte("package domain\nimport (")}

		_, err := checkLayers(tree)

		require.Error(t, err)
	})
}

func TestTheCheckOfTheLayersAcceptsWhatKeepsThem(t *testing.T) {
	tests := []struct {
		name, file, imports string
	}{
		{"application imports the domain", "application/x.go", module + "/domain"},
		{"adapter imports the application", "adapters/memory/x.go", module + "/application"},
		{"adapter imports its own folder", "adapters/httpapi/x.go", module + "/adapters/httpapi/oauth"},
		{"part of an adapter imports its sibling", "adapters/httpapi/oauth/x.go", module + "/adapters/httpapi/request"},
		{"adapter imports a format", "adapters/oidc/x.go", module + "/adapters/strictjson"},
		{"bootstrap imports fx", "bootstrap/x.go", "go.uber.org/fx"},
		{"bootstrap is given a provider of spans", "bootstrap/x.go", "go.opentelemetry.io/otel/trace"},
		{"cmd imports the test issuer", "cmd/trustpub/x.go", module + "/trustpubtest/issuer"},
		{"the test kit imports testing", "trustpubtest/x.go", "testing"},
		{"a test imports anything", "domain/x_test.go", "net/http"},
		{"another module imports anything", "tools/x.go", "testing"},
		{"test data is no code of ours", "domain/testdata/x.go", "net/http"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tree := soundTree()
			tree["tools/go.mod"] = &fstest.MapFile{Data: []byte("module tools\n")}
			tree[tt.file] = source(tt.imports)

			problems, err := checkLayers(tree)

			require.NoError(t, err)
			require.Empty(t, problems)
		})
	}
}

// soundTree is a module that keeps every rule.
func soundTree() fstest.MapFS {
	tree := fstest.MapFS{"go.mod": {Data: []byte("module " + module + "\n")}}
	for layer := range layers {
		tree[layer+"/sound.go"] = source("fmt")
	}
	return tree
}

func source(imports string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte("package x\n\nimport _ " + strconv.Quote(imports) + "\n")}
}

// checkLayers parses the imports of all production code below tree, which is the
// module's root, and returns what breaks a rule, sorted.
func checkLayers(tree fs.FS) ([]string, error) {
	var problems []string
	seen := map[string]bool{}
	err := fs.WalkDir(tree, ".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return enter(tree, file)
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		folder := path.Dir(file)
		layer, _, _ := strings.Cut(folder, "/")
		seen[layer] = true
		if _, ok := layers[layer]; !ok {
			problems = append(problems, fmt.Sprintf("%s: %s belongs to no layer", file, folder))
			return nil
		}
		imports, err := importsOf(tree, file)
		for _, pkg := range imports {
			if problem := checkImport(folder, pkg); problem != "" {
				problems = append(problems, file+": "+problem)
			}
		}
		return err
	})
	for layer := range layers {
		if !seen[layer] {
			problems = append(problems, fmt.Sprintf("the layer %s is missing", layer))
		}
	}
	slices.Sort(problems)
	return problems, err
}

// enter returns fs.SkipDir for a folder that holds no production code of this module.
func enter(tree fs.FS, folder string) error {
	if folder == "." {
		return nil
	}
	base := path.Base(folder)
	_, err := fs.Stat(tree, path.Join(folder, "go.mod"))
	switch {
	case err == nil, base == "testdata", strings.HasPrefix(base, "."), strings.HasPrefix(base, "_"):
		return fs.SkipDir
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return err
}

func importsOf(tree fs.FS, file string) ([]string, error) {
	text, err := fs.ReadFile(tree, file)
	if err != nil {
		return nil, err
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), file, text, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	var imports []string
	for _, spec := range parsed.Imports {
		pkg, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		imports = append(imports, pkg)
	}
	return imports, nil
}

// checkImport returns why production code in folder must not import pkg; "" when it
// may.
func checkImport(folder, pkg string) string {
	local, isLocal := strings.CutPrefix(pkg, module+"/")
	must := folder + " must not import " + cmp.Or(local, pkg)
	for _, rule := range confined {
		if within(pkg, rule.pkg) && !withinAny(folder, rule.folders) {
			return must + ": " + rule.because
		}
	}
	isLibrary := !isLocal && strings.Contains(strings.SplitN(pkg, "/", 2)[0], ".")
	for holder, packages := range forbidden {
		for _, p := range packages {
			if within(folder, holder) && (within(pkg, p) || p == "*" && isLibrary) {
				return must
			}
		}
	}
	switch layer, _, _ := strings.Cut(folder, "/"); {
	case pkg == module:
		return must
	case !isLocal, withinAny(local, layers[layer]) && !withinAny(folder, formats):
		return ""
	case layer == "adapters" && withinAny(local, formats), layer == "adapters" && adapterOf(local) == adapterOf(folder):
		return ""
	case layer != "adapters" && within(local, layer):
		return ""
	}
	return must
}

// adapterOf returns the adapter that a folder is part of: the folder below adapters,
// or below adapters/providers, where each provider is one.
func adapterOf(folder string) string {
	parts := strings.Split(folder, "/")
	depth := 2
	if len(parts) > 1 && parts[1] == "providers" {
		depth = 3
	}
	return strings.Join(parts[:min(depth, len(parts))], "/")
}

// within reports whether p is root or lies below it. Major versions of a module
// count as below it.
func within(p, root string) bool { return p == root || strings.HasPrefix(p, root+"/") }

func withinAny(p string, roots []string) bool {
	return slices.ContainsFunc(roots, func(root string) bool { return within(p, root) })
}
