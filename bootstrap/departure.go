package bootstrap

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/trustpub/trustpub/domain"
)

const (
	// departTimeout is for how long a server that stops serves on, so that its clients
	// leave by themselves. Clients with something to send meanwhile are told at their next
	// answer, and those without lose nothing; longer would only make deployments slower.
	departTimeout = time.Second
	// departPoll is how often it is looked whether all have left.
	departPoll = 5 * time.Millisecond
)

// departure makes clients leave a server before it stops. A connection that is closed
// while its client sends takes the request with it (RFC 9112 section 9.5); one whose last
// answer said "Connection: close" does not. It is safe for concurrent use.
type departure struct {
	begun atomic.Bool
	open  atomic.Int64 // Connections.
}

// ready says that the server is not ready once the departure has begun, so that balancers
// send no more, and else what next says.
func (d *departure) ready(next Readiness) Readiness {
	return func(ctx context.Context) error {
		if d.begun.Load() {
			return domain.Unavailable(domain.CodeDraining, nil, "The server is about to stop. Send requests to another one.")
		}
		return next(ctx)
	}
}

// handler has next's answers end their connections once the departure has begun.
func (d *departure) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.begun.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// count is the ConnState of the server.
func (d *departure) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		d.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		d.open.Add(-1)
	case http.StateActive, http.StateIdle:
	}
}

// begin returns when no connection is open, or after departTimeout, or at the end of ctx.
func (d *departure) begin(ctx context.Context) {
	d.begun.Store(true)
	ctx, cancel := context.WithTimeout(ctx, departTimeout)
	defer cancel()
	ticker := time.NewTicker(departPoll)
	defer ticker.Stop()
	for d.open.Load() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
