// Package declared reads what the ID tokens of a CI provider say by a definition in a
// YAML file, so that a provider costs a few lines and no code. Definitions of some
// public services are shipped; an operator writes further ones.
//
// The form of the file is that of the JSON Schema which [Schema] returns, and
// docs/providers-file.md explains it.
package declared

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/trustpub/trustpub/domain"
)

// shipped holds one file for each provider, NAME.yaml.
//
//go:embed shipped/*.yaml
var shipped embed.FS

//go:embed providers.schema.json
var schema string

// Schema returns the JSON Schema (draft 2020-12) of the file that [Load] reads.
func Schema() []byte { return []byte(schema) }

// Shipped returns the definitions of the public services that trustpub knows, sorted
// by name. They are read at every call, so nobody shares them.
func Shipped() ([]domain.Definition, error) {
	names, err := shippedNames()
	if err != nil {
		return nil, err
	}
	var definitions []domain.Definition
	for _, name := range names {
		file := "shipped/" + name + ".yaml"
		text, err := shipped.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read the definition of %s: %w", name, err)
		}
		read, err := load(file, text, map[string]string{})
		if err != nil {
			return nil, err
		}
		definitions = append(definitions, read...)
	}
	return definitions, nil
}

func shippedNames() ([]string, error) {
	files, err := fs.Glob(shipped, "shipped/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list the shipped definitions: %w", err)
	}
	names := make([]string, 0, len(files))
	for _, file := range files {
		names = append(names, strings.TrimSuffix(path.Base(file), ".yaml"))
	}
	slices.Sort(names)
	return names, nil
}

// Provider reads the claims of one issuer by a definition. It is safe for concurrent
// use.
type Provider struct {
	definition domain.Definition
	issuer     string
}

// New returns the provider of a definition at an issuer. An empty issuer is that of the
// definition; an error where the definition has none either.
func New(definition domain.Definition, issuer string) (*Provider, error) {
	err := definition.Validate()
	if err != nil {
		return nil, fmt.Errorf("declared: %w", err)
	}
	if issuer == "" {
		issuer = definition.Issuer
	}
	if issuer == "" {
		return nil, fmt.Errorf("declared: %w", domain.Invalid(domain.CodeInvalidConfig,
			"The provider %s has no issuer of its own. Name yours: %s=https://HOST.", definition.Name, definition.Name))
	}
	err = domain.ValidateIssuer(issuer)
	if err != nil {
		return nil, fmt.Errorf("declared: %w", err)
	}
	return &Provider{definition: definition, issuer: issuer}, nil
}

// Issuer returns the issuer URL.
func (p *Provider) Issuer() string { return p.issuer }

// Algorithms returns a copy of the JWS algorithms that the provider signs with.
func (p *Provider) Algorithms() []string { return slices.Clone(p.definition.Algorithms) }

// HasJWTID reports whether the ID tokens have a jti of their own. Where they have none,
// the verifier puts the SHA-256 of the JWS signing input in its place.
func (p *Provider) HasJWTID() bool { return p.definition.HasJWTID }

// Workload reads who the job is; see [domain.Definition.Workload].
func (p *Provider) Workload(raw domain.RawClaims) (domain.Workload, error) {
	return p.definition.Workload(raw)
}
