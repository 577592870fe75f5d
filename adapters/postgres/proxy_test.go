package postgres_test

import (
	"database/sql"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/postgres/pqconn"
	"github.com/trustpub/trustpub/trustpubtest/postgrestest"
)

// proxy stands between a store and a server of its own. It can cut connections when
// an answer comes back: the statement has then taken effect, and its sender does not
// know. It can also keep a statement back that its sender has given up.
type proxy struct {
	listener net.Listener
	target   string
	// cuts is how many answers are still to be cut off, after passes more.
	cuts, passes atomic.Int64
	// dead refuses new connections.
	dead atomic.Bool
	// keep makes the next statement stay here, and its sender's connection end.
	keep atomic.Bool

	mu      sync.Mutex
	clients []net.Conn
	servers []net.Conn
	kept    []func() error
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
		p.cutClients()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, c := range p.servers {
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
		p.clients, p.servers = append(p.clients, client), append(p.servers, server)
		p.mu.Unlock()
		go p.request(client, server)
		go p.answer(client, server)
	}
}

// cutClients ends the connections of all clients. The server goes on with what it
// does, and notices when it answers.
func (p *proxy) cutClients() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.clients {
		_ = c.Close()
	}
}

// request passes statements on, or keeps one.
func (p *proxy) request(client, server net.Conn) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			_ = server.Close()
			return
		}
		if p.keep.CompareAndSwap(true, false) {
			p.mu.Lock()
			p.kept = append(p.kept, func() error { _, err := server.Write(buffer[:n]); return err })
			p.mu.Unlock()
			_ = client.Close()
			return
		}
		_, err = server.Write(buffer[:n])
		if err != nil {
			return
		}
	}
}

// answer passes answers on. While cuts are armed, the next one closes the connection
// instead, after the server has sent it.
func (p *proxy) answer(client, server net.Conn) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := server.Read(buffer)
		if err != nil {
			_ = client.Close()
			return
		}
		if p.cuts.Load() > 0 && p.passes.Add(-1) < 0 && p.cuts.Add(-1) >= 0 {
			_ = client.Close()
			continue // The server goes on as if its answer had arrived.
		}
		_, _ = client.Write(buffer[:n])
	}
}

// deliver sends the statement that was kept.
func (p *proxy) deliver() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.kept) != 1 {
		return fmt.Errorf("%d statements were kept, not one", len(p.kept))
	}
	return p.kept[0]()
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
