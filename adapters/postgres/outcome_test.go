package postgres_test

import (
	"context"
	"database/sql"
	"io"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/postgres"
	"github.com/trustpub/trustpub/adapters/postgres/pqconn"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest"
	"github.com/trustpub/trustpub/trustpubtest/postgrestest"
)

// proxy stands between a store and a server of its own, and can cut connections
// when an answer comes back: the statement has then taken effect, and its sender
// does not know.
type proxy struct {
	listener net.Listener
	target   string
	// cuts is how many answers are still to be cut off.
	cuts atomic.Int64
	// dead refuses new connections.
	dead atomic.Bool

	mu    sync.Mutex
	conns []net.Conn
}

func startProxy(t *testing.T, server *postgrestest.Server) (*proxy, string) {
	t.Helper()
	folder := t.TempDir()
	listener, err := net.Listen("unix", filepath.Join(folder, ".s.PGSQL.5432"))
	require.NoError(t, err)
	p := &proxy{listener: listener, target: server.Socket()}
	go p.accept()
	t.Cleanup(func() {
		_ = listener.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, c := range p.conns {
			_ = c.Close()
		}
	})
	return p, "postgres://postgres@/postgres?sslmode=disable&host=" + folder
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		if p.dead.Load() {
			_ = client.Close()
			continue
		}
		server, err := net.Dial("unix", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		go func() { _, _ = io.Copy(server, client); _ = server.Close() }()
		go p.answer(client, server)
	}
}

// answer passes answers on. While cuts are armed, the next one closes the connection
// instead, after the server has sent it.
func (p *proxy) answer(client, server net.Conn) {
	defer func() { _ = client.Close() }()
	buffer := make([]byte, 64<<10)
	for {
		n, err := server.Read(buffer)
		if err != nil {
			return
		}
		if p.cuts.Load() > 0 && p.cuts.Add(-1) >= 0 {
			return
		}
		_, err = client.Write(buffer[:n])
		if err != nil {
			return
		}
	}
}

// behindProxy returns a store whose connection goes through a proxy and is open
// already, and a direct handle.
func behindProxy(t *testing.T) (*proxy, prepared, *sql.DB) {
	t.Helper()
	server := postgrestest.NewServer(t, postgrestest.Options{})
	direct := postgrestest.Open(t, server.URL())
	migrate(t, direct)
	p, url := startProxy(t, server)
	through, err := pqconn.Open(url, time.Second)
	require.NoError(t, err)
	t.Cleanup(func() { _ = through.Close() })
	through.SetMaxOpenConns(1)
	prepared := prepare(t, through)
	return p, prepared, direct
}

func TestAnUnknownOutcomeThatWasASuccessIsASuccessWithOneToken(t *testing.T) {
	proxy, p, direct := behindProxy(t)
	proxy.cuts.Store(1)

	require.NoError(t, p.save(t.Context()))

	require.LessOrEqual(t, proxy.cuts.Load(), int64(0), "no answer was cut off, so the test shows nothing")
	require.Equal(t, 1, count(t, direct, `select count(*) from trustpub_tokens`))
	require.Equal(t, 1, count(t, direct, `select count(*) from trustpub_used_jtis`))
	found, err := p.store.FindToken(t.Context(), p.token.Hash)
	require.NoError(t, err)
	require.Equal(t, p.token.Grants, found.Grants)
}

func TestAnUnknownOutcomeThatWasAnothersIsAlreadyUsed(t *testing.T) {
	proxy, p, direct := behindProxy(t)
	require.NoError(t, postgres.NewStore(direct).SaveToken(t.Context(), trustpubtest.NewToken(p.claims, p.config), p.claims.UsedJTI()))
	proxy.cuts.Store(1)

	err := p.save(t.Context())

	require.Equal(t, domain.CodeAlreadyUsed, domain.CodeOf(err), "%v", err)
	require.LessOrEqual(t, proxy.cuts.Load(), int64(0))
	require.Equal(t, 1, count(t, direct, `select count(*) from trustpub_tokens`))
}

func TestAnOutcomeThatStaysUnknownIsAnErrorWithinTheDeadline(t *testing.T) {
	proxy, p, direct := behindProxy(t)
	proxy.dead.Store(true)
	proxy.cuts.Store(1)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()

	requireFault(t, p.save(ctx))

	require.Equal(t, 1, count(t, direct, `select count(*) from trustpub_tokens`), "the statement did take effect")
}

func TestConnectionsThatAreEndedByTheServerAreReplaced(t *testing.T) {
	url, db := newDatabase(t)
	p := prepare(t, db)
	execute(t, postgrestest.Open(t, url), `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`)

	require.NoError(t, p.save(t.Context()))
	require.Equal(t, 1, count(t, db, `select count(*) from trustpub_tokens`))
}

func TestAFrozenServerDoesNotHangARequest(t *testing.T) {
	server := postgrestest.NewServer(t, postgrestest.Options{})
	db, err := pqconn.Open(server.URL(), 500*time.Millisecond)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	migrate(t, db)
	p := prepare(t, db)
	require.NoError(t, server.Pause())
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- p.save(ctx) }()

	select {
	case err := <-ended:
		requireFault(t, err)
	case <-time.After(30 * time.Second):
		t.Fatal("the call hangs although its deadline has long passed")
	}

	require.NoError(t, server.Resume())
	require.NoError(t, p.save(t.Context()), "the same call settles what became of the first")
	require.Equal(t, 1, count(t, db, `select count(*) from trustpub_tokens`))
}

func TestACommitThatItsStandbyDidNotConfirmIsNoSuccess(t *testing.T) {
	server := postgrestest.NewServer(t, postgrestest.Options{})
	db := postgrestest.Open(t, server.URL())
	migrate(t, db)
	p := prepare(t, db)
	execute(t, db, `alter system set synchronous_standby_names = 'nobody'`)
	execute(t, db, `select pg_reload_conf()`)
	ended := make(chan error, 1)
	go func() { ended <- p.save(t.Context()) }()
	waiting := `select pid from pg_stat_activity where wait_event = 'SyncRep' and query like '%trustpub_used_jtis%'`
	require.Eventually(t, func() bool { return count(t, db, `select count(*) from (`+waiting+`) w`) == 1 }, 10*time.Second, 5*time.Millisecond)
	execute(t, db, `select pg_cancel_backend(pid) from (`+waiting+`) w`)

	err := <-ended

	require.ErrorIs(t, err, pqconn.ErrNotDurable)
	requireFault(t, err)
	require.Equal(t, 1, count(t, db, `select count(*) from trustpub_tokens`), "the primary has it, and a fail-over may lose it")
}

// When the connection is lost during the wait for the standby, the second attempt
// finds its own row on the primary. It must wait for the standby too.
func TestFindingItsOwnRowWaitsForTheStandbyToo(t *testing.T) {
	server := postgrestest.NewServer(t, postgrestest.Options{})
	db := postgrestest.Open(t, server.URL())
	migrate(t, db)
	p := prepare(t, db)
	require.NoError(t, p.save(t.Context()))
	execute(t, db, `alter system set synchronous_standby_names = 'nobody'`)
	execute(t, db, `select pg_reload_conf()`)
	require.Eventually(t, func() bool {
		return count(t, db, `select count(*) from pg_settings where name = 'synchronous_standby_names' and setting = 'nobody'`) == 1
	}, 10*time.Second, 5*time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()

	requireFault(t, p.save(ctx))
}

func TestCommitsAreSynchronousWhateverTheServersDefault(t *testing.T) {
	server := postgrestest.NewServer(t, postgrestest.Options{Parameters: map[string]string{"synchronous_commit": "off"}})
	var got string
	require.NoError(t, postgrestest.Open(t, server.URL()).QueryRowContext(t.Context(), `show synchronous_commit`).Scan(&got))
	require.Equal(t, "on", got)

	stronger := postgrestest.NewServer(t, postgrestest.Options{Parameters: map[string]string{"synchronous_commit": "remote_apply"}})
	require.NoError(t, postgrestest.Open(t, stronger.URL()).QueryRowContext(t.Context(), `show synchronous_commit`).Scan(&got))
	require.Equal(t, "remote_apply", got)
}
