package bootstrap_test

import (
	"bufio"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/auditlog"
	"github.com/trustpub/trustpub/adapters/memory"
	"github.com/trustpub/trustpub/adapters/oidc"
	"github.com/trustpub/trustpub/adapters/providers/github"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/bootstrap"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest/issuer"
	"github.com/trustpub/trustpub/trustpubtest/postgrestest"
)

// BenchmarkExchange shows what an exchange costs and where: "bare RS256" is the
// verification of the same signature and nothing else, the unit to compare with. The
// databases wait for their disks, as they do in production.
func BenchmarkExchange(b *testing.B) {
	ci, err := issuer.Start(issuer.Config{})
	require.NoError(b, err)
	b.Cleanup(func() { _ = ci.Close() })
	idToken, err := ci.Sign(ci.GitHubClaims().With("exp", time.Now().Add(23*time.Hour).Unix()))
	require.NoError(b, err)
	provider, err := github.New(ci.URL())
	require.NoError(b, err)
	verifier, err := oidc.NewVerifier(oidc.VerifierConfig{Audience: "crates.io", Now: time.Now, Sources: []oidc.Source{{
		Provider: provider, Keys: oidc.NewStaticKeySet(map[string]crypto.PublicKey{ci.KeyID(): ci.PublicKey()}),
	}}})
	require.NoError(b, err)
	claims, err := verifier.Verify(b.Context(), idToken)
	require.NoError(b, err)

	b.Run("bare RS256", func(b *testing.B) { benchmarkRS256(b, idToken, ci.PublicKey()) })
	b.Run("verify", func(b *testing.B) {
		for b.Loop() {
			_, err := verifier.Verify(b.Context(), idToken)
			require.NoError(b, err)
		}
	})
	b.Run("match", func(b *testing.B) {
		config, err := domain.NewGitHubConfig(demoParams(ci.URL()))
		require.NoError(b, err)
		configs := []domain.Config{config, config, config, config, config}
		for b.Loop() {
			_, err := domain.Authorize(configs, claims)
			require.NoError(b, err)
		}
	})
	stores := []struct {
		name string
		open func(b *testing.B) bootstrap.Store
	}{
		{"memory", func(*testing.B) bootstrap.Store { return memory.New() }},
		{"sqlite", func(b *testing.B) bootstrap.Store {
			b.Helper()
			return openStore(b, "sqlite:"+filepath.Join(b.TempDir(), "t.db"))
		}},
		{"postgres", func(b *testing.B) bootstrap.Store {
			b.Helper()
			return openStore(b, postgrestest.NewServer(b, postgrestest.Options{Fsync: true}).URL())
		}},
	}
	for _, store := range stores {
		b.Run("exchange/"+store.name, func(b *testing.B) {
			benchmarkExchange(b, freshJTI{verifier}, store.open(b), idToken, ci.URL())
		})
	}
}

func benchmarkRS256(b *testing.B, idToken string, key *rsa.PublicKey) {
	b.Helper()
	dot := strings.LastIndexByte(idToken, '.')
	signature := decodeBase64(b, idToken[dot+1:])
	for b.Loop() {
		digest := sha256.Sum256([]byte(idToken[:dot]))
		require.NoError(b, rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature))
	}
}

func decodeBase64(b *testing.B, s string) []byte {
	b.Helper()
	decoded, err := base64.RawURLEncoding.DecodeString(s)
	require.NoError(b, err)
	return decoded
}

func demoParams(issuerURL string) domain.GitHubConfigParams {
	return domain.GitHubConfigParams{
		CreatedAt: time.Now(), Package: domain.Package{Ecosystem: "cargo", Name: "demo"}, Issuer: issuerURL,
		Owner: "octo-org", OwnerID: 65, Repository: "octo-repo", WorkflowFilename: "release.yml",
	}
}

func openStore(b *testing.B, url string) bootstrap.Store {
	b.Helper()
	settings, err := bootstrap.LoadSettings(map[string]string{"DATABASE_URL": url})
	require.NoError(b, err)
	db, err := bootstrap.OpenDatabase(settings.DatabaseURL)
	require.NoError(b, err)
	b.Cleanup(func() { _ = db.Close() })
	require.NoError(b, db.Prepare(b.Context(), bootstrap.MigrateAuto))
	return db.Store
}

// freshJTI verifies in earnest and then gives the claims a jti of their own, since
// signing an ID token costs twenty times as much as verifying it.
type freshJTI struct{ application.Verifier }

func (f freshJTI) Verify(ctx context.Context, idToken string) (domain.Claims, error) {
	c, err := f.Verifier.Verify(ctx, idToken)
	if err != nil {
		return c, err
	}
	now := time.Now()
	return domain.NewClaims(
		domain.Registered{Issuer: c.Issuer(), Subject: c.Subject(), JWTID: rand.Text(), IssuedAt: now, ExpiresAt: now, AcceptableUntil: now.Add(time.Minute)},
		domain.Workload{Provider: c.Provider(), Repository: c.Repository(), OwnerID: c.OwnerID(), Workflow: c.Workflow(), Details: c.Details()},
	)
}

func benchmarkExchange(b *testing.B, verifier application.Verifier, store bootstrap.Store, idToken, issuerURL string) {
	b.Helper()
	config, err := domain.NewGitHubConfig(demoParams(issuerURL))
	require.NoError(b, err)
	_, err = store.CreateConfig(b.Context(), config, 1)
	require.NoError(b, err)
	prefix, err := domain.NewTokenPrefix(domain.DefaultTokenPrefix)
	require.NoError(b, err)
	service, err := application.NewExchangeService(application.ExchangeConfig{
		Verifier: verifier, Configs: store, Tokens: store, Auditor: auditlog.New(slog.New(slog.DiscardHandler)),
		Prefix: prefix, Now: time.Now, Rand: rand.Reader,
	})
	require.NoError(b, err)
	b.ReportAllocs()
	b.SetParallelism(8) // times GOMAXPROCS
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_, err := service.Exchange(b.Context(), application.ExchangeRequest{IDToken: idToken})
			if err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkServer measures the real program from outside, on PostgreSQL, at 16
// connections: the CPU time that it spends on an exchange, and its memory.
func BenchmarkServer(b *testing.B) {
	ci, err := issuer.Start(issuer.Config{})
	require.NoError(b, err)
	b.Cleanup(func() { _ = ci.Close() })
	program := filepath.Join(b.TempDir(), "trustpub")
	output, err := exec.Command("go", "build", "-o", program, "../cmd/trustpub").CombinedOutput()
	require.NoError(b, err, string(output))
	const address = "127.0.0.1:18765"
	command := exec.Command(program, "serve")
	command.Env = append(os.Environ(),
		"TRUSTPUB_LISTEN="+address, "TRUSTPUB_PROVIDERS=github="+ci.URL(), "TRUSTPUB_ADMIN_TOKEN="+adminToken,
		"DATABASE_URL="+postgrestest.NewServer(b, postgrestest.Options{Fsync: true}).URL())
	require.NoError(b, command.Start())
	b.Cleanup(func() { _ = command.Process.Signal(os.Interrupt); _ = command.Wait() })
	require.Eventually(b, func() bool {
		a, err := send(http.MethodPost, "http://"+address+configsPath, adminToken, "application/json", demoConfig)
		return err == nil && a.status == http.StatusOK
	}, 20*time.Second, 50*time.Millisecond)

	const connections = 16
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections}}
	b.Cleanup(client.CloseIdleConnections)
	bodies := make([]string, b.N)
	forEach(b.N, func(i int) {
		idToken, err := ci.Sign(ci.GitHubClaims().With("exp", time.Now().Add(time.Hour).Unix()))
		if err == nil {
			bodies[i] = `{"jwt":"` + idToken + `"}`
		}
	}, 2)

	before := cpuTime(b, command.Process.Pid)
	var failed atomic.Int64
	b.ResetTimer()
	forEach(b.N, func(i int) {
		response, err := client.Post("http://"+address+tokensPath, "application/json", strings.NewReader(bodies[i]))
		if err != nil {
			failed.Add(1)
			return
		}
		_, _ = io.Copy(io.Discard, response.Body) // So that the connection is used again.
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			failed.Add(1)
		}
	}, connections)
	b.StopTimer()
	require.Zero(b, failed.Load())
	b.ReportMetric(float64((cpuTime(b, command.Process.Pid)-before).Microseconds())/float64(b.N), "cpu-µs/op")
	b.ReportMetric(peakMemory(b, command.Process.Pid), "peak-MiB")
}

// forEach calls do for 0 to n-1, in so many goroutines.
func forEach(n int, do func(int), goroutines int) {
	var next atomic.Int64
	var group sync.WaitGroup
	for range goroutines {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	group.Wait()
}

// cpuTime returns the CPU time that a process has used, from Linux's /proc.
func cpuTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(b, err)
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	ticks := 0
	for _, field := range fields[11:13] { // utime and stime, in hundredths of a second
		n, err := strconv.Atoi(field)
		require.NoError(b, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// peakMemory returns the most resident memory of a process in MiB, from /proc.
func peakMemory(b *testing.B, pid int) float64 {
	b.Helper()
	status, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(b, err)
	defer func() { _ = status.Close() }()
	for lines := bufio.NewScanner(status); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
			require.NoError(b, err)
			return kib / 1024
		}
	}
	b.Fatal("VmHWM is not in /proc/PID/status")
	return 0
}
