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

	"github.com/trustpub/trustpub/adapters/httpapi/request"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// people are the registry's users and the owners of its crates. A registry has them in
// its database; this one in a file:
//
//	{"users": {"alice": "SHA-256 of her token, in hexadecimal"}, "crates": {"demo": ["alice"]}}
//
// They stand behind two ports of trustpub, and so decide who configures publishers.
type people struct {
	users  map[string]string // The name, by the hash of the token.
	crates map[string]crate  // By sameName.
}

// crate is a crate that the registry knows. Its name is spelt in this one way: where
// publishers are configured, in what tokens are checked for, and on disk.
type crate struct {
	name   string
	owners []string
}

// loadPeople reads the file. Two crates whose names are the same, names of no valid
// form and hashes that are none are errors.
func loadPeople(file string) (*people, error) {
	content, err := os.ReadFile(file) //nolint:gosec // The operator names the file.
	if err != nil {
		return nil, fmt.Errorf("read the file of people: %w", err)
	}
	var document struct {
		Users  map[string]string   `json:"users"`
		Crates map[string][]string `json:"crates"`
	}
	err = json.Unmarshal(content, &document)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	p := &people{users: map[string]string{}, crates: map[string]crate{}}
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
	for name, owners := range document.Crates {
		if !namePattern.MatchString(name) {
			return nil, fmt.Errorf("%s: %q is no name of a crate", file, name)
		}
		if taken, isTaken := p.crates[sameName(name)]; isTaken {
			return nil, fmt.Errorf("%s: the crate %q is the same as %q", file, name, taken.name)
		}
		p.crates[sameName(name)] = crate{name, owners}
	}
	return p, nil
}

// Authenticate implements httpapi.Authenticator: it tells whose token the Authorization
// header holds. That the hash is looked up, and not the token, keeps the time that this
// takes from telling anything about a token.
func (p *people) Authenticate(r *http.Request) (application.Actor, error) {
	_, token, err := request.Authorization(r)
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

// MayManage implements application.Ownership: a crate's owners manage its publishers,
// and call it by its name as the registry spells it.
func (p *people) MayManage(_ context.Context, actor application.Actor, pkg domain.Package) error {
	known, err := p.crate(pkg.Name)
	if err != nil {
		return err
	}
	if pkg.Ecosystem != ecosystem || !slices.Contains(known.owners, actor.ID) {
		return &domain.Error{
			Kind: domain.KindForbidden, Code: domain.CodeForbidden,
			Message: fmt.Sprintf("You do not own the package %q. Ask one of its owners.", pkg),
		}
	}
	return nil
}

// crate returns the crate of that name. One that the registry does not know is
// KindNotFound. Another spelling of a known one is KindInvalid: were it let through,
// one crate would have two names, and trust in one of them might be meant for the other.
func (p *people) crate(name string) (crate, error) {
	known, found := p.crates[sameName(name)]
	if !found {
		return crate{}, &domain.Error{
			Kind: domain.KindNotFound, Code: domain.CodeNotFound,
			Message: fmt.Sprintf("The registry has no crate %q. Ask its operator for it.", shorten(name)),
		}
	}
	if known.name != name {
		return crate{}, invalid("The crate %q is called %q here. Use that name.", shorten(name), known.name)
	}
	return known, nil
}
