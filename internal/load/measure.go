package main

import (
	"cmp"
	"context"
	"maps"
	"slices"
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
	memory   float64
	refusals map[string]int
}

const (
	rowTrustpub = "trustpub"
	rowEcho     = "empty echo handler"
	rowPgbench  = "pgbench"
	rowRS256    = "bare RS256"
)

// measure measures everything in rounds, so that each kind has its share of whatever
// else the machine does, and returns medians.
func (m *measurement) measure(ctx context.Context) ([]result, error) {
	type key struct {
		what        string
		connections int
	}
	var order []key
	all := map[key][]result{}
	add := func(r result) {
		k := key{r.what, r.connections}
		if all[k] == nil {
			order = append(order, k)
		}
		all[k] = append(all[k], r)
	}
	for round := range m.rounds {
		for _, connections := range m.connections {
			m.say("round %d of %d, %d connections", round+1, m.rounds, connections)
			r, err := m.servers(ctx, connections)
			if err != nil {
				return nil, err
			}
			add(r)
			if !m.baseline {
				continue
			}
			baselines, err := m.baselines(ctx, connections)
			if err != nil {
				return nil, err
			}
			for _, r := range baselines {
				add(r)
			}
		}
	}
	results := make([]result, 0, len(order))
	for _, k := range order {
		results = append(results, medians(all[k]))
	}
	return results, ctx.Err()
}

// servers drives the servers once.
func (m *measurement) servers(ctx context.Context, connections int) (result, error) {
	p := plan{addresses: m.stack.addresses, connections: connections, n: m.n, rate: m.rate, request: m.introspectRequest()}
	if m.mode == "exchange" {
		p.request = m.exchangeRequest(m.sent)
		m.sent += m.n
	}
	return m.timed(ctx, rowTrustpub, p, m.stack.pids(), m.stack.postgresPID())
}

// timed drives a plan and measures what it takes.
func (m *measurement) timed(ctx context.Context, what string, p plan, servers []int, database int) (result, error) {
	usage := func() (cpu [3]time.Duration, err error) {
		cpu[0], err = cpuOf(servers)
		if err == nil {
			cpu[1], err = cpuOfFamily(database)
		}
		if err == nil {
			cpu[2], err = cpuOf([]int{selfPID})
		}
		return cpu, err
	}
	before, err := usage()
	if err != nil {
		return result{}, err
	}
	o := drive(ctx, p)
	after, err := usage()
	if err != nil {
		return result{}, err
	}
	memory, err := peakMemory(servers)
	if err != nil {
		return result{}, err
	}
	each := func(i int) time.Duration { return (after[i] - before[i]) / time.Duration(p.n) }
	return result{
		what: what, connections: p.connections, perSecond: o.perSecond(),
		p50: o.quantile(0.5), p99: o.quantile(0.99), max: o.quantile(1),
		server: each(0), database: each(1), client: each(2), memory: memory, refusals: o.refusals,
	}, nil
}

// baselines measures what the servers are compared with.
func (m *measurement) baselines(ctx context.Context, connections int) ([]result, error) {
	echo, err := m.timed(ctx, rowEcho, plan{addresses: []string{m.echoAddress}, connections: connections, n: m.n, request: m.emptyRequest()}, []int{m.echo.PID()}, 0)
	if err != nil {
		return nil, err
	}
	script := exchangeScript
	if m.mode == "introspect" {
		script = introspectScript
	}
	before, err := cpuOfFamily(m.stack.postgresPID())
	if err != nil {
		return nil, err
	}
	b, err := m.stack.pgbench(ctx, script, connections, m.n)
	if err != nil {
		return nil, err
	}
	after, err := cpuOfFamily(m.stack.postgresPID())
	if err != nil {
		return nil, err
	}
	results := []result{echo, {
		what: rowPgbench, connections: connections, perSecond: b.perSecond, p50: b.mean, database: (after - before) / time.Duration(m.n),
	}}
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
