package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"time"

	"github.com/trustpub/trustpub/application"
)

const (
	// sweepTurn is a little more than the pause between two sweeps, so that each turn has
	// one, or rarely two, and takes its fair share of what they cost.
	sweepTurn = application.DefaultSweepInterval + time.Second
	// expiredFor is how long a row must have been expired for a sweep to remove it, with
	// a little for the clock to go on.
	expiredFor = 5*time.Minute + time.Second
)

// sweeping is what a site had to sweep in a turn.
type sweeping struct {
	put, left, exchanges int
	took                 time.Duration
}

func (s sweeping) write(w io.Writer) error {
	_, err := fmt.Fprintf(w, "swept: %d of %d expired rows in %s, during %d exchanges\n", s.put-s.left, s.put, s.took.Round(time.Second), s.exchanges)
	return err
}

// sweepTurn drives a site for as long as its server pauses between two sweeps. Before
// that, a site that sweeps is given as many expired tokens and used ID tokens as come to
// that in the time: just what the next sweep of a busy server finds. Afterwards all ID
// tokens are forgotten, to be sent again.
func (m *measurement) sweepTurn(ctx context.Context, s *site, p plan) (result, error) {
	var had sweeping
	if s.swept {
		err := s.expire(ctx, int(float64(m.sweep)*application.DefaultSweepInterval.Hours()))
		if err != nil {
			return result{}, err
		}
	}
	err := s.execute(ctx, "checkpoint")
	if err != nil {
		return result{}, err
	}
	if had.put, err = s.expired(ctx); err != nil {
		return result{}, err
	}
	p.request, p.lasts = s.exchangeRequest(0), sweepTurn
	begin := time.Now()
	r, err := m.timed(ctx, s.name, p, s.pids())
	if err != nil {
		return result{}, err
	}
	had.took, had.exchanges = time.Since(begin), int(r.perSecond*time.Since(begin).Seconds())
	if ctx.Err() == nil && had.took < sweepTurn-time.Second {
		return result{}, fmt.Errorf("the ID tokens were used up after %s, and a turn takes %s: give more than -n %d", had.took.Round(time.Second), sweepTurn, m.n)
	}
	if s.swept {
		if had.left, err = s.expired(ctx); err != nil {
			return result{}, err
		}
		m.swept = append(m.swept, had)
		if had.left > 0 || had.put == 0 {
			return result{}, fmt.Errorf("the server's sweeper removed %d of %d expired rows in %s", had.put-had.left, had.put, had.took)
		}
	}
	// Only these live for longer than what was filled in.
	return r, s.execute(ctx, `delete from trustpub_used_jtis where expires_at > now() + interval '12 hours'`,
		"vacuum trustpub_used_jtis", "vacuum trustpub_tokens")
}

// expire puts in n tokens and n used ID tokens that expired within a minute, so long ago
// that they are to be removed.
func (s *site) expire(ctx context.Context, n int) error {
	// Beyond all that is filled in, and other rows each time.
	from := int(time.Now().UnixNano())
	rows := span{from: from, to: from + n - 1, begin: time.Now().Add(-expiredFor - time.Minute), lasts: time.Minute}
	return s.withDatabase(func(db *sql.DB) error { return s.fillExchanges(ctx, db, rows, false) })
}

// expired counts the rows that a sweep would remove.
func (s *site) expired(ctx context.Context) (n int, err error) {
	err = s.query(ctx, `select (select count(*) from trustpub_tokens where expires_at < now() - interval '5 minutes')
		+ (select count(*) from trustpub_used_jtis where expires_at < now() - interval '5 minutes')`, &n)
	return n, err
}
