// Package secretscanning is the endpoint that GitHub's secret scanning tells of the
// access tokens that it found in public, at the path where crates.io has it
// (https://docs.github.com/en/code-security/secret-scanning/secret-scanning-partnership-program/secret-scanning-partner-program).
// Errors are as crates.io's.
package secretscanning

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/trustpub/trustpub/adapters/httpapi/cratesio"
	"github.com/trustpub/trustpub/adapters/httpapi/request"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// VerifyPath takes the messages.
const VerifyPath = "/api/github/secret-scanning/verify"

// The bounds of one message.
const (
	// MaxBody is the most bytes that it may have.
	MaxBody = 1 << 20
	// MaxTokens is the most tokens that it may tell of.
	MaxTokens = 1000
)

const (
	keyIDHeader     = "Github-Public-Key-Identifier"
	signatureHeader = "Github-Public-Key-Signature"
)

// unknownSource is GitHub's own word for a source that it can't name.
const unknownSource = "unknown"

// sources are the words that GitHub has for where it found a token, in lower case.
var sources = []string{
	"content", "commit", "pull_request_title", "pull_request_description", "pull_request_comment",
	"issue_title", "issue_description", "issue_comment", "discussion_title", "discussion_body", "discussion_comment",
	"commit_comment", "gist_content", "gist_comment", "npm", unknownSource,
}

// Verifier verifies the signature of a message; *githubkeys.KeySet is one.
type Verifier interface {
	// Verify returns nil when the message is signed with the key of that ID. A
	// signature that is no good is KindRefused; keys that can't be had are
	// KindUnavailable.
	Verify(ctx context.Context, keyID, signature string, message []byte) error
}

// Revoker revokes the access tokens that were found; *application.TokenService is one.
type Revoker interface {
	// RevokeLeaked returns, for each leak, whether the database holds it as a revoked
	// token. An error says nothing of any of them.
	RevokeLeaked(ctx context.Context, leaks []application.Leak) ([]bool, error)
}

// Config holds what the dialect needs. All fields are required.
type Config struct {
	Verifier Verifier
	Tokens   Revoker
}

// Dialect answers GitHub's secret scanning. It is safe for concurrent use.
type Dialect struct{ cfg Config }

// New checks cfg and returns the dialect.
func New(cfg Config) (*Dialect, error) {
	if cfg.Verifier == nil || cfg.Tokens == nil {
		return nil, errors.New("secretscanning: the dialect needs Verifier and Tokens")
	}
	return &Dialect{cfg: cfg}, nil
}

// Owns reports whether a path is the dialect's.
func (d *Dialect) Owns(path string) bool { return path == VerifyPath }

// IsExchange reports that ID tokens are exchanged nowhere here.
func (d *Dialect) IsExchange(string, string) bool { return false }

// MaxBody returns the most bytes that a message may have.
func (d *Dialect) MaxBody() int64 { return MaxBody }

// Register adds the endpoint to e.
func (d *Dialect) Register(e *echo.Echo) { e.POST(VerifyPath, cratesio.Handle(d.verify)) }

// WriteError answers err, unless an answer was begun already.
func (d *Dialect) WriteError(c echo.Context, err error) error { return cratesio.WriteError(c, err) }

// label says whether what GitHub found is a token. There are two.
type label string

const (
	truePositive  label = "true_positive"
	falsePositive label = "false_positive"
)

// feedback is what GitHub is told of one token. It gets back the token that it sent,
// which is in public anyway: of the hash that it takes instead, its documentation does
// not say in which form.
type feedback struct {
	TokenRaw  string `json:"token_raw"`
	TokenType string `json:"token_type"`
	Label     label  `json:"label"`
}

// verify revokes the tokens that a message tells of, and says of each whether it is
// one. The signature is checked over the body as it came, before a word of it is read.
func (d *Dialect) verify(c echo.Context) error {
	r := c.Request()
	keyID, err := header(r, keyIDHeader)
	if err != nil {
		return err
	}
	signature, err := header(r, signatureHeader)
	if err != nil {
		return err
	}
	body, err := request.ReadUpTo(MaxBody, c.Response().Writer, r, domain.CodeMalformedRequest, request.JSON)
	if err != nil {
		return err
	}
	err = d.cfg.Verifier.Verify(r.Context(), keyID, signature, body.Bytes())
	if err != nil {
		return err
	}
	leaks, answer, err := parse(body)
	if err != nil {
		return err
	}
	known, err := d.cfg.Tokens.RevokeLeaked(r.Context(), leaks)
	if err != nil {
		return err
	}
	if len(known) != len(leaks) {
		return errors.New("secretscanning: there are not as many verdicts as tokens")
	}
	for i := range answer {
		if known[i] {
			answer[i].Label = truePositive
		}
	}
	return c.JSON(http.StatusOK, answer)
}

// header returns the header of that name, which occurs once and is not empty.
func header(r *http.Request, name string) (string, error) {
	values := r.Header.Values(name)
	if len(values) != 1 || values[0] == "" {
		return "", domain.Refuse(domain.CodeInvalidWebhookSignature,
			"The header %s must be there once. Sign the body as GitHub's secret scanning does.", name)
	}
	return values[0], nil
}

// parse reads the tokens of a message, and begins the answer with none of them known.
// The URL where a token was found is not used: it may hold whatever its author likes.
func parse(body request.Body) ([]application.Leak, []feedback, error) {
	objects, err := body.Objects()
	if err != nil {
		return nil, nil, err
	}
	if len(objects) > MaxTokens {
		return nil, nil, domain.Invalid(domain.CodeMalformedRequest, "The message has more than %d tokens. Send them in several.", MaxTokens)
	}
	leaks := make([]application.Leak, 0, len(objects))
	answer := make([]feedback, 0, len(objects))
	for _, object := range objects {
		token, err := object.Token("token", "what was found")
		if err != nil {
			return nil, nil, err
		}
		tokenType, err := object.Token("type", "the type of the token")
		if err != nil {
			return nil, nil, err
		}
		source, _ := object["source"].(string)
		leaks = append(leaks, application.Leak{AccessToken: token, Source: knownSource(source)})
		answer = append(answer, feedback{TokenRaw: token, TokenType: tokenType, Label: falsePositive})
	}
	return leaks, answer, nil
}

// knownSource keeps words that GitHub does not have out of the audit record.
func knownSource(source string) string {
	if word := strings.ToLower(source); slices.Contains(sources, word) {
		return word
	}
	return unknownSource
}
