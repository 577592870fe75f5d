package main

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// result is one measurement, or the median of several.
type result struct {
	what        string
	connections int
	perSecond   float64
	p50, p99    time.Duration
	max         time.Duration
	// server, database and client are CPU time for each request; 0 is not known.
	server, database, client time.Duration
	// memory is the peak of the largest server, in MiB.
	memory float64
	// resident is what the servers held together at each tenth of a long round, in MiB.
	resident []float64
	refusals map[string]int
}

const (
	rowEcho    = "empty echo handler"
	rowPgbench = "pgbench"
	rowRS256   = "bare RS256"
)

// row is what the rounds of one measurement have in common.
type row struct {
	what        string
	connections int
}

// results are all rounds, of rows in the order in which they came.
type results struct {
	order  []row
	rounds map[row][]result
}

func (r *results) add(round result) {
	key := row{round.what, round.connections}
	if r.rounds[key] == nil {
		r.order = append(r.order, key)
	}
	r.rounds[key] = append(r.rounds[key], round)
}

func (r *results) medians() []result {
	all := make([]result, 0, len(r.order))
	for _, key := range r.order {
		all = append(all, medians(r.rounds[key]))
	}
	return all
}

// measure measures everything in rounds, so that each kind has its share of whatever
// else the machine does. Sites go first in turn.
func (m *measurement) measure(ctx context.Context) (*results, error) {
	all := &results{rounds: map[row][]result{}}
	for _, s := range m.sites { // Rows in this order, whatever the turns.
		for _, connections := range m.connections {
			all.order = append(all.order, row{s.name, connections})
			all.rounds[row{s.name, connections}] = []result{}
		}
	}
	for round := range m.rounds {
		for _, connections := range m.connections {
			m.say("round %d of %d, %d connections", round+1, m.rounds, connections)
			for i := range m.sites {
				r, err := m.turn(ctx, m.sites[(i+round)%len(m.sites)], connections)
				if err != nil {
					return nil, err
				}
				all.add(r)
			}
			if !m.baseline {
				continue
			}
			baselines, err := m.baselines(ctx, connections)
			if err != nil {
				return nil, err
			}
			for _, r := range baselines {
				all.add(r)
			}
		}
	}
	return all, ctx.Err()
}

// turn measures a site once.
func (m *measurement) turn(ctx context.Context, s *site, connections int) (result, error) {
	if m.mode == modeVerify {
		return s.verify(ctx, connections, m.n)
	}
	p := plan{addresses: s.addresses, connections: connections, n: m.n, rate: m.rate}
	if m.mode == modeIntrospect {
		p.request = s.introspectRequest()
		return m.timed(ctx, s.name, p, s.pids())
	}
	if m.sweep > 0 {
		return m.sweepTurn(ctx, s, p)
	}
	p.request = s.exchangeRequest(s.sent)
	s.sent += m.n
	return m.timed(ctx, s.name, p, s.pids())
}

// usage is CPU time: of the servers, of PostgreSQL and of this process.
type usage [3]time.Duration

func (m *measurement) usage(servers []int) (cpu usage, err error) {
	cpu[0], err = cpuOf(servers)
	if err == nil {
		cpu[1], err = cpuOfFamily(m.stack.postgresPID())
	}
	if err == nil {
		cpu[2], err = cpuOf([]int{selfPID})
	}
	return cpu, err
}

// longRound is how many requests make it worth while to look at the memory meanwhile.
const longRound = 100_000

// timed drives a plan and measures what it takes.
func (m *measurement) timed(ctx context.Context, what string, p plan, servers []int) (result, error) {
	var resident []float64
	var mu sync.Mutex // Of resident.
	if len(servers) > 0 && p.n >= longRound && what != rowEcho {
		p.tenth = func() {
			mu.Lock()
			defer mu.Unlock()
			mib, err := sumMemory(servers)
			if err == nil { // One that can't be read is missed below.
				resident = append(resident, mib)
			}
		}
	}
	before, err := m.usage(servers)
	if err != nil {
		return result{}, err
	}
	o := drive(ctx, p)
	after, err := m.usage(servers)
	if err != nil {
		return result{}, err
	}
	memory, err := peakMemory(servers)
	if err != nil {
		return result{}, err
	}
	r := o.result(what, p.connections)
	each := func(i int) time.Duration { return (after[i] - before[i]) / time.Duration(max(o.sent, 1)) }
	r.server, r.database, r.client, r.memory, r.resident = each(0), each(1), each(2), memory, resident
	return r, nil
}

// result returns what the outcome says of itself.
func (o outcome) result(what string, connections int) result {
	return result{
		what: what, connections: connections, perSecond: o.perSecond(),
		p50: o.quantile(0.5), p99: o.quantile(0.99), max: o.quantile(1), refusals: o.refusals,
	}
}

// baselines measures what the servers are compared with.
func (m *measurement) baselines(ctx context.Context, connections int) ([]result, error) {
	echo, err := m.timed(ctx, rowEcho, plan{addresses: []string{m.echoAddress}, connections: connections, n: m.n, request: m.emptyRequest()}, []int{m.echo.PID()})
	if err != nil {
		return nil, err
	}
	pg, err := m.pgbench(ctx, m.sites[0], connections)
	if err != nil {
		return nil, err
	}
	results := []result{echo, pg}
	if m.key != nil {
		d, err := rs256(m.jwts[0], m.key)
		if err != nil {
			return nil, err
		}
		results = append(results, result{what: rowRS256, connections: connections, perSecond: float64(time.Second) / float64(d), p50: d, server: d})
	}
	return results, nil
}

// medians returns the median of each figure, and the sum of the refusals.
func medians(rounds []result) result {
	r := rounds[0]
	r.perSecond = median(rounds, func(r result) float64 { return r.perSecond })
	r.p50 = median(rounds, func(r result) time.Duration { return r.p50 })
	r.p99 = median(rounds, func(r result) time.Duration { return r.p99 })
	r.max = median(rounds, func(r result) time.Duration { return r.max })
	r.server = median(rounds, func(r result) time.Duration { return r.server })
	r.database = median(rounds, func(r result) time.Duration { return r.database })
	r.client = median(rounds, func(r result) time.Duration { return r.client })
	r.memory = slices.MaxFunc(rounds, func(a, b result) int { return cmp.Compare(a.memory, b.memory) }).memory
	r.resident = rounds[len(rounds)-1].resident
	r.refusals = map[string]int{}
	for _, round := range rounds {
		for why, n := range round.refusals {
			r.refusals[why] += n
		}
	}
	return r
}

func median[T cmp.Ordered](rounds []result, figure func(result) T) T {
	figures := make([]T, 0, len(rounds))
	for _, r := range rounds {
		figures = append(figures, figure(r))
	}
	slices.Sort(figures)
	return figures[len(figures)/2]
}

// refusals returns all that was not answered 200.
func refusals(results []result) map[string]int {
	sum := map[string]int{}
	for _, r := range results {
		for _, why := range slices.Sorted(maps.Keys(r.refusals)) {
			sum[why] += r.refusals[why]
		}
	}
	return sum
}
