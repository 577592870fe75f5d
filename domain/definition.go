package domain

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Definition describes what the ID tokens of a provider say, for a provider that
// needs no code of its own: which claims a config must give and which it may, which
// a job may not have, what is recorded, and how an ID token is told from another. Its
// fields are not changed once it is in use.
type Definition struct {
	// Name is the kind of provider: "circleci". It is a lower-case letter, then up to
	// 31 lower-case letters, digits and hyphens, and neither github nor gitlab.
	Name string
	// Issuer is the issuer of the public service; empty where every customer has one.
	Issuer string
	// Algorithms are the JWS algorithms that the provider signs with. At least one.
	Algorithms []string
	// HasJWTID reports whether its ID tokens have a jti of their own. Where they have
	// none, the SHA-256 of the JWS signing input takes its place.
	HasJWTID bool
	// Required are the claims that a config must give. Together they name the
	// workload: configs are looked up by them. At least one.
	Required []ClaimRule
	// Optional are further claims that a config may give.
	Optional []ClaimRule
	// Conditions are what holds for every job that publishes, whatever the config.
	Conditions []ClaimCondition
	// Pinned are the claims with immutable IDs to which a config is pinned at the first
	// exchange whose ID token has them. From then on an ID token without one is refused.
	Pinned []string
	// Recorded are the claims that are kept for the audit record and introspection.
	Recorded []string
}

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

var providerName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

func validProviderName(s string) bool { return providerName.MatchString(s) }

// Validate returns what is wrong with the definition, as an error of [KindInvalid].
// That the algorithms are asymmetric is for the verifier to say.
func (d Definition) Validate() error {
	bad := func(format string, args ...any) error { return Invalid(CodeInvalidConfig, format, args...) }
	switch {
	case !validProviderName(d.Name):
		return bad("The provider name %s is not valid. Use a lower-case letter, then up to 31 lower-case letters, digits and hyphens.", quote(d.Name))
	case d.Name == ProviderGitHub, d.Name == ProviderGitLab:
		return bad("The provider name %s is that of a provider with rules of its own. Choose another.", quote(d.Name))
	case len(d.Algorithms) == 0:
		return bad("The provider %s has no algorithm. Name those that it signs with, such as RS256.", d.Name)
	case len(d.Required) == 0:
		return bad("The provider %s has no required claim. Name those that tell one workload from all others.", d.Name)
	case len(d.Required)+len(d.Optional) > maxConfigClaims:
		return bad("The provider %s has more than %d claims for its publishers.", d.Name, maxConfigClaims)
	}
	for i, algorithm := range d.Algorithms {
		if slices.Contains(d.Algorithms[:i], algorithm) {
			return bad("The algorithm %s is named twice. Remove one.", quote(algorithm))
		}
	}
	if d.Issuer != "" {
		err := ValidateIssuer(d.Issuer)
		if err != nil {
			return err
		}
	}
	return d.validateClaims()
}

func (d Definition) validateClaims() error {
	seen := map[string]bool{}
	for i, rule := range slices.Concat(d.Required, d.Optional) {
		switch {
		case !validClaimName(rule.Claim):
			return Invalid(CodeInvalidConfig, "The claim name %s is not valid. Use 1 to %d bytes without control characters.", quote(rule.Claim), maxLength)
		case slices.Contains(registeredClaims[:], rule.Claim):
			return Invalid(CodeInvalidConfig, "The claim %s is checked for every provider, and tells no workload. Leave it out.", quote(rule.Claim))
		case seen[rule.Claim]:
			return Invalid(CodeInvalidConfig, "The claim %s is named twice. Remove one.", quote(rule.Claim))
		case !slices.Contains([]ClaimMatch{MatchExact, MatchIgnoreCase, MatchContains, MatchFileAtRef}, rule.Match):
			return Invalid(CodeInvalidConfig, "The match %s of the claim %s is not known. Use exact, ignore_case, contains or file_at_ref.", quote(string(rule.Match)), quote(rule.Claim))
		case rule.Match == MatchContains && i < len(d.Required):
			return Invalid(CodeInvalidConfig, "The claim %s is a list, so it can't be required: it does not tell one workload from another. Make it optional.", quote(rule.Claim))
		}
		seen[rule.Claim] = true
	}
	for _, c := range d.Conditions {
		err := c.validate()
		if err != nil {
			return err
		}
	}
	for _, name := range d.Pinned {
		if slices.Contains(registeredClaims[:], name) {
			return Invalid(CodeInvalidConfig, "The claim %s is no immutable ID of a workload, so nothing can be pinned to it. Leave it out.", quote(name))
		}
	}
	err := validClaimNames(d.Pinned)
	if err != nil {
		return err
	}
	return validClaimNames(d.Recorded)
}

// registeredClaims are checked for every provider, and tell no workload (RFC 7519
// section 4.1). sub is not among them: at some providers it is an immutable ID.
var registeredClaims = [...]string{"iss", "aud", "exp", "nbf", "iat", "jti"}

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

func validClaimNames(names []string) error {
	for i, name := range names {
		switch {
		case !validClaimName(name):
			return Invalid(CodeInvalidConfig, "The claim name %s is not valid. Use 1 to %d bytes without control characters.", quote(name), maxLength)
		case slices.Contains(names[:i], name):
			return Invalid(CodeInvalidConfig, "The claim %s is named twice. Remove one.", quote(name))
		}
	}
	return nil
}

func validClaimName(s string) bool { return s != "" && len(s) <= maxLength && !hasControl(s) }

// Workload reads who the job is. Refusals are of [KindRefused].
func (d Definition) Workload(raw RawClaims) (Workload, error) {
	for _, condition := range d.Conditions {
		err := condition.check(raw)
		if err != nil {
			return Workload{}, err
		}
	}
	facts := map[string][]string{}
	for i, rule := range slices.Concat(d.Required, d.Optional) {
		values, err := rule.read(raw)
		if err != nil {
			return Workload{}, err
		}
		if len(values) == 0 && i < len(d.Required) {
			return Workload{}, Refuse(CodeMissingClaim, "The ID token lacks the claim %s, by which the publishers of %s are told apart.", quote(rule.Claim), d.Name)
		}
		if len(values) > 0 {
			facts[rule.Claim] = values
		}
	}
	ids := map[string]string{}
	for _, name := range d.Pinned {
		id, ok := raw.Text(name)
		if len(id) > maxLength {
			return Workload{}, Refuse(CodeInvalidClaim, "The claim %s of the ID token is longer than %d bytes.", quote(name), maxLength)
		}
		if ok {
			ids[name] = id
		}
	}
	key, source := d.lookup(facts)
	return Workload{
		Provider: d.Name, Key: key, Source: source,
		IDs: ids, Facts: facts, Details: raw.Details(d.Recorded),
	}, nil
}

// Complete checks the claims of a new config against the definition, and returns the
// values with what follows from it. Errors are of [KindInvalid] with
// [CodeInvalidConfig].
func (d Definition) Complete(p ClaimsConfigParams) (ClaimsConfigParams, error) {
	rules := map[string]ClaimRule{}
	for _, rule := range slices.Concat(d.Required, d.Optional) {
		rules[rule.Claim] = rule
	}
	err := validConfigClaims(p.Claims)
	if err != nil {
		return ClaimsConfigParams{}, err
	}
	claims := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(p.Claims)) {
		rule, known := rules[name]
		if !known {
			return ClaimsConfigParams{}, Invalid(CodeInvalidConfig, "The claim %s is not one that a publisher of %s can be made of. Those are %s.", quote(name), d.Name, d.claimNames())
		}
		claims[name], err = rule.normalise(p.Claims[name])
		if err != nil {
			return ClaimsConfigParams{}, err
		}
	}
	for _, rule := range d.Required {
		if len(claims[rule.Claim]) == 0 {
			return ClaimsConfigParams{}, Invalid(CodeInvalidConfig, "The claim %s is missing. A publisher of %s can be made of %s.", quote(rule.Claim), d.Name, d.claimNames())
		}
	}
	p.Provider, p.Claims = d.Name, claims
	p.Key, p.Source = d.lookup(claims)
	return p, nil
}

func (d Definition) claimNames() string {
	var names []string
	for i, rule := range slices.Concat(d.Required, d.Optional) {
		name := rule.Claim
		if i < len(d.Required) {
			name += " (required)"
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

// lookup returns the key and the name of a workload, made of its required claims in
// the order of their names. The key is a hash, which ends every question of length
// and of characters in an index.
func (d Definition) lookup(values map[string][]string) (key, source string) {
	var parts, shown []string
	for _, rule := range slices.SortedFunc(slices.Values(d.Required), func(a, b ClaimRule) int { return strings.Compare(a.Claim, b.Claim) }) {
		parts = append(parts, rule.Claim, values[rule.Claim][0])
		shown = append(shown, rule.Claim+"="+values[rule.Claim][0])
	}
	hash := sha256.Sum256([]byte(identity(parts...)))
	return "sha256:" + hex.EncodeToString(hash[:]), strings.Join(shown, ", ")
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
// there is one way to read it. Both sides may hold an "@", as tags do that name a
// version of a package (refs/tags/package@1.0.0). But were the first or the last one
// taken as it comes, a file or a branch with "@refs/" in its name could pass for another
// file.
func fileAtRef(s string) (path string, ok bool) {
	readings := 0
	for i := range len(s) {
		if s[i] != '@' || i == 0 {
			continue
		}
		ref := s[i+1:]
		if isCommitHash(ref) || strings.HasPrefix(ref, "refs/") && ref != "refs/" {
			path = s[:i]
			readings++
		}
	}
	return path, readings == 1 && !strings.Contains(path, "@")
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
