package domain

import (
	"strings"
)

// Repository names a source repository by owner and name. Both compare without
// regard to ASCII case, as GitHub does; see [Repository.Key].
type Repository struct{ Owner, Name string }

// NewRepository validates and returns a repository. Owner is
// [a-zA-Z0-9][a-zA-Z0-9-]*, name [a-zA-Z0-9_.-]+ but neither "." nor "..", each
// of at most 255 characters. The same rule holds for configs and for claims, so
// that neither can hold a character that folds onto another. Errors are of
// [KindInvalid].
func NewRepository(owner, name string) (Repository, error) {
	if len(owner) > maxLength || !onlyASCII(owner, "-") || owner[0] == '-' {
		return Repository{}, Invalid(CodeInvalidConfig,
			"The repository owner %s is not valid. Use 1 to %d letters, digits and hyphens, not beginning with a hyphen.", quote(owner), maxLength)
	}
	if len(name) > maxLength || !onlyASCII(name, "_.-") || name == "." || name == ".." {
		return Repository{}, Invalid(CodeInvalidConfig,
			"The repository name %s is not valid. Use 1 to %d letters, digits, dots, hyphens and underscores, and not just dots.", quote(name), maxLength)
	}
	return Repository{Owner: owner, Name: name}, nil
}

// ParseRepository reads "owner/name" by the rules of [NewRepository].
func ParseRepository(s string) (Repository, error) {
	owner, name, ok := strings.Cut(s, "/")
	if !ok {
		return Repository{}, Invalid(CodeInvalidConfig, "The repository %s is not of the form owner/name.", quote(s))
	}
	return NewRepository(owner, name)
}

// String returns "owner/name".
func (r Repository) String() string { return r.Owner + "/" + r.Name }

// Key returns the form under which repositories are the same: ASCII lower case.
// Stores look configs up by it, so that every database gives the same answer.
func (r Repository) Key() string { return foldASCII(r.String()) }
