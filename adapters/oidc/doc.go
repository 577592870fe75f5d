// Package oidc verifies the ID tokens of CI jobs: JWS in compact serialisation
// (RFC 7515), the registered claims (RFC 7519, OpenID Connect Core 1.0), and the
// key sets of the issuers (OpenID Connect Discovery 1.0).
//
// Cheap checks come before the look-up of a key, nothing of a payload but its iss
// is looked at before the signature verified, and what providers say in their own
// claims is left to a [Provider].
package oidc
