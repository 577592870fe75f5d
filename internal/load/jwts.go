package main

import (
	"bufio"
	"bytes"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

// lifetime is that of pre-signed ID tokens, so that a file of them serves for a day.
const lifetime = 23 * time.Hour

// signAll makes the ID tokens of all subjects, one after the other.
func signAll(ci *issuer.Issuer, o options) ([]string, error) {
	var all []string
	for k, s := range o.signed() {
		jwts, err := sign(ci, o.needed(s), o.audience, o.pick(k, s))
		if err != nil {
			return nil, err
		}
		all = append(all, jwts...)
	}
	return all, nil
}

// pick returns which repositories the ID tokens of subject k are of, one after the
// other; 0 is that of the demo publisher.
func (o options) pick(k int, s subject) func() int {
	if s.repositories <= 1 {
		return func() int { return 0 }
	}
	random := rand.New(rand.NewPCG(o.seed, uint64(k)))
	return func() int { return 1 + random.IntN(s.repositories) }
}

// sign makes n ID tokens, each for one exchange, on all cores. audience is their aud,
// and pick tells which repositories they are of.
func sign(ci *issuer.Issuer, n int, audience string, pick func() int) ([]string, error) {
	// A million of them stay, so that little garbage may come to as much again.
	defer debug.SetGCPercent(debug.SetGCPercent(25))
	jwts := make([]string, n)
	repositories := make([]int, n)
	for i := range repositories {
		repositories[i] = pick()
	}
	errs := make([]error, n)
	expiry := time.Now().Add(lifetime).Unix()
	inParallel(n, func(i int) {
		claims := ci.GitHubClaims()
		claims["aud"], claims["exp"] = audience, expiry
		if r := repositories[i]; r > 0 {
			claimRepository(claims, r)
		}
		jwts[i], errs[i] = ci.Sign(claims)
	})
	return jwts, errors.Join(errs...)
}

// claimRepository makes the claims those of a job of repository r that was filled in.
func claimRepository(claims issuer.Claims, r int) {
	id := strconv.Itoa(r)
	owner := "owner-" + id
	for name, value := range claims {
		if text, ok := value.(string); ok {
			claims[name] = strings.Replace(text, demoRepository, owner+"/repository", 1)
		}
	}
	claims["repository_owner"], claims["repository_owner_id"], claims["repository_id"] = owner, id, id
}

// keysOf returns where the key set stands that belongs to a file of ID tokens.
func keysOf(file string) string { return file + ".jwks" }

// writeJWTs writes the ID tokens to a file, one in a line, and the key set that
// verifies them beside it.
func writeJWTs(file string, jwts []string, keyID string, key *rsa.PublicKey) error {
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key, KeyID: keyID, Algorithm: "RS256", Use: "sig"}}})
	if err != nil {
		return fmt.Errorf("encode key set: %w", err)
	}
	err = os.WriteFile(keysOf(file), set, 0o600)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	// A million ID tokens are over 1 GB, of which this makes no copy.
	lines := bufio.NewWriter(f)
	for _, jwt := range jwts {
		_, _ = lines.WriteString(jwt + "\n") // Flush returns the error.
	}
	return errors.Join(lines.Flush(), f.Close())
}

// readJWTs reads ID tokens, one in a line, of a file or, for "-", of r.
func readJWTs(file string, r io.Reader) ([]string, error) {
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		r = f
	}
	var jwts []string
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 64<<10)
	for lines.Scan() {
		if line := strings.TrimSpace(lines.Text()); line != "" {
			jwts = append(jwts, line)
		}
	}
	if lines.Err() != nil {
		return nil, fmt.Errorf("read %s: %w", file, lines.Err())
	}
	if len(jwts) == 0 {
		return nil, fmt.Errorf("%s holds no ID tokens: write some with -write %s", file, file)
	}
	return jwts, nil
}

// addressOf returns where the issuer of an ID token listens, which must be loopback
// HTTP for this program to take its place.
func addressOf(jwt string) (string, error) {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return "", errors.New("the first line is no JWT")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", fmt.Errorf("decode the first JWT: %w", err)
	}
	var claims struct {
		Issuer string `json:"iss"`
	}
	err = json.Unmarshal(payload, &claims)
	if err != nil {
		return "", fmt.Errorf("decode the first JWT: %w", err)
	}
	address, ok := strings.CutPrefix(claims.Issuer, "http://")
	if !ok {
		return "", fmt.Errorf("the ID tokens are of %s, which this program can't stand in for; name a server that trusts it with -url", claims.Issuer)
	}
	return address, nil
}

// standIn starts an issuer at the address of the one that signed the ID tokens, which
// publishes the keys that were written beside them.
func standIn(file string, jwts []string) (*issuer.Issuer, error) {
	address, err := addressOf(jwts[0])
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(keysOf(file))
	if err != nil {
		return nil, fmt.Errorf("the keys of the ID tokens: %w", err)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	err = json.NewDecoder(bytes.NewReader(text)).Decode(&set)
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", keysOf(file), err)
	}
	ci, err := issuer.Start(issuer.Config{Address: address})
	if err != nil {
		return nil, err
	}
	ci.AddToKeySet(set.Keys...)
	return ci, nil
}

// inParallel calls do for 0 to n-1 on all cores.
func inParallel(n int, do func(i int)) {
	workers := runtime.GOMAXPROCS(0)
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := w; i < n; i += workers {
				do(i)
			}
		})
	}
	group.Wait()
}
