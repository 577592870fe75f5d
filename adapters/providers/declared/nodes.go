package declared

import (
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/trustpub/trustpub/domain"
)

// node is a value in the file, with its place.
type node = ast.Node

// integer is how JSON writes one, which is how the ID token's is compared.
var integer = regexp.MustCompile(`^(0|-?[1-9]\d*)$`)

// mapping returns the members of a mapping, which has keys of those that are known.
func (r reader) mapping(n node, what string, known ...string) (map[string]node, error) {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		return nil, r.fail(n, "%s must be a mapping of %s", what, strings.Join(known, ", "))
	}
	members := make(map[string]node, len(m.Values))
	for _, member := range m.Values {
		key, ok := member.Key.(*ast.StringNode)
		switch {
		case !ok || !slices.Contains(known, key.Value):
			return nil, r.fail(member.Key, "the key %q is not known. Use %s", member.Key.GetToken().Value, strings.Join(known, ", "))
		case members[key.Value] != nil:
			return nil, r.fail(member.Key, "the key %s stands twice. Remove one", key.Value)
		}
		members[key.Value] = member.Value
	}
	return members, nil
}

// list returns the elements of a list, which may be absent. One that is there has 1 to
// most elements.
func (r reader) list(members map[string]node, key string, most int) ([]node, error) {
	n := members[key]
	if n == nil {
		return nil, nil
	}
	s, ok := n.(*ast.SequenceNode)
	if !ok || len(s.Values) == 0 || len(s.Values) > most {
		return nil, r.fail(n, "%s must be a list of 1 to %d elements", key, most)
	}
	return s.Values, nil
}

// text returns a value that must be a string.
func (r reader) text(n node, what string) (string, error) {
	s, ok := n.(*ast.StringNode)
	if !ok {
		return "", r.fail(n, "%s must be a text. Put a number or a word that YAML takes for something else in quotes", what)
	}
	return s.Value, nil
}

// choice returns a value that must be one of those that are known.
func (r reader) choice(n node, what string, known ...string) (string, error) {
	s, ok := n.(*ast.StringNode)
	if !ok || !slices.Contains(known, s.Value) {
		return "", r.fail(n, "%s must be one of %s", what, strings.Join(known, ", "))
	}
	return s.Value, nil
}

// claimValue returns the value of a claim in the form that [domain.RawClaims.Text]
// gives: the text of a string, or what JSON has for a number or a boolean.
func (r reader) claimValue(n node) (string, error) {
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value, nil
	case *ast.BoolNode:
		if v.Value {
			return "true", nil
		}
		return "false", nil
	case *ast.IntegerNode:
		if integer.MatchString(v.Token.Value) {
			return v.Token.Value, nil
		}
	}
	return "", r.fail(n, "the value of a claim must be a text, true, false or a whole number in decimal digits")
}

// rule reads a claim of required or optional: its name, or a mapping of claim and match.
func (r reader) rule(n node) (domain.ClaimRule, error) {
	if s, ok := n.(*ast.StringNode); ok {
		return domain.ClaimRule{Claim: s.Value, Match: domain.MatchExact}, nil
	}
	members, err := r.mapping(n, "a claim", "claim", "match")
	if err != nil {
		return domain.ClaimRule{}, err
	}
	if members["claim"] == nil {
		return domain.ClaimRule{}, r.fail(n, "the name of the claim is missing. Give it as claim")
	}
	rule := domain.ClaimRule{Match: domain.MatchExact}
	rule.Claim, err = r.text(members["claim"], "claim")
	if err != nil {
		return domain.ClaimRule{}, err
	}
	if members["match"] != nil {
		match, err := r.choice(members["match"], "match",
			string(domain.MatchExact), string(domain.MatchIgnoreCase), string(domain.MatchContains), string(domain.MatchFileAtRef))
		if err != nil {
			return domain.ClaimRule{}, err
		}
		rule.Match = domain.ClaimMatch(match)
	}
	return rule, nil
}

// condition reads an element of conditions.
func (r reader) condition(n node) (domain.ClaimCondition, error) {
	members, err := r.mapping(n, "a condition", "claim", "is", "not")
	if err != nil {
		return domain.ClaimCondition{}, err
	}
	if members["claim"] == nil || (members["is"] == nil) == (members["not"] == nil) {
		return domain.ClaimCondition{}, r.fail(n, "a condition has a claim, and either is or not")
	}
	c := domain.ClaimCondition{}
	c.Claim, err = r.text(members["claim"], "claim")
	if err != nil {
		return domain.ClaimCondition{}, err
	}
	c.Is, err = r.claimValues(members, "is")
	if err != nil {
		return domain.ClaimCondition{}, err
	}
	c.Not, err = r.claimValues(members, "not")
	return c, err
}

func (r reader) claimValues(members map[string]node, key string) ([]string, error) {
	elements, err := r.list(members, key, maxValues)
	if err != nil {
		return nil, err
	}
	var values []string
	for _, element := range elements {
		value, err := r.claimValue(element)
		if err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, nil
}
