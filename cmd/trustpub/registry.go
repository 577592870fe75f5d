package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/trustpub/trustpub/bootstrap"
	"github.com/trustpub/trustpub/domain"
)

const (
	audiencePath = "/api/v1/trusted_publishing/audience"
	// maxAnswer bounds what is read of an answer.
	maxAnswer = 64 << 10
	// maxShown bounds what is shown of an answer that is not understood.
	maxShown = 500
)

// accessToken is what an access token may look like: the characters of a bearer token
// (RFC 6750 section 2.1). A line end in one would write further variables into an
// environment file.
var accessToken = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`)

// registry is the server that tokens are exchanged at, as a job sees it.
type registry struct {
	client *http.Client
	url    *url.URL
}

// unavailableError is a server that can't be reached or can't answer for the moment.
type unavailableError struct {
	err error
	// after is how long the server asks to wait; 0 when it does not say.
	after time.Duration
}

func (e *unavailableError) Error() string { return e.err.Error() }
func (e *unavailableError) Unwrap() error { return e.err }

// refusedError is an answer that is none of success.
type refusedError struct {
	text string
	// code is that of the first failure; empty when the answer names none.
	code domain.Code
}

func (e *refusedError) Error() string { return e.text }

// newRegistry returns the registry at a base URL: https, or http at a loopback host.
// The client never follows a redirect, which would take a credential elsewhere.
func newRegistry(server string) (*registry, error) {
	server = strings.TrimRight(server, "/")
	if server == "" {
		return nil, &bootstrap.SettingError{Setting: "TRUSTPUB_SERVER", Problem: "it is not set; use the registry's URL, such as https://registry.example (or --server)"}
	}
	u, err := url.Parse(server)
	if err != nil || domain.ValidateIssuer(server) != nil {
		return nil, &bootstrap.SettingError{Setting: "TRUSTPUB_SERVER", Problem: "it is no URL of a registry; use https://HOST, or http:// at a loopback host, without user info, query and fragment"}
	}
	return &registry{client: newClient(), url: u}, nil
}

// newClient returns a client that gives up in time and follows no redirect.
func newClient() *http.Client {
	return &http.Client{
		Timeout:       15 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// name is the registry's URL without its scheme: the audience of a registry that does
// not tell it, by the rule of crates.io's clients.
func (r *registry) name() string { return r.url.Host + r.url.Path }

// audience asks the registry which audience an ID token needs.
func (r *registry) audience(ctx context.Context) (string, error) {
	status, body, err := r.call(ctx, http.MethodGet, audiencePath, nil, "")
	switch {
	case err != nil:
		return "", err
	case status == http.StatusNotFound, status == http.StatusForbidden, status == http.StatusMethodNotAllowed:
		return r.name(), nil
	case status != http.StatusOK:
		return "", refusal(status, body, "")
	}
	var answer struct {
		Audience string `json:"audience"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.Audience == "" {
		return "", errors.New("the server does not tell its audience, as if it were no trustpub server; name it with --audience")
	}
	if !r.mayAskFor(answer.Audience) {
		return "", fmt.Errorf("the server asks for an ID token for the audience %q, which is not its own name, so that\n"+
			"somebody else might accept that token from it; if this is right, say so: --audience %s",
			plain(answer.Audience, ""), plain(answer.Audience, ""))
	}
	return answer.Audience, nil
}

// mayAskFor tells whether the registry may choose the audience by itself: one that
// names its own host or a domain above it, such as registry.example,
// https://registry.example or npm:registry.example. Otherwise a registry that was
// taken over could have ID tokens made for a cloud or for another registry, and use
// them there in the job's name. A server on this machine is for trying things out.
func (r *registry) mayAskFor(audience string) bool {
	if r.url.Scheme == "http" || audience == r.name() {
		return true
	}
	host := audience
	if _, after, ok := strings.Cut(audience, ":"); ok {
		host = strings.TrimPrefix(after, "//")
	}
	host, _, _ = strings.Cut(host, "/")
	own := strings.ToLower(r.url.Hostname())
	return host == r.url.Host || host == own || strings.Contains(host, ".") && strings.HasSuffix(own, "."+host)
}

// exchange exchanges an ID token for an access token.
func (r *registry) exchange(ctx context.Context, idToken string) (string, error) {
	request, err := json.Marshal(map[string]string{"jwt": idToken})
	if err != nil {
		return "", fmt.Errorf("write the request: %w", err)
	}
	status, body, err := r.call(ctx, http.MethodPut, tokensPath, request, idToken)
	if err != nil {
		return "", err
	}
	if status < 200 || status > 299 {
		return "", refusal(status, body, idToken)
	}
	var answer struct {
		Token string `json:"token"`
	}
	if json.Unmarshal(body, &answer) != nil || !accessToken.MatchString(answer.Token) {
		return "", fmt.Errorf("the server answered %d without an access token; is it a trustpub server?", status)
	}
	return answer.Token, nil
}

// revoke ends an access token's life.
func (r *registry) revoke(ctx context.Context, token string) error {
	status, body, err := r.call(ctx, http.MethodDelete, tokensPath, nil, token)
	if err != nil {
		return err
	}
	if status < 200 || status > 299 {
		return refusal(status, body, token)
	}
	return nil
}

// call sends a request and reads the answer. The secret is in the body, or goes into the
// Authorization header when there is none. What may be better in a moment is an
// *unavailableError: no connection, and the statuses by which servers and what stands
// before them say so.
func (r *registry) call(ctx context.Context, method, path string, body []byte, secret string) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, r.url.String()+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, fmt.Errorf("ask the server: %w", err)
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "trustpub")
	switch {
	case body != nil:
		request.Header.Set("Content-Type", "application/json")
	case secret != "":
		request.Header.Set("Authorization", "Bearer "+secret)
	}
	response, err := r.client.Do(request)
	if err != nil {
		return 0, nil, &unavailableError{err: fmt.Errorf("ask the server: %w", err)}
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return 0, nil, &unavailableError{err: fmt.Errorf("read the server's answer: %w", err)}
	}
	switch response.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		err = &unavailableError{
			err:   refusal(response.StatusCode, content, secret),
			after: retryAfter(response.Header.Get("Retry-After")),
		}
		return 0, nil, err
	}
	return response.StatusCode, content, nil
}

// retryAfter reads a Retry-After in seconds. The other form, a date, is not used by
// servers of trustpub, and counts as none.
func retryAfter(header string) time.Duration {
	seconds, err := strconv.ParseUint(header, 10, 16)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// refusal returns an error with the answer's sentences and codes, or the beginning of
// what it is instead. secret is what the request held, in case
// that the answer repeats it.
func refusal(status int, body []byte, secret string) error {
	var answer struct {
		Errors []struct{ Detail, Code string }
	}
	if json.Unmarshal(body, &answer) != nil || len(answer.Errors) == 0 {
		text := plain(string(body), secret)
		if strings.Contains(text, "token") {
			text = "(not shown, as it may hold a token)"
		}
		return &refusedError{text: fmt.Sprintf("the server answered %d, not as a trustpub server does: %q", status, text[:min(len(text), maxShown)])}
	}
	var sentences []string
	for _, failure := range answer.Errors {
		sentences = append(sentences, fmt.Sprintf("%s (%s)", plain(failure.Detail, secret), plain(failure.Code, secret)))
	}
	return &refusedError{text: strings.Join(sentences, " "), code: domain.Code(answer.Errors[0].Code)}
}

// plain makes a server's text fit for one line of a job's log. A line end could begin
// a command to the CI system's runner, and "##[" begins one of GitHub's anywhere in a
// line; escape sequences could hide text from a person.
func plain(text, secret string) string {
	if secret != "" {
		text = strings.ReplaceAll(text, secret, "[redacted]")
	}
	text = strings.ReplaceAll(text, "##[", "# #[")
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
}
