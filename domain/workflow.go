package domain

import (
	"strings"
	"unicode/utf8"
)

// WorkflowRef is a GitHub workflow reference taken apart:
// OWNER/NAME/.github/workflows/FILE@REF.
type WorkflowRef struct {
	// Repository holds the workflow file.
	Repository Repository
	// File is the bare name of the workflow file.
	File string
	// Ref is the Git reference the file was read at: "refs/…", or a commit hash.
	Ref string
}

// ParseWorkflowRef reads the workflow_ref claim
// (https://docs.github.com/en/actions/reference/security/oidc). Errors are of
// [KindInvalid].
//
// FILE may contain "@" and REF may look like a workflow file, so a search for
// ".yml@" would let a branch called "x/release.yml@y", or a file called
// "release.yml@x.yml", pass for release.yml. The parse is anchored instead: the
// directory is fixed, FILE holds no slash, and REF begins with "refs/", so the
// first slash after the directory is the one in "@refs/". A REF without any slash
// must be a commit hash, which holds no "@".
func ParseWorkflowRef(s string) (WorkflowRef, error) {
	owner, rest, _ := strings.Cut(s, "/")
	name, rest, _ := strings.Cut(rest, "/")
	repository, err := NewRepository(owner, name)
	if err != nil {
		return WorkflowRef{}, malformedWorkflowRef(s)
	}
	rest, inWorkflows := strings.CutPrefix(rest, ".github/workflows/")
	if !inWorkflows || hasControl(rest) {
		return WorkflowRef{}, malformedWorkflowRef(s)
	}

	head, _, hasSlash := strings.Cut(rest, "/")
	at := strings.LastIndexByte(head, '@')
	if at < 0 {
		return WorkflowRef{}, malformedWorkflowRef(s)
	}
	file, ref := rest[:at], rest[at+1:]
	if hasSlash && (!strings.HasPrefix(ref, "refs/") || ref == "refs/") || !hasSlash && !isCommitHash(ref) {
		return WorkflowRef{}, malformedWorkflowRef(s)
	}
	if !validWorkflowFile(file) {
		return WorkflowRef{}, malformedWorkflowRef(s)
	}
	return WorkflowRef{Repository: repository, File: file, Ref: ref}, nil
}

func malformedWorkflowRef(s string) error {
	return Invalid(CodeInvalidClaim, "The workflow reference %s is not of the form OWNER/NAME/.github/workflows/FILE@REF.", quote(s))
}

// isCommitHash reports whether s is a full SHA-1 or SHA-256 in lower-case hex.
func isCommitHash(s string) bool {
	return (len(s) == 40 || len(s) == 64) && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'f')
	})
}

// validWorkflowFile reports whether s is a bare file name that GitHub takes for a
// workflow. Its case matters, in the name and in the ending.
func validWorkflowFile(s string) bool {
	return utf8.RuneCountInString(s) <= maxLength && !hasControl(s) && !strings.ContainsAny(s, `/\`) &&
		(strings.HasSuffix(s, ".yml") || strings.HasSuffix(s, ".yaml"))
}
