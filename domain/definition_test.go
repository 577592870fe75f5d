package domain_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/domain"
)

const hash = "9f3182061f1e2cca4702c368cbc039b7dc9d4485"

// corpCI is a definition that uses every way of comparing.
func corpCI(changes ...func(*domain.Definition)) domain.Definition {
	d := domain.Definition{
		Name: "corp-ci", Algorithms: []string{"RS256"},
		Required: []domain.ClaimRule{
			{Claim: "repository", Match: domain.MatchIgnoreCase},
			{Claim: "workflow", Match: domain.MatchFileAtRef},
		},
		Optional: []domain.ClaimRule{
			{Claim: "branch", Match: domain.MatchExact},
			{Claim: "groups", Match: domain.MatchContains},
		},
		Conditions: []domain.ClaimCondition{
			{Claim: "event", Is: []string{"push", "release"}},
			{Claim: "interactive", Not: []string{"true"}},
		},
		Pinned:   []string{"repository_id"},
		Recorded: []string{"repository", "run"},
	}
	for _, change := range changes {
		change(&d)
	}
	return d
}

// corpClaims are the claims of a job that corpCI accepts.
func corpClaims(changes ...func(domain.RawClaims)) domain.RawClaims {
	raw := domain.RawClaims{
		"repository": "Acme/Widget", "repository_id": json.Number("42"),
		"workflow": "ci/publish.yml@refs/heads/main", "branch": "main",
		"groups": []any{"staff", "release"}, "event": "push", "interactive": false,
		"run": json.Number("7"), "secret_plan": "unread",
	}
	for _, change := range changes {
		change(raw)
	}
	return raw
}

func set(name string, value any) func(domain.RawClaims) {
	return func(raw domain.RawClaims) { raw[name] = value }
}

func without(name string) func(domain.RawClaims) {
	return func(raw domain.RawClaims) { delete(raw, name) }
}

func TestADefinitionIsValid(t *testing.T) {
	tests := []struct {
		name   string
		change func(*domain.Definition)
	}{
		{"with everything", func(*domain.Definition) {}},
		{"without what may be absent", func(d *domain.Definition) { d.Optional, d.Conditions, d.Pinned, d.Recorded = nil, nil, nil, nil }},
		{"with an issuer", func(d *domain.Definition) { d.Issuer = "https://ci.corp.example" }},
		{"with a name of 32 letters", func(d *domain.Definition) { d.Name = strings.Repeat("x", 32) }},
		{"with sub pinned", func(d *domain.Definition) { d.Pinned = []string{"sub"} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.NoError(t, corpCI(tt.change).Validate())
		})
	}
}

func TestADefinitionIsNotValid(t *testing.T) {
	rules := func(n int) []domain.ClaimRule {
		var rules []domain.ClaimRule
		for i := range n {
			rules = append(rules, domain.ClaimRule{Claim: strings.Repeat("c", i+1), Match: domain.MatchExact})
		}
		return rules
	}
	tests := []struct {
		name   string
		change func(*domain.Definition)
		want   string
	}{
		{"zero", func(d *domain.Definition) { *d = domain.Definition{} }, "provider name"},
		{"without a name", func(d *domain.Definition) { d.Name = "" }, "provider name"},
		{"with a name in upper case", func(d *domain.Definition) { d.Name = "Corp" }, "lower-case letter"},
		{"with a name that begins with a digit", func(d *domain.Definition) { d.Name = "1ci" }, "lower-case letter"},
		{"with a name of 33 letters", func(d *domain.Definition) { d.Name = strings.Repeat("x", 33) }, "31"},
		{"with a line end in its name", func(d *domain.Definition) { d.Name = "corp\n" }, "provider name"},
		{"under the name of GitHub", func(d *domain.Definition) { d.Name = domain.ProviderGitHub }, "rules of its own"},
		{"under the name of GitLab", func(d *domain.Definition) { d.Name = domain.ProviderGitLab }, "rules of its own"},
		{"without an algorithm", func(d *domain.Definition) { d.Algorithms = nil }, "no algorithm"},
		{"with an algorithm twice", func(d *domain.Definition) { d.Algorithms = []string{"RS256", "RS256"} }, "named twice"},
		{"with an issuer in plain text", func(d *domain.Definition) { d.Issuer = "http://ci.corp.example" }, "use https"},
		{"without a required claim", func(d *domain.Definition) { d.Required = nil }, "no required claim"},
		{"with 17 claims", func(d *domain.Definition) { d.Required, d.Optional = rules(10), rules(17)[10:] }, "more than 16"},
		{"with a required claim without a name", func(d *domain.Definition) { d.Required[0].Claim = "" }, "claim name"},
		{"with a required claim of 256 bytes", func(d *domain.Definition) { d.Required[0].Claim = strings.Repeat("x", 256) }, "255"},
		{"with a control character in a claim's name", func(d *domain.Definition) { d.Optional[0].Claim = "a\x00" }, "control characters"},
		{"with a claim twice", func(d *domain.Definition) { d.Optional[0].Claim = "repository" }, "named twice"},
		{"with a claim that tells no workload", func(d *domain.Definition) { d.Required[0].Claim = "aud" }, "tells no workload"},
		{"without a match", func(d *domain.Definition) { d.Required[0].Match = "" }, "not known"},
		{"with a match that is not known", func(d *domain.Definition) { d.Optional[0].Match = "glob" }, "not known"},
		{"with a required list", func(d *domain.Definition) { d.Required[0].Match = domain.MatchContains }, "Make it optional"},
		{"with a condition without values", func(d *domain.Definition) { d.Conditions[0].Is = nil }, "condition"},
		{"with a condition with is and not", func(d *domain.Definition) { d.Conditions[0].Not = []string{"x"} }, "condition"},
		{"with a condition on nothing", func(d *domain.Definition) { d.Conditions[0].Claim = "" }, "condition"},
		{"with a condition that absence meets", func(d *domain.Definition) { d.Conditions[0].Is = []string{"push", ""} }, "1 to 1024 bytes"},
		{"with a condition on a control character", func(d *domain.Definition) { d.Conditions[1].Not = []string{"a\nb"} }, "control characters"},
		{"with a claim pinned twice", func(d *domain.Definition) { d.Pinned = []string{"id", "id"} }, "named twice"},
		{"with a pinned claim without a name", func(d *domain.Definition) { d.Pinned = []string{""} }, "claim name"},
		{"with a pin that each ID token has anew", func(d *domain.Definition) { d.Pinned = []string{"jti"} }, "no immutable ID"},
		{"with a claim recorded twice", func(d *domain.Definition) { d.Recorded = []string{"run", "run"} }, "named twice"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := corpCI(tt.change).Validate()

			require.Equal(t, domain.KindInvalid, domain.KindOf(err))
			require.Equal(t, domain.CodeInvalidConfig, domain.CodeOf(err))
			require.Contains(t, domain.MessageOf(err), tt.want)
		})
	}
}

func TestADefinitionReadsTheWorkload(t *testing.T) {
	got, err := corpCI().Workload(corpClaims())

	require.NoError(t, err)
	require.Equal(t, domain.Workload{
		Provider: "corp-ci",
		Key:      got.Key,
		Source:   "repository=acme/widget, workflow=ci/publish.yml",
		IDs:      map[string]string{"repository_id": "42"},
		Facts: map[string][]string{
			"repository": {"acme/widget"}, "workflow": {"ci/publish.yml"},
			"branch": {"main"}, "groups": {"staff", "release"},
		},
		Details: domain.NewDetails(map[string]string{"repository": "Acme/Widget", "run": "7"}),
	}, got)
	require.Regexp(t, "^sha256:[0-9a-f]{64}$", got.Key)
}

func TestADefinitionReadsOnlyTheTextsOfAList(t *testing.T) {
	list := []any{"staff", json.Number("1"), true, nil, []any{"release"}, "a\x00", strings.Repeat("x", 256), ""}

	got, err := corpCI().Workload(corpClaims(set("groups", list)))

	require.NoError(t, err)
	require.Equal(t, []string{"staff", ""}, got.Facts["groups"])
}

func TestADefinitionAcceptsTheWorkload(t *testing.T) {
	tests := []struct {
		name   string
		change func(domain.RawClaims)
	}{
		{"without the optional claims", func(raw domain.RawClaims) { delete(raw, "branch"); delete(raw, "groups") }},
		{"without an ID that a config could be pinned to", without("repository_id")},
		{"without a claim that only must not be something", without("interactive")},
		{"with null where something must not be", set("interactive", nil)},
		{"with the other of two values", set("event", "release")},
		{"at a commit", set("workflow", "ci/publish.yml@"+hash)},
		{"at a tag with an at sign", set("workflow", "ci/publish.yml@refs/tags/@acme/widget@1.0.0")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := corpCI().Workload(corpClaims(tt.change))

			require.NoError(t, err)
		})
	}
}

func TestADefinitionRefusesTheWorkload(t *testing.T) {
	tests := []struct {
		name   string
		change func(domain.RawClaims)
		want   domain.Code
	}{
		{"without a required claim", without("repository"), domain.CodeMissingClaim},
		{"with an empty required claim", set("repository", ""), domain.CodeMissingClaim},
		{"with null for a required claim", set("repository", nil), domain.CodeMissingClaim},
		{"with a list for a required claim", set("repository", []any{"acme/widget"}), domain.CodeMissingClaim},
		{"with an object for a required claim", set("repository", map[string]any{"name": "acme/widget"}), domain.CodeMissingClaim},
		{"with a control character in a required claim", set("repository", "acme/widget\n"), domain.CodeMissingClaim},
		{"with a required claim of 1025 bytes", set("repository", strings.Repeat("x", 1025)), domain.CodeInvalidClaim},
		{"with a pinned ID of 256 bytes", set("repository_id", strings.Repeat("1", 256)), domain.CodeInvalidClaim},
		{"of another event", set("event", "pull_request"), domain.CodeForbiddenClaim},
		{"of an event in another case", set("event", "Push"), domain.CodeForbiddenClaim},
		{"of no event", without("event"), domain.CodeForbiddenClaim},
		{"of an empty event", set("event", ""), domain.CodeForbiddenClaim},
		{"of a list of events", set("event", []any{"push"}), domain.CodeInvalidClaim},
		{"of an event with a control character", set("event", "push\x00"), domain.CodeInvalidClaim},
		{"that must not be", set("interactive", true), domain.CodeForbiddenClaim},
		{"that must not be, as text", set("interactive", "true"), domain.CodeForbiddenClaim},
		{"that must not be, in a list", set("interactive", []any{true}), domain.CodeInvalidClaim},
		{"without a reference", set("workflow", "ci/publish.yml"), domain.CodeInvalidClaim},
		{"at an empty reference", set("workflow", "ci/publish.yml@"), domain.CodeInvalidClaim},
		{"at nothing below refs", set("workflow", "ci/publish.yml@refs/"), domain.CodeInvalidClaim},
		{"at a reference in short", set("workflow", "ci/publish.yml@main"), domain.CodeInvalidClaim},
		{"at half a commit", set("workflow", "ci/publish.yml@9f31820"), domain.CodeInvalidClaim},
		{"without a path", set("workflow", "@refs/heads/main"), domain.CodeInvalidClaim},
		{"with a path that holds an at sign", set("workflow", "ci/publish.yml@evil.yml@refs/heads/main"), domain.CodeInvalidClaim},
		{"with a path that holds a reference", set("workflow", "ci/publish.yml@refs/evil.yml@refs/heads/main"), domain.CodeInvalidClaim},
		{"with a path that holds a commit", set("workflow", "ci/publish.yml@"+hash+"@"+hash), domain.CodeInvalidClaim},
		{"with a branch that holds a path", set("workflow", "ci/evil.yml@refs/heads/ci/publish.yml@refs/heads/main"), domain.CodeInvalidClaim},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			workload, err := corpCI().Workload(corpClaims(tt.change))

			require.Equal(t, tt.want, domain.CodeOf(err))
			require.Equal(t, domain.KindRefused, domain.KindOf(err))
			require.Zero(t, workload)
		})
	}
}

// Were two workloads to have one key, each would be looked up for the other.
func TestDifferentWorkloadsHaveDifferentKeys(t *testing.T) {
	d := domain.Definition{
		Name: "corp-ci", Algorithms: []string{"RS256"},
		Required: []domain.ClaimRule{{Claim: "a", Match: domain.MatchExact}, {Claim: "b", Match: domain.MatchExact}},
	}
	seen := map[string]string{}
	for _, pair := range [][2]string{
		{"x", "y"},
		{"y", "x"},
		{"xy", "z"},
		{"x", "yz"},
		{`x"`, `"y`},
		{`x""y`, "z"},
		{"x", `"y"z`},
		{"xby", "z"},
		{"x", "ybz"},
		{"x, b=y", "z"},
		{"x", "y, b=z"},
		{`x\`, `"y`},
		{`x\"`, "y"},
		{"b", "y"},
		{"X", "y"},
		{"\u017f", "y"},
		{"s", "y"},
	} {
		workload, err := d.Workload(domain.RawClaims{"a": pair[0], "b": pair[1]})
		require.NoError(t, err)
		require.Empty(t, seen[workload.Key], pair)
		seen[workload.Key] = pair[0] + " " + pair[1]
	}
}

func TestTheKeyOfAConfigIsThatOfItsWorkloadInWhateverOrderTheClaimsAreDefined(t *testing.T) {
	turned := corpCI(func(d *domain.Definition) { d.Required[0], d.Required[1] = d.Required[1], d.Required[0] })
	workload, err := corpCI().Workload(corpClaims())
	require.NoError(t, err)

	config, err := turned.Complete(corpParams())

	require.NoError(t, err)
	require.Equal(t, workload.Key, config.Key)
	require.Equal(t, workload.Source, config.Source)
}
