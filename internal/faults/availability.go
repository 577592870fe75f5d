package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/trustpub/trustpub/internal/faults/ha"
)

const (
	// failOver is how soon exchanges succeed after a fault of the cluster.
	failOver = 30 * time.Second
	// stirring is how long a fault takes to have its effect: servers whose postmaster
	// was killed still answer for a moment.
	stirring = 3 * time.Second
	// healing is how long the cluster may take to be whole again.
	healing = 2 * time.Minute
)

// clusterFault is something that happens to a machine of the database.
type clusterFault struct {
	name string
	do   func(*ha.Cluster, context.Context) error
}

// clusterFaults are all, the hardest ones first.
func clusterFaults() []clusterFault {
	return []clusterFault{
		{"primary's postmaster killed", (*ha.Cluster).CrashPrimary},
		{"primary frozen, then thawed", (*ha.Cluster).FreezePrimary},
		{"planned switch-over", (*ha.Cluster).SwitchOver},
		{"primary's machine lost", (*ha.Cluster).LosePrimary},
		{"synchronous standby lost", (*ha.Cluster).LoseStandby},
		{"etcd's leader lost", (*ha.Cluster).LoseEtcdLeader},
	}
}

// clusterBySeveralHosts names all nodes in DATABASE_URL.
func clusterBySeveralHosts(ctx context.Context, s *stage, n int) error {
	return breakCluster(ctx, s, n, (*ha.Cluster).MultiHostURL)
}

// clusterByProxy has HAProxy find the primary.
func clusterByProxy(ctx context.Context, s *stage, n int) error {
	return breakCluster(ctx, s, n, (*ha.Cluster).ProxyURL)
}

// breakCluster breaks a highly available PostgreSQL in n ways, and heals it after
// each. One server runs all the time.
func breakCluster(ctx context.Context, s *stage, n int, urlOf func(*ha.Cluster) string) error {
	cluster, err := ha.Start(ctx, ha.Config{})
	if err != nil {
		return err
	}
	s.later(func() { _ = cluster.Close() })
	s.databaseURL = urlOf(cluster)
	err = s.serve(ctx, 1)
	if err != nil {
		return err
	}
	process := s.servers[0].process.PID()
	s.client.begin(ctx)
	for _, fault := range clusterFaults()[:n] {
		time.Sleep(time.Second)
		err = breakOnce(ctx, s, cluster, fault)
		if err != nil {
			return fmt.Errorf("%s: %w", fault.name, err)
		}
	}
	if !s.servers[0].running() || s.servers[0].process.PID() != process {
		s.violate("the server ended")
	}
	return s.finish()
}

// breakOnce lets a fault happen, waits for exchanges to succeed, and heals the cluster.
// Healing is a fault of its own: a node that was thawed believes to be the primary.
func breakOnce(ctx context.Context, s *stage, cluster *ha.Cluster, fault clusterFault) error {
	begin := time.Now()
	err := fault.do(cluster, ctx)
	if err != nil {
		return err
	}
	s.faults++
	time.Sleep(stirring)
	err = s.recovered(ctx, time.Now(), failOver)
	if err != nil {
		return err
	}
	time.Sleep(2 * time.Second) // So that there is something to lose.
	away := s.client.gap(begin, time.Now())
	s.firstSuccess = max(s.firstSuccess, away)
	healed := time.Now()
	healCtx, cancel := context.WithTimeout(ctx, healing)
	defer cancel()
	err = cluster.Heal(healCtx)
	if err != nil {
		return err
	}
	whole := time.Since(healed)
	time.Sleep(stirring)
	err = s.recovered(ctx, time.Now(), failOver)
	if err != nil {
		return err
	}
	again := s.client.gap(healed, time.Now())
	if away > failOver || again > failOver {
		s.violate("%s: no exchange succeeded for %.1f s, and for %.1f s when it was healed; at most %s", fault.name, away.Seconds(), again.Seconds(), failOver)
	}
	s.tell("%s: %.1f s without a success; healed within %.1f s, with %.1f s without a success", fault.name, away.Seconds(), whole.Seconds(), again.Seconds())
	return nil
}

// gap returns the longest time without a success in between.
func (c *client) gap(since, until time.Time) time.Duration {
	var answered []time.Time
	for _, m := range c.seen().successes {
		if m.answered.After(since) {
			answered = append(answered, m.answered)
		}
	}
	slices.SortFunc(answered, time.Time.Compare)
	longest, last := time.Duration(0), since
	for _, at := range append(answered, until) {
		longest, last = max(longest, at.Sub(last)), at
	}
	return longest
}
