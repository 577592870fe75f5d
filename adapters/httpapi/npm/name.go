package npm

import (
	"net/url"
	"regexp"
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
// is decoded once, whatever the case of its escapes, and then must be one that npm
// accepts. Errors are of KindInvalid.
func ParseName(escaped string) (domain.Package, error) {
	name, err := url.PathUnescape(escaped)
	if err != nil || !validName(name) {
		return domain.Package{}, domain.Invalid(domain.CodeMalformedRequest,
			"The URL does not hold the name of an npm package. Its form is name, or @scope%%2fname, of at most %d letters, digits and the characters - _ . ~ ! * ' ( ).", maxName)
	}
	return domain.NewPackage(Ecosystem, name)
}

func validName(name string) bool {
	switch strings.ToLower(name) {
	case "node_modules", "favicon.ico":
		return false
	}
	return len(name) <= maxName && (plainName.MatchString(name) || scopedName.MatchString(name))
}
