package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/trustpub/trustpub/adapters/httpapi/npm"
	"github.com/trustpub/trustpub/adapters/httpapi/request"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// people are the registry's users and the owners of its packages. A registry has them in
// its database; this one in a file:
//
//	{"users": {"alice": "SHA-256 of her token, in hexadecimal"}, "packages": {"@octo/app": ["alice"]}}
//
// They stand behind two ports of trustpub, and so decide who configures publishers.
type people struct {
	users  map[string]string   // The name, by the hash of the token.
	owners map[string][]string // By the name of the package.
}

// loadPeople reads the file. Names of packages that npm does not accept for new ones,
// hashes that are none and tokens of two users are errors.
func loadPeople(file string) (*people, error) {
	content, err := os.ReadFile(file) //nolint:gosec // The operator names the file.
	if err != nil {
		return nil, fmt.Errorf("read the file of people: %w", err)
	}
	var document struct {
		Users    map[string]string   `json:"users"`
		Packages map[string][]string `json:"packages"`
	}
	err = json.Unmarshal(content, &document)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	p := &people{users: map[string]string{}, owners: document.Packages}
	for user, hash := range document.Users {
		decoded, err := hex.DecodeString(hash)
		if err != nil || len(decoded) != sha256.Size || user == "" {
			return nil, fmt.Errorf("%s: the user %q needs the SHA-256 of a token, in hexadecimal", file, user)
		}
		if other, isTaken := p.users[string(decoded)]; isTaken {
			return nil, fmt.Errorf("%s: the token of the user %q is the token of another, %q", file, user, other)
		}
		p.users[string(decoded)] = user
	}
	for name := range p.owners {
		_, err := npm.NewPackage(name)
		if err != nil || name != strings.ToLower(name) {
			return nil, fmt.Errorf("%s: %q is no name for a package; use npm's form, in lower case", file, name)
		}
	}
	return p, nil
}

// Authenticate implements httpapi.Authenticator: it tells whose token the Authorization
// header holds. That the hash is looked up, and not the token, keeps the time that this
// takes from telling anything about a token.
func (p *people) Authenticate(r *http.Request) (application.Actor, error) {
	token, err := bearer(r)
	if err != nil {
		return application.Actor{}, err
	}
	hash := sha256.Sum256([]byte(token))
	user, found := p.users[string(hash[:])]
	if !found {
		return application.Actor{}, request.Unauthenticated("The Authorization header holds no user's token.")
	}
	return application.Actor{ID: user}, nil
}

// bearer returns the credential of a request.
func bearer(r *http.Request) (string, error) {
	scheme, token, err := request.Authorization(r)
	if err == nil && !request.IsBearer(scheme) {
		err = request.Unauthenticated("The Authorization header is not of the form: Bearer TOKEN.")
	}
	return token, err
}

// MayManage implements application.Ownership: a package's owners manage its publishers,
// and publish it.
func (p *people) MayManage(_ context.Context, actor application.Actor, pkg domain.Package) error {
	if pkg.Ecosystem != npm.Ecosystem || !slices.Contains(p.owners[pkg.Name], actor.ID) {
		return &domain.Error{
			Kind: domain.KindForbidden, Code: domain.CodeForbidden,
			Message: fmt.Sprintf("You do not own the package %q. Ask one of its owners.", pkg.Name),
		}
	}
	return nil
}

// knows reports whether a package may exist: the operator gave it owners.
func (p *people) knows(pkg domain.Package) bool {
	_, known := p.owners[pkg.Name]
	return known
}
