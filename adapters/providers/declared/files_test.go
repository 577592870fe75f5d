package declared_test

import (
	"fmt"
	"strings"
)

// file is a file of providers and what is to be said of it.
type file struct {
	name string
	file string
	// want is the error of Load after the name of the file.
	want string
	// schema is whether the JSON Schema accepts the file: it can't see everything.
	schema bool
}

// provider is a file of one provider, with lines that replace those of its keys. The
// keys stand at these lines: name 2, algorithms 3, replay 4, required 5, others from 6.
func provider(changes ...string) string {
	lines := []string{"providers:", "  - name: corp", "    algorithms: [RS256]", "    replay: jti", "    required: [repository]"}
	for _, change := range changes {
		key, _, _ := strings.Cut(change, ":")
		replaced := false
		for i, line := range lines {
			if strings.HasPrefix(line[min(4, len(line)):], key+":") {
				lines[i] = line[:4] + change
				replaced = true
			}
		}
		if !replaced {
			lines = append(lines, "    "+change)
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

func goodFiles() []file {
	return []file{
		{name: "everything", file: full},
		{name: "the least", file: provider()},
		{name: "values in quotes", file: provider(`name: "corp"`, `algorithms: ["RS256"]`, `replay: 'signing_input'`)},
		{name: "lines that end in CR LF", file: strings.ReplaceAll(provider(), "\n", "\r\n")},
		{name: "a byte order mark", file: "\ufeff" + provider()},
		{name: "the start of a document", file: "---\n" + provider()},
		{name: "JSON", file: `{"providers": [{"name": "corp", "algorithms": ["RS256"], "replay": "jti", "required": [{"claim": "repository"}]}]}`},
		{name: "an issuer at a loopback host", file: provider("issuer: http://127.0.0.1:8080")},
		{name: "sub as an immutable ID", file: provider("pinned: [sub]")},
		{name: "a claim that is optional and pinned", file: provider("optional: [id]", "pinned: [id]")},
		{name: "a negative number", file: provider("conditions: [{claim: x, not: [-1]}]")},
		{name: "as many required claims as may be", file: provider("required: [" + numbered("c", 16) + "]")},
	}
}

// numbered is a list of names that differ.
func numbered(prefix string, n int) string {
	names := make([]string, 0, n)
	for i := range n {
		names = append(names, fmt.Sprint(prefix, i))
	}
	return strings.Join(names, ", ")
}

// badFiles are the files that Load refuses.
func badFiles() []file {
	return append(malformed(), invalid()...)
}

// malformed are files that are no file of providers by their form.
func malformed() []file {
	const providerKeys = "name, issuer, algorithms, replay, required, optional, conditions, pinned, recorded"
	const matches = "exact, ignore_case, contains, file_at_ref"
	return []file{
		{name: "nothing", file: "", want: "1:1: the file must hold one YAML document, with the key providers"},
		{name: "a comment", file: "# providers\n", want: "1:1: the file must hold one YAML document, with the key providers"},
		{name: "no mapping", file: "- providers\n", want: "1:1: the file must be a mapping of providers"},
		{name: "another key", file: "provider: []\n", want: `1:1: the key "provider" is not known. Use providers`},
		{name: "a key in another case", file: "Providers: []\n", want: `1:1: the key "Providers" is not known. Use providers`},
		{name: "a number as key", file: "1: []\n", want: `1:1: the key "1" is not known. Use providers`},
		{name: "no provider", file: "providers: []\n", want: "1:12: providers must be a list of 1 to 64 elements"},
		{name: "providers of nothing", file: "providers:\n", want: "1:12: providers must be a list of 1 to 64 elements"},
		{name: "no key at all", file: "{}\n", want: "1:1: there is no provider. Name at least one under providers"},
		{name: "too many providers", file: "providers: [" + numbered("p", 65) + "]", want: "1:12: providers must be a list of 1 to 64 elements"},
		{name: "a provider that is a name", file: "providers: [github]\n", want: "1:13: a provider must be a mapping of " + providerKeys},
		{name: "two documents", file: provider() + "---\n" + provider(), want: "1:1: the file must hold one YAML document, with the key providers", schema: true},
		{name: "a list that does not end", file: "providers: [\n", want: "1:12: it is not YAML as it is accepted here: sequence end token ']' not found"},
		{name: "a byte that is not UTF-8", file: provider() + "# \xff\n", want: "6:3: the file holds a byte that is not UTF-8, or a control character. Write it as UTF-8 text", schema: true},
		{name: "a control character", file: provider("name: \"co\x00rp\""), want: "2:14: the file holds a byte that is not UTF-8, or a control character. Write it as UTF-8 text"},
		{name: "an anchor", file: provider("required: &a [repository]"), want: "5:15: anchors, aliases and merge keys are not accepted. Write the values out", schema: true},
		{name: "an alias", file: provider("required: *a"), want: "5:15: anchors, aliases and merge keys are not accepted. Write the values out"},
		{name: "a merge key", file: provider("<<: {issuer: https://ci.example}"), want: "6:5: anchors, aliases and merge keys are not accepted. Write the values out", schema: true},
		{name: "a tag", file: provider("name: !!str corp"), want: "2:11: tags, directives and keys after a question mark are not accepted. Write plain keys and values", schema: true},
		{name: "a directive", file: "%YAML 1.2\n---\n" + provider(), want: "1:1: tags, directives and keys after a question mark are not accepted. Write plain keys and values", schema: true},
		{name: "a key after a question mark", file: "? providers\n: []\n", want: "1:1: tags, directives and keys after a question mark are not accepted. Write plain keys and values"},
		{name: "a key that stands twice", file: provider() + "    name: other\n", want: `6:5: it is not YAML as it is accepted here: mapping key "name" already defined at [2:5]`, schema: true},
		{name: "a key that stands twice, once in quotes", file: provider() + "    \"name\": other\n", want: `6:5: it is not YAML as it is accepted here: mapping key "name" already defined at [2:5]`, schema: true},
		{name: "a key of a provider that is not known", file: provider("audience: x"), want: `6:5: the key "audience" is not known. Use ` + providerKeys},
		{name: "a key that is misspelt", file: provider("isuer: https://ci.example"), want: `6:5: the key "isuer" is not known. Use ` + providerKeys},
		{name: "a name that is a number", file: provider("name: 1"), want: "2:11: name must be a text. Put a number or a word that YAML takes for something else in quotes"},
		{name: "a name of nothing", file: provider("name:"), want: "2:10: name must be a text. Put a number or a word that YAML takes for something else in quotes"},
		{name: "an issuer that is a list", file: provider("issuer: [https://ci.example]"), want: "6:13: issuer must be a text. Put a number or a word that YAML takes for something else in quotes"},
		{name: "an empty issuer", file: provider(`issuer: ""`), want: "6:13: issuer must not be empty. Leave it out where every customer has one"},
		{name: "an algorithm that is no list", file: provider("algorithms: RS256"), want: "3:17: algorithms must be a list of 1 to 9 elements"},
		{name: "no algorithm", file: provider("algorithms: []"), want: "3:17: algorithms must be a list of 1 to 9 elements"},
		{name: "a symmetric algorithm", file: provider("algorithms: [RS256, HS256]"), want: "3:25: an algorithm must be one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512"},
		{name: "no signature", file: provider("algorithms: [none]"), want: "3:18: an algorithm must be one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512"},
		{name: "a replay that is not known", file: provider("replay: nonce"), want: "4:13: replay must be one of jti, signing_input"},
		{name: "a replay that is switched off", file: provider("replay: false"), want: "4:13: replay must be one of jti, signing_input"},
		{name: "an empty list", file: provider("pinned: []"), want: "6:13: pinned must be a list of 1 to 8 elements"},
		{name: "a claim that is a number", file: provider("required: [1]"), want: "5:16: a claim must be a mapping of claim, match"},
		{name: "a claim without a name", file: provider("required: [{match: exact}]"), want: "5:16: the name of the claim is missing. Give it as claim"},
		{name: "a claim with another key", file: provider("required: [{claim: repository, matches: exact}]"), want: `5:36: the key "matches" is not known. Use claim, match`},
		{name: "a match that is not known", file: provider("required: [{claim: repository, match: glob}]"), want: "5:43: match must be one of " + matches},
		{name: "a match of nothing", file: provider("required: [{claim: repository, match: }]"), want: "5:42: match must be one of " + matches},
		{name: "a condition without values", file: provider("conditions: [{claim: x}]"), want: "6:18: a condition has a claim, and either is or not"},
		{name: "a condition without a claim", file: provider("conditions: [{is: [true]}]"), want: "6:18: a condition has a claim, and either is or not"},
		{name: "a condition with is and not", file: provider("conditions: [{claim: x, is: [a], not: [b]}]"), want: "6:18: a condition has a claim, and either is or not"},
		{name: "a condition with a value that is no list", file: provider("conditions: [{claim: x, is: true}]"), want: "6:33: is must be a list of 1 to 32 elements"},
		{name: "a condition with no values", file: provider("conditions: [{claim: x, not: []}]"), want: "6:34: not must be a list of 1 to 32 elements"},
		{name: "a condition on nothing", file: provider("conditions: [{claim: x, is: [null]}]"), want: "6:34: the value of a claim must be a text, true, false or a whole number in decimal digits"},
		{name: "a condition on a fraction", file: provider("conditions: [{claim: x, is: [1.5]}]"), want: "6:34: the value of a claim must be a text, true, false or a whole number in decimal digits"},
		{name: "a condition on a number that is no decimal", file: provider("conditions: [{claim: x, is: [0x10]}]"), want: "6:34: the value of a claim must be a text, true, false or a whole number in decimal digits", schema: true},
		{name: "a pinned claim with a match", file: provider("pinned: [{claim: id}]"), want: "6:14: the name of a claim must be a text. Put a number or a word that YAML takes for something else in quotes"},
	}
}

// invalid are files whose form is right, and whose definitions make no sense.
func invalid() []file {
	long := strings.Repeat("x", 256)
	return []file{
		{name: "no name", file: "providers:\n  - algorithms: [RS256]\n    replay: jti\n    required: [repository]\n", want: "2:5: the provider has no name. A provider has name, algorithms, replay and required, and may have issuer, optional, conditions, pinned and recorded"},
		{name: "no replay", file: "providers:\n  - name: corp\n    algorithms: [RS256]\n    required: [repository]\n", want: "2:5: the provider has no replay. A provider has name, algorithms, replay and required, and may have issuer, optional, conditions, pinned and recorded"},
		{name: "no required claim", file: "providers:\n  - name: corp\n    algorithms: [RS256]\n    replay: jti\n", want: "2:5: the provider has no required. A provider has name, algorithms, replay and required, and may have issuer, optional, conditions, pinned and recorded"},
		{name: "the name of a provider with code", file: provider("name: github"), want: `2:11: the provider name "github" is that of a provider with rules of its own. Choose another`},
		{name: "the name of a shipped provider", file: provider("name: circleci"), want: "2:11: the provider circleci is one that trustpub ships. Choose another name", schema: true},
		{name: "a name that stands twice", file: provider() + "  - name: corp\n    algorithms: [RS256]\n    replay: jti\n    required: [x]\n", want: "6:11: the provider corp is defined twice. Choose another name for one of them", schema: true},
		{name: "a name in upper case", file: provider("name: Corp"), want: `2:11: the provider name "Corp" is not valid. Use a lower-case letter, then up to 31 lower-case letters, digits and hyphens`},
		{name: "a name with a sign of settings", file: provider("name: corp=x"), want: `2:11: the provider name "corp=x" is not valid. Use a lower-case letter, then up to 31 lower-case letters, digits and hyphens`},
		{name: "a name in two lines", file: provider(`name: "corp\nx"`), want: `2:11: the provider name "corp\nx" is not valid. Use a lower-case letter, then up to 31 lower-case letters, digits and hyphens`},
		{name: "an issuer that is no URL", file: provider("issuer: ci.example"), want: `6:13: the issuer "ci.example" is not valid: it has no host`},
		{name: "an issuer in plain text", file: provider("issuer: http://ci.example"), want: `6:13: the issuer "http://ci.example" is not valid: http is accepted for loopback hosts only; use https`, schema: true},
		{name: "an issuer that ends in a slash", file: provider("issuer: https://ci.example/"), want: `6:13: the issuer "https://ci.example/" is not valid: it must not end in a slash`, schema: true},
		{name: "an algorithm that stands twice", file: provider("algorithms: [RS256, RS256]"), want: `3:17: the algorithm "RS256" is named twice. Remove one`},
		{name: "a required claim that tells no workload", file: provider("required: [repository, aud]"), want: `5:28: the claim "aud" is checked for every provider, and tells no workload. Leave it out`},
		{name: "a required list", file: provider("required: [repository, {claim: groups, match: contains}]"), want: `5:28: the claim "groups" is a list, so it can't be required: it does not tell one workload from another. Make it optional`},
		{name: "a claim that is required twice", file: provider("required: [repository, {claim: repository, match: ignore_case}]"), want: `5:28: the claim "repository" is named twice. Remove one`, schema: true},
		{name: "a claim that is required and optional", file: provider("optional: [branch, repository]"), want: `6:24: the claim "repository" is named twice. Remove one`, schema: true},
		{name: "a claim without letters", file: provider(`required: [""]`), want: `5:16: the claim name "" is not valid. Use 1 to 255 bytes without control characters`},
		{name: "a claim whose name is too long", file: provider("optional: [" + long + "]"), want: `6:16: the claim name "` + long + `" is not valid. Use 1 to 255 bytes without control characters`},
		{name: "more claims than a publisher can have", file: provider("required: ["+numbered("c", 16)+"]", "optional: [x]"), want: "6:16: the provider corp has more than 16 claims for its publishers", schema: true},
		{name: "more required claims than a list holds", file: provider("required: [" + numbered("c", 17) + "]"), want: "5:15: required must be a list of 1 to 16 elements"},
		{name: "a condition on an empty value", file: provider(`conditions: [{claim: x, is: [a, ""]}]`), want: `6:18: the value "" in the condition on the claim "x" is not valid. Use 1 to 1024 bytes without control characters`},
		{name: "a condition on no claim", file: provider(`conditions: [{claim: "", is: [a]}]`), want: `6:18: the condition on the claim "" is not valid. Give the values that it must have one of, or those that it must have none of`},
		{name: "a condition on a value in two lines", file: provider(`conditions: [{claim: x, not: ["a\nb"]}]`), want: `6:18: the value "a\nb" in the condition on the claim "x" is not valid. Use 1 to 1024 bytes without control characters`, schema: true},
		{name: "a claim that is pinned twice", file: provider("pinned: [id, id]"), want: `6:18: the claim "id" is named twice. Remove one`},
		{name: "a claim that each token has anew", file: provider("pinned: [id, jti]"), want: `6:18: the claim "jti" is no immutable ID of a workload, so nothing can be pinned to it. Leave it out`},
		{name: "a claim that is recorded twice", file: provider("recorded: [a, b, a]"), want: `6:22: the claim "a" is named twice. Remove one`},
	}
}
