package remotekeys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	// requestTimeout bounds one request, reading the answer included.
	requestTimeout = 5 * time.Second
	// maxHeader bounds the header of an answer.
	maxHeader = 64 << 10
)

// Client gets documents that somebody else controls. It follows no redirect, which could
// lead to a host that nobody vouches for. It is safe for concurrent use.
type Client struct{ client *http.Client }

// NewTransport returns what a client goes through that is given no transport: a clone of
// http.DefaultTransport, which honours the proxy settings of the environment, without
// kept-alive connections.
func NewTransport() (*http.Transport, error) {
	own, ok := http.DefaultTransport.(*http.Transport) //nolint:forbidigo // Its settings are copied, and it is not used.
	if !ok {
		return nil, errors.New("remotekeys: http.DefaultTransport was replaced; set Transport")
	}
	own = own.Clone()
	own.DisableKeepAlives = true
	own.MaxResponseHeaderBytes = maxHeader
	return own, nil
}

// NewClient returns a client that goes through transport. Nil is one of [NewTransport].
func NewClient(transport http.RoundTripper) (*Client, error) {
	if transport == nil {
		own, err := NewTransport()
		if err != nil {
			return nil, err
		}
		transport = own
	}
	return &Client{&http.Client{
		Transport:     transport,
		Timeout:       requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Get returns a document of most bytes at most. accept is the media types to ask for.
// Any status but 200 is an error.
func (c *Client) Get(ctx context.Context, url, accept string, most int) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	request.Header.Set("Accept", accept)
	request.Header.Set("User-Agent", "trustpub")
	response, err := c.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("send request: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer has status %d", response.StatusCode)
	}
	document, err := io.ReadAll(io.LimitReader(response.Body, int64(most)+1))
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	if len(document) > most {
		return nil, fmt.Errorf("the answer is larger than %d KiB", most>>10)
	}
	return document, nil
}
