package oidc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha256" // For crypto.SHA256.
	_ "crypto/sha512" // For crypto.SHA384 and crypto.SHA512.
	"fmt"
	"math/big"
)

// algorithm is a JWS algorithm (RFC 7518 section 3.1). All that there are here are
// asymmetric, and each takes keys of one kind: an RSA key never serves as the secret of
// an HMAC.
type algorithm struct {
	name string
	hash crypto.Hash
	// verify reports whether the signature is the key's. A key of another kind than the
	// algorithm's has made none.
	verify func(hash crypto.Hash, key crypto.PublicKey, digest, signature []byte) bool
}

func newAlgorithm(name string) (algorithm, error) {
	switch name {
	case "RS256":
		return algorithm{name, crypto.SHA256, verifyPKCS1v15}, nil
	case "RS384":
		return algorithm{name, crypto.SHA384, verifyPKCS1v15}, nil
	case "RS512":
		return algorithm{name, crypto.SHA512, verifyPKCS1v15}, nil
	case "PS256":
		return algorithm{name, crypto.SHA256, verifyPSS}, nil
	case "PS384":
		return algorithm{name, crypto.SHA384, verifyPSS}, nil
	case "PS512":
		return algorithm{name, crypto.SHA512, verifyPSS}, nil
	case "ES256":
		return algorithm{name, crypto.SHA256, verifyECDSA(elliptic.P256())}, nil
	case "ES384":
		return algorithm{name, crypto.SHA384, verifyECDSA(elliptic.P384())}, nil
	case "ES512":
		return algorithm{name, crypto.SHA512, verifyECDSA(elliptic.P521())}, nil
	}
	return algorithm{}, fmt.Errorf("the algorithm %q is not an asymmetric signature", name)
}

// isSignature reports whether signature is the key's over input.
func (a algorithm) isSignature(key crypto.PublicKey, input string, signature []byte) bool {
	h := a.hash.New()
	_, _ = h.Write([]byte(input)) // A hash never fails.
	return a.verify(a.hash, key, h.Sum(nil), signature)
}

// verifyPKCS1v15 is for RFC 7518 section 3.3.
func verifyPKCS1v15(hash crypto.Hash, key crypto.PublicKey, digest, signature []byte) bool {
	k, ok := key.(*rsa.PublicKey)
	return ok && rsa.VerifyPKCS1v15(k, hash, digest, signature) == nil
}

// verifyPSS is for RFC 7518 section 3.5, where the salt is as long as the hash.
func verifyPSS(hash crypto.Hash, key crypto.PublicKey, digest, signature []byte) bool {
	k, ok := key.(*rsa.PublicKey)
	return ok && rsa.VerifyPSS(k, hash, digest, signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
}

// verifyECDSA is for RFC 7518 section 3.4: each algorithm has its curve, and the
// signature is two numbers, each as long as the curve's order.
func verifyECDSA(curve elliptic.Curve) func(crypto.Hash, crypto.PublicKey, []byte, []byte) bool {
	size := (curve.Params().BitSize + 7) / 8
	return func(_ crypto.Hash, key crypto.PublicKey, digest, signature []byte) bool {
		k, ok := key.(*ecdsa.PublicKey)
		if !ok || k.Curve != curve || len(signature) != 2*size {
			return false
		}
		r, s := new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:])
		return ecdsa.Verify(k, digest, r, s)
	}
}
