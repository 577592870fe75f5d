package issuer

import (
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"maps"
)

// Claims are the claims of an ID token.
type Claims map[string]any

// With returns a copy with one claim changed.
func (c Claims) With(name string, value any) Claims {
	c = maps.Clone(c)
	c[name] = value
	return c
}

// Without returns a copy that lacks a claim.
func (c Claims) Without(name string) Claims {
	c = maps.Clone(c)
	delete(c, name)
	return c
}

// GitHubClaims returns the claims that GitHub Actions puts into every ID token, for
// the workflow release.yml of octo-org/octo-repo. aud is "crates.io", jti is new each
// time, and the token lives for five minutes from now. Some jobs have more:
// environment and environment_node_id, enterprise and enterprise_id, and
// repo_property_NAME for each custom property of the repository.
func (i *Issuer) GitHubClaims() Claims {
	now := i.cfg.Now().Unix()
	return Claims{
		"jti":                   randomHex(),
		"sub":                   "repo:octo-org/octo-repo:ref:refs/tags/v1.2.3",
		"aud":                   "crates.io",
		"iss":                   i.url,
		"iat":                   now,
		"nbf":                   now,
		"exp":                   now + 300,
		"ref":                   "refs/tags/v1.2.3",
		"ref_type":              "tag",
		"ref_protected":         "true",
		"sha":                   "5bd2ef9d0b4c2ff2cc3a4d8ad6b3cd7e1c6f6a3e",
		"repository":            "octo-org/octo-repo",
		"repository_id":         "74",
		"repository_owner":      "octo-org",
		"repository_owner_id":   "65",
		"repository_visibility": "public",
		"actor":                 "octocat",
		"actor_id":              "12",
		"check_run_id":          "56789012345",
		"run_id":                "1234567890",
		"run_number":            "10",
		"run_attempt":           "2",
		"runner_environment":    "github-hosted",
		"workflow":              "Release",
		"workflow_ref":          "octo-org/octo-repo/.github/workflows/release.yml@refs/tags/v1.2.3",
		"workflow_sha":          "5bd2ef9d0b4c2ff2cc3a4d8ad6b3cd7e1c6f6a3e",
		"job_workflow_ref":      "octo-org/octo-repo/.github/workflows/release.yml@refs/tags/v1.2.3",
		"job_workflow_sha":      "5bd2ef9d0b4c2ff2cc3a4d8ad6b3cd7e1c6f6a3e",
		"head_ref":              "",
		"base_ref":              "",
		"event_name":            "push",
	}
}

// SignOption changes how an ID token is signed, mostly for the worse.
type SignOption func(*signing)

type signing struct {
	header  map[string]any
	private *rsa.PrivateKey
	hmacKey []byte
	omitSig bool
}

// WithHeader sets a member of the JOSE header, such as kid, alg or crit.
func WithHeader(name string, value any) SignOption {
	return func(s *signing) { s.header[name] = value }
}

// WithoutHeader leaves a member of the JOSE header out.
func WithoutHeader(name string) SignOption {
	return func(s *signing) { delete(s.header, name) }
}

// WithKey signs with a key that the issuer does not have, under the ID of its own.
func WithKey(private *rsa.PrivateKey) SignOption {
	return func(s *signing) { s.private = private }
}

// WithHMACOfPublicKey signs with HS256, and the public key as the secret: the
// algorithm-confusion attack.
func (i *Issuer) WithHMACOfPublicKey() SignOption {
	return func(s *signing) {
		s.header["alg"] = "HS256"
		s.hmacKey = x509.MarshalPKCS1PublicKey(i.PublicKey())
	}
}

// WithoutSignature leaves the signature empty, for alg "none".
func WithoutSignature() SignOption {
	return func(s *signing) { s.omitSig = true }
}

// Sign returns an ID token with these claims, signed by the issuer unless an option
// says otherwise.
func (i *Issuer) Sign(claims Claims, options ...SignOption) (string, error) {
	return i.SignPayload(mustJSON(claims), options...)
}

// SignPayload is [Issuer.Sign] for a payload that need not be JSON.
func (i *Issuer) SignPayload(payload []byte, options ...SignOption) (string, error) {
	k := i.signing()
	s := signing{header: map[string]any{"typ": "JWT", "alg": "RS256", "kid": k.id}, private: k.private}
	for _, option := range options {
		option(&s)
	}
	return s.sign(mustJSON(s.header), payload)
}

// SignRaw signs any header and payload bytes with the issuer's key.
func (i *Issuer) SignRaw(header, payload []byte) (string, error) {
	return signing{private: i.signing().private}.sign(header, payload)
}

func (s signing) sign(header, payload []byte) (string, error) {
	encode := base64.RawURLEncoding.EncodeToString
	input := encode(header) + "." + encode(payload)
	var signature []byte
	switch {
	case s.omitSig:
	case s.hmacKey != nil:
		mac := hmac.New(sha256.New, s.hmacKey)
		mac.Write([]byte(input))
		signature = mac.Sum(nil)
	default:
		var err error
		signature, err = signRS256(s.private, []byte(input))
		if err != nil {
			return "", fmt.Errorf("issuer: sign: %w", err)
		}
	}
	return input + "." + encode(signature), nil
}
