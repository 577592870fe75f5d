package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// The modes.
const (
	modeExchange   = "exchange"
	modeIntrospect = "introspect"
	modeVerify     = "verify"
)

// options are the flags.
type options struct {
	mode          string
	database      string
	postgresql    map[string]string
	replicas      int
	connections   []int
	n             int
	rounds        int
	rate          float64
	baseline      bool
	allowRefusals bool
	url           string
	jwts          string
	write         string
	audience      string
	registryToken string
	prefill       []int
	repositories  int
	seed          uint64
	sweep         int
	unshared      bool
	serveEcho     string
	serveUnshared bool
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.SetOutput(stderr)
	o.connections, o.postgresql = []int{64}, map[string]string{}
	flags.StringVar(&o.mode, "mode", modeExchange, "what to measure: exchange; introspect; or verify, which is what an embedding registry calls at each upload, in this process")
	flags.StringVar(&o.database, "db", "postgres", "database of the servers that are started: postgres or sqlite")
	flags.Func("postgresql", "settings of the PostgreSQL that is started, as NAME=VALUE, separated by commas; the others are its defaults", settings(o.postgresql))
	flags.IntVar(&o.replicas, "replicas", 1, "how many servers to start on one database")
	flags.Func("connections", "how many connections send at once; several numbers, separated by commas, are measured one after the other (default 64)", numbers(&o.connections))
	flags.IntVar(&o.n, "n", 10000, "requests in each round; with -sweep the most of them")
	flags.IntVar(&o.rounds, "rounds", 3, "rounds of each measurement, whose medians are shown")
	flags.Float64Var(&o.rate, "rate", 0, "requests per second to send, whether or not those before were answered; 0 sends one when the one before was answered")
	flags.BoolVar(&o.baseline, "baseline", false, "measure bare RS256, pgbench and an empty echo handler too, in each round, and print the ratios")
	flags.BoolVar(&o.allowRefusals, "allow-refusals", false, "end with status 0 although requests were refused")
	flags.StringVar(&o.url, "url", "", "drive the servers at these addresses (http://HOST:PORT, separated by commas) instead of starting some; needs -jwts")
	flags.StringVar(&o.jwts, "jwts", "", "take the ID tokens from this file, one in a line; - is standard input")
	flags.StringVar(&o.write, "write", "", "sign the ID tokens that the other flags need, write them to this file, and their key set to FILE.jwks, and do nothing else")
	flags.StringVar(&o.audience, "audience", "crates.io", "aud of the ID tokens to sign")
	flags.StringVar(&o.registryToken, "registry-token", "", "credential for introspection at -url")
	flags.Func("prefill", "fill the database with so many publishers, used ID tokens and tokens first (PostgreSQL); several numbers, separated by commas, are as many databases with a server on each, which take turns", numbers(&o.prefill))
	flags.IntVar(&o.repositories, "repositories", 0, "how many repositories the ID tokens are of, at random; 0 is as many as publishers were filled in, or else one")
	flags.Uint64Var(&o.seed, "seed", 1, "which repository each ID token is of: the same number, the same repositories")
	flags.IntVar(&o.sweep, "sweep", 0, "compare a server with nothing to sweep and one that removes so many tokens, and as many used ID tokens, in an hour (PostgreSQL); each round takes a minute for each, and -n must be enough for that")
	flags.BoolVar(&o.unshared, "unshared", false, "measure too what gives each call a statement of its own, in each round (PostgreSQL)")
	flags.StringVar(&o.serveEcho, "serve-echo", "", "serve the empty handler of the baseline at this address, and nothing else")
	flags.BoolVar(&o.serveUnshared, "serve-unshared", false, "serve as trustpub does, but for statements that are not shared, and nothing else")
	err := flags.Parse(args)
	if err != nil {
		return o, err
	}
	return o, o.check()
}

// numbers reads numbers above zero, separated by commas.
func numbers(dest *[]int) func(string) error {
	return func(text string) error {
		var read []int
		for part := range strings.SplitSeq(text, ",") {
			n, err := strconv.Atoi(part)
			if err != nil || n < 1 {
				return errors.New("use numbers above zero, separated by commas")
			}
			read = append(read, n)
		}
		*dest = read
		return nil
	}
}

// settings reads NAME=VALUE, separated by commas.
func settings(dest map[string]string) func(string) error {
	return func(text string) error {
		for part := range strings.SplitSeq(text, ",") {
			name, value, ok := strings.Cut(part, "=")
			if !ok || name == "" {
				return errors.New("use NAME=VALUE, separated by commas, as in shared_buffers=1GB,max_wal_size=8GB")
			}
			dest[name] = value
		}
		return nil
	}
}

func (o options) check() error {
	onPostgres := o.database == "postgres" && o.url == ""
	switch {
	case !slices.Contains([]string{modeExchange, modeIntrospect, modeVerify}, o.mode):
		return fmt.Errorf("-mode %q: use exchange, introspect or verify", o.mode)
	case o.n < 1, o.rounds < 1, o.replicas < 1:
		return errors.New("-n, -rounds and -replicas must be above zero")
	case o.rate < 0, o.repositories < 0, o.sweep < 0:
		return errors.New("-rate, -repositories and -sweep must not be below zero")
	case o.url != "" && o.jwts == "":
		return errors.New("-url needs -jwts: a server that runs trusts an issuer of its own")
	case o.mode == modeIntrospect && o.url != "" && o.registryToken == "":
		return errors.New("-mode introspect at -url needs -registry-token")
	case o.baseline && !onPostgres:
		return errors.New("-baseline needs servers on PostgreSQL that are started here")
	case (len(o.postgresql) > 0 || len(o.prefill) > 0 || o.repositories > 1 || o.sweep > 0 || o.unshared || o.mode == modeVerify) && !onPostgres:
		return errors.New("-postgresql, -prefill, -repositories, -sweep, -unshared and -mode verify need servers on PostgreSQL that are started here")
	}
	return o.checkComparison()
}

// checkComparison refuses what would compare in two ways at once.
func (o options) checkComparison() error {
	comparisons := 0
	for _, compared := range []bool{len(o.prefill) > 1, o.sweep > 0, o.unshared} {
		if compared {
			comparisons++
		}
	}
	switch {
	case comparisons > 1:
		return errors.New("only one of several -prefill, -sweep and -unshared can be compared at a time")
	case o.baseline && (len(o.prefill) > 1 || o.sweep > 0):
		return errors.New("-baseline is about one database, and not about several -prefill or -sweep")
	case o.sweep > 0 && (o.mode != modeExchange || len(o.connections) > 1):
		return errors.New("-sweep is measured with exchanges, at one number of connections")
	case o.rate > 0 && o.mode == modeVerify:
		return errors.New("-mode verify has no -rate")
	}
	for _, n := range o.prefill {
		if o.repositories > n {
			return errors.New("-repositories must not be above -prefill: each repository has a publisher that was filled in")
		}
	}
	return nil
}

// subject is what is measured and compared: servers on a database.
type subject struct {
	name string
	// prefill is how many rows of each kind the database is filled with.
	prefill int
	// repositories is how many the ID tokens are of. 1 is the demo publisher's.
	repositories int
	// besides says that its servers are on the database of the subject before.
	besides bool
	// unshared says that its servers share no statements.
	unshared bool
	// swept says that rows expire in it while it is measured.
	swept bool
}

const rowTrustpub = "trustpub"

// subjects returns what the flags ask for.
func (o options) subjects() []subject {
	first := subject{name: rowTrustpub, repositories: max(o.repositories, 1)}
	if o.mode == modeVerify {
		first.name = "Verify in this process"
	}
	var all []subject
	for _, n := range o.prefill {
		s := first
		s.prefill = n
		if o.repositories == 0 {
			s.repositories = n
		}
		if len(o.prefill) > 1 {
			s.name = fmt.Sprintf("%s, %d rows", first.name, n)
		}
		all = append(all, s)
	}
	if len(all) == 0 {
		all = append(all, first)
	}
	second := all[0]
	switch {
	case o.unshared:
		second.name, second.unshared, second.besides = first.name+", unshared", true, true
		all = append(all, second)
	case o.sweep > 0:
		second.name, second.swept = first.name+", sweeping", true
		all = append(all, second)
	}
	return all
}

// needed is how many ID tokens a subject is sent.
func (o options) needed(s subject) int {
	switch {
	case o.mode == modeExchange && o.sweep > 0:
		return o.n // They are forgotten after each turn.
	case o.mode == modeExchange:
		return o.n * o.rounds * len(o.connections)
	case s.besides:
		return 0 // Its tokens are those of the subject before.
	}
	return introspected
}

// signed returns the subjects that have ID tokens of their own. While rows are swept,
// both subjects are sent the same ones, as each has a database.
func (o options) signed() []subject {
	if o.sweep > 0 {
		return o.subjects()[:1]
	}
	return o.subjects()
}
