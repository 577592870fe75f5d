package cijob

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// What GitHub Actions gives to a job with the permission id-token: write.
// https://docs.github.com/en/actions/reference/security/oidc
const (
	requestURLVariable   = "ACTIONS_ID_TOKEN_REQUEST_URL"
	requestTokenVariable = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
)

// maxAnswer bounds an answer: an ID token of GitHub is of about 2 KiB.
const maxAnswer = 64 << 10

// githubActions is GitHub Actions, at github.com and at GitHub Enterprise Server, and
// Forgejo's.
type githubActions struct{ cfg Config }

func (githubActions) title() string { return "GitHub Actions" }

func (g githubActions) idToken(ctx context.Context, audience string) (string, error) {
	endpoint, bearer := g.cfg.Environment[requestURLVariable], g.cfg.Environment[requestTokenVariable]
	if endpoint == "" || bearer == "" {
		return "", missing(g.title(), "Let the job have them, beside the permissions that it has:\n\n"+
			"    permissions:\n      contents: read\n      id-token: write\n\n"+
			"A workflow that this one calls needs the permission from its caller too, and a pull request\n"+
			"from a fork never gets it")
	}
	target, err := withAudience(endpoint, audience)
	if err != nil {
		return "", err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return "", fmt.Errorf("ask GitHub Actions for an ID token: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+bearer)
	request.Header.Set("Accept", "application/json")
	client := *g.cfg.Client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := client.Do(request)
	if err != nil {
		return "", fmt.Errorf("ask GitHub Actions for an ID token: %w: %w", ErrUnavailable, err)
	}
	defer func() { _ = response.Body.Close() }()
	return readIDToken(response)
}

// withAudience appends the audience to the query that the endpoint has.
func withAudience(endpoint, audience string) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" {
		return "", fmt.Errorf("%s is no URL; the runner sets it, so take it as it is", requestURLVariable)
	}
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += "audience=" + url.QueryEscape(audience)
	return u.String(), nil
}

// readIDToken reads {"value":"…"}. Errors show nothing of the body, which may hold the
// token.
func readIDToken(response *http.Response) (string, error) {
	switch status := response.StatusCode; {
	case status == http.StatusTooManyRequests, status >= http.StatusInternalServerError:
		return "", fmt.Errorf("%w: GitHub Actions answered %d when asked for an ID token", ErrUnavailable, status)
	case status != http.StatusOK:
		return "", fmt.Errorf("GitHub Actions answered %d when asked for an ID token. "+
			"A token can be asked for until the job ends, and by the job itself only", status)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return "", fmt.Errorf("read the ID token of GitHub Actions: %w: %w", ErrUnavailable, err)
	}
	var answer struct {
		Value string `json:"value"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.Value == "" {
		return "", fmt.Errorf("GitHub Actions answered without an ID token. Is %s what the runner set?", requestURLVariable)
	}
	return answer.Value, nil
}

// mask writes a workflow command. The runner reads the commands on standard error as
// it does those on standard output.
// https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
func (g githubActions) mask(_ context.Context, secret string) error {
	_, err := fmt.Fprintf(g.cfg.Log, "::add-mask::%s\n", secret)
	return err
}
