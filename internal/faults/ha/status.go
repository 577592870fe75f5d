package ha

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// askTimeout bounds a question to Patroni or etcd, of which one may be frozen.
const askTimeout = time.Second

// member is what Patroni says about a node.
type member struct {
	Name  string `json:"name"`
	Role  string `json:"role"`  // leader, sync_standby or replica
	State string `json:"state"` // running, streaming, or what is in the way of it
}

// ask sends a request, and decodes the answer into value if that is not nil.
func ask(ctx context.Context, method, url, body string, value any) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return send(ctx, method, url, body, value)
}

func send(ctx context.Context, method, url, body string, value any) error {
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("ha: %w", err)
	}
	// A connection to a node that is frozen must not be used again.
	request.Close = true
	response, err := (&http.Client{}).Do(request)
	if err != nil {
		return fmt.Errorf("ha: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("ha: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("ha: %s answered %s: %s", url, response.Status, content)
	}
	if value == nil {
		return nil
	}
	err = json.Unmarshal(content, value)
	if err != nil {
		return fmt.Errorf("ha: %s: %w", url, err)
	}
	return nil
}

// members returns what the first node that answers knows about the cluster.
func (c *Cluster) members(ctx context.Context) ([]member, error) {
	var problems error
	for _, n := range c.nodes {
		if n.frozen != 0 {
			continue
		}
		var cluster struct {
			Members []member `json:"members"`
		}
		err := ask(ctx, http.MethodGet, "http://"+n.Host+":8008/cluster", "", &cluster)
		if err == nil {
			return cluster.Members, nil
		}
		problems = errors.Join(problems, err)
	}
	return nil, problems
}

// withRole returns the node that has a role, which is an error when none has.
func (c *Cluster) withRole(ctx context.Context, role string) (*node, error) {
	members, err := c.members(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range members {
		if m.Role != role {
			continue
		}
		for _, n := range c.nodes {
			if n.Name == m.Name {
				return n, nil
			}
		}
	}
	return nil, fmt.Errorf("ha: no node is %s: %+v", role, members)
}

// healthy returns an error that says what a healthy cluster has and this one lacks.
// Each node is asked about itself, as one that was frozen appears to the others as
// it was.
func (c *Cluster) healthy(ctx context.Context) error {
	roles := map[string]int{}
	for _, n := range c.nodes {
		err := ask(ctx, http.MethodGet, "http://"+n.Host+":2379/health", "", nil)
		if err != nil {
			return err
		}
		for _, role := range []string{"primary", "sync", "async"} {
			if ask(ctx, http.MethodGet, "http://"+n.Host+":8008/"+role, "", nil) == nil {
				roles[role]++
			}
		}
	}
	if roles["primary"] != 1 || roles["sync"] != 1 || roles["async"] != nodes-2 {
		return fmt.Errorf("ha: the cluster is not whole; nodes by role: %v", roles)
	}
	return nil
}

// AwaitHealthy waits until all nodes are up, one is the primary and another its
// synchronous standby.
func (c *Cluster) AwaitHealthy(ctx context.Context) error {
	for {
		err := c.healthy(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; logs are in %s", err, c.folder)
		case <-time.After(250 * time.Millisecond):
		}
	}
}
