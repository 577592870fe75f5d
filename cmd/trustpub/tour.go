package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/trustpub/trustpub/bootstrap"
	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

// Paths of the API that the tour visits.
const (
	tokensPath     = "/api/v1/trusted_publishing/tokens" //nolint:gosec // A path, and no credential.
	configsPath    = "/api/v1/trusted_publishing/github_configs"
	introspectPath = "/oauth/introspect"
)

// trusted is the publisher of the tour, in words.
const trusted = "octo-org/octo-repo and its workflow release.yml"

// tour is one exchange through HTTP, each step of it shown.
type tour struct {
	out      io.Writer
	client   *http.Client
	server   string
	ci       *issuer.Issuer
	settings bootstrap.Settings
}

func (t tour) run(ctx context.Context) error {
	t.printf("A package registry at %s, and a CI provider at %s\n\n", t.server, t.ci.URL())
	err := t.configure(ctx)
	if err != nil {
		return err
	}
	idToken, err := t.ask(ctx)
	if err != nil {
		return err
	}
	accessToken, err := t.exchange(ctx, idToken)
	if err != nil {
		return err
	}
	err = t.replay(ctx, idToken)
	if err != nil {
		return err
	}
	return t.revoke(ctx, accessToken)
}

// configure makes the publisher that the job's workflow matches. One of an earlier
// tour, on a database that is kept, does as well.
func (t tour) configure(ctx context.Context) error {
	body := `{"github_config":{"crate":"demo","repository_owner":"octo-org","repository_owner_id":65,"repository_name":"octo-repo","workflow_filename":"release.yml","environment":null}}`
	status, answer, err := t.call(ctx, http.MethodPost, t.server+configsPath, t.settings.AdminToken.Reveal(), "application/json", body)
	if err != nil {
		return err
	}
	if status != http.StatusOK && !strings.Contains(fmt.Sprint(answer), "duplicate_config") {
		return fmt.Errorf("configuring a publisher was answered with %d: %v", status, answer)
	}
	t.printf("1. trust      the package cargo/demo trusts the repository %s\n", trusted)
	return nil
}

// ask gets an ID token as a job does, and shows what it says.
func (t tour) ask(ctx context.Context) (string, error) {
	target := t.ci.RequestURL() + "&audience=" + url.QueryEscape(t.settings.Audience)
	_, answer, err := t.call(ctx, http.MethodGet, target, t.ci.RequestToken(), "", "")
	if err != nil {
		return "", err
	}
	idToken, _ := answer["value"].(string)
	claims, err := payload(idToken)
	if err != nil {
		return "", err
	}
	t.printf("2. who asks   run %v of %v, workflow %v\n", claims["run_id"], claims["repository"], claims["workflow_ref"])
	t.printf("              with an ID token for the audience %v, of 5 minutes\n", claims["aud"])
	return idToken, nil
}

func (t tour) exchange(ctx context.Context, idToken string) (string, error) {
	status, answer, err := t.call(ctx, http.MethodPut, t.server+tokensPath, "", "application/json", `{"jwt":"`+idToken+`"}`)
	if err != nil {
		return "", err
	}
	accessToken, _ := answer["token"].(string)
	if status != http.StatusOK || accessToken == "" {
		return "", fmt.Errorf("the exchange was answered with %d: %v", status, answer)
	}
	t.printf("3. checked    issuer, key, signature, audience, times and event; never used before; a publisher trusts it:\n")
	t.printf("              %s\n", trusted)
	t.printf("4. minted     an access token %s… of %d characters, of which the registry keeps the SHA-256 only\n",
		t.settings.TokenPrefix, len(accessToken))
	t.printf("              it expires at %v\n", answer["expires_at"])

	introspection, err := t.introspect(ctx, accessToken)
	if err != nil {
		return "", err
	}
	if introspection["active"] != true {
		return "", fmt.Errorf("introspection of the new token says %v", introspection)
	}
	t.printf("5. used       the registry introspects it: active, scope %v\n", introspection["scope"])
	return accessToken, nil
}

func (t tour) replay(ctx context.Context, idToken string) error {
	status, answer, err := t.call(ctx, http.MethodPut, t.server+tokensPath, "", "application/json", `{"jwt":"`+idToken+`"}`)
	if err != nil {
		return err
	}
	if status != http.StatusBadRequest {
		return fmt.Errorf("the second exchange of one ID token was answered with %d: %v", status, answer)
	}
	t.printf("6. replayed   the same ID token again: 400, each can be exchanged once\n")
	return nil
}

func (t tour) revoke(ctx context.Context, accessToken string) error {
	status, answer, err := t.call(ctx, http.MethodDelete, t.server+tokensPath, accessToken, "", "")
	if err != nil {
		return err
	}
	if status != http.StatusNoContent {
		return fmt.Errorf("the revocation was answered with %d: %v", status, answer)
	}
	introspection, err := t.introspect(ctx, accessToken)
	if err != nil {
		return err
	}
	if introspection["active"] != false {
		return fmt.Errorf("introspection of the revoked token says %v", introspection)
	}
	t.printf("7. revoked    when the job is done: 204, and introspection says active: false\n")
	return nil
}

func (t tour) introspect(ctx context.Context, accessToken string) (map[string]any, error) {
	_, answer, err := t.call(ctx, http.MethodPost, t.server+introspectPath, t.settings.RegistryToken.Reveal(),
		"application/x-www-form-urlencoded", "token="+url.QueryEscape(accessToken))
	return answer, err
}

// call sends a request and decodes the answer, if there is one.
func (t tour) call(ctx context.Context, method, target, bearer, contentType, body string) (int, map[string]any, error) {
	request, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if bearer != "" {
		request.Header.Set("Authorization", "Bearer "+bearer)
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := t.client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return 0, nil, err
	}
	var answer map[string]any
	if len(bytes.TrimSpace(content)) > 0 {
		err = json.Unmarshal(content, &answer)
	}
	return response.StatusCode, answer, err
}

// payload shows what an ID token says, as its bearer reads it.
func payload(idToken string) (map[string]any, error) {
	_, rest, _ := strings.Cut(idToken, ".")
	middle, _, isJWT := strings.Cut(rest, ".")
	if !isJWT {
		return nil, errors.New("the CI provider gave no ID token")
	}
	decoded, err := base64.RawURLEncoding.DecodeString(middle)
	if err != nil {
		return nil, err
	}
	var claims map[string]any
	err = json.Unmarshal(decoded, &claims)
	return claims, err
}

// printCommands prints the commands with which a person repeats the tour. They need
// nothing but a shell, curl and sed.
func (t tour) printCommands() error {
	value := func(member string) string {
		return `sed 's/.*"` + member + `":"\([^"]*\)".*/\1/'`
	}
	_, err := fmt.Fprintf(t.out, `
The same by hand, in another terminal:

  # the job asks its CI provider for an ID token
  ID_TOKEN=$(curl -sS -H 'Authorization: Bearer %s' '%s&audience=%s' | %s)

  # and exchanges it for an access token
  TOKEN=$(curl -sS -X PUT -H 'Content-Type: application/json' -d "{\"jwt\":\"$ID_TOKEN\"}" %s | tee /dev/stderr | %s)

  # the registry asks what the token may do
  curl -sS -H 'Authorization: Bearer %s' -d "token=$TOKEN" %s

  # the job revokes it when it is done
  curl -sS -i -X DELETE -H "Authorization: Bearer $TOKEN" %s

  # the owner of a package lists its publishers
  curl -sS -H 'Authorization: Bearer %s' '%s?crate=demo'

A job finds its half in ACTIONS_ID_TOKEN_REQUEST_URL='%s'
and ACTIONS_ID_TOKEN_REQUEST_TOKEN='%s'.
`,
		t.ci.RequestToken(), t.ci.RequestURL(), url.QueryEscape(t.settings.Audience), value("value"),
		t.server+tokensPath, value("token"),
		t.settings.RegistryToken.Reveal(), t.server+introspectPath,
		t.server+tokensPath,
		t.settings.AdminToken.Reveal(), t.server+configsPath,
		t.ci.RequestURL(), t.ci.RequestToken())
	return err
}

func (t tour) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(t.out, format, args...)
}
