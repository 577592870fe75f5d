package main

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/trustpub/trustpub/domain"
)

var (
	// A crate's name is a Rust identifier with dashes, and of crates.io's length
	// (https://doc.rust-lang.org/cargo/reference/registry-index.html#name-restrictions).
	namePattern = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_-]{0,63}$`)
	// The grammar of https://semver.org, whose numbers have no leading zeros.
	versionPattern = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)` +
		`(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?` +
		`(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?$`)
)

// maxVersionLength keeps a version within the name of a folder.
const maxVersionLength = 100

// release is one version of one crate. Both halves are safe as the name of a folder:
// neither holds a separator, begins with a dot or is empty.
type release struct{ name, version string }

// newRelease checks the forms of a name and a version.
func newRelease(name, version string) (release, error) {
	if !namePattern.MatchString(name) {
		return release{}, invalid("%q is no name of a crate. Use up to 64 ASCII letters, digits, - and _, the first of them a letter.", shorten(name))
	}
	if len(version) > maxVersionLength || !versionPattern.MatchString(version) {
		return release{}, invalid("%q is no version. Use MAJOR.MINOR.PATCH as semver.org defines it, up to %d characters.", shorten(version), maxVersionLength)
	}
	return release{name, version}, nil
}

// folder is the release's top folder inside the .crate.
func (r release) folder() string { return r.name + "-" + r.version }

// immutable is the part of the version that a registry has once: versions that
// differ in build metadata alone are one version to cargo.
func (r release) immutable() string {
	version, _, _ := strings.Cut(r.version, "+")
	return version
}

// sameName is equal for names that Rust can't keep apart: a crate's name in code has
// underscores for dashes, and file systems and people mix up case. Of all that are
// the same, a registry has one.
func sameName(name string) string {
	return strings.ReplaceAll(strings.ToLower(name), "-", "_")
}

// indexPath is where cargo looks for a crate in the index
// (https://doc.rust-lang.org/cargo/reference/registry-index.html#index-files).
func indexPath(name string) string {
	name = strings.ToLower(name)
	switch len(name) {
	case 1, 2:
		return strconv.Itoa(len(name)) + "/" + name
	case 3:
		return "3/" + name[:1] + "/" + name
	}
	return name[:2] + "/" + name[2:4] + "/" + name
}

// invalid is an upload that breaks a rule of form.
func invalid(format string, args ...any) error {
	return domain.Invalid(domain.CodeMalformedRequest, format, args...)
}

// shorten cuts what a stranger wrote before it is repeated in a message.
func shorten(s string) string {
	const most = 100
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
