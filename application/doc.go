// Package application holds the use cases of trustpub: exchanging an ID token for
// an access token, checking and revoking access tokens, managing publisher
// configs, and sweeping what has expired.
//
// Each is a concrete service that knows the domain and the ports in ports.go, and
// neither a protocol nor a provider nor a database.
package application
