package exporter

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// OTLP says where and how spans are sent by OTLP over HTTP, in protobuf
// (https://opentelemetry.io/docs/specs/otlp/#otlphttp).
type OTLP struct {
	// URL is that of the collector, its path included. It is required.
	URL *url.URL
	// Header goes along with each request.
	Header http.Header
	// Timeout bounds the sending of one batch, all attempts included. Zero is 10 s.
	Timeout time.Duration
	// Gzip compresses what is sent.
	Gzip bool
	// TLS is for https. Nil trusts the system's certificate authorities.
	TLS *tls.Config
}

const defaultTimeout = 10 * time.Second

// client is OpenTelemetry's exporter's way to the collector. The one that comes with it
// links all of gRPC also where it speaks HTTP, which the server would hold in memory
// where nobody asked for traces.
type client struct {
	cfg    OTLP
	client *http.Client
	// closing ends when a batch is to be tried once only, and aborted when the attempt that
	// is going on is to be broken off.
	closing, aborted context.Context //nolint:containedctx // They are not those of calls.
	close, abort     context.CancelFunc
}

var _ otlptrace.Client = (*client)(nil)

func newClient(cfg OTLP) (*client, error) {
	if cfg.URL == nil {
		return nil, errors.New("exporter: the URL of the collector is missing")
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	c := &client{cfg: cfg, client: &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: cfg.TLS, ForceAttemptHTTP2: true,
			IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10,
		},
		// The header may hold a credential, which is for this server alone.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	c.closing, c.close = context.WithCancel(context.Background())
	c.aborted, c.abort = context.WithCancel(context.Background())
	return c, nil
}

// Start implements otlptrace.Client. Nothing is contacted before there are spans.
func (c *client) Start(context.Context) error { return nil }

// Stop implements otlptrace.Client.
func (c *client) Stop(context.Context) error {
	c.abort()
	c.client.CloseIdleConnections()
	return nil
}

// UploadTraces implements otlptrace.Client. It sends one batch, and sends it again where
// the specification says that it may have another outcome.
func (c *client) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	// In protobuf it is the same as the ExportTraceServiceRequest that is asked for.
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return fmt.Errorf("encode spans: %w", err)
	}
	if c.cfg.Gzip {
		body, err = compress(body)
		if err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	ctx, cancelAborted := until(ctx, c.aborted)
	defer cancelAborted()
	waiting, cancelWaiting := until(ctx, c.closing)
	defer cancelWaiting()

	var last error
	_, err = backoff.Retry(waiting, func() (struct{}, error) {
		last = c.send(ctx, body)
		return struct{}{}, last
	}, backoff.WithMaxElapsedTime(0))
	if err == nil {
		return nil
	}
	return last // Why it was given up says less.
}

// until returns ctx, which ends with end too.
func until(ctx, end context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(end, cancel)
	return ctx, func() { stop(); cancel() }
}

// send makes one attempt. An error that is worth no other is permanent.
func (c *client) send(ctx context.Context, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.cfg.URL.String(), bytes.NewReader(body))
	if err != nil {
		return backoff.Permanent(errors.New("the URL of the collector is unusable"))
	}
	maps.Copy(request.Header, c.cfg.Header)
	request.Header.Set("Content-Type", "application/x-protobuf")
	request.Header.Set("User-Agent", "trustpub")
	if c.cfg.Gzip {
		request.Header.Set("Content-Encoding", "gzip")
	}
	response, err := c.client.Do(request)
	if err != nil {
		return withoutURL(err)
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)) // So that the connection can be used again.
	if response.StatusCode/100 == 2 {
		return nil
	}
	err = fmt.Errorf("the collector answered with status %d", response.StatusCode)
	switch response.StatusCode {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if seconds, parseErr := strconv.Atoi(response.Header.Get("Retry-After")); parseErr == nil && seconds > 0 {
			return &retryAfterError{err, backoff.RetryAfterError{Duration: time.Duration(seconds) * time.Second}}
		}
		return err
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return err
	}
	return backoff.Permanent(err)
}

// retryAfterError is an error with the time after which the collector wants to be asked again.
type retryAfterError struct {
	error

	after backoff.RetryAfterError
}

// Unwrap returns what package backoff looks for.
func (r *retryAfterError) Unwrap() []error { return []error{r.error, &r.after} }

// withoutURL takes off the URL, in which a credential may stand.
func withoutURL(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	return fmt.Errorf("send spans to the collector: %w", err)
}

func compress(body []byte) ([]byte, error) {
	var out bytes.Buffer
	writer := gzip.NewWriter(&out)
	_, err := writer.Write(body)
	err = errors.Join(err, writer.Close())
	if err != nil {
		return nil, fmt.Errorf("compress spans: %w", err)
	}
	return out.Bytes(), nil
}
