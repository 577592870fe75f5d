package domain_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/domain"
)

func TestValidateIssuerAcceptsHTTPSAndHTTPAtLoopback(t *testing.T) {
	for _, issuer := range []string{
		"https://token.actions.githubusercontent.com",
		"https://ghes.example/_services/token",
		"https://gitlab.example:8443",
		"https://192.0.2.1",
		"https://[2001:db8::1]:8443/x",
		"https://localhost",
		"http://localhost",
		"http://localhost:8080/x",
		"http://127.0.0.1:8080",
		"http://127.1.2.3",
		"http://[::1]",
		"http://[::1]:8080/x",
		"HTTPS://a.example", // A scheme has no case (RFC 3986 section 3.1).
		"https://" + strings.Repeat("x", 247),
	} {
		t.Run(issuer, func(t *testing.T) {
			require.NoError(t, domain.ValidateIssuer(issuer))
			require.NoError(t, domain.ValidateKeySetURL(issuer+"/jwks?v=1"))
		})
	}
}

func TestValidateIssuerRefusesWhatBreaksTheRules(t *testing.T) {
	tests := []struct{ name, issuer string }{
		{"empty", ""},
		{"no scheme", "a.example"},
		{"no scheme but slashes", "//a.example"},
		{"scheme alone", "https://"},
		{"scheme and path", "https:///x"},
		{"scheme without slashes", "https:a.example"},
		{"port without host", "https://:8443"},
		{"another scheme", "ftp://a.example"},
		{"file", "file:///etc/passwd"},
		{"data", "data:application/json,{}"},
		{"unix socket", "unix:///run/x"},
		{"http", "http://a.example"},
		{"http in upper case", "HTTP://a.example"},
		{"http at a name that begins like a loopback address", "http://127.0.0.1.evil.example"},
		{"http at a name that begins with localhost", "http://localhost.evil.example"},
		{"http at a name that ends in localhost", "http://evillocalhost"},
		{"http at a name below localhost", "http://evil.localhost"},
		{"http at localhost with a dot", "http://localhost."},
		{"http at a short loopback address", "http://127.1"},
		{"http at a decimal loopback address", "http://2130706433"},
		{"http at a hexadecimal loopback address", "http://0x7f000001"},
		{"http at an octal loopback address", "http://0177.0.0.1"},
		{"http at the unspecified address", "http://0.0.0.0"},
		{"http at the unspecified IPv6 address", "http://[::]"},
		{"http at a private address", "http://10.0.0.1"},
		{"http at a link-local address", "http://169.254.169.254"},
		{"http at a host hidden behind user info", "http://localhost@evil.example"},
		{"user", "https://user@a.example"},
		{"user and password", "https://user:pw@a.example"},
		{"empty user", "https://@a.example"},
		{"query", "https://a.example?x=1"},
		{"empty query", "https://a.example?"},
		{"query behind a path", "https://a.example/x?y"},
		{"fragment", "https://a.example#x"},
		{"empty fragment", "https://a.example#"},
		{"trailing slash", "https://a.example/"},
		{"trailing slash behind a path", "https://a.example/x/"},
		{"two trailing slashes", "https://a.example//"},
		{"backslash", `https://a.example\x`},
		{"backslash before the host", `https:\\a.example`},
		{"backslash before an at sign", `https://evil.example\@a.example`},
		{"space before", " https://a.example"},
		{"space behind", "https://a.example "},
		{"space in the path", "https://a.example/x y"},
		{"tab", "https://a.example/\t"},
		{"newline behind", "https://a.example\n"},
		{"NUL", "https://a.example/\x00"},
		{"control character beyond ASCII", "https://a.example/\u0085"},
		{"not UTF-8", "https://a.example/\xff"},
		{"bad percent-encoding", "https://a.example/%zz"},
		{"bad port", "https://a.example:http"},
		{"bad IPv6 address", "https://[::1"},
		{"longer than 255 characters", "https://" + strings.Repeat("x", 248)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := domain.ValidateIssuer(tt.issuer)

			requireError(t, err, domain.KindInvalid, domain.CodeInvalidConfig)
		})
	}
}

func TestValidateKeySetURLRefusesWhatBreaksTheRules(t *testing.T) {
	for _, u := range []string{
		"", "a.example/jwks", "/jwks", "https://", "https:///jwks", "https:jwks", "http://a.example/jwks", "HTTP://a.example/jwks",
		"http://localhost.evil.example/jwks", "http://127.0.0.1.evil.example/jwks", "http://169.254.169.254/jwks", "ftp://a.example/jwks",
		"file:///jwks", "https://user:pw@a.example/jwks", "http://localhost@evil.example/jwks", "https://a.example/\n", "https://a.example/%zz",
	} {
		t.Run(u, func(t *testing.T) {
			requireError(t, domain.ValidateKeySetURL(u), domain.KindInvalid, domain.CodeInvalidConfig)
		})
	}
}

func TestARefusedURLShowsNoPassword(t *testing.T) {
	for _, u := range []string{
		"https://user:hunter2@a.example", "https://user:hunter2@a.example/%zz", "https://user:hunter2@a.example:x",
		"https://user:hunter2@a.example\n", "http://user:hunter2@a.example/?x", "user:hunter2@a.example", "https://user:hunter2@",
	} {
		t.Run(u, func(t *testing.T) {
			for _, err := range []error{domain.ValidateIssuer(u), domain.ValidateKeySetURL(u)} {
				requireError(t, err, domain.KindInvalid, domain.CodeInvalidConfig)
				require.NotContains(t, err.Error(), "hunter2")
			}
		})
	}
}
