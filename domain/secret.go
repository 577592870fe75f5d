package domain

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"regexp"
	"strings"
)

// alphabet is base62 in ASCII order, as GitHub's tokens use it.
const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

const (
	// randomLength base62 characters carry 190 bits.
	randomLength = 32
	// checksumLength base62 characters hold any 32-bit number.
	checksumLength = 6
)

// redacted is what a [Secret] prints as.
const redacted = "[redacted]"

var tokenPrefix = regexp.MustCompile(`^[a-z][a-z0-9_]{1,15}_$`)

// TokenPrefix begins every access token of a registry, so that a person and a
// secret scanner can tell whose it is. The zero value is not valid.
type TokenPrefix struct{ value string }

// DefaultTokenPrefix is the prefix of crates.io's access tokens.
const DefaultTokenPrefix = "cio_tp_"

// NewTokenPrefix validates s, which must match [a-z][a-z0-9_]{1,15}_ whole.
// Errors are of [KindInvalid].
func NewTokenPrefix(s string) (TokenPrefix, error) {
	if !tokenPrefix.MatchString(s) {
		return TokenPrefix{}, Invalid(CodeInvalidConfig,
			"The token prefix %s is not valid. Use a lower-case letter, then 1 to 15 lower-case letters, digits and underscores, then an underscore.", quote(s))
	}
	return TokenPrefix{value: s}, nil
}

// String returns the prefix.
func (p TokenPrefix) String() string { return p.value }

// TokenHash is the SHA-256 of a whole access token: all that is ever stored of
// one. The token has 190 random bits, so an unsalted fast hash is enough.
type TokenHash [sha256.Size]byte

// Secret is the plain text of an access token. It prints as "[redacted]" in fmt,
// in slog and in JSON; only [Secret.Reveal] shows it, and only the response to the
// exchange that made it calls that. The zero value is no token: it reveals "".
//
// The text is behind a pointer, because fmt does not ask the methods of a value in
// an unexported field of a struct: it prints what it finds, here an address.
type Secret struct{ value *string }

// NewSecret draws a new access token: the prefix, 32 base62 characters from
// random, and 6 base62 characters of CRC-32 (IEEE) over all before them. That is
// the form GitHub's secret-scanning partner programme recommends, so that a
// scanner can tell a token from a look-alike without asking anybody
// (https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/).
// random must be a cryptographically secure source, such as [crypto/rand.Reader].
func NewSecret(prefix TokenPrefix, random io.Reader) (Secret, error) {
	if prefix == (TokenPrefix{}) {
		return Secret{}, errors.New("domain: secret without a token prefix")
	}
	token := make([]byte, 0, len(prefix.value)+randomLength+checksumLength)
	token = append(token, prefix.value...)
	var draw [randomLength]byte
	for full := len(token) + randomLength; len(token) < full; {
		if _, err := io.ReadFull(random, draw[:]); err != nil {
			return Secret{}, fmt.Errorf("domain: draw random bytes: %w", err)
		}
		for _, b := range draw {
			// 248 is the largest multiple of 62 in a byte: what lies above it would
			// favour some characters, and is drawn again.
			if b < 248 && len(token) < full {
				token = append(token, alphabet[b%62])
			}
		}
	}
	return Secret{value: new(string(append(token, checksum(token)...)))}, nil
}

// checksum returns the CRC-32 of b as base62 of fixed length.
func checksum(b []byte) []byte {
	var digits [checksumLength]byte
	sum := crc32.ChecksumIEEE(b)
	for i := checksumLength - 1; i >= 0; i-- {
		digits[i] = alphabet[sum%62]
		sum /= 62
	}
	return digits[:]
}

// ParseSecret reads an access token that a client presents. It checks prefix,
// length, characters and checksum, so that a mistyped or foreign token costs no
// look-up. Errors are of [KindUnauthenticated] with [CodeInvalidToken], and never
// show the input.
func ParseSecret(prefix TokenPrefix, s string) (Secret, error) {
	body, hasPrefix := strings.CutPrefix(s, prefix.value)
	end := len(s) - checksumLength
	if prefix == (TokenPrefix{}) || !hasPrefix || len(body) != randomLength+checksumLength || !onlyASCII(body, "") ||
		string(checksum([]byte(s[:end]))) != s[end:] {
		return Secret{}, &Error{
			Kind: KindUnauthenticated, Code: CodeInvalidToken,
			Message: "The access token is not one of this registry: its prefix, its length or its checksum is wrong.",
		}
	}
	return Secret{value: &s}, nil
}

// Reveal returns the plain text.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// Hash returns the SHA-256 of the plain text.
func (s Secret) Hash() TokenHash { return sha256.Sum256([]byte(s.Reveal())) }

// String returns "[redacted]".
func (s Secret) String() string { return redacted }

// Format writes "[redacted]" whatever the verb, for %x and the like.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue returns "[redacted]".
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "[redacted]", for JSON and other encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
