package declared

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/trustpub/trustpub/domain"
)

// Bounds of a file. Those on tokens and on nesting keep the parser, whose time grows
// with the square of either, below a second.
const (
	maxFile      = 256 << 10
	maxTokens    = 20_000
	maxNesting   = 8
	maxProviders = 64
)

// Load reads the definitions in a file of providers, whose name stands in its errors.
// Every error is one line, FILE:LINE:COLUMN: what is wrong, and what is accepted. YAML
// is read strictly: a key that is not known or stands twice, anchors, aliases, tags,
// merge keys and further documents are errors, and so is the name of a provider that is
// defined before or is among those of [Shipped].
func Load(name string, file []byte) ([]domain.Definition, error) {
	names, err := shippedNames()
	if err != nil {
		return nil, err
	}
	taken := map[string]string{}
	for _, n := range names {
		taken[n] = "is one that trustpub ships. Choose another name"
	}
	return load(name, file, taken)
}

// load is Load with the names that the file must not give to a provider, each with why.
// It adds to them those that the file does give.
func load(name string, file []byte, taken map[string]string) ([]domain.Definition, error) {
	r := reader{file: name}
	root, err := r.parse(file)
	if err != nil {
		return nil, err
	}
	members, err := r.mapping(root, "the file", "providers")
	if err != nil {
		return nil, err
	}
	entries, err := r.list(members, "providers", maxProviders)
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, r.fail(root, "there is no provider. Name at least one under providers")
	}
	var definitions []domain.Definition
	for _, entry := range entries {
		definition, err := r.definition(entry, taken)
		if err != nil {
			return nil, err
		}
		taken[definition.Name] = "is defined twice. Choose another name for one of them"
		definitions = append(definitions, definition)
	}
	return definitions, nil
}

// reader reads the nodes of one file and words what is wrong with them.
type reader struct{ file string }

// parse returns the root of a file's only document.
func (r reader) parse(file []byte) (node, error) {
	if len(file) > maxFile {
		return nil, r.failAt(nil, "the file is larger than %d KiB", maxFile>>10)
	}
	if i := firstInvalid(file); i >= 0 {
		line := bytes.Count(file[:i], []byte("\n")) + 1
		column := utf8.RuneCount(file[bytes.LastIndexByte(file[:i], '\n')+1:i]) + 1
		return nil, r.failAt(&token.Position{Line: line, Column: column}, "the file holds a byte that is not UTF-8, or a control character. Write it as UTF-8 text")
	}
	tokens := lexer.Tokenize(string(bytes.TrimPrefix(file, []byte("\ufeff"))))
	err := r.checkTokens(tokens)
	if err != nil {
		return nil, err
	}
	tree, err := parser.Parse(tokens, 0)
	if err != nil {
		return nil, r.syntax(err)
	}
	if len(tree.Docs) != 1 || tree.Docs[0].Body == nil {
		return nil, r.failAt(nil, "the file must hold one YAML document, with the key providers")
	}
	return tree.Docs[0].Body, nil
}

// firstInvalid returns the place of the first byte that is no part of UTF-8 text or
// is a control character other than tab and line end; -1 where there is none.
func firstInvalid(file []byte) int {
	for i := 0; i < len(file); {
		c, size := utf8.DecodeRune(file[i:])
		if c == utf8.RuneError && size == 1 || c < ' ' && c != '\t' && c != '\n' && c != '\r' || c >= 0x7f && c < 0xa0 {
			return i
		}
		i += size
	}
	return -1
}

// checkTokens refuses what a definition never needs: the means by which a small file
// becomes a large one, or means another thing than it seems to.
func (r reader) checkTokens(tokens token.Tokens) error {
	if len(tokens) > maxTokens {
		return r.failAt(nil, "the file has more than %d words and signs. Split it, or remove providers", maxTokens)
	}
	nesting := 0
	for _, t := range tokens {
		is := func(types ...token.Type) bool { return slices.Contains(types, t.Type) }
		switch {
		case is(token.AnchorType, token.AliasType, token.MergeKeyType):
			return r.failAt(t.Position, "anchors, aliases and merge keys are not accepted. Write the values out")
		case is(token.TagType, token.DirectiveType, token.MappingKeyType):
			return r.failAt(t.Position, "tags, directives and keys after a question mark are not accepted. Write plain keys and values")
		case is(token.MappingStartType, token.SequenceStartType):
			nesting++
		case is(token.MappingEndType, token.SequenceEndType):
			nesting--
		}
		if nesting > maxNesting {
			return r.failAt(t.Position, "brackets are nested deeper than %d. A definition needs two", maxNesting)
		}
	}
	return nil
}

// syntax words an error of the parser, whose text goes over several lines.
func (r reader) syntax(err error) error {
	if e, ok := errors.AsType[*yaml.SyntaxError](err); ok && e.Token != nil {
		return r.failAt(e.Token.Position, "it is not YAML as it is accepted here: %s", oneLine(e.Message))
	}
	return r.failAt(nil, "it is not YAML: %s", oneLine(err.Error()))
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func (r reader) fail(n node, format string, args ...any) error {
	p := n.GetToken().Position
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		// The parser's place of a mapping without brackets is its first colon.
		p = m.Values[0].Key.GetToken().Position
	}
	return r.failAt(p, format, args...)
}

func (r reader) failAt(p *token.Position, format string, args ...any) error {
	if p == nil {
		p = &token.Position{Line: 1, Column: 1}
	}
	return fmt.Errorf("%s:%d:%d: %s", r.file, p.Line, p.Column, fmt.Sprintf(format, args...))
}
