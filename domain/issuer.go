package domain

import (
	"net/netip"
	"net/url"
	"strings"
)

// ValidateIssuer checks an OIDC issuer URL: https without user info, query,
// fragment or trailing slash (OpenID Connect Core 1.0 section 2, and its issuer
// comparison is byte for byte). http is accepted for loopback hosts only, which a
// network attacker can't reach. Errors are of [KindInvalid].
func ValidateIssuer(issuer string) error {
	u, err := url.Parse(issuer)
	bad := func(why string) error {
		return Invalid(CodeInvalidConfig, "The issuer %s is not valid: %s.", quoteURL(issuer), why)
	}
	switch {
	case err != nil || hasControl(issuer) || strings.ContainsAny(issuer, " \\"):
		return bad("it is no URL")
	case u.User != nil:
		return bad("it must not have user info")
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(issuer, "#"):
		return bad("it must have neither query nor fragment")
	case u.Hostname() == "":
		return bad("it has no host")
	case strings.HasSuffix(issuer, "/"):
		return bad("it must not end in a slash")
	case len(issuer) > maxLength:
		return bad("it is longer than 255 characters")
	}
	return secureScheme(u, bad)
}

// ValidateKeySetURL checks the URL of a key set: https, or http at a loopback
// host. Errors are of [KindInvalid].
func ValidateKeySetURL(s string) error {
	u, err := url.Parse(s)
	bad := func(why string) error {
		return Invalid(CodeInvalidConfig, "The key set URL %s is not valid: %s.", quoteURL(s), why)
	}
	if err != nil || u.Hostname() == "" || u.User != nil {
		return bad("it is no URL with a host and without user info")
	}
	return secureScheme(u, bad)
}

// quoteURL shows a URL that may hold a password without it.
func quoteURL(s string) string {
	if strings.Contains(s, "@") {
		return "with user info"
	}
	return quote(s)
}

func secureScheme(u *url.URL, bad func(string) error) error {
	switch u.Scheme {
	case "https":
		return nil
	case "http":
		if isLoopback(u.Hostname()) {
			return nil
		}
		return bad("http is accepted for loopback hosts only; use https")
	}
	return bad("it must begin with https://")
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}
