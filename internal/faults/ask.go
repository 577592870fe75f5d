package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// tokensPath is where crates.io's protocol exchanges ID tokens.
const tokensPath = "/api/v1/trusted_publishing/tokens"

// ask sends an ID token to a server, past the journal, and returns the status and, if
// it was refused, the code. An answer without the protocol's envelope is an error.
func ask(ctx context.Context, client *http.Client, base, jwt string) (status int, code string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, base+tokensPath, strings.NewReader(`{"jwt":"`+jwt+`"}`))
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode == http.StatusOK {
		return response.StatusCode, "", err
	}
	var refusal struct {
		Errors []struct {
			Code string `json:"code"`
		} `json:"errors"`
	}
	err = json.Unmarshal(body, &refusal)
	if err != nil || len(refusal.Errors) != 1 {
		return response.StatusCode, "", fmt.Errorf("status %d without an envelope: %.100q", response.StatusCode, body)
	}
	return response.StatusCode, refusal.Errors[0].Code, nil
}

// quantile returns the value below which that part of the latencies is.
func quantile(latencies []time.Duration, part float64) time.Duration {
	if len(latencies) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(latencies))
	return sorted[min(len(sorted)-1, int(part*float64(len(sorted))))]
}

// describe returns the figures of latencies as a table shows them.
func describe(latencies []time.Duration) string {
	ms := func(part float64) float64 { return quantile(latencies, part).Seconds() * 1000 }
	return fmt.Sprintf("%d exchanges, p50 %.1f ms, p99 %.1f ms, max %.1f ms", len(latencies), ms(0.5), ms(0.99), ms(1))
}
