package bootstrap

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/trustpub/trustpub/adapters/tracing/exporter"
)

const (
	otlpPrefix       = "OTEL_EXPORTER_OTLP_"
	otlpTracesPrefix = otlpPrefix + "TRACES_"
	// otlpDefault is where a collector on the same machine listens.
	otlpDefault = "http://localhost:4318"
)

// forTraces returns the value of a variable of the OTLP exporter, and its name: the one
// for traces where that is set, and else the one for all signals
// (https://opentelemetry.io/docs/specs/otel/protocol/exporter/).
func (t Telemetry) forTraces(name string) (value, setting string) {
	for _, setting := range []string{otlpTracesPrefix + name, otlpPrefix + name} {
		if value := t.value(setting); value != "" {
			return value, setting
		}
	}
	return "", otlpPrefix + name
}

// otlp reads how spans are sent.
func (t Telemetry) otlp() (*exporter.OTLP, error) {
	if value, setting := t.forTraces("PROTOCOL"); value != "" && value != "http/protobuf" {
		return nil, unusable(setting, value, "use http/protobuf, for which collectors have port 4318")
	}
	target, err := t.endpoint()
	if err != nil {
		return nil, err
	}
	read := &exporter.OTLP{URL: target, Header: http.Header{}}
	value, setting := t.forTraces("HEADERS")
	headers, err := pairs(value)
	if err != nil {
		return nil, &SettingError{setting, err.Error()}
	}
	for _, h := range headers {
		if !httpguts.ValidHeaderFieldName(h.key) || !httpguts.ValidHeaderFieldValue(h.value) {
			return nil, &SettingError{setting, "the name or the value of a header has characters that none may have; use NAME=VALUE, separated by commas, with values encoded as in a URL"}
		}
		read.Header.Add(h.key, h.value)
	}
	_, setting = t.forTraces("TIMEOUT")
	milliseconds, err := t.number(setting)
	if err != nil {
		return nil, err
	}
	read.Timeout = time.Duration(milliseconds) * time.Millisecond
	switch value, setting := t.forTraces("COMPRESSION"); value {
	case "gzip":
		read.Gzip = true
	case "", "none":
	default:
		return nil, unusable(setting, value, "use gzip or none")
	}
	read.TLS, err = t.tls()
	return read, err
}

// endpoint returns the URL to send spans to. The one for traces is whole, and the one for
// all signals is what theirs begin with.
func (t Telemetry) endpoint() (*url.URL, error) {
	value, setting := t.forTraces("ENDPOINT")
	target, err := url.Parse(cmp.Or(value, otlpDefault))
	// A URL may hold a credential, so it is not shown.
	if err != nil || (target.Scheme != "http" && target.Scheme != "https") || target.Hostname() == "" || target.User != nil {
		return nil, &SettingError{setting, "the URL can't be used; use http://HOST:PORT or https://HOST:PORT, with a path if need be, and OTEL_EXPORTER_OTLP_HEADERS for a credential"}
	}
	if !strings.HasPrefix(setting, otlpTracesPrefix) {
		target = target.JoinPath("v1", "traces")
	}
	if target.Path == "" {
		target.Path = "/"
	}
	return target, nil
}

// tls reads whose certificate the collector must have, and which one is shown to it. nil
// is that of the system, and none.
func (t Telemetry) tls() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	authorities, setting := t.forTraces("CERTIFICATE")
	if authorities != "" {
		content, err := readFile(authorities, maxCertificateFile)
		if err != nil {
			return nil, &SettingError{setting, err.Error()}
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(content) {
			return nil, &SettingError{setting, strconv.Quote(authorities) + " holds no certificate; use a file with certificates in PEM"}
		}
	}
	certificate, setting := t.forTraces("CLIENT_CERTIFICATE")
	key, keySetting := t.forTraces("CLIENT_KEY")
	switch {
	case certificate != "" && key != "":
		pair, err := keyPair(certificate, key)
		if err != nil {
			return nil, &SettingError{setting, err.Error() + "; use files with a certificate in PEM and with its key, which " + keySetting + " names"}
		}
		config.Certificates = []tls.Certificate{pair}
	case certificate != "":
		return nil, &SettingError{setting, "the certificate has no key; set " + keySetting + " too"}
	case key != "":
		return nil, &SettingError{keySetting, "the key has no certificate; set " + setting + " too"}
	case authorities == "":
		return nil, nil //nolint:nilnil // See above.
	}
	return config, nil
}

func keyPair(certificate, key string) (tls.Certificate, error) {
	certificatePEM, err := readFile(certificate, maxCertificateFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	keyPEM, err := readFile(key, maxCertificateFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(certificatePEM, keyPEM)
}

// pair is one of a list of them.
type pair struct{ key, value string }

// pairs reads KEY=VALUE,KEY=VALUE with values that are encoded as in a URL
// (https://opentelemetry.io/docs/specs/otel/resource/sdk/#specifying-resource-information-via-an-environment-variable).
// The error shows no value.
func pairs(text string) ([]pair, error) {
	var read []pair
	for part := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		key, value, found := strings.Cut(part, "=")
		key, keyErr := url.PathUnescape(strings.TrimSpace(key))
		value, valueErr := url.PathUnescape(strings.TrimSpace(value))
		if !found || key == "" || keyErr != nil || valueErr != nil {
			return nil, errors.New("a part of it is not KEY=VALUE; use KEY=VALUE, separated by commas, with values encoded as in a URL")
		}
		read = append(read, pair{key, value})
	}
	return read, nil
}
