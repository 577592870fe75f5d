package npm

import (
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/trustpub/trustpub/domain"
)

// maxName is the most characters that a package name has, its scope included.
const maxName = 214

// The rules of validate-npm-package-name for packages that exist already, so that
// names in capitals pass. Ours is stricter in one point: no scope begins with a dot,
// and so no name is a path to somewhere else.
var (
	plainName  = regexp.MustCompile(`^[A-Za-z0-9~!*'()][A-Za-z0-9._~!*'()-]*$`)
	scopedName = regexp.MustCompile(`^@[A-Za-z0-9_~!*'()-][A-Za-z0-9._~!*'()-]*/[A-Za-z0-9_~!*'()-][A-Za-z0-9._~!*'()-]*$`)
)

// ParseName returns the package that a name in the path of a URL stands for. The name
// is decoded once, whatever the case of its escapes. Errors are those of [NewPackage].
func ParseName(escaped string) (domain.Package, error) {
	name, err := url.PathUnescape(escaped)
	if err != nil {
		return domain.Package{}, invalidName()
	}
	return NewPackage(name)
}

// NewPackage returns the package of that name, which must be one that npm accepts: it
// is name or @scope/name, and safe as a path. Errors are of KindInvalid.
func NewPackage(name string) (domain.Package, error) {
	isReserved := slices.Contains([]string{"node_modules", "favicon.ico"}, strings.ToLower(name))
	if isReserved || len(name) > maxName || !plainName.MatchString(name) && !scopedName.MatchString(name) {
		return domain.Package{}, invalidName()
	}
	return domain.NewPackage(Ecosystem, name)
}

func invalidName() error {
	return domain.Invalid(domain.CodeMalformedRequest,
		"This is not the name of an npm package. Its form is name or @scope/name, @scope%%2fname in a URL, of at most %d letters, digits and the characters - _ . ~ ! * ' ( ).", maxName)
}
