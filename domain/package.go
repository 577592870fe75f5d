package domain

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Package names a package in one of the registry's ecosystems.
//
// Names compare byte for byte. A registry whose ecosystem treats several
// spellings as one name (PEP 503 for pypi, dashes and underscores at crates.io)
// passes the canonical spelling, both when a config is made and when a token is
// checked. Comparing exactly can refuse a publish; it can never allow a wrong one.
type Package struct {
	// Ecosystem is a package URL type: cargo, pypi, npm, gem, nuget, golang,
	// generic and so on, in lower case
	// (https://github.com/package-url/purl-spec/blob/main/purl-types-index.json).
	Ecosystem string
	// Name is the package's name in that ecosystem, at most 255 characters of
	// printable ASCII without space, double quote and backslash, so that
	// "publish:ECOSYSTEM/NAME" is always one scope token (RFC 6749 section 3.3).
	Name string
}

// NewPackage validates and returns a package. Errors are of [KindInvalid].
func NewPackage(ecosystem, name string) (Package, error) {
	if !validEcosystem(ecosystem) {
		return Package{}, Invalid(CodeInvalidConfig,
			"The ecosystem %s is not valid. Use a package URL type in lower case, such as cargo, pypi, npm, gem, nuget, golang or generic.", quote(ecosystem))
	}
	if !validPackageName(name) {
		return Package{}, Invalid(CodeInvalidConfig,
			"The package name %s is not valid. Use 1 to %d characters of printable ASCII without space, double quote or backslash.", quote(name), maxLength)
	}
	return Package{Ecosystem: ecosystem, Name: name}, nil
}

func validEcosystem(s string) bool {
	return s != "" && len(s) <= 64 && 'a' <= s[0] && s[0] <= 'z' && onlyASCII(s, ".+-") && s == foldASCII(s)
}

func validPackageName(s string) bool {
	if s == "" || utf8.RuneCountInString(s) > maxLength {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' })
}

const scopePrefix = "publish:"

// Scope returns the OAuth scope token that stands for publishing p:
// "publish:ECOSYSTEM/NAME".
func (p Package) Scope() string { return scopePrefix + p.String() }

// String returns "ECOSYSTEM/NAME".
func (p Package) String() string { return p.Ecosystem + "/" + p.Name }

// ParseScope reads space-separated scope tokens of the form that [Package.Scope]
// writes. A scope without any token, or with one of another form, is an error of
// [KindInvalid] with [CodeInvalidScope]. Repeated tokens count once.
func ParseScope(scope string) ([]Package, error) {
	var packages []Package
	for token := range strings.SplitSeq(scope, " ") {
		name, isPublish := strings.CutPrefix(token, scopePrefix)
		ecosystem, name, hasName := strings.Cut(name, "/")
		p, err := NewPackage(ecosystem, name)
		if !isPublish || !hasName || err != nil {
			return nil, Invalid(CodeInvalidScope,
				"The scope %s is not valid. Use space-separated publish:ECOSYSTEM/NAME, such as publish:cargo/serde.", quote(token))
		}
		packages = append(packages, p)
	}
	return distinct(packages), nil
}

// distinct returns packages sorted by ecosystem and name, each once.
func distinct(packages []Package) []Package {
	slices.SortFunc(packages, func(a, b Package) int {
		return cmp.Or(strings.Compare(a.Ecosystem, b.Ecosystem), strings.Compare(a.Name, b.Name))
	})
	return slices.Compact(packages)
}
