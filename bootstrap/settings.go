package bootstrap

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"time"

	"github.com/caarlos0/env/v11"

	"github.com/trustpub/trustpub/adapters/githubkeys"
	"github.com/trustpub/trustpub/adapters/oidc"
	"github.com/trustpub/trustpub/domain"
)

// Settings are all that an operator can set. Each field is one environment
// variable (env), its default (envDefault), the flag of the same meaning (flag;
// none for a secret, which has no place on a command line) and what it does
// (usage). docs/settings.md explains them.
type Settings struct {
	Listen        string            `env:"TRUSTPUB_LISTEN"              envDefault:"127.0.0.1:8080"         flag:"listen"              usage:"address of the public HTTP API"`
	DatabaseURL   DatabaseURL       `env:"DATABASE_URL"                 envDefault:"sqlite:trustpub.db"     flag:"database-url"        usage:"postgres://... or sqlite:PATH; sqlite::memory: is a throw-away database"`
	Migrate       MigrateMode       `env:"TRUSTPUB_MIGRATE"             envDefault:"auto"                   flag:"migrate"             usage:"auto brings the schema up to date at the start, off refuses to start on a schema that is not current"`
	Providers     []ProviderSetting `env:"TRUSTPUB_PROVIDERS"                                               flag:"providers"           usage:"comma-separated OIDC providers to enable: github, gitlab, circleci, buildkite, google, forgejo, bitbucket, one of TRUSTPUB_PROVIDERS_FILE, or NAME=ISSUER for an issuer of their own; empty refuses every exchange"`
	ProvidersFile string            `env:"TRUSTPUB_PROVIDERS_FILE"                                          flag:"providers-file"      usage:"YAML file with the definitions of further OIDC providers, to be enabled by their names"`
	Protocols     []Protocol        `env:"TRUSTPUB_PROTOCOLS"           envDefault:"cratesio,oauth"         flag:"protocols"           usage:"comma-separated wire protocols to speak: cratesio, oauth, npm, pypi, rubygems"`
	DomainName    string            `env:"DOMAIN_NAME"                  envDefault:"crates.io"              flag:"domain-name"         usage:"the registry's public domain name"`
	Audience      string            `env:"TRUSTPUB_AUDIENCE"                                                flag:"audience"            usage:"the aud that an ID token must carry; the domain name when not set"`
	TokenTTL      time.Duration     `env:"TRUSTPUB_TOKEN_TTL"           envDefault:"30m"                    flag:"token-ttl"           usage:"lifetime of an access token, 1m to 1h"`
	TokenPrefix   string            `env:"TRUSTPUB_TOKEN_PREFIX"        envDefault:"cio_tp_"                flag:"token-prefix"        usage:"prefix of access tokens, [a-z][a-z0-9_]{1,15}_"`
	JWTLeeway     time.Duration     `env:"TRUSTPUB_JWT_LEEWAY"          envDefault:"60s"                    flag:"jwt-leeway"          usage:"clock skew allowed on exp, nbf and iat, 0s to 120s"`
	AdminToken    Credential        `env:"TRUSTPUB_ADMIN_TOKEN"                                                                        usage:"bearer token of at least 32 characters for the publisher-config endpoints; not set, they answer 403"`
	AdminFile     string            `env:"TRUSTPUB_ADMIN_TOKEN_FILE"                                        flag:"admin-token-file"    usage:"file that holds TRUSTPUB_ADMIN_TOKEN"`
	RegistryToken Credential        `env:"TRUSTPUB_REGISTRY_TOKEN"                                                                     usage:"bearer token of at least 32 characters with which the registry calls introspection; not set, it answers 403"`
	RegistryFile  string            `env:"TRUSTPUB_REGISTRY_TOKEN_FILE"                                     flag:"registry-token-file" usage:"file that holds TRUSTPUB_REGISTRY_TOKEN"`
	GitHubAPIURL  string            `env:"TRUSTPUB_GITHUB_API_URL"      envDefault:"https://api.github.com" flag:"github-api-url"      usage:"where an owner's numeric ID is looked up when a publisher is created without one"`
	LogFormat     LogFormat         `env:"TRUSTPUB_LOG_FORMAT"                                              flag:"log-format"          usage:"json or text; not set, text on a terminal and json elsewhere"`
	LogLevel      LogLevel          `env:"TRUSTPUB_LOG_LEVEL"           envDefault:"info"                   flag:"log-level"           usage:"debug, info, warn or error"`

	MaxRequests    int       `env:"TRUSTPUB_MAX_REQUESTS"           envDefault:"512"   flag:"max-requests"           usage:"requests that are worked on at a time; more are answered 503"`
	MaxConnections int       `env:"TRUSTPUB_MAX_CONNECTIONS"        envDefault:"10000" flag:"max-connections"        usage:"connections that are open at a time; more wait to be accepted"`
	RatePerAddress Rate      `env:"TRUSTPUB_RATE_LIMIT_PER_ADDRESS"                    flag:"rate-limit-per-address" usage:"exchanges per client address, such as 10/s or 600/m; more are answered 429; no limit when not set"`
	RatePerIssuer  Rate      `env:"TRUSTPUB_RATE_LIMIT_PER_ISSUER"                     flag:"rate-limit-per-issuer"  usage:"good ID tokens per issuer, such as 10/s or 600/m; more are answered 429; no limit when not set"`
	TrustedProxies []Network `env:"TRUSTPUB_TRUSTED_PROXIES"                           flag:"trusted-proxies"        usage:"comma-separated networks (CIDR) of the proxies whose X-Forwarded-For is believed; nobody's when not set"`

	NPMAudience         string `env:"TRUSTPUB_NPM_AUDIENCE"                                    flag:"npm-audience"          usage:"the aud that an ID token must carry for the npm protocol; npm: and the domain name without port when not set"`
	NPMTokenPrefix      string `env:"TRUSTPUB_NPM_TOKEN_PREFIX"      envDefault:"npm_tp_"      flag:"npm-token-prefix"      usage:"prefix of access tokens of the npm protocol, [a-z][a-z0-9_]{1,15}_"`
	PyPIAudience        string `env:"TRUSTPUB_PYPI_AUDIENCE"                                   flag:"pypi-audience"         usage:"the aud that an ID token must carry for the pypi protocol; TRUSTPUB_AUDIENCE when not set"`
	PyPITokenPrefix     string `env:"TRUSTPUB_PYPI_TOKEN_PREFIX"     envDefault:"pypi_tp_"     flag:"pypi-token-prefix"     usage:"prefix of access tokens of the pypi protocol, [a-z][a-z0-9_]{1,15}_"`
	RubyGemsAudience    string `env:"TRUSTPUB_RUBYGEMS_AUDIENCE"                               flag:"rubygems-audience"     usage:"the aud that an ID token must carry for the rubygems protocol; TRUSTPUB_AUDIENCE when not set"`
	RubyGemsTokenPrefix string `env:"TRUSTPUB_RUBYGEMS_TOKEN_PREFIX" envDefault:"rubygems_tp_" flag:"rubygems-token-prefix" usage:"prefix of access tokens of the rubygems protocol, [a-z][a-z0-9_]{1,15}_"`

	SecretScanningKeysURL string `env:"TRUSTPUB_SECRET_SCANNING_KEYS_URL" flag:"secret-scanning-keys-url" usage:"where GitHub's secret scanning publishes its public keys, https://api.github.com/meta/public_keys/secret_scanning; not set, its webhook is off"`

	// Definitions are those of the providers that need no code.
	Definitions []domain.Definition `env:"-"`

	// Telemetry says whether traces are sent, and where. [Module] does not look at it.
	Telemetry Telemetry `env:"-"`

	// AudienceAssumed reports that neither TRUSTPUB_AUDIENCE nor DOMAIN_NAME was
	// set, so that ID tokens are expected to be made for the default domain name.
	AudienceAssumed bool `env:"-"`
}

// SettingError is a setting with a value that can't be accepted.
type SettingError struct {
	// Setting is the environment variable.
	Setting string
	// Problem says what is wrong with the value and what is accepted, and shows no
	// secret.
	Problem string
}

// Error returns one line that names the setting, the problem and what is accepted.
func (e *SettingError) Error() string { return e.Setting + ": " + e.Problem }

// LoadSettings reads the settings from the given environment, such as
// env.ToMap(os.Environ()) with the flags' values laid over it. A variable that is
// set to nothing counts as not set. Errors are *SettingError.
func LoadSettings(environment map[string]string) (Settings, error) {
	environment = maps.Clone(environment)
	maps.DeleteFunc(environment, func(_, value string) bool { return value == "" })

	settings, err := env.ParseAsWithOptions[Settings](env.Options{Environment: environment})
	if err != nil {
		return Settings{}, settingError(err, environment)
	}
	_, hasAudience := environment["TRUSTPUB_AUDIENCE"]
	_, hasDomainName := environment["DOMAIN_NAME"]
	settings.AudienceAssumed = !hasAudience && !hasDomainName
	settings.Telemetry = newTelemetry(environment)
	if settings.Audience == "" {
		settings.Audience = settings.DomainName
	}
	if settings.PyPIAudience == "" {
		settings.PyPIAudience = settings.Audience
	}
	if settings.RubyGemsAudience == "" {
		settings.RubyGemsAudience = settings.Audience
	}
	if settings.NPMAudience == "" {
		settings.NPMAudience = npmAudience(settings.DomainName)
	}
	settings.AdminToken, err = credential("TRUSTPUB_ADMIN_TOKEN", settings.AdminToken, settings.AdminFile)
	if err != nil {
		return Settings{}, err
	}
	settings.RegistryToken, err = credential("TRUSTPUB_REGISTRY_TOKEN", settings.RegistryToken, settings.RegistryFile)
	if err != nil {
		return Settings{}, err
	}
	settings.Definitions, err = loadDefinitions(settings.ProvidersFile)
	if err != nil {
		return Settings{}, err
	}
	settings.Providers, err = settings.completeProviders()
	if err != nil {
		return Settings{}, err
	}
	return settings, settings.validate()
}

// Environment returns the process's environment as [LoadSettings] takes it.
func Environment() map[string]string { return env.ToMap(os.Environ()) }

// settingError turns the parser's error, which names a struct field, into one that
// names the setting. The parser's own text is not used, since it may show a value.
func settingError(err error, environment map[string]string) error {
	parse, ok := errors.AsType[env.ParseError](err)
	if !ok {
		return fmt.Errorf("read settings: %w", err)
	}
	field, _ := reflect.TypeFor[Settings]().FieldByName(parse.Name)
	setting := field.Tag.Get("env")
	problem, ok := errors.AsType[*valueError](parse.Err)
	switch {
	case ok:
		return &SettingError{setting, problem.text}
	case field.Type.Kind() == reflect.Int:
		return &SettingError{setting, fmt.Sprintf("%q is no whole number", environment[setting])}
	case field.Type == reflect.TypeFor[time.Duration]():
		return &SettingError{setting, fmt.Sprintf("%q is no duration; use a number with a unit, such as 90s or 30m", environment[setting])}
	}
	return &SettingError{setting, "the value can't be read"}
}

func (s Settings) validate() error {
	switch {
	case !isAddress(s.Listen):
		return &SettingError{"TRUSTPUB_LISTEN", fmt.Sprintf("%q is no address; use a free HOST:PORT of this machine", s.Listen)}
	case !isDomainName(s.DomainName):
		return &SettingError{"DOMAIN_NAME", fmt.Sprintf("%q is no domain name; use a host name, with a port if need be, without scheme and path", s.DomainName)}
	case s.TokenTTL < domain.MinTokenTTL || s.TokenTTL > domain.MaxTokenTTL:
		return &SettingError{"TRUSTPUB_TOKEN_TTL", fmt.Sprintf("%s is out of range; use 1m to 1h", s.TokenTTL)}
	case s.JWTLeeway < 0 || s.JWTLeeway > oidc.MaxLeeway:
		return &SettingError{"TRUSTPUB_JWT_LEEWAY", fmt.Sprintf("%s is out of range; use 0s to 120s", s.JWTLeeway)}
	case !isAPIURL(s.GitHubAPIURL):
		return &SettingError{"TRUSTPUB_GITHUB_API_URL", withoutUserInfo(s.GitHubAPIURL) + " is not usable; use https://HOST/PATH without user info, query and trailing slash (http for loopback hosts only)"}
	case s.SecretScanningKeysURL != "" && domain.ValidateKeySetURL(s.SecretScanningKeysURL) != nil:
		return &SettingError{"TRUSTPUB_SECRET_SCANNING_KEYS_URL", withoutUserInfo(s.SecretScanningKeysURL) + " is not usable; use https://HOST/PATH without user info (http for loopback hosts only), for github.com " + githubkeys.DefaultURL}
	}
	err := s.validateLimits()
	if err != nil {
		return err
	}
	return s.validateProtocols()
}

// validateProtocols checks what each protocol has of its own.
func (s Settings) validateProtocols() error {
	for _, p := range []struct{ name, audience, prefix string }{
		{"", s.Audience, s.TokenPrefix},
		{"NPM_", s.NPMAudience, s.NPMTokenPrefix},
		{"PYPI_", s.PyPIAudience, s.PyPITokenPrefix},
		{"RUBYGEMS_", s.RubyGemsAudience, s.RubyGemsTokenPrefix},
	} {
		if !isAudience(p.audience) {
			return &SettingError{"TRUSTPUB_" + p.name + "AUDIENCE", fmt.Sprintf("%q holds spaces or control characters; use what the jobs ask their ID tokens for", p.audience)}
		}
		_, err := domain.NewTokenPrefix(p.prefix)
		if err != nil {
			return &SettingError{"TRUSTPUB_" + p.name + "TOKEN_PREFIX", domain.MessageOf(err)}
		}
	}
	return nil
}
