package ha

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// switchOverTimeout is how long a planned switch-over may take.
const switchOverTimeout = 30 * time.Second

// CrashPrimary ends the primary's postmaster with SIGKILL, as a crash does. Its
// Patroni lives, and deals with it.
func (c *Cluster) CrashPrimary(ctx context.Context) error {
	primary, err := c.withRole(ctx, "leader")
	if err != nil {
		return err
	}
	server, err := primary.postmaster()
	if err != nil {
		return err
	}
	err = syscall.Kill(server, syscall.SIGKILL)
	if err != nil {
		return fmt.Errorf("ha: kill %s: %w", primary.Name, err)
	}
	return nil
}

// LosePrimary ends the primary's server and its Patroni at once, as a loss of power
// does. [Cluster.Heal] brings it back.
func (c *Cluster) LosePrimary(ctx context.Context) error {
	return c.lose(ctx, "leader")
}

// LoseStandby is [Cluster.LosePrimary] for the synchronous standby.
func (c *Cluster) LoseStandby(ctx context.Context) error {
	return c.lose(ctx, "sync_standby")
}

func (c *Cluster) lose(ctx context.Context, role string) error {
	n, err := c.withRole(ctx, role)
	if err != nil {
		return err
	}
	server, err := n.postmaster()
	if err != nil {
		return err
	}
	// Frozen first, Patroni can't do its last things.
	err = n.patroni.running.Signal(syscall.SIGSTOP)
	if err != nil {
		return fmt.Errorf("ha: %s: %w", n.Name, err)
	}
	err = killTree(server)
	if err != nil {
		return err
	}
	return n.patroni.running.Kill()
}

// FreezePrimary stops all processes of the primary and its Patroni with SIGSTOP, as
// a machine that hangs or a cut cable does: connections stay open, and nothing
// answers. [Cluster.Heal] thaws them.
func (c *Cluster) FreezePrimary(ctx context.Context) error {
	primary, err := c.withRole(ctx, "leader")
	if err != nil {
		return err
	}
	server, err := primary.postmaster()
	if err != nil {
		return err
	}
	primary.frozen = server
	err = primary.patroni.running.Signal(syscall.SIGSTOP)
	if err != nil {
		return fmt.Errorf("ha: %s: %w", primary.Name, err)
	}
	return signalTree(server, syscall.SIGSTOP)
}

// SwitchOver has Patroni make the synchronous standby the primary, as before planned
// work on a machine.
func (c *Cluster) SwitchOver(ctx context.Context) error {
	primary, err := c.withRole(ctx, "leader")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, switchOverTimeout)
	defer cancel()
	return send(ctx, http.MethodPost, "http://"+primary.Host+":8008/switchover", `{"leader":"`+primary.Name+`"}`, nil)
}

// LoseEtcdLeader ends the member of etcd that leads the others, which elect another.
// [Cluster.Heal] brings it back.
func (c *Cluster) LoseEtcdLeader(ctx context.Context) error {
	for _, n := range c.nodes {
		var status struct {
			Header struct {
				Member string `json:"member_id"`
			} `json:"header"`
			Leader string `json:"leader"`
		}
		err := ask(ctx, http.MethodPost, "http://"+n.Host+":2379/v3/maintenance/status", "{}", &status)
		if err != nil {
			return err
		}
		if status.Leader != "" && strings.EqualFold(status.Leader, status.Header.Member) {
			return n.etcd.running.Kill()
		}
	}
	return fmt.Errorf("ha: no member of etcd says that it leads")
}

// Heal undoes what the faults did, and waits until the cluster is whole again.
func (c *Cluster) Heal(ctx context.Context) error {
	for _, n := range c.nodes {
		err := n.heal()
		if err != nil {
			return err
		}
	}
	return c.AwaitHealthy(ctx)
}

func (n *node) heal() error {
	if n.frozen != 0 {
		frozen := n.frozen
		n.frozen = 0
		err := signalTree(frozen, syscall.SIGCONT)
		if err != nil {
			return err
		}
		err = n.patroni.running.Signal(syscall.SIGCONT)
		if err != nil {
			return fmt.Errorf("ha: %s: %w", n.Name, err)
		}
	}
	for _, p := range []*process{n.etcd, n.patroni} {
		if p.running.Running() {
			continue
		}
		err := p.start()
		if err != nil {
			return err
		}
	}
	return nil
}
