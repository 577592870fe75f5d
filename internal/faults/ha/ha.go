package ha

import (
	"cmp"
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/template"
	"time"
)

// nodes is the number of PostgreSQL servers, and of etcd's members.
const nodes = 3

// startTimeout bounds the start of the whole cluster.
const startTimeout = 90 * time.Second

//go:embed patroni.yml.tmpl
var patroniTemplate string

//go:embed haproxy.cfg.tmpl
var haproxyTemplate string

// Config says how a cluster is made.
type Config struct {
	// Network is the first three numbers of the loopback addresses that the cluster
	// listens on: HAProxy on .10, the nodes on .11 to .13. Empty is 127.0.0.
	Network string
}

// Cluster is a running cluster. Its methods are not safe for concurrent use.
type Cluster struct {
	folder   string
	network  string
	password string

	nodes   []*node
	haproxy *process
}

// node is one machine: a server with its Patroni, and a member of etcd.
type node struct {
	Name, Host string

	folder  string
	etcd    *process
	patroni *process
	// frozen is the process whose children are frozen too; zero when none is.
	frozen int
}

// Start starts a cluster and waits until it has a primary and a synchronous standby.
// [Cluster.Close] ends it. An error says which packages are missing, if any are.
func Start(ctx context.Context, cfg Config) (*Cluster, error) {
	programs, err := findPrograms()
	if err != nil {
		return nil, err
	}
	// A socket's path has about 100 characters, so the folder is a short one.
	folder, err := os.MkdirTemp("/tmp", "tpha")
	if err != nil {
		return nil, fmt.Errorf("ha: %w", err)
	}
	c := &Cluster{folder: folder, network: cmp.Or(cfg.Network, "127.0.0"), password: rand.Text()}
	err = c.start(ctx, programs)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context, programs programs) error {
	credential, err := programs.credential(c.folder)
	if err != nil {
		return err
	}
	for i := range nodes {
		n := &node{Name: "pg" + strconv.Itoa(i+1), Host: c.network + ".1" + strconv.Itoa(i+1)}
		n.folder = filepath.Join(c.folder, n.Name)
		c.nodes = append(c.nodes, n)
	}
	err = c.free()
	if err != nil {
		return err
	}
	for _, n := range c.nodes {
		err = c.prepare(n, programs, credential)
		if err != nil {
			return err
		}
	}
	c.haproxy = &process{
		path: programs.haproxy, args: []string{"-db", "-f", filepath.Join(c.folder, "haproxy.cfg")},
		folder: c.folder, log: filepath.Join(c.folder, "haproxy.log"), deathSignal: syscall.SIGKILL,
	}
	err = render(c.haproxy.args[2], haproxyTemplate, map[string]any{"Proxy": c.network + ".10", "Nodes": c.nodes}, nil)
	if err != nil {
		return err
	}
	for _, p := range c.processes() {
		err = p.start()
		if err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return c.AwaitHealthy(ctx)
}

// processes returns all programs, in the order in which they are started.
func (c *Cluster) processes() []*process {
	var etcds, keepers []*process
	for _, n := range c.nodes {
		etcds, keepers = append(etcds, n.etcd), append(keepers, n.patroni)
	}
	return slices.DeleteFunc(append(append(etcds, keepers...), c.haproxy), func(p *process) bool { return p == nil })
}

// free makes sure that no other cluster, of a run at the same time perhaps, listens
// on the addresses.
func (c *Cluster) free() error {
	addresses := []string{c.network + ".10:5432"}
	for _, n := range c.nodes {
		addresses = append(addresses, n.Host+":5432", n.Host+":8008", n.Host+":2379", n.Host+":2380")
	}
	for _, address := range addresses {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			return fmt.Errorf("ha: the cluster needs %s, which is taken or no loopback address here: %w", address, err)
		}
		err = listener.Close()
		if err != nil {
			return fmt.Errorf("ha: %w", err)
		}
	}
	return nil
}

// prepare makes a node's folder and configuration.
func (c *Cluster) prepare(n *node, programs programs, credential *syscall.Credential) error {
	err := os.Mkdir(n.folder, 0o700)
	if err != nil {
		return fmt.Errorf("ha: %w", err)
	}
	var members, endpoints []string
	for _, other := range c.nodes {
		members = append(members, other.Name+"=http://"+other.Host+":2380")
		endpoints = append(endpoints, other.Host+":2379")
	}
	client, peer := "http://"+n.Host+":2379", "http://"+n.Host+":2380"
	n.etcd = &process{
		path: programs.etcd, folder: n.folder, log: filepath.Join(n.folder, "etcd.log"),
		credential: credential, deathSignal: syscall.SIGKILL,
		args: []string{
			"--enable-v2", "--name", n.Name, "--data-dir", filepath.Join(n.folder, "etcd"),
			"--listen-client-urls", client, "--advertise-client-urls", client,
			"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
			"--initial-cluster", strings.Join(members, ","), "--initial-cluster-state", "new",
		},
	}
	configuration := filepath.Join(n.folder, "patroni.yml")
	n.patroni = &process{
		path: programs.patroni, args: []string{configuration}, folder: n.folder, log: filepath.Join(n.folder, "patroni.log"),
		// Patroni stops its server when it is told to end.
		credential: credential, deathSignal: syscall.SIGTERM,
	}
	values := map[string]any{
		"Name": n.Name, "Host": n.Host, "Folder": n.folder, "Etcd": strings.Join(endpoints, ","),
		"Binaries": programs.postgres, "Password": c.password,
	}
	err = render(configuration, patroniTemplate, values, credential)
	if err != nil || credential == nil {
		return err
	}
	return os.Chown(n.folder, int(credential.Uid), int(credential.Gid))
}

// render writes a configuration file that its reader alone can read.
func render(path, text string, values map[string]any, owner *syscall.Credential) error {
	var content strings.Builder
	parsed, err := template.New(filepath.Base(path)).Option("missingkey=error").Parse(text)
	if err == nil {
		err = parsed.Execute(&content, values)
	}
	if err == nil {
		err = os.WriteFile(path, []byte(content.String()), 0o600)
	}
	if err == nil && owner != nil {
		err = os.Chown(path, int(owner.Uid), int(owner.Gid))
	}
	if err != nil {
		return fmt.Errorf("ha: %w", err)
	}
	return nil
}

// ProxyURL returns the URL of the database postgres through HAProxy.
func (c *Cluster) ProxyURL() string { return c.url(c.network+".10", "") }

// MultiHostURL returns the URL that names all nodes, of which the driver chooses the
// one that can be written to.
func (c *Cluster) MultiHostURL() string {
	hosts := make([]string, 0, nodes)
	for _, n := range c.nodes {
		hosts = append(hosts, n.Host+":5432")
	}
	return c.url(strings.Join(hosts, ","), "&target_session_attrs=read-write")
}

func (c *Cluster) url(host, parameters string) string {
	return "postgres://postgres:" + url.QueryEscape(c.password) + "@" + host + "/postgres?sslmode=disable" + parameters
}

// Close ends everything and removes what was stored.
func (c *Cluster) Close() error {
	for _, n := range c.nodes {
		if n.frozen != 0 {
			_ = signalTree(n.frozen, syscall.SIGCONT)
		}
	}
	if c.haproxy != nil {
		c.haproxy.running.Stop(syscall.SIGTERM, time.Second)
	}
	for _, n := range c.nodes {
		if n.patroni != nil {
			n.patroni.running.Stop(syscall.SIGKILL, 5*time.Second)
		}
		if server, err := n.postmaster(); err == nil {
			_ = killTree(server)
		}
		if n.etcd != nil {
			n.etcd.running.Stop(syscall.SIGKILL, 5*time.Second)
		}
	}
	err := os.RemoveAll(c.folder)
	if err != nil {
		return fmt.Errorf("ha: %w", err)
	}
	return nil
}

// postmaster returns the process of the node's server, which Patroni starts.
func (n *node) postmaster() (int, error) {
	content, err := os.ReadFile(filepath.Join(n.folder, "data", "postmaster.pid"))
	if err != nil {
		return 0, fmt.Errorf("ha: %s has no server: %w", n.Name, err)
	}
	first, _, _ := strings.Cut(string(content), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		return 0, fmt.Errorf("ha: %s: %w", n.Name, err)
	}
	// The file of a server that was killed stays, and its number may be another's.
	command, err := os.Readlink("/proc/" + first + "/exe")
	if err != nil || filepath.Base(command) != "postgres" {
		return 0, fmt.Errorf("ha: %s has no server", n.Name)
	}
	return pid, nil
}
