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

var providerName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

func validProviderName(s string) bool { return providerName.MatchString(s) }

// Validate returns what is wrong with the definition, as an error of [KindInvalid].
// That the algorithms are asymmetric is for the verifier to say.
func (d Definition) Validate() error {
	bad := func(format string, args ...any) error { return Invalid(CodeInvalidConfig, format, args...) }
	switch {
	case !validProviderName(d.Name):
		return bad("The provider name %s is not valid. Use a lower-case letter, then up to 31 lower-case letters, digits and hyphens.", quote(d.Name))
	case ConfigKindFor(d.Name) != KindClaimsConfig:
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
