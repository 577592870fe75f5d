package bootstrap_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/fx"

	"github.com/trustpub/trustpub/bootstrap"
	"github.com/trustpub/trustpub/trustpubtest/issuer"
	"github.com/trustpub/trustpub/trustpubtest/postgrestest"
)

const (
	adminToken    = "admin-0123456789abcdef0123456789abcdef"
	registryToken = "registry-0123456789abcdef0123456789abcdef"
	tokensPath    = "/api/v1/trusted_publishing/tokens"
	configsPath   = "/api/v1/trusted_publishing/github_configs"
	demoConfig    = `{"github_config":{"crate":"demo","repository_owner":"octo-org","repository_owner_id":65,"repository_name":"octo-repo","workflow_filename":"release.yml"}}`
)

// server is a running server with its log.
type server struct {
	url  string
	log  *lockedBuffer
	stop func() error
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func startIssuer(t *testing.T) *issuer.Issuer {
	t.Helper()
	ci, err := issuer.Start(issuer.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = ci.Close() })
	return ci
}

// settingsFor returns settings for a server that trusts ci, with a database of its
// own in memory unless one is named.
func settingsFor(t *testing.T, ci *issuer.Issuer, environment map[string]string) bootstrap.Settings {
	t.Helper()
	all := map[string]string{
		"TRUSTPUB_LISTEN":         "127.0.0.1:0",
		"DATABASE_URL":            "sqlite::memory:",
		"TRUSTPUB_ADMIN_TOKEN":    adminToken,
		"TRUSTPUB_REGISTRY_TOKEN": registryToken,
	}
	if ci != nil {
		all["TRUSTPUB_PROVIDERS"] = "github=" + ci.URL()
	}
	maps.Copy(all, environment)
	settings, err := bootstrap.LoadSettings(all)
	require.NoError(t, err)
	return settings
}

// startServer runs a server until the test ends, or until its stop is called.
func startServer(t *testing.T, settings bootstrap.Settings) *server {
	t.Helper()
	s := &server{log: &lockedBuffer{}}
	logger := slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ctx, cancel := context.WithCancel(context.Background())
	addresses := make(chan net.Addr, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- bootstrap.Serve(ctx, settings, logger, func(a net.Addr) { addresses <- a })
	}()
	s.stop = sync.OnceValue(func() error {
		http.DefaultClient.CloseIdleConnections() // They would be waited for.
		cancel()
		return <-ended
	})
	select {
	case address := <-addresses:
		s.url = "http://" + address.String()
	case err := <-ended:
		cancel()
		require.NoError(t, err, "the server did not start")
	}
	t.Cleanup(func() { _ = s.stop() })
	return s
}

// answer is a response, read.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) member(t *testing.T, name string) any {
	t.Helper()
	var members map[string]any
	require.NoError(t, json.Unmarshal([]byte(a.body), &members), a.body)
	return members[name]
}

// code returns the code of a crates.io error.
func (a answer) code(t *testing.T) string {
	t.Helper()
	var envelope struct {
		Errors []struct{ Code, Detail string }
	}
	require.NoError(t, json.Unmarshal([]byte(a.body), &envelope), a.body)
	require.Len(t, envelope.Errors, 1, a.body)
	require.NotEmpty(t, envelope.Errors[0].Detail)
	return envelope.Errors[0].Code
}

// send sends a request. It may be called by any goroutine, so it asserts nothing.
func send(method, target, bearer, contentType, body string) (answer, error) {
	request, err := http.NewRequest(method, target, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if bearer != "" {
		request.Header.Set("Authorization", "Bearer "+bearer)
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(content)}, err
}

func (s *server) call(t *testing.T, method, path, bearer, contentType, body string) answer {
	t.Helper()
	a, err := send(method, s.url+path, bearer, contentType, body)
	require.NoError(t, err)
	return a
}

func (s *server) exchange(t *testing.T, idToken string) answer {
	t.Helper()
	return s.call(t, http.MethodPut, tokensPath, "", "application/json", `{"jwt":"`+idToken+`"}`)
}

func (s *server) configure(t *testing.T, body string) {
	t.Helper()
	a := s.call(t, http.MethodPost, configsPath, adminToken, "application/json", body)
	require.Equal(t, http.StatusOK, a.status, a.body)
}

func (s *server) introspect(t *testing.T, token string) answer {
	t.Helper()
	a := s.call(t, http.MethodPost, "/oauth/introspect", registryToken, "application/x-www-form-urlencoded", url.Values{"token": {token}}.Encode())
	require.Equal(t, http.StatusOK, a.status, a.body)
	return a
}

func sign(t *testing.T, ci *issuer.Issuer, claims issuer.Claims) string {
	t.Helper()
	idToken, err := ci.Sign(claims)
	require.NoError(t, err)
	return idToken
}

func TestTheWiringIsComplete(t *testing.T) {
	settings := settingsFor(t, startIssuer(t), nil)

	require.NoError(t, fx.ValidateApp(bootstrap.Server(settings, slog.New(slog.DiscardHandler), bootstrap.ListenerEvents{})))
}

func TestAnIDTokenBecomesAnAccessTokenThatCanBeIntrospectedAndRevoked(t *testing.T) {
	ci := startIssuer(t)
	s := startServer(t, settingsFor(t, ci, nil))
	s.configure(t, demoConfig)

	issued := s.exchange(t, sign(t, ci, ci.GitHubClaims()))

	require.Equal(t, http.StatusOK, issued.status, issued.body)
	require.Equal(t, "no-store", issued.header.Get("Cache-Control"))
	token, _ := issued.member(t, "token").(string)
	require.Regexp(t, `^cio_tp_[0-9A-Za-z]{38}$`, token)
	expires, err := time.Parse(time.RFC3339, issued.member(t, "expires_at").(string))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(30*time.Minute), expires, 10*time.Second)

	active := s.introspect(t, token)
	require.Equal(t, true, active.member(t, "active"))
	require.Equal(t, "publish:cargo/demo", active.member(t, "scope"))
	require.Equal(t, ci.URL(), active.member(t, "iss"))

	require.Equal(t, http.StatusNoContent, s.call(t, http.MethodDelete, tokensPath, token, "", "").status)
	require.JSONEq(t, `{"active":false}`, s.introspect(t, token).body)
}

func TestOf64SimultaneousExchangesOfOneIDTokenExactlyOneSucceeds(t *testing.T) {
	ci := startIssuer(t)
	s := startServer(t, settingsFor(t, ci, map[string]string{"DATABASE_URL": "sqlite:" + filepath.Join(t.TempDir(), "t.db")}))
	s.configure(t, demoConfig)

	requireOneSuccess(t, sign(t, ci, ci.GitHubClaims()), s.url)
}

// requireOneSuccess exchanges one ID token 64 times at once, in turn at each of the
// servers.
func requireOneSuccess(t *testing.T, idToken string, servers ...string) {
	t.Helper()
	const attempts = 64
	answers := make([]answer, attempts)
	errs := make([]error, attempts)
	begin := make(chan struct{})
	var group sync.WaitGroup
	for i := range attempts {
		group.Go(func() {
			<-begin
			answers[i], errs[i] = send(http.MethodPut, servers[i%len(servers)]+tokensPath, "", "application/json", `{"jwt":"`+idToken+`"}`)
		})
	}
	close(begin)
	group.Wait()

	succeeded := 0
	for i, a := range answers {
		require.NoError(t, errs[i])
		if a.status == http.StatusOK {
			succeeded++
			continue
		}
		require.Equal(t, http.StatusBadRequest, a.status, a.body)
		require.Equal(t, "already_used", a.code(t))
	}
	require.Equal(t, 1, succeeded)
}

func TestARefusedExchangeDoesNotConsumeTheIDToken(t *testing.T) {
	ci := startIssuer(t)
	s := startServer(t, settingsFor(t, ci, nil))
	idToken := sign(t, ci, ci.GitHubClaims())

	require.Equal(t, "no_publisher", s.exchange(t, idToken).code(t))
	s.configure(t, strings.Replace(demoConfig, "release.yml", "other.yml", 1))
	require.Equal(t, "workflow_mismatch", s.exchange(t, idToken).code(t))
	s.configure(t, demoConfig)

	require.Equal(t, http.StatusOK, s.exchange(t, idToken).status)
	require.Equal(t, "already_used", s.exchange(t, idToken).code(t))
}

func TestDeletingAConfigRevokesTheTokensThatItAloneJustified(t *testing.T) {
	ci := startIssuer(t)
	s := startServer(t, settingsFor(t, ci, nil))
	s.configure(t, demoConfig)
	s.configure(t, strings.Replace(demoConfig, `"release.yml"`, `"release.yml","environment":"prod"`, 1))
	s.configure(t, strings.Replace(demoConfig, `"demo"`, `"other"`, 1))
	token, _ := s.exchange(t, sign(t, ci, ci.GitHubClaims().With("environment", "Prod"))).member(t, "token").(string)
	remove := func(id string) {
		require.Equal(t, http.StatusNoContent, s.call(t, http.MethodDelete, configsPath+"/"+id, adminToken, "", "").status)
	}

	remove("1")
	require.Equal(t, "publish:cargo/demo publish:cargo/other", s.introspect(t, token).member(t, "scope"), "the second config still justifies demo")
	remove("2")
	require.Equal(t, "publish:cargo/other", s.introspect(t, token).member(t, "scope"))
	remove("3")
	require.JSONEq(t, `{"active":false}`, s.introspect(t, token).body)
}

func TestAHangingIssuerDoesNotSlowAnExchangeWithAKnownKey(t *testing.T) {
	ci := startIssuer(t)
	s := startServer(t, settingsFor(t, ci, nil))
	s.configure(t, demoConfig)
	require.Equal(t, http.StatusOK, s.exchange(t, sign(t, ci, ci.GitHubClaims())).status)

	ci.SetFault(issuer.KeySet, issuer.Fault{Hang: true})
	unknown, err := ci.Sign(ci.GitHubClaims(), issuer.WithHeader("kid", "unknown"))
	require.NoError(t, err)
	waiting := make(chan error, 1)
	go func() {
		_, err := send(http.MethodPut, s.url+tokensPath, "", "application/json", `{"jwt":"`+unknown+`"}`)
		waiting <- err
	}()
	require.Eventually(t, func() bool { return ci.Requests(issuer.KeySet) == 2 }, 5*time.Second, time.Millisecond)

	require.Equal(t, http.StatusOK, s.exchange(t, sign(t, ci, ci.GitHubClaims())).status)
	select {
	case err := <-waiting:
		require.NoError(t, err)
		t.Fatal("the unknown key was answered although its fetch hangs, so the test shows nothing")
	default:
	}
	require.NoError(t, ci.Close())
	require.NoError(t, <-waiting)
}

func TestNeitherDatabaseNorLogHoldsAPlaintextTokenOrIDToken(t *testing.T) {
	ci := startIssuer(t)
	folder := t.TempDir()
	s := startServer(t, settingsFor(t, ci, map[string]string{"DATABASE_URL": "sqlite:" + filepath.Join(folder, "t.db")}))
	s.configure(t, demoConfig)
	idToken := sign(t, ci, ci.GitHubClaims())
	token, _ := s.exchange(t, idToken).member(t, "token").(string)
	s.exchange(t, idToken)
	s.introspect(t, token)
	s.call(t, http.MethodDelete, tokensPath+"?token="+token, token, "", "")
	s.call(t, http.MethodGet, "/"+token, "", "", "")
	s.call(t, http.MethodPost, "/oauth/revoke?token="+token, token, "application/x-www-form-urlencoded", "token="+token)
	require.NoError(t, s.stop())

	signature := idToken[strings.LastIndexByte(idToken, '.')+1:]
	contents := map[string]string{"the log": s.log.String()}
	files, err := filepath.Glob(filepath.Join(folder, "*"))
	require.NoError(t, err)
	for _, file := range files {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		contents[file] = string(content)
	}
	require.Contains(t, contents["the log"], `"action":"exchange"`)
	require.NotEmpty(t, files)
	for where, content := range contents {
		for _, secret := range []string{token, token[len("cio_tp_"):], signature, adminToken, registryToken} {
			require.NotContains(t, content, secret, where)
		}
	}
}

func TestWithoutProvidersTheServerStartsWarnsAndRefusesEveryExchange(t *testing.T) {
	ci := startIssuer(t)
	s := startServer(t, settingsFor(t, nil, nil))

	require.Equal(t, "unsupported_issuer", s.exchange(t, sign(t, ci, ci.GitHubClaims())).code(t))
	require.Contains(t, s.log.String(), "no OIDC provider is enabled")
	require.Zero(t, ci.Requests(issuer.Discovery), "an unknown issuer must never be contacted")
}

func TestAStopDrainsRequestsInFlightAndEndsWithoutError(t *testing.T) {
	ci := startIssuer(t)
	s := startServer(t, settingsFor(t, ci, nil))
	s.configure(t, demoConfig)
	require.Equal(t, http.StatusOK, s.exchange(t, sign(t, ci, ci.GitHubClaims())).status, "the keys must be loaded first")
	ci.SetFault(issuer.KeySet, issuer.Fault{Delay: 500 * time.Millisecond})
	idToken, err := ci.Sign(ci.GitHubClaims(), issuer.WithHeader("kid", "unknown"))
	require.NoError(t, err)
	requests := ci.Requests(issuer.KeySet)
	answered := make(chan answer, 1)
	go func() {
		a, _ := send(http.MethodPut, s.url+tokensPath, "", "application/json", `{"jwt":"`+idToken+`"}`)
		answered <- a
	}()
	require.Eventually(t, func() bool { return ci.Requests(issuer.KeySet) > requests }, 5*time.Second, time.Millisecond)

	require.NoError(t, s.stop())

	require.Equal(t, http.StatusBadRequest, (<-answered).status)
	_, err = send(http.MethodGet, s.url+"/healthz", "", "", "")
	require.Error(t, err, "the server must not accept requests after its stop")
}

func TestMigrateOffRefusesToStartOnASchemaThatIsNotCurrent(t *testing.T) {
	database := map[string]string{"DATABASE_URL": "sqlite:" + filepath.Join(t.TempDir(), "t.db"), "TRUSTPUB_MIGRATE": "off"}
	settings := settingsFor(t, nil, database)
	logger := slog.New(slog.DiscardHandler)

	err := bootstrap.Serve(t.Context(), settings, logger, nil)
	require.ErrorContains(t, err, "migrate")

	db, err := bootstrap.OpenDatabase(settings.DatabaseURL)
	require.NoError(t, err)
	_, err = db.Migrator.Up(t.Context())
	require.NoError(t, err)
	require.NoError(t, db.Close())
	require.Equal(t, http.StatusOK, startServer(t, settings).call(t, http.MethodGet, "/readyz", "", "", "").status)
}

func TestReadyzSaysWhenTheSchemaIsNotCurrent(t *testing.T) {
	settings := settingsFor(t, nil, map[string]string{"DATABASE_URL": "sqlite:" + filepath.Join(t.TempDir(), "t.db")})
	s := startServer(t, settings)
	require.Equal(t, http.StatusOK, s.call(t, http.MethodGet, "/readyz", "", "", "").status)

	db, err := bootstrap.OpenDatabase(settings.DatabaseURL)
	require.NoError(t, err)
	_, err = db.Migrator.Down(t.Context())
	require.NoError(t, err)
	require.NoError(t, db.Close())

	require.Equal(t, http.StatusServiceUnavailable, s.call(t, http.MethodGet, "/readyz", "", "", "").status)
	require.Equal(t, http.StatusOK, s.call(t, http.MethodGet, "/healthz", "", "", "").status)
}

func TestSeveralServersMayShareOneSQLiteFile(t *testing.T) {
	ci := startIssuer(t)
	database := map[string]string{"DATABASE_URL": "sqlite:" + filepath.Join(t.TempDir(), "t.db")}
	a := startServer(t, settingsFor(t, ci, database))
	b := startServer(t, settingsFor(t, ci, database))
	a.configure(t, demoConfig)

	requireOneSuccess(t, sign(t, ci, ci.GitHubClaims()), a.url, b.url)
}

func TestMain(m *testing.M) { postgrestest.Main(m) }

func TestOverThreeServersOnOnePostgreSQLExactlyOneOf64SimultaneousExchangesSucceeds(t *testing.T) {
	ci := startIssuer(t)
	database := map[string]string{"DATABASE_URL": postgrestest.NewDatabase(t)}
	var urls []string
	var servers []*server
	for range 3 {
		s := startServer(t, settingsFor(t, ci, database))
		servers, urls = append(servers, s), append(urls, s.url)
	}
	servers[0].configure(t, demoConfig)

	for range 3 {
		requireOneSuccess(t, sign(t, ci, ci.GitHubClaims()), urls...)
	}
}

func TestATokenOfOneReplicaIsKnownToTheOthers(t *testing.T) {
	ci := startIssuer(t)
	database := map[string]string{"DATABASE_URL": postgrestest.NewDatabase(t)}
	a, b := startServer(t, settingsFor(t, ci, database)), startServer(t, settingsFor(t, ci, database))
	a.configure(t, demoConfig)
	token, _ := b.exchange(t, sign(t, ci, ci.GitHubClaims())).member(t, "token").(string)

	require.Equal(t, true, a.introspect(t, token).member(t, "active"))
	require.Equal(t, http.StatusNoContent, a.call(t, http.MethodDelete, tokensPath, token, "", "").status)
	require.JSONEq(t, `{"active":false}`, b.introspect(t, token).body)
}

func TestWhileTheDatabaseCannotAnswerNothingIsClaimed(t *testing.T) {
	ci := startIssuer(t)
	postgres := postgrestest.NewServer(t, postgrestest.Options{})
	s := startServer(t, settingsFor(t, ci, map[string]string{"DATABASE_URL": postgres.URL()}))
	s.configure(t, demoConfig)
	idToken := sign(t, ci, ci.GitHubClaims())
	token, _ := s.exchange(t, sign(t, ci, ci.GitHubClaims())).member(t, "token").(string)
	untouched, _ := s.exchange(t, sign(t, ci, ci.GitHubClaims())).member(t, "token").(string)
	require.NoError(t, postgres.Pause())

	var group sync.WaitGroup
	for name, request := range map[string]func() (answer, error){
		"exchange": func() (answer, error) {
			return send(http.MethodPut, s.url+tokensPath, "", "application/json", `{"jwt":"`+idToken+`"}`)
		},
		"revoke": func() (answer, error) { return send(http.MethodDelete, s.url+tokensPath, token, "", "") },
		"oauth revoke": func() (answer, error) {
			return send(http.MethodPost, s.url+"/oauth/revoke", "", "application/x-www-form-urlencoded", "token="+token)
		},
		"introspect": func() (answer, error) {
			return send(http.MethodPost, s.url+"/oauth/introspect", registryToken, "application/x-www-form-urlencoded", "token="+token)
		},
		"readyz": func() (answer, error) { return send(http.MethodGet, s.url+"/readyz", "", "", "") },
	} {
		group.Go(func() {
			a, err := request()
			assert.NoError(t, err, name)
			assert.Equal(t, http.StatusServiceUnavailable, a.status, "%s: %s", name, a.body)
			assert.NotContains(t, a.body, `"active"`, name)
			if name != "readyz" {
				assert.NotEmpty(t, a.header.Get("Retry-After"), name)
			}
		})
	}
	group.Wait()
	require.Equal(t, http.StatusOK, s.call(t, http.MethodGet, "/healthz", "", "", "").status)
	require.NoError(t, postgres.Resume())

	require.Equal(t, true, s.introspect(t, untouched).member(t, "active"))
	// What was answered with 503 may take effect when the database goes on: the ID
	// token was exchanged, or it was not. It never is twice.
	require.Contains(t, []int{http.StatusOK, http.StatusBadRequest}, s.exchange(t, idToken).status)
	require.Equal(t, "already_used", s.exchange(t, idToken).code(t))
}
