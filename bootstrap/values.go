package bootstrap

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/trustpub/trustpub/adapters/httpapi"
	"github.com/trustpub/trustpub/domain"
)

// valueError is what a setting's type finds wrong with its text.
type valueError struct{ text string }

func (e *valueError) Error() string { return e.text }

func badValue(format string, args ...any) error {
	return &valueError{text: fmt.Sprintf(format, args...)}
}

// Credential is a bearer token that an operator sets. It prints as "[redacted]"
// in fmt, in slog and in JSON; only [Credential.Reveal] shows it.
type Credential struct{ value string }

// NewCredential returns s as a credential. Errors say what is wrong and do not
// show s.
func NewCredential(s string) (Credential, error) {
	var c Credential
	err := c.UnmarshalText([]byte(s))
	return c, err
}

// UnmarshalText accepts at least 32 characters of printable ASCII without space,
// which is what an Authorization header can carry after "Bearer ".
func (c *Credential) UnmarshalText(text []byte) error {
	if len(text) < httpapi.MinBearerToken {
		return badValue("the token has %d characters; use at least %d, such as from: openssl rand -hex 32", len(text), httpapi.MinBearerToken)
	}
	for _, b := range text {
		if b <= ' ' || b > '~' {
			return badValue("the token holds a space or a character that is not printable ASCII; use letters and digits")
		}
	}
	c.value = string(text)
	return nil
}

// IsSet reports whether there is a credential.
func (c Credential) IsSet() bool { return c.value != "" }

// Reveal returns the plain text.
func (c Credential) Reveal() string { return c.value }

// Format writes "[redacted]" whatever the verb.
func (c Credential) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, "[redacted]") }

// LogValue returns "[redacted]".
func (c Credential) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// MarshalText returns "[redacted]".
func (c Credential) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// credential returns the secret that is set directly or in a file.
func credential(setting string, direct Credential, file string) (Credential, error) {
	if file == "" {
		return direct, nil
	}
	setting += "_FILE"
	if direct.IsSet() {
		return Credential{}, &SettingError{setting, "the token is set directly too; set one of the two"}
	}
	content, err := readFile(file, maxCredentialFile)
	if err != nil {
		return Credential{}, &SettingError{setting, err.Error()}
	}
	c, err := NewCredential(strings.TrimSpace(string(content)))
	if err != nil {
		return Credential{}, &SettingError{setting, "in the file, " + err.Error()}
	}
	return c, nil
}

// The largest files that are read, in bytes.
const (
	maxCredentialFile = 4 << 10
	maxProvidersFile  = 256 << 10
	// maxCertificateFile has room for all authorities that a system trusts.
	maxCertificateFile = 1 << 20
)

func readFile(name string, most int) ([]byte, error) {
	file, err := os.Open(name) //nolint:gosec // The operator names the file.
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, int64(most)+1))
	if err != nil {
		return nil, err
	}
	if len(content) > most {
		return nil, fmt.Errorf("the file %s is larger than %d bytes; use one that holds nothing else", name, most)
	}
	return content, nil
}

// DatabaseURL says where the data is. It prints without user, password and query.
type DatabaseURL struct{ value string }

const sqliteScheme = "sqlite:"

// UnmarshalText accepts postgres://…, postgresql://… and sqlite:PATH.
func (d *DatabaseURL) UnmarshalText(text []byte) error {
	s := string(text)
	path, isSQLite := strings.CutPrefix(s, sqliteScheme)
	switch {
	case isSQLite && path != "":
	case strings.HasPrefix(s, "postgres://"), strings.HasPrefix(s, "postgresql://"):
	default:
		return badValue("the URL is not understood; use postgres://USER:PASSWORD@HOST/DATABASE, sqlite:PATH or sqlite::memory:")
	}
	d.value = s
	return nil
}

// sqlitePath returns the path of a SQLite database, and whether it is one.
func (d DatabaseURL) sqlitePath() (string, bool) { return strings.CutPrefix(d.value, sqliteScheme) }

// String returns what may be shown of the URL: its scheme, and the path of a
// SQLite database.
func (d DatabaseURL) String() string {
	if _, ok := d.sqlitePath(); ok {
		return d.value
	}
	scheme, _, _ := strings.Cut(d.value, ":")
	return scheme + "://[redacted]"
}

// Format writes String whatever the verb.
func (d DatabaseURL) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, d.String()) }

// LogValue is String, for slog.
func (d DatabaseURL) LogValue() slog.Value { return slog.StringValue(d.String()) }

// MarshalText is String, for JSON and other encoders.
func (d DatabaseURL) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// MigrateMode says what serve does about a schema that is not current.
type MigrateMode string

// The modes.
const (
	// MigrateAuto brings the schema up to date.
	MigrateAuto MigrateMode = "auto"
	// MigrateOff refuses to start.
	MigrateOff MigrateMode = "off"
)

// UnmarshalText accepts auto and off.
func (m *MigrateMode) UnmarshalText(text []byte) error {
	switch mode := MigrateMode(text); mode {
	case MigrateAuto, MigrateOff:
		*m = mode
		return nil
	}
	return badValue("%q is not accepted; use auto or off", text)
}

// LogFormat is the form of log lines; empty leaves the choice to the program.
type LogFormat string

// The formats.
const (
	LogJSON LogFormat = "json"
	LogText LogFormat = "text"
)

// UnmarshalText accepts json and text.
func (f *LogFormat) UnmarshalText(text []byte) error {
	switch format := LogFormat(text); format {
	case LogJSON, LogText:
		*f = format
		return nil
	}
	return badValue("%q is not accepted; use json or text", text)
}

// LogLevel is the lowest level that is logged.
type LogLevel struct{ slog.Level }

// UnmarshalText accepts debug, info, warn and error.
func (l *LogLevel) UnmarshalText(text []byte) error {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	level, ok := levels[strings.ToLower(string(text))]
	if !ok {
		return badValue("%q is not accepted; use debug, info, warn or error", text)
	}
	l.Level = level
	return nil
}

var domainName = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?(:\d{1,5})?$`)

func isDomainName(s string) bool { return len(s) <= 255 && domainName.MatchString(s) }

// isAudience reports whether s can be the aud that jobs ask their ID tokens for.
func isAudience(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f })
}

// isAddress reports whether s is HOST:PORT as it can be listened on.
func isAddress(s string) bool {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

// withoutUserInfo returns a URL in quotes, or nothing where it may hold a password.
func withoutUserInfo(s string) string {
	if strings.Contains(s, "@") {
		return "the URL"
	}
	return strconv.Quote(s)
}

func isAPIURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.RawQuery == "" && u.Fragment == "" && !strings.HasSuffix(s, "/") && domain.ValidateKeySetURL(s) == nil
}
