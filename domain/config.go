package domain

import (
	"slices"
	"strings"
)

// Config is a publisher config of any provider: a package's statement that it
// trusts a workload.
type Config interface {
	// Match returns nil when the config trusts the workload of c, and else the
	// first rule that does not hold.
	Match(c Claims) *Mismatch
	// Grant returns what the config gives to a workload that it trusts.
	Grant() Grant
}

// Grant is a package that a token covers, with the config that justifies it. The
// grant lasts no longer than the config: when the config is deleted, unexpired
// tokens no longer cover the package, unless another grant of theirs does.
type Grant struct {
	// Package is what may be published.
	Package Package
	// Provider and ConfigID name the config. IDs are unique per provider, and never
	// used again.
	Provider string
	ConfigID int64
}

// Rule is one rule of a match. Rules are checked in ascending order.
type Rule int

// The rules, in the order in which they are checked.
const (
	// RuleRepository compares issuer and repository.
	RuleRepository Rule = iota
	// RuleOwnerID compares the immutable ID of the repository's owner.
	RuleOwnerID
	// RuleWorkflow compares the workflow file.
	RuleWorkflow
	// RuleEnvironment compares the deployment environment.
	RuleEnvironment
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
		p := config.Grant().Package
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
		switch {
		case miss == nil:
			grants = append(grants, config.Grant())
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
	repository := quote(claims.Repository().String())

	switch rule {
	case RuleRepository:
		return Refuse(CodeNoPublisher,
			"No publisher is configured for the repository %s at the issuer %s. Add one to the package, then run the job again.",
			repository, quote(claims.Issuer()))
	case RuleOwnerID:
		return Refuse(CodeOwnerIDMismatch,
			"The owner of the repository %s has the ID %s, but its publishers were configured for the ID %s: the account is not the same one. If it is rightly yours, delete these publishers and configure them again.",
			repository, got, expected)
	case RuleWorkflow:
		return Refuse(CodeWorkflowMismatch,
			"The job was started by the workflow file %s, but the publishers of the repository %s expect %s. Exchange the ID token from that workflow, or change the publisher.",
			got, repository, expected)
	case RuleEnvironment:
		return Refuse(CodeEnvironmentMismatch,
			"The job runs in %s, but the publishers of the repository %s for its workflow expect %s. Set the job's environment, or change the publisher.",
			got, repository, expected)
	}
	return Refuse(CodeNoPublisher, "No publisher of the repository %s trusts this job.", repository)
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
