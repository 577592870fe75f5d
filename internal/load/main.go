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
	"os"
	"os/signal"
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
