// Command load measures a trustpub server: exchanges or introspections per second,
// their latencies, and the CPU and memory that they take, beside baselines on the same
// machine at the same time. It starts what it measures by itself, or drives a server
// that runs.
//
//	go run ./internal/load -connections 1,8,32,64 -baseline
//	go run ./internal/load -help
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop was called.
	}
}

// options are the flags.
type options struct {
	mode          string
	database      string
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
	prefill       int
	serveEcho     string
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	var connections string
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.mode, "mode", "exchange", "what to measure: exchange or introspect")
	flags.StringVar(&o.database, "db", "postgres", "database of the servers that are started: postgres or sqlite")
	flags.IntVar(&o.replicas, "replicas", 1, "how many servers to start on one database")
	flags.StringVar(&connections, "connections", "64", "how many connections send at once; several numbers, separated by commas, are measured one after the other")
	flags.IntVar(&o.n, "n", 10000, "requests in each round")
	flags.IntVar(&o.rounds, "rounds", 3, "rounds of each measurement, whose medians are shown")
	flags.Float64Var(&o.rate, "rate", 0, "requests per second to send, whether or not those before were answered; 0 sends one when the one before was answered")
	flags.BoolVar(&o.baseline, "baseline", false, "measure bare RS256, pgbench and an empty echo handler too, in each round, and print the ratios")
	flags.BoolVar(&o.allowRefusals, "allow-refusals", false, "end with status 0 although requests were refused")
	flags.StringVar(&o.url, "url", "", "drive the servers at these addresses (http://HOST:PORT, separated by commas) instead of starting some; needs -jwts")
	flags.StringVar(&o.jwts, "jwts", "", "take the ID tokens from this file, one in a line; - is standard input")
	flags.StringVar(&o.write, "write", "", "sign n ID tokens for each round and number of connections, write them to this file, and their key set to FILE.jwks, and do nothing else")
	flags.StringVar(&o.audience, "audience", "crates.io", "aud of the ID tokens to sign")
	flags.StringVar(&o.registryToken, "registry-token", "", "credential for introspection at -url")
	flags.IntVar(&o.prefill, "prefill", 0, "fill the database with so many publishers, used ID tokens and tokens first (PostgreSQL)")
	flags.StringVar(&o.serveEcho, "serve-echo", "", "serve the empty handler of the baseline at this address, and nothing else")
	err := flags.Parse(args)
	if err != nil {
		return o, err
	}
	for text := range strings.SplitSeq(connections, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return o, fmt.Errorf("-connections %q: use numbers above zero, separated by commas", connections)
		}
		o.connections = append(o.connections, n)
	}
	return o, o.check()
}

func (o options) check() error {
	switch {
	case o.mode != "exchange" && o.mode != "introspect":
		return fmt.Errorf("-mode %q: use exchange or introspect", o.mode)
	case o.n < 1, o.rounds < 1, o.replicas < 1:
		return errors.New("-n, -rounds and -replicas must be above zero")
	case o.rate < 0:
		return errors.New("-rate must not be below zero")
	case o.url != "" && o.jwts == "":
		return errors.New("-url needs -jwts: a server that runs trusts an issuer of its own")
	case o.baseline && (o.url != "" || o.database != "postgres"):
		return errors.New("-baseline needs servers on PostgreSQL that are started here")
	case o.mode == "introspect" && o.url != "" && o.registryToken == "":
		return errors.New("-mode introspect at -url needs -registry-token")
	}
	return nil
}

// needed is how many ID tokens are sent.
func (o options) needed() int {
	if o.mode == "introspect" {
		return introspected
	}
	return o.n * o.rounds * len(o.connections)
}
