package oidc

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"github.com/trustpub/trustpub/adapters/strictjson"
	"github.com/trustpub/trustpub/domain"
)

const (
	// maxToken is the longest ID token in bytes; those of CI providers have 1 to 3 KiB.
	maxToken = 16 << 10
	// maxKeyID is the longest key ID in bytes.
	maxKeyID = 255
)

// token is an ID token that was taken apart and not verified yet.
type token struct {
	// signingInput is what the signature is over: header and payload as they came
	// (RFC 7515 section 5.2). Base64 is canonical here, so it has one spelling.
	signingInput string
	signature    []byte
	header       header
	claims       unverified
}

// parse takes an ID token apart: JWS compact serialisation with canonical base64url
// and JSON objects without duplicated members.
func parse(text string) (token, error) {
	if len(text) > maxToken {
		return token{}, malformed("it is longer than 16 KiB")
	}
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return token{}, malformed("it does not have three parts separated by dots")
	}
	var decoded [3][]byte
	for i, part := range parts {
		var err error
		decoded[i], err = decodeBase64(part)
		if err != nil {
			return token{}, malformed("one of its parts is empty or no unpadded base64url")
		}
	}
	h, err := parseHeader(decoded[0])
	if err != nil {
		return token{}, malformed("its header is no JSON object, or has a member twice")
	}
	claims, err := strictjson.Object(decoded[1])
	if err != nil {
		return token{}, malformed("its payload is no JSON object, or has a member twice")
	}
	return token{
		signingInput: text[:strings.LastIndexByte(text, '.')], signature: decoded[2],
		header: h, claims: unverified{claims},
	}, nil
}

func malformed(why string) error {
	return domain.Refuse(domain.CodeMalformedJWT,
		"The ID token is no JWT in compact serialisation: %s. Send the token of the CI provider as it is.", why)
}

// strictBase64 refuses bits that are set after the end, so that each value has one
// encoding only.
var strictBase64 = base64.RawURLEncoding.Strict()

func decodeBase64(s string) ([]byte, error) {
	// The decoder would skip line breaks.
	if s == "" || strings.IndexByte(s, '\r') >= 0 || strings.IndexByte(s, '\n') >= 0 {
		return nil, errors.New("empty or broken over lines")
	}
	return strictBase64.DecodeString(s)
}

// header is what is read of a JOSE header. Keys in it (jwk, jku, x5u, x5c) are
// never looked at: a key comes from the issuer or not at all.
type header struct {
	algorithm string
	keyID     string
	critical  bool
}

func parseHeader(b []byte) (header, error) {
	members, err := strictjson.Object(b)
	if err != nil {
		return header{}, err
	}
	var h header
	h.algorithm, _ = members["alg"].(string)
	h.keyID, _ = members["kid"].(string)
	_, hasCritical := members["crit"]
	_, hasB64 := members["b64"] // RFC 7797: a payload that is not base64url.
	h.critical = hasCritical || hasB64
	return h, nil
}

// check returns the algorithm that the header names, and refuses one that does not fit
// those of its issuer.
func (h header) check(algorithms []algorithm) (algorithm, error) {
	i := slices.IndexFunc(algorithms, func(a algorithm) bool { return a.name == h.algorithm })
	switch {
	case i < 0:
		return algorithm{}, domain.Refuse(domain.CodeUnsupportedAlgorithm,
			"The ID token is signed with the algorithm %q, but its issuer uses %q. Send the token of the CI provider as it is.", printable(h.algorithm), names(algorithms))
	case h.keyID == "" || len(h.keyID) > maxKeyID:
		return algorithm{}, domain.Refuse(domain.CodeMissingKeyID,
			"The header of the ID token does not name the key that signed it (kid, a string of 1 to %d bytes). Send the token of the CI provider as it is.", maxKeyID)
	case h.critical:
		return algorithm{}, domain.Refuse(domain.CodeUnsupportedHeader,
			"The header of the ID token demands an extension that is not supported here. Send the token of the CI provider as it is.")
	}
	return algorithms[i], nil
}

func names(algorithms []algorithm) []string {
	names := make([]string, 0, len(algorithms))
	for _, a := range algorithms {
		names = append(names, a.name)
	}
	return names
}

// unverified are the claims before the signature was verified. Their issuer may be used
// to choose the keys, and for nothing else; [token.verify] hands them out.
type unverified struct{ claims domain.RawClaims }

func (u unverified) issuer() string {
	issuer, _ := u.claims["iss"].(string)
	return issuer
}

// verify returns the claims when the signature is the key's, over the very bytes that
// the claims were decoded from.
func (t token) verify(a algorithm, key crypto.PublicKey) (domain.RawClaims, error) {
	if !a.isSignature(key, t.signingInput, t.signature) {
		return nil, domain.Refuse(domain.CodeInvalidSignature,
			"The signature of the ID token is not its issuer's. Send the token of the CI provider as it is.")
	}
	return t.claims.claims, nil
}

// id returns what tells the token from all others of a provider whose ID tokens have
// no jti, and "" where they have one.
func (t token) id(p Provider) string {
	if p.HasJWTID() {
		return ""
	}
	hash := sha256.Sum256([]byte(t.signingInput))
	return "sha256:" + hex.EncodeToString(hash[:])
}

// printable shortens untrusted text for a message that shows it in quotes.
func printable(s string) string {
	const most = 255
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
