package bootstrap_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/bootstrap"
)

const longToken = "0123456789abcdef0123456789abcdef"

func TestDefaultsAreThoseOfTheContract(t *testing.T) {
	s, err := bootstrap.LoadSettings(nil)

	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:8080", s.Listen)
	require.Equal(t, "sqlite:trustpub.db", s.DatabaseURL.String())
	require.Equal(t, bootstrap.MigrateAuto, s.Migrate)
	require.Empty(t, s.Providers)
	require.Equal(t, "crates.io", s.DomainName)
	require.Equal(t, "crates.io", s.Audience)
	require.True(t, s.AudienceAssumed)
	require.Equal(t, 30*time.Minute, s.TokenTTL)
	require.Equal(t, "cio_tp_", s.TokenPrefix)
	require.Equal(t, time.Minute, s.JWTLeeway)
	require.False(t, s.AdminToken.IsSet())
	require.False(t, s.RegistryToken.IsSet())
	require.Equal(t, "https://api.github.com", s.GitHubAPIURL)
}

func TestTheAudienceIsTheDomainNameUnlessSet(t *testing.T) {
	tests := []struct {
		name        string
		environment map[string]string
		want        string
		assumed     bool
	}{
		{"neither", nil, "crates.io", true},
		{"domain name", map[string]string{"DOMAIN_NAME": "registry.example"}, "registry.example", false},
		{"audience", map[string]string{"TRUSTPUB_AUDIENCE": "npm:registry.example"}, "npm:registry.example", false},
		{"both", map[string]string{"DOMAIN_NAME": "a.example", "TRUSTPUB_AUDIENCE": "b.example"}, "b.example", false},
		{"set to nothing", map[string]string{"DOMAIN_NAME": "", "TRUSTPUB_AUDIENCE": ""}, "crates.io", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := bootstrap.LoadSettings(test.environment)

			require.NoError(t, err)
			require.Equal(t, test.want, s.Audience)
			require.Equal(t, test.assumed, s.AudienceAssumed)
		})
	}
}

func TestTheAudienceOfNPMIsWhatNPMAsksForUnlessSet(t *testing.T) {
	tests := []struct {
		name        string
		environment map[string]string
		want        string
	}{
		{"neither", nil, "npm:crates.io"},
		{"domain name", map[string]string{"DOMAIN_NAME": "registry.example"}, "npm:registry.example"},
		{"domain name with port", map[string]string{"DOMAIN_NAME": "localhost:4873"}, "npm:localhost"},
		{"domain name in capitals", map[string]string{"DOMAIN_NAME": "Registry.Example"}, "npm:registry.example"},
		{"other audience", map[string]string{"DOMAIN_NAME": "registry.example", "TRUSTPUB_AUDIENCE": "crates"}, "npm:registry.example"},
		{"set", map[string]string{"DOMAIN_NAME": "registry.example", "TRUSTPUB_NPM_AUDIENCE": "npm:npm.example"}, "npm:npm.example"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := bootstrap.LoadSettings(test.environment)

			require.NoError(t, err)
			require.Equal(t, test.want, s.NPMAudience)
			require.Equal(t, "npm_tp_", s.NPMTokenPrefix)
		})
	}
}

func TestTheAudienceOfPyPIAndRubyGemsIsTheMainOneUnlessSet(t *testing.T) {
	tests := []struct {
		name                   string
		environment            map[string]string
		wantPyPI, wantRubyGems string
	}{
		{"neither", nil, "crates.io", "crates.io"},
		{"domain name", map[string]string{"DOMAIN_NAME": "registry.example"}, "registry.example", "registry.example"},
		{"main audience", map[string]string{"DOMAIN_NAME": "registry.example", "TRUSTPUB_AUDIENCE": "main"}, "main", "main"},
		{"pypi set", map[string]string{"TRUSTPUB_AUDIENCE": "main", "TRUSTPUB_PYPI_AUDIENCE": "pypi"}, "pypi", "main"},
		{"rubygems set", map[string]string{"TRUSTPUB_AUDIENCE": "main", "TRUSTPUB_RUBYGEMS_AUDIENCE": "gems"}, "main", "gems"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := bootstrap.LoadSettings(test.environment)

			require.NoError(t, err)
			require.Equal(t, test.wantPyPI, s.PyPIAudience)
			require.Equal(t, test.wantRubyGems, s.RubyGemsAudience)
			require.Equal(t, "pypi_tp_", s.PyPITokenPrefix)
			require.Equal(t, "rubygems_tp_", s.RubyGemsTokenPrefix)
		})
	}
}

func TestABadSettingIsNamedWithItsProblemInOneLine(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	tests := []struct {
		name        string
		environment map[string]string
		setting     string
		problem     string
	}{
		{"database of another kind", map[string]string{"DATABASE_URL": "mysql://u:hunter2@h/d"}, "DATABASE_URL", "postgres://"},
		{"database without path", map[string]string{"DATABASE_URL": "sqlite:"}, "DATABASE_URL", "sqlite:PATH"},
		{"migrate", map[string]string{"TRUSTPUB_MIGRATE": "yes"}, "TRUSTPUB_MIGRATE", "auto or off"},
		{"unknown provider", map[string]string{"TRUSTPUB_PROVIDERS": "github,forge"}, "TRUSTPUB_PROVIDERS", `"forge"`},
		{"provider in capitals", map[string]string{"TRUSTPUB_PROVIDERS": "GitHub"}, "TRUSTPUB_PROVIDERS", `"GitHub"`},
		{"empty issuer", map[string]string{"TRUSTPUB_PROVIDERS": "github="}, "TRUSTPUB_PROVIDERS", "not valid"},
		{"plain http issuer", map[string]string{"TRUSTPUB_PROVIDERS": "github=http://ghes.example"}, "TRUSTPUB_PROVIDERS", "https"},
		{"issuer with slash", map[string]string{"TRUSTPUB_PROVIDERS": "github=https://ghes.example/"}, "TRUSTPUB_PROVIDERS", "slash"},
		{"issuer twice", map[string]string{"TRUSTPUB_PROVIDERS": "github,github"}, "TRUSTPUB_PROVIDERS", "twice"},
		{"domain name with scheme", map[string]string{"DOMAIN_NAME": "https://crates.io"}, "DOMAIN_NAME", "without scheme"},
		{"domain name with path", map[string]string{"DOMAIN_NAME": "crates.io/x"}, "DOMAIN_NAME", "path"},
		{"audience with space", map[string]string{"TRUSTPUB_AUDIENCE": "a b"}, "TRUSTPUB_AUDIENCE", "spaces"},
		{"lifetime too short", map[string]string{"TRUSTPUB_TOKEN_TTL": "59s"}, "TRUSTPUB_TOKEN_TTL", "1m to 1h"},
		{"lifetime too long", map[string]string{"TRUSTPUB_TOKEN_TTL": "1h1s"}, "TRUSTPUB_TOKEN_TTL", "1m to 1h"},
		{"lifetime without unit", map[string]string{"TRUSTPUB_TOKEN_TTL": "30"}, "TRUSTPUB_TOKEN_TTL", `"30" is no duration`},
		{"prefix without underscore", map[string]string{"TRUSTPUB_TOKEN_PREFIX": "abc"}, "TRUSTPUB_TOKEN_PREFIX", "underscore"},
		{"npm audience with space", map[string]string{"TRUSTPUB_NPM_AUDIENCE": "npm: x"}, "TRUSTPUB_NPM_AUDIENCE", "spaces"},
		{"npm prefix in capitals", map[string]string{"TRUSTPUB_NPM_TOKEN_PREFIX": "NPM_"}, "TRUSTPUB_NPM_TOKEN_PREFIX", "lower-case"},
		{"pypi audience with space", map[string]string{"TRUSTPUB_PYPI_AUDIENCE": "a b"}, "TRUSTPUB_PYPI_AUDIENCE", "spaces"},
		{"pypi prefix in capitals", map[string]string{"TRUSTPUB_PYPI_TOKEN_PREFIX": "PYPI_"}, "TRUSTPUB_PYPI_TOKEN_PREFIX", "lower-case"},
		{"rubygems audience with space", map[string]string{"TRUSTPUB_RUBYGEMS_AUDIENCE": "a b"}, "TRUSTPUB_RUBYGEMS_AUDIENCE", "spaces"},
		{"rubygems prefix in capitals", map[string]string{"TRUSTPUB_RUBYGEMS_TOKEN_PREFIX": "GEM_"}, "TRUSTPUB_RUBYGEMS_TOKEN_PREFIX", "lower-case"},
		{"leeway below zero", map[string]string{"TRUSTPUB_JWT_LEEWAY": "-1s"}, "TRUSTPUB_JWT_LEEWAY", "0s to 120s"},
		{"leeway too long", map[string]string{"TRUSTPUB_JWT_LEEWAY": "121s"}, "TRUSTPUB_JWT_LEEWAY", "0s to 120s"},
		{"short admin token", map[string]string{"TRUSTPUB_ADMIN_TOKEN": longToken[1:]}, "TRUSTPUB_ADMIN_TOKEN", "31 characters"},
		{"registry token with space", map[string]string{"TRUSTPUB_REGISTRY_TOKEN": longToken + " x"}, "TRUSTPUB_REGISTRY_TOKEN", "space"},
		{"missing token file", map[string]string{"TRUSTPUB_ADMIN_TOKEN_FILE": "/does/not/exist"}, "TRUSTPUB_ADMIN_TOKEN_FILE", "no such file"},
		{"empty token file", map[string]string{"TRUSTPUB_REGISTRY_TOKEN_FILE": empty}, "TRUSTPUB_REGISTRY_TOKEN_FILE", "0 characters"},
		{"token and file", map[string]string{"TRUSTPUB_ADMIN_TOKEN": longToken, "TRUSTPUB_ADMIN_TOKEN_FILE": empty}, "TRUSTPUB_ADMIN_TOKEN_FILE", "one of the two"},
		{"no request at a time", map[string]string{"TRUSTPUB_MAX_REQUESTS": "0"}, "TRUSTPUB_MAX_REQUESTS", "1 to 1000000"},
		{"requests in words", map[string]string{"TRUSTPUB_MAX_REQUESTS": "many"}, "TRUSTPUB_MAX_REQUESTS", "whole number"},
		{"connections below zero", map[string]string{"TRUSTPUB_MAX_CONNECTIONS": "-1"}, "TRUSTPUB_MAX_CONNECTIONS", "1 to 1000000"},
		{"rate without unit", map[string]string{"TRUSTPUB_RATE_LIMIT_PER_ADDRESS": "10"}, "TRUSTPUB_RATE_LIMIT_PER_ADDRESS", "10/s"},
		{"rate of another unit", map[string]string{"TRUSTPUB_RATE_LIMIT_PER_ADDRESS": "10/d"}, "TRUSTPUB_RATE_LIMIT_PER_ADDRESS", "10/s"},
		{"rate of nothing", map[string]string{"TRUSTPUB_RATE_LIMIT_PER_ISSUER": "0/s"}, "TRUSTPUB_RATE_LIMIT_PER_ISSUER", "10/s"},
		{"rate below zero", map[string]string{"TRUSTPUB_RATE_LIMIT_PER_ISSUER": "-1/s"}, "TRUSTPUB_RATE_LIMIT_PER_ISSUER", "10/s"},
		{"rate with more", map[string]string{"TRUSTPUB_RATE_LIMIT_PER_ISSUER": "1/s/s"}, "TRUSTPUB_RATE_LIMIT_PER_ISSUER", "10/s"},
		{"rate too large", map[string]string{"TRUSTPUB_RATE_LIMIT_PER_ISSUER": "1000001/s"}, "TRUSTPUB_RATE_LIMIT_PER_ISSUER", "1000000"},
		{"proxy without length", map[string]string{"TRUSTPUB_TRUSTED_PROXIES": "10.0.0.1"}, "TRUSTPUB_TRUSTED_PROXIES", "/32"},
		{"proxy with more bits", map[string]string{"TRUSTPUB_TRUSTED_PROXIES": "10.0.0.0/8,10.0.0.1/8"}, "TRUSTPUB_TRUSTED_PROXIES", "10.0.0.1/8"},
		{"proxy by name", map[string]string{"TRUSTPUB_TRUSTED_PROXIES": "proxy.example"}, "TRUSTPUB_TRUSTED_PROXIES", "CIDR"},
		{"API over plain http", map[string]string{"TRUSTPUB_GITHUB_API_URL": "http://api.example"}, "TRUSTPUB_GITHUB_API_URL", "https"},
		{"API with user info", map[string]string{"TRUSTPUB_GITHUB_API_URL": "https://u:hunter2@api.example"}, "TRUSTPUB_GITHUB_API_URL", "without user info"},
		{"keys of secret scanning over plain http", map[string]string{"TRUSTPUB_SECRET_SCANNING_KEYS_URL": "http://api.example/keys"}, "TRUSTPUB_SECRET_SCANNING_KEYS_URL", "https"},
		{"keys of secret scanning with user info", map[string]string{"TRUSTPUB_SECRET_SCANNING_KEYS_URL": "https://u:hunter2@api.example/keys"}, "TRUSTPUB_SECRET_SCANNING_KEYS_URL", "without user info"},
		{"keys of secret scanning that are switched on with a word", map[string]string{"TRUSTPUB_SECRET_SCANNING_KEYS_URL": "on"}, "TRUSTPUB_SECRET_SCANNING_KEYS_URL", "https"},
		{"issuer with user info", map[string]string{"TRUSTPUB_PROVIDERS": "github=https://u:hunter2@ghes.example"}, "TRUSTPUB_PROVIDERS", "user info"},
		{"issuer with user info that is no URL", map[string]string{"TRUSTPUB_PROVIDERS": "github=https://u:hunter2@ghes.example:x"}, "TRUSTPUB_PROVIDERS", "not valid"},
		{"endless token file", map[string]string{"TRUSTPUB_ADMIN_TOKEN_FILE": "/dev/zero"}, "TRUSTPUB_ADMIN_TOKEN_FILE", "larger than 4096 bytes"},
		{"address without port", map[string]string{"TRUSTPUB_LISTEN": "localhost"}, "TRUSTPUB_LISTEN", "HOST:PORT"},
		{"address with a port out of range", map[string]string{"TRUSTPUB_LISTEN": "127.0.0.1:65536"}, "TRUSTPUB_LISTEN", "HOST:PORT"},
		{"log format", map[string]string{"TRUSTPUB_LOG_FORMAT": "xml"}, "TRUSTPUB_LOG_FORMAT", "json or text"},
		{"log level", map[string]string{"TRUSTPUB_LOG_LEVEL": "loud"}, "TRUSTPUB_LOG_LEVEL", "debug"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := bootstrap.LoadSettings(test.environment)

			var setting *bootstrap.SettingError
			require.ErrorAs(t, err, &setting)
			require.Equal(t, test.setting, setting.Setting)
			require.Contains(t, setting.Problem, test.problem)
			require.NotContains(t, err.Error(), "\n")
			require.NotContains(t, err.Error(), "hunter2")
			require.NotContains(t, err.Error(), longToken)
		})
	}
}

func TestLimitsAreReadAndOffByDefault(t *testing.T) {
	s, err := bootstrap.LoadSettings(nil)
	require.NoError(t, err)
	require.Equal(t, 512, s.MaxRequests)
	require.Equal(t, 10_000, s.MaxConnections)
	require.Zero(t, s.RatePerAddress)
	require.Zero(t, s.RatePerIssuer)
	require.Empty(t, s.TrustedProxies)

	s, err = bootstrap.LoadSettings(map[string]string{
		"TRUSTPUB_RATE_LIMIT_PER_ADDRESS": "10/s",
		"TRUSTPUB_RATE_LIMIT_PER_ISSUER":  "600/m",
		"TRUSTPUB_TRUSTED_PROXIES":        "10.0.0.0/8, fd00::/8,192.0.2.7/32",
	})
	require.NoError(t, err)
	require.Equal(t, bootstrap.Rate{Requests: 10, Per: time.Second}, s.RatePerAddress)
	require.Equal(t, bootstrap.Rate{Requests: 600, Per: time.Minute}, s.RatePerIssuer)
	require.Equal(t, []bootstrap.Network{
		{Prefix: netip.MustParsePrefix("10.0.0.0/8")}, {Prefix: netip.MustParsePrefix("fd00::/8")}, {Prefix: netip.MustParsePrefix("192.0.2.7/32")},
	}, s.TrustedProxies)
}

func TestProvidersMayBeRepeatedAtIssuersOfTheirOwn(t *testing.T) {
	s, err := bootstrap.LoadSettings(map[string]string{
		"TRUSTPUB_PROVIDERS": "github, github=https://ghes.example/_services/token,github=http://127.0.0.1:9",
	})

	require.NoError(t, err)
	require.Equal(t, []bootstrap.ProviderSetting{
		{Kind: "github", Issuer: "https://token.actions.githubusercontent.com"},
		{Kind: "github", Issuer: "https://ghes.example/_services/token"},
		{Kind: "github", Issuer: "http://127.0.0.1:9"},
	}, s.Providers)
}

func TestSecretsAreReadFromFilesAndNeverPrinted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "admin")
	require.NoError(t, os.WriteFile(file, []byte(longToken+"\n"), 0o600))

	s, err := bootstrap.LoadSettings(map[string]string{
		"TRUSTPUB_ADMIN_TOKEN_FILE": file,
		"TRUSTPUB_REGISTRY_TOKEN":   "R" + longToken,
		"DATABASE_URL":              "postgres://u:hunter2@h/d?sslpassword=hunter2",
	})

	require.NoError(t, err)
	require.Equal(t, longToken, s.AdminToken.Reveal())
	asJSON, err := json.Marshal(s)
	require.NoError(t, err)
	for _, printed := range []string{fmt.Sprint(s), fmt.Sprintf("%+v", s), fmt.Sprintf("%#v", s), fmt.Sprintf("%x", s.AdminToken), string(asJSON)} {
		require.NotContains(t, printed, longToken)
		require.NotContains(t, printed, "hunter2")
	}
}

// Documentation that names every setting with its default can't fall behind.
func TestEverySettingIsDocumentedWithItsDefault(t *testing.T) {
	for _, page := range []string{"../README.md", "../docs/settings.md"} {
		content, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, field := range reflect.VisibleFields(reflect.TypeFor[bootstrap.Settings]()) {
			variable := field.Tag.Get("env")
			if variable == "-" {
				continue
			}
			line := lineWith(string(content), "`"+variable+"`")
			require.NotEmptyf(t, line, "%s does not mention %s", page, variable)
			require.Containsf(t, line, field.Tag.Get("envDefault"), "%s, %s", page, variable)
		}
	}
}

func lineWith(text, part string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			return line
		}
	}
	return ""
}
