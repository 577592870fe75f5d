package domain

import (
	"slices"
	"strings"
)

// ClaimRule is how a claim of an ID token compares with that of a config.
type ClaimRule struct {
	// Claim is the claim's name.
	Claim string
	// Match is how it compares.
	Match ClaimMatch
}

// ClaimMatch is how a claim compares with a config's value.
type ClaimMatch string

// The ways of comparing. Numbers and booleans compare as the text that JSON has for
// them.
const (
	// MatchExact compares byte for byte.
	MatchExact ClaimMatch = "exact"
	// MatchIgnoreCase compares without regard to ASCII case.
	MatchIgnoreCase ClaimMatch = "ignore_case"
	// MatchContains is for a claim that is a list: it must hold every value of the
	// config's.
	MatchContains ClaimMatch = "contains"
	// MatchFileAtRef is for a claim of the form PATH@REF, where PATH holds no "@" and
	// REF is a commit hash or begins with refs/: PATH compares byte for byte.
	MatchFileAtRef ClaimMatch = "file_at_ref"
)

// ClaimCondition is what a claim must or must not be.
type ClaimCondition struct {
	// Claim is the claim's name.
	Claim string
	// Is are the values of which the claim must have one; Not are those of which it
	// must have none. One of the two is given. A claim that the ID token lacks has
	// none of any values: Is refuses it, and Not lets it pass.
	Is, Not []string
}

// validate returns what is wrong with the condition. An empty value is what a claim has
// that is absent, so that a condition with one would not ask for the claim.
func (c ClaimCondition) validate() error {
	if !validClaimName(c.Claim) || (len(c.Is) == 0) == (len(c.Not) == 0) {
		return Invalid(CodeInvalidConfig, "The condition on the claim %s is not valid. Give the values that it must have one of, or those that it must have none of.", quote(c.Claim))
	}
	for _, value := range slices.Concat(c.Is, c.Not) {
		if value == "" || len(value) > maxFact || hasControl(value) {
			return Invalid(CodeInvalidConfig, "The value %s in the condition on the claim %s is not valid. Use 1 to %d bytes without control characters.", quote(value), quote(c.Claim), maxFact)
		}
	}
	return nil
}

// check refuses an ID token under which no job publishes.
func (c ClaimCondition) check(raw RawClaims) error {
	value, readable := raw.Text(c.Claim)
	switch {
	case !readable && raw[c.Claim] != nil && raw[c.Claim] != "":
		return Refuse(CodeInvalidClaim, "The claim %s of the ID token must be a string, a number or a boolean.", quote(c.Claim))
	case len(c.Is) > 0 && !slices.Contains(c.Is, value):
		return Refuse(CodeForbiddenClaim, "The claim %s of the ID token is %s, but a job that publishes has %s. Publish from such a job.", quote(c.Claim), quote(value), strings.Join(c.Is, " or "))
	case slices.Contains(c.Not, value):
		return Refuse(CodeForbiddenClaim, "The claim %s of the ID token is %s, under which no job may publish. Publish from another job.", quote(c.Claim), quote(value))
	}
	return nil
}

// read returns the values of the claim in an ID token, none where it is absent.
func (r ClaimRule) read(raw RawClaims) ([]string, error) {
	if r.Match == MatchContains {
		list, ok := raw[r.Claim].([]any)
		if !ok {
			return nil, nil
		}
		var values []string
		for _, member := range list {
			// Only what is a string can be what a config names.
			if s, ok := member.(string); ok && len(s) <= maxLength && !hasControl(s) {
				values = append(values, s)
			}
		}
		return values, nil
	}
	value, ok := raw.Text(r.Claim)
	if !ok {
		return nil, nil
	}
	if len(value) > maxFact {
		return nil, Refuse(CodeInvalidClaim, "The claim %s of the ID token is longer than %d bytes.", quote(r.Claim), maxFact)
	}
	switch r.Match {
	case MatchIgnoreCase:
		return []string{foldASCII(value)}, nil
	case MatchFileAtRef:
		path, ok := fileAtRef(value)
		if !ok {
			return nil, Refuse(CodeInvalidClaim, "The claim %s of the ID token is %s, which is not of the form PATH@REF in one reading only.", quote(r.Claim), quote(value))
		}
		return []string{path}, nil
	case MatchExact, MatchContains:
	}
	return []string{value}, nil
}

// fileAtRef returns the path of a file at a git reference, PATH@REF, and reports whether
// there is one way to read it. A reference may hold an "@", as tags do that name the
// version of a package (refs/tags/package@1.0.0), and so may the name of a file. Were
// the first or the last one taken as it comes, then a file or a branch with "@refs/" in
// its name could pass for another file.
func fileAtRef(s string) (path string, ok bool) {
	for i := len(s) - 1; i > 0; i-- {
		ref := s[i+1:]
		if s[i] == '@' && (isCommitHash(ref) || strings.HasPrefix(ref, "refs/") && ref != "refs/") {
			// This is the last place where a reference can begin; in a path without "@",
			// it is the first one too.
			return s[:i], !strings.Contains(s[:i], "@")
		}
	}
	return "", false
}

// maxFact is the longest claim in bytes that is compared.
const maxFact = 1024

// normalise returns the values of a config in the form that read gives.
func (r ClaimRule) normalise(values []string) ([]string, error) {
	if len(values) > 1 && r.Match != MatchContains {
		return nil, Invalid(CodeInvalidConfig, "The claim %s has one value. Make a publisher for each.", quote(r.Claim))
	}
	normal := slices.Clone(values)
	switch r.Match {
	case MatchIgnoreCase:
		normal[0] = foldASCII(normal[0])
	case MatchFileAtRef:
		if strings.Contains(normal[0], "@") {
			return nil, Invalid(CodeInvalidConfig, "The value %s of the claim %s must be a path, without @ and the reference.", quote(normal[0]), quote(r.Claim))
		}
	case MatchExact, MatchContains:
	}
	return normal, nil
}
