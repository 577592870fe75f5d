package domain

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config is a publisher config of any provider: a package's statement that it
// trusts a workload. [GitHubConfig], [GitLabConfig] and [ClaimsConfig] are the
// kinds. A config can't be changed once made, and is safe for concurrent use.
type Config interface {
	// Common returns what configs of all kinds have.
	Common() Common
	// Identity returns a text that is the same for identical configs of one package,
	// and for no others.
	Identity() string
	// Match returns nil when the config trusts the workload of c, and else the first
	// rule that does not hold.
	Match(c Claims) *Mismatch
	// Stored returns the config with what a store adds to it: its number, and the IDs
	// that it is pinned to.
	Stored(id int64, pinned map[string]string) Config
}

// ConfigKind is a kind of config, which is how its values are laid out.
type ConfigKind string

// The kinds of configs.
const (
	KindGitHubConfig ConfigKind = "github"
	KindGitLabConfig ConfigKind = "gitlab"
	// KindClaimsConfig is that of all providers that are described by a [Definition].
	KindClaimsConfig ConfigKind = "claims"
)

// ConfigKindFor returns the kind of the configs of a provider.
func ConfigKindFor(provider string) ConfigKind {
	switch provider {
	case ProviderGitHub:
		return KindGitHubConfig
	case ProviderGitLab:
		return KindGitLabConfig
	}
	return KindClaimsConfig
}

// Common is what configs of all kinds have.
type Common struct {
	// ID is the store's number of the config; zero before it was stored.
	ID int64
	// CreatedAt is when it was made.
	CreatedAt time.Time
	// Package is what the workload may publish.
	Package Package
	// Provider and Issuer are whose ID tokens the config trusts.
	Provider, Issuer string
	// Key is what the config is looked up by: the [Claims.Key] of its workload.
	Key string
	// Pinned are the immutable IDs, by the provider's names, that the workload must
	// have. It is empty before the first exchange, unless the owner named some.
	Pinned map[string]string
}

// Grant returns what a config with c gives to a workload that it trusts.
func (c Common) Grant() Grant {
	return Grant{Package: c.Package, Provider: c.Provider, ConfigID: c.ID}
}

// ConfigParams are the values of a new config of any kind, before they are checked.
type ConfigParams interface {
	// About returns what decides who may make the config: its provider, its issuer,
	// which may be empty, and its package.
	About() (provider, issuer string, pkg Package)
	// Fresh returns the values for a config that is made now at that issuer, without
	// what only a store knows.
	Fresh(issuer string, now time.Time) ConfigParams
	// Config checks the values and returns the config. Errors are of [KindInvalid]
	// with [CodeInvalidConfig], and say which value is wrong and what is accepted.
	Config() (Config, error)
}

// config is what the kinds of configs share.
type config struct{ common Common }

func newConfig(c Common) (config, error) {
	pkg, err := NewPackage(c.Package.Ecosystem, c.Package.Name)
	if err != nil {
		return config{}, err
	}
	if c.Issuer == "" {
		return config{}, Invalid(CodeInvalidConfig, "The issuer is missing. Name the issuer whose ID tokens the publisher trusts.")
	}
	for name, id := range c.Pinned {
		if id == "" || len(id) > maxLength || hasControl(id) {
			return config{}, Invalid(CodeInvalidConfig, "The %s %s is not valid. Use the provider's immutable ID, or leave it out to have it taken from the first exchange.", name, quote(id))
		}
	}
	c.Package, c.Pinned = pkg, maps.Clone(c.Pinned)
	return config{c}, nil
}

// Common implements [Config].
func (c config) Common() Common {
	common := c.common
	common.Pinned = maps.Clone(common.Pinned)
	return common
}

// ID returns the store's number of the config; zero before it was stored.
func (c config) ID() int64 { return c.common.ID }

// CreatedAt returns when the config was made.
func (c config) CreatedAt() time.Time { return c.common.CreatedAt }

// Package returns what the workload may publish.
func (c config) Package() Package { return c.common.Package }

// Issuer returns the one issuer whose ID tokens the config trusts.
func (c config) Issuer() string { return c.common.Issuer }

// Grant returns what the config gives to a workload that it trusts.
func (c config) Grant() Grant { return c.common.Grant() }

func (c config) stored(id int64, pinned map[string]string) config {
	c.common.ID, c.common.Pinned = id, maps.Clone(pinned)
	return c
}

// matchSource checks provider, issuer and key. A workload with the very IDs that the
// config is pinned to has changed its name.
func (c config) matchSource(claims Claims, expected string) *Mismatch {
	isIssuers := claims.Provider() == c.common.Provider && claims.Issuer() == c.common.Issuer
	if isIssuers && claims.Key() == c.common.Key {
		return nil
	}
	miss := &Mismatch{Rule: RuleRepository, Got: quote(claims.Source()), Expected: quote(expected)}
	if isIssuers && len(c.common.Pinned) > 0 && c.matchPins(claims) == nil {
		miss.Rule = RuleRenamed
	}
	return miss
}

// matchPins checks the immutable IDs that the config is pinned to.
func (c config) matchPins(claims Claims) *Mismatch {
	var differ []string
	for name, want := range c.common.Pinned {
		if claims.workload.IDs[name] != want {
			differ = append(differ, name)
		}
	}
	if len(differ) == 0 {
		return nil
	}
	name := slices.Min(differ) // So that one workload is always told the same.
	return &Mismatch{Rule: RulePinnedID, Got: name + " " + quote(claims.workload.IDs[name]), Expected: quote(c.common.Pinned[name])}
}

// identity joins values into a text that no other values give.
func identity(values ...string) string {
	var b strings.Builder
	for _, v := range values {
		b.WriteString(strconv.Quote(v))
	}
	return b.String()
}

// Grant is a package that a token covers, with the config that justifies it. The
// grant lasts no longer than the config: when the config is deleted, unexpired
// tokens no longer cover the package, unless another grant of theirs does.
type Grant struct {
	// Package is what may be published.
	Package Package
	// Provider and ConfigID name the config. IDs are never used again.
	Provider string
	ConfigID int64
}

// Rule is one rule of a match. Rules are checked in ascending order.
type Rule int

// The rules, in the order in which they are checked.
const (
	// RuleRepository compares issuer and repository.
	RuleRepository Rule = iota
	// RuleRenamed is the repository of the config under another name: its immutable
	// IDs are those that the config is pinned to.
	RuleRenamed
	// RuleOwnerID compares the immutable ID of the repository's owner.
	RuleOwnerID
	// RulePinnedID compares the immutable IDs that the config is pinned to.
	RulePinnedID
	// RuleWorkflow compares the workflow file.
	RuleWorkflow
	// RuleReusableWorkflow compares the reusable workflow that the steps come from.
	RuleReusableWorkflow
	// RuleEnvironment compares the deployment environment.
	RuleEnvironment
	// RuleClaim compares another claim.
	RuleClaim
)

// Mismatch says which rule of a config a workload fails, and how.
type Mismatch struct {
	// Rule is the first rule that fails; those before it hold.
	Rule Rule
	// Got is what the ID token carries, and Expected what the config asks for.
	Got, Expected string
}

// ForPackages keeps the configs of one ecosystem, and of one package. An empty
// ecosystem is any, and so is the zero package.
func ForPackages(configs []Config, ecosystem string, pkg Package) []Config {
	if ecosystem == "" && pkg == (Package{}) {
		return configs
	}
	var kept []Config
	for _, config := range configs {
		p := config.Common().Package
		if (ecosystem == "" || p.Ecosystem == ecosystem) && (pkg == Package{} || p == pkg) {
			kept = append(kept, config)
		}
	}
	return kept
}

// Authorize returns the grants of the configs that trust the workload of claims.
// Where none does, it refuses with the rule that the nearest config failed, what
// the ID token carried, and what those configs expected.
func Authorize(configs []Config, claims Claims) ([]Grant, error) {
	var grants []Grant
	nearest := RuleRepository
	var misses []*Mismatch
	for _, config := range configs {
		miss := config.Match(claims)
		if miss == nil {
			miss = contradiction(configs, config.Common(), claims)
		}
		switch {
		case miss == nil:
			grants = append(grants, config.Common().Grant())
		case miss.Rule > nearest:
			nearest, misses = miss.Rule, []*Mismatch{miss}
		case miss.Rule == nearest:
			misses = append(misses, miss)
		}
	}
	if len(grants) == 0 {
		return nil, refusal(nearest, misses, claims)
	}
	return grants, nil
}

// contradiction returns how a workload fails the pin of another config for the same
// package and repository, in an ID that the config which trusts it, own, is not pinned
// to yet: what has taken the name of a repository must not get in by a config that
// nobody has used.
func contradiction(configs []Config, own Common, claims Claims) *Mismatch {
	for _, other := range configs {
		common := other.Common()
		if common.Package != own.Package || common.Provider != own.Provider || common.Issuer != own.Issuer || common.Key != own.Key {
			continue
		}
		if own.pinsAll(common.Pinned) {
			continue
		}
		maps.DeleteFunc(common.Pinned, func(name, _ string) bool {
			_, pinned := own.Pinned[name]
			return pinned
		})
		miss := config{common}.matchPins(claims)
		if miss != nil {
			return miss
		}
	}
	return nil
}

// refusal words the failure of rule for a maintainer who reads it in a job's log.
func refusal(rule Rule, misses []*Mismatch, claims Claims) *Error {
	var got string
	var wanted []string
	for _, m := range misses {
		got = m.Got
		wanted = append(wanted, m.Expected)
	}
	slices.Sort(wanted)
	expected := strings.Join(slices.Compact(wanted), " or ")
	repository := quote(claims.Source())
	workload := "the repository " + repository
	if claims.workload.Source != "" {
		workload = "the workload " + repository
	}

	switch rule {
	case RuleRepository:
		return Refuse(CodeNoPublisher,
			"No publisher is configured for %s at the issuer %s. Add one to the package, then run the job again.",
			workload, quote(claims.Issuer()))
	case RuleRenamed:
		return Refuse(CodeRepositoryRenamed,
			"The publishers for %s were configured when it was called %s: it was renamed or moved. Delete these publishers and configure them for the new name.",
			workload, expected)
	case RuleOwnerID:
		return Refuse(CodeOwnerIDMismatch,
			"The owner of the repository %s has the ID %s, but its publishers were configured for the ID %s: the account is not the same one. If it is rightly yours, delete these publishers and configure them again.",
			repository, got, expected)
	case RulePinnedID:
		return Refuse(CodePinnedIDMismatch,
			"The name %s stands for the %s now, but its publishers were pinned to %s at their first exchange: what had the name was deleted and made again, or another has taken it. If it is rightly yours, delete these publishers and configure them again.",
			repository, got, expected)
	case RuleWorkflow:
		return Refuse(CodeWorkflowMismatch,
			"The job was started by the workflow file %s, but the publishers of the repository %s expect %s. Exchange the ID token from that workflow, or change the publisher.",
			got, repository, expected)
	case RuleReusableWorkflow:
		return Refuse(CodeReusableWorkflowMismatch,
			"The steps of the job come from %s, but the publishers of the repository %s expect the reusable workflow %s. Call that one, or change the publisher.",
			got, repository, expected)
	case RuleEnvironment:
		return Refuse(CodeEnvironmentMismatch,
			"The job runs in %s, but the publishers of the repository %s for its workflow expect %s. Set the job's environment, or change the publisher.",
			got, repository, expected)
	case RuleClaim:
		return Refuse(CodeClaimMismatch,
			"The ID token has %s, but the publishers of %s expect %s. Run the job as they expect, or change the publisher.",
			got, repository, expected)
	}
	return Refuse(CodeNoPublisher, "No publisher of the repository %s trusts this job.", repository)
}

// Pin is the immutable IDs of its workload that a config takes from its first
// exchange.
type Pin struct {
	// ConfigID is the config's number.
	ConfigID int64
	// Before are the IDs that it was pinned to when it was matched, and After those
	// that it is pinned to from now on. After holds Before.
	Before, After map[string]string
}

// Pins returns what the configs behind the grants are to be pinned to, because the
// workload of claims has an immutable ID that they do not name yet.
func Pins(configs []Config, grants []Grant, claims Claims) []Pin {
	var pins []Pin
	for _, config := range configs {
		common := config.Common()
		if common.pinsAll(claims.workload.IDs) || !slices.Contains(grants, common.Grant()) {
			continue
		}
		after := maps.Clone(common.Pinned)
		if after == nil {
			after = map[string]string{}
		}
		for name, id := range claims.workload.IDs {
			if _, pinned := after[name]; !pinned && id != "" {
				after[name] = id
			}
		}
		pins = append(pins, Pin{ConfigID: common.ID, Before: common.Pinned, After: after})
	}
	return pins
}

// pinsAll reports whether the config names each of the IDs already.
func (c Common) pinsAll(ids map[string]string) bool {
	for name, id := range ids {
		if _, pinned := c.Pinned[name]; !pinned && id != "" {
			return false
		}
	}
	return true
}

// Narrow keeps the grants for the packages of only. An empty only keeps all of
// them; a package that no grant covers is an error of [KindInvalid] with
// [CodeInvalidScope].
func Narrow(grants []Grant, only []Package) ([]Grant, error) {
	if len(only) == 0 {
		return grants, nil
	}
	for _, p := range only {
		if !covers(grants, p) {
			return nil, Invalid(CodeInvalidScope,
				"The scope %s is not among what this job may publish. Leave the scope out to get all of it.", quote(p.Scope()))
		}
	}
	return slices.DeleteFunc(slices.Clone(grants), func(g Grant) bool {
		return !slices.Contains(only, g.Package)
	}), nil
}

func covers(grants []Grant, p Package) bool {
	return slices.ContainsFunc(grants, func(g Grant) bool { return g.Package == p })
}
