package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// recovers makes sure that an issuer that failed is used again once it behaves.
func (s *issuersScenario) recovers(ctx context.Context) error {
	var problems []error
	for _, h := range s.issuers {
		_, err := h.Rotate()
		if err != nil {
			return err
		}
		problems = append(problems, h.become(behaved))
	}
	begin := time.Now()
	for i, m := range misdeeds() {
		took, err := s.awaitKey(ctx, s.issuers[i], http.StatusOK, begin, requestTime+failureCoolDown+2*time.Second)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: the new key after it: %w", m, err))
		}
		s.tell("a new key after %s: usable after %s", m, took.Round(100*time.Millisecond))
	}
	return errors.Join(problems...)
}

// requestTime bounds one request of the server to an issuer.
const requestTime = 5 * time.Second

// awaitKey sends ID tokens under the issuer's key until one is answered with the
// status, and returns how long that took since begin.
func (s *issuersScenario) awaitKey(ctx context.Context, h *hostile, want int, begin time.Time, bound time.Duration) (time.Duration, error) {
	for {
		jwt, err := h.Sign(h.GitHubClaims())
		if err != nil {
			return 0, err
		}
		status, code, err := ask(ctx, s.http, s.servers[0].url(), jwt)
		took := time.Since(begin)
		switch {
		case err != nil:
			return took, err
		case status == want:
			return took, nil
		case took > bound:
			return took, fmt.Errorf("status %d %s after %s, where %d was due within %s", status, code, took, want, bound)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// rotates shows the worst case: an unknown key has just caused a fetch when the issuer
// changes its key, and a flood of unknown keys goes on. The old key is refused from the
// same moment on.
func (s *issuersScenario) rotates(ctx context.Context) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h := s.rotating
	err := h.become(behaved)
	if err != nil {
		return "", err
	}
	s.unknown(ctx, h, false)
	begin := time.Now()
	old, err := h.Sign(h.GitHubClaims())
	if err != nil {
		return "", err
	}
	oldKey := h.KeyID()
	_, err = h.Rotate()
	if err != nil {
		return "", err
	}
	h.Withdraw(oldKey)
	for range 4 {
		go func() {
			for ctx.Err() == nil {
				s.unknown(ctx, h, false)
				time.Sleep(20 * time.Millisecond)
			}
		}()
	}
	took, err := s.awaitKey(ctx, h, http.StatusOK, begin, unknownKeyCoolDown+2*time.Second)
	fetches := len(h.fetches())
	figures := fmt.Sprintf("a new key during a flood of unknown ones, right after a fetch: usable after %s, with %d fetches", took.Round(100*time.Millisecond), fetches)
	if err == nil && fetches > 2 { //nolint:mnd // One before the change, and one after it.
		err = fmt.Errorf("the flood of unknown keys caused %d fetches within %s", fetches, took)
	}
	status, code, askErr := ask(ctx, s.http, s.servers[0].url(), old)
	if askErr == nil && code != "unknown_key" {
		err = errors.Join(err, fmt.Errorf("an ID token under a withdrawn key was answered with %d %s after the key set was fetched", status, code))
	}
	return figures, errors.Join(err, askErr)
}

// withdraws shows how long a withdrawn key is accepted when nothing but the time
// causes a fetch: until the next one in the background. Its thief signs on.
func (s *issuersScenario) withdraws(ctx context.Context) error {
	h := s.rotating
	// A set without any key would be no success.
	other, err := json.Marshal(jose.JSONWebKey{Key: s.elsewhere.PublicKey(), KeyID: "other", Algorithm: "RS256", Use: "sig"})
	if err != nil {
		return err
	}
	h.AddToKeySet(other)
	h.Withdraw(h.KeyID())
	took, err := s.awaitKey(ctx, h, http.StatusBadRequest, time.Now(), refreshInterval+requestTime)
	s.tell("a withdrawn key, when nothing else causes a fetch: refused after %s", took.Round(time.Second))
	return err
}
