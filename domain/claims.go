package domain

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"maps"
	"time"
)

// RawClaims are the members of a verified JWT payload as they were decoded:
// string, bool, nil, [json.Number], []any or map[string]any. It offers reading
// with a refusal that names the claim, and so is how a provider reads its own.
type RawClaims map[string]any

// String returns the claim of that name, which must be a string that is neither
// empty nor holds control characters. Else it refuses with [CodeMissingClaim] or
// [CodeInvalidClaim].
func (c RawClaims) String(name string) (string, error) {
	s, ok := c[name].(string)
	if !ok || s == "" {
		return "", Refuse(CodeMissingClaim, "The ID token lacks the claim %s, which must be a string that is not empty.", quote(name))
	}
	if hasControl(s) {
		return "", Refuse(CodeInvalidClaim, "The claim %s of the ID token holds control characters.", quote(name))
	}
	return s, nil
}

// OptionalString is [RawClaims.String] for a claim that may be absent, null or
// empty, for all of which it returns "".
func (c RawClaims) OptionalString(name string) (string, error) {
	if v, ok := c[name]; !ok || v == nil || v == "" {
		return "", nil
	}
	return c.String(name)
}

// Text returns the claim of that name as text where it is a string, a number or a
// boolean without control characters, and reports whether it is. It serves the
// snapshot for the audit record, never a decision.
func (c RawClaims) Text(name string) (string, bool) {
	switch v := c[name].(type) {
	case string:
		return v, v != "" && !hasControl(v)
	case json.Number:
		return v.String(), true
	case bool:
		if v {
			return "true", true
		}
		return "false", true
	}
	return "", false
}

// maxDetail is the longest value in bytes that is recorded.
const maxDetail = 1024

// Details returns the named claims as text, for the audit record and introspection,
// without those that are absent, of another form or longer than 1 KiB.
func (c RawClaims) Details(names []string) Details {
	return CollectDetails(func(yield func(string, string) bool) {
		for _, name := range names {
			value, ok := c.Text(name)
			if ok && len(value) <= maxDetail && !yield(name, value) {
				return
			}
		}
	})
}

// Registered are the claims that every provider's ID token has (RFC 7519 section
// 4.1), as the verifier found and checked them.
type Registered struct {
	// Issuer is the provider's issuer URL.
	Issuer string
	// Subject is the sub claim. It is recorded and never matched on: its format
	// can be customised by the workload's owner, and providers have changed it.
	Subject string
	// JWTID makes the ID token unique at its issuer (RFC 7519 section 4.1.7).
	JWTID string
	// IssuedAt and ExpiresAt are the iat and exp claims.
	IssuedAt, ExpiresAt time.Time
	// AcceptableUntil is the moment from which the verifier refuses the ID token:
	// exp plus the leeway it allows. The record of the used jti is kept for longer,
	// whatever the leeway is, because it is taken from here.
	AcceptableUntil time.Time
}

// Workload says in provider-neutral words what a CI job is. A provider makes it
// of its own claims.
type Workload struct {
	// Provider is the kind of CI system: "github".
	Provider string
	// Repository is where the job's code and workflow come from; the zero value where
	// the provider does not say it in these words, and has Key and Source instead.
	Repository Repository
	// Key is what configs for the workload are looked up by; empty is the repository's.
	Key string
	// Source names the workload in a refusal; empty is the repository.
	Source string
	// OwnerID is the provider's immutable ID of the repository's owner.
	OwnerID string
	// IDs are the immutable IDs, by the provider's names, that a config is pinned to
	// at its first exchange. An account or a repository that was deleted and made
	// again does not inherit them.
	IDs map[string]string
	// Workflow is the file that defines the job.
	Workflow string
	// ReusableWorkflow is the reusable workflow that the job's steps come from, or the
	// zero value.
	ReusableWorkflow WorkflowRef
	// Environment is the deployment environment the job runs in; empty for none.
	Environment string
	// Facts are the values of the claims that a [ClaimsConfig] is matched on, by the
	// provider's names.
	Facts map[string][]string
	// Details are the claims worth keeping for the audit record and for
	// introspection, by the provider's own names.
	Details Details
}

// Claims is the identity of a CI job, verified. It can't be changed once made,
// and is safe for concurrent use.
type Claims struct {
	registered Registered
	workload   Workload
}

// NewClaims joins what the verifier checked with what the provider decoded. An
// empty value in a field that a decision rests on is a defect of the verifier or
// the provider, and so an error of [KindInternal].
func NewClaims(r Registered, w Workload) (Claims, error) {
	switch {
	case r.Issuer == "", r.JWTID == "", r.AcceptableUntil.IsZero():
		return Claims{}, errors.New("domain: claims without issuer, jti or expiry")
	case w.Provider == "":
		return Claims{}, errors.New("domain: claims without provider")
	case w.Key == "" && (w.Repository == Repository{} || w.OwnerID == "" || w.Workflow == ""):
		return Claims{}, errors.New("domain: claims without repository, owner ID or workflow")
	}
	if w.Key == "" {
		w.Key = w.Repository.Key()
	}
	w.IDs, w.Facts = maps.Clone(w.IDs), maps.Clone(w.Facts)
	return Claims{registered: r, workload: w}, nil
}

// Issuer returns the issuer URL of the provider.
func (c Claims) Issuer() string { return c.registered.Issuer }

// Subject returns the sub claim, for the record.
func (c Claims) Subject() string { return c.registered.Subject }

// JWTID returns the jti claim.
func (c Claims) JWTID() string { return c.registered.JWTID }

// Provider returns the kind of CI system.
func (c Claims) Provider() string { return c.workload.Provider }

// Repository returns the repository that the job runs for.
func (c Claims) Repository() Repository { return c.workload.Repository }

// OwnerID returns the provider's immutable ID of the repository's owner.
func (c Claims) OwnerID() string { return c.workload.OwnerID }

// Key returns what configs for the workload are looked up by.
func (c Claims) Key() string { return c.workload.Key }

// Source names the workload in a refusal: the repository, or what its provider has
// instead.
func (c Claims) Source() string {
	if c.workload.Source != "" {
		return c.workload.Source
	}
	return c.workload.Repository.String()
}

// IDs returns a copy of the immutable IDs that a config is pinned to.
func (c Claims) IDs() map[string]string { return maps.Clone(c.workload.IDs) }

// Fact returns the values of a claim that a [ClaimsConfig] is matched on; none where
// the ID token lacks it. They must not be changed.
func (c Claims) Fact(name string) []string { return c.workload.Facts[name] }

// ReusableWorkflow returns the reusable workflow that the job's steps come from, or
// the zero value.
func (c Claims) ReusableWorkflow() WorkflowRef { return c.workload.ReusableWorkflow }

// Workflow returns the file that defines the job.
func (c Claims) Workflow() string { return c.workload.Workflow }

// Environment returns the job's deployment environment; empty for none.
func (c Claims) Environment() string { return c.workload.Environment }

// Details returns the claims kept for the record.
func (c Claims) Details() Details { return c.workload.Details }

// ReplayMargin is added to the moment until which an ID token is acceptable, so
// that its record is still there when a check that began just before it ends just
// after.
const ReplayMargin = 5 * time.Second

// UsedJTI is the record that an ID token was exchanged.
type UsedJTI struct {
	// Issuer and ID identify the ID token: a jti is unique at its issuer only.
	Issuer, ID string
	// ExpiresAt is when the record may be forgotten.
	ExpiresAt time.Time
}

// Hash returns the SHA-256 of issuer, NUL and ID, by which stores keep the record:
// short, whatever the length of an ID. No two pairs have one, as an issuer is a URL
// and has no NUL.
func (j UsedJTI) Hash() [sha256.Size]byte {
	return sha256.Sum256([]byte(j.Issuer + "\x00" + j.ID))
}

// UsedJTI returns the record to keep when the ID token is exchanged. It outlives
// every moment at which the verifier that made c would accept the ID token again;
// were it shorter by a second, the ID token could be exchanged twice in it.
func (c Claims) UsedJTI() UsedJTI {
	return UsedJTI{
		Issuer:    c.registered.Issuer,
		ID:        c.registered.JWTID,
		ExpiresAt: c.registered.AcceptableUntil.Add(ReplayMargin),
	}
}
