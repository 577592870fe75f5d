// Package githubapi asks GitHub's REST API for the numeric ID of an account.
package githubapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// DefaultURL is the base URL of the REST API of github.com.
const DefaultURL = "https://api.github.com"

const (
	// timeout bounds one request.
	timeout = 5 * time.Second
	// maxBody bounds an answer; GitHub's has about 2 KiB.
	maxBody = 1 << 20
)

// OwnerLookup implements [application.OwnerLookup]. It is safe for concurrent use.
type OwnerLookup struct {
	apis   map[string]string
	client *http.Client
}

var _ application.OwnerLookup = (*OwnerLookup)(nil)

// New returns a look-up that asks, for an issuer, the REST API at the base URL
// that apis has for it, such as "https://api.github.com" for github.com and
// "https://HOST/api/v3" for a GitHub Enterprise Server. An issuer without a base
// URL is never looked up elsewhere: IDs of one GitHub mean nothing at another. A
// nil transport is http.DefaultTransport. Redirects are not followed.
func New(apis map[string]string, transport http.RoundTripper) *OwnerLookup {
	return &OwnerLookup{
		apis: apis,
		client: &http.Client{
			Transport:     transport,
			Timeout:       timeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// OwnerID implements [application.OwnerLookup] with "Get a user", which knows
// organisations too
// (https://docs.github.com/en/rest/users/users#get-a-user).
func (l *OwnerLookup) OwnerID(ctx context.Context, issuer, login string) (int64, error) {
	base, ok := l.apis[issuer]
	if !ok {
		return 0, domain.Invalid(domain.CodeUnknownOwner,
			"The ID of the owner %q can't be looked up for the issuer %q. Give it as repository_owner_id: it is the number \"id\" in the answer of that GitHub's API at /users/%s.", login, issuer, login)
	}
	status, body, err := l.get(ctx, base+"/users/"+url.PathEscape(login))
	if err != nil {
		return 0, unavailable(login, err)
	}
	switch status {
	case http.StatusOK:
	case http.StatusNotFound:
		return 0, domain.Invalid(domain.CodeUnknownOwner, "GitHub has no account named %q. Check the spelling of the repository owner.", login)
	default:
		return 0, unavailable(login, fmt.Errorf("github answered with status %d", status))
	}
	var account struct {
		ID int64 `json:"id"`
	}
	err = json.Unmarshal(body, &account)
	if err != nil {
		return 0, unavailable(login, fmt.Errorf("decode account: %w", err))
	}
	if account.ID <= 0 {
		return 0, unavailable(login, errors.New("the answer holds no id"))
	}
	return account.ID, nil
}

func (l *OwnerLookup) get(ctx context.Context, target string) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return 0, nil, fmt.Errorf("make request: %w", err)
	}
	request.Header.Set("Accept", "application/vnd.github+json")
	request.Header.Set("X-GitHub-Api-Version", "2022-11-28")
	request.Header.Set("User-Agent", "trustpub")
	response, err := l.client.Do(request)
	if err != nil {
		return 0, nil, fmt.Errorf("ask github: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	if err != nil {
		return 0, nil, fmt.Errorf("read answer: %w", err)
	}
	if len(body) > maxBody {
		return 0, nil, errors.New("the answer is larger than 1 MiB")
	}
	return response.StatusCode, body, nil
}

func unavailable(login string, err error) error {
	return domain.Unavailable(domain.CodeOwnerLookupUnavailable, err,
		"GitHub can't be asked for the ID of the owner %q right now. Try again later, or give it as repository_owner_id.", login)
}
