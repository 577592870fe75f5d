package declared

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/trustpub/trustpub/domain"
)

// Bounds of the lists of a definition.
const (
	maxValues     = 32
	maxRules      = 16
	maxConditions = 32
	maxPinned     = 8
	maxRecorded   = 64
)

// algorithms are the asymmetric JWS algorithms of RFC 7518 section 3.1, which are those
// that the verifier accepts.
var algorithms = [...]string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"}

// part is a piece of a definition, with its place in the file.
type part struct {
	node node
	set  func(*domain.Definition)
}

// definition reads an element of providers, whose name is none of those that are taken.
// What is wrong with a definition is for [domain.Definition.Validate] to say. So that
// its sentence stands at the line that it is about, the definition is put together piece
// by piece, beginning with one that is valid, and the piece with which it ceases to be
// is at fault.
func (r reader) definition(n node, taken map[string]string) (domain.Definition, error) {
	members, err := r.mapping(n, "a provider",
		"name", "issuer", "algorithms", "replay", "required", "optional", "conditions", "pinned", "recorded")
	if err != nil {
		return domain.Definition{}, err
	}
	for _, key := range []string{"name", "algorithms", "replay", "required"} {
		if members[key] == nil {
			return domain.Definition{}, r.fail(n, "the provider has no %s. A provider has name, algorithms, replay and required, and may have issuer, optional, conditions, pinned and recorded", key)
		}
	}
	var parts []part
	for _, read := range []func(map[string]node) ([]part, error){r.scalars, r.rules, r.conditions, r.names} {
		more, err := read(members)
		if err != nil {
			return domain.Definition{}, err
		}
		parts = append(parts, more...)
	}
	d := domain.Definition{
		Name:       "x",
		Algorithms: []string{algorithms[0]},
		Required:   []domain.ClaimRule{{Claim: "x", Match: domain.MatchExact}},
	}
	for _, part := range parts {
		part.set(&d)
		err := d.Validate()
		if err != nil {
			return domain.Definition{}, r.fail(part.node, "%s", sentence(err))
		}
	}
	if why := taken[d.Name]; why != "" {
		return domain.Definition{}, r.fail(members["name"], "the provider %s %s", d.Name, why)
	}
	return d, nil
}

// sentence takes the full stop and the capital from a message, which stands after a
// place in a file.
func sentence(err error) string {
	message := strings.TrimSuffix(domain.MessageOf(err), ".")
	first, size := utf8.DecodeRuneInString(message)
	return string(unicode.ToLower(first)) + message[size:]
}

// scalars reads name, issuer, algorithms and replay.
func (r reader) scalars(members map[string]node) ([]part, error) {
	name, err := r.text(members["name"], "name")
	if err != nil {
		return nil, err
	}
	parts := []part{{members["name"], func(d *domain.Definition) { d.Name = name }}}
	if n := members["issuer"]; n != nil {
		issuer, err := r.text(n, "issuer")
		if err != nil {
			return nil, err
		}
		if issuer == "" {
			return nil, r.fail(n, "issuer must not be empty. Leave it out where every customer has one")
		}
		parts = append(parts, part{n, func(d *domain.Definition) { d.Issuer = issuer }})
	}
	accepted, err := r.list(members, "algorithms", len(algorithms))
	if err != nil {
		return nil, err
	}
	var signed []string
	for _, n := range accepted {
		algorithm, err := r.choice(n, "an algorithm", algorithms[:]...)
		if err != nil {
			return nil, err
		}
		signed = append(signed, algorithm)
	}
	replay, err := r.choice(members["replay"], "replay", "jti", "signing_input")
	if err != nil {
		return nil, err
	}
	return append(parts, part{members["algorithms"], func(d *domain.Definition) {
		d.Algorithms, d.HasJWTID = signed, replay == "jti"
	}}), nil
}

// rules reads required and optional.
func (r reader) rules(members map[string]node) ([]part, error) {
	required, err := r.list(members, "required", maxRules)
	if err != nil {
		return nil, err
	}
	optional, err := r.list(members, "optional", maxRules)
	if err != nil {
		return nil, err
	}
	var parts []part
	for i, n := range required {
		rule, err := r.rule(n)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part{n, func(d *domain.Definition) { d.Required = append(d.Required[:i:i], rule) }})
	}
	for _, n := range optional {
		rule, err := r.rule(n)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part{n, func(d *domain.Definition) { d.Optional = append(d.Optional, rule) }})
	}
	return parts, nil
}

// conditions reads conditions.
func (r reader) conditions(members map[string]node) ([]part, error) {
	elements, err := r.list(members, "conditions", maxConditions)
	if err != nil {
		return nil, err
	}
	var parts []part
	for _, n := range elements {
		condition, err := r.condition(n)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part{n, func(d *domain.Definition) { d.Conditions = append(d.Conditions, condition) }})
	}
	return parts, nil
}

// names reads pinned and recorded.
func (r reader) names(members map[string]node) ([]part, error) {
	pinned, err := r.list(members, "pinned", maxPinned)
	if err != nil {
		return nil, err
	}
	recorded, err := r.list(members, "recorded", maxRecorded)
	if err != nil {
		return nil, err
	}
	var parts []part
	for i, n := range slices.Concat(pinned, recorded) {
		name, err := r.text(n, "the name of a claim")
		if err != nil {
			return nil, err
		}
		parts = append(parts, part{n, func(d *domain.Definition) {
			if i < len(pinned) {
				d.Pinned = append(d.Pinned, name)
				return
			}
			d.Recorded = append(d.Recorded, name)
		}})
	}
	return parts, nil
}
