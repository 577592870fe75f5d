// Command faults breaks what trustpub stands on, while clients use it, and then audits
// what they were told against what is stored. It starts real servers and databases by
// itself, prints a table, and ends with status 1 when anything was lost, was used twice
// or came too late.
//
//	go run ./internal/faults
//	go run ./internal/faults -long
//	go run ./internal/faults -run server-killed
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/trustpub/trustpub/internal/program"
	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop was called.
	}
}

// errViolated is how a run ends that has shown a defect.
var errViolated = errors.New("something was violated, as said above")

// run plays the scenarios that the flags choose.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("faults", flag.ContinueOnError)
	flags.SetOutput(stderr)
	long := flags.Bool("long", false, "make each fault as often as a release asks for, which takes long; without, a few times")
	only := flags.String("run", "", "play only the scenarios whose names begin so; several, separated by commas")
	keep := flags.String("keep", "", "keep journals, logs and SQLite databases in this folder")
	list := flags.Bool("list", false, "print the scenarios and what each shows, and do nothing else")
	err := flags.Parse(args)
	if err != nil {
		return err
	}
	chosen := slices.DeleteFunc(scenarios(), func(s scenario) bool {
		return !matches(s.name, *only) || s.byHand && !*long && *only == ""
	})
	if len(chosen) == 0 {
		return fmt.Errorf("-run %q: there is no such scenario; -list shows all", *only)
	}
	if *list {
		return printList(stdout, chosen)
	}
	folder := *keep
	if folder == "" {
		folder, err = os.MkdirTemp("", "trustpub-faults")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(folder) }()
	}
	return play(ctx, chosen, *long, folder, stdout)
}

func matches(name, only string) bool {
	return slices.ContainsFunc(strings.Split(only, ","), func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

func printList(w io.Writer, chosen []scenario) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range chosen {
		fmt.Fprintf(table, "%s\t%s\n", s.name, s.shows)
	}
	return table.Flush()
}

// verdict is a scenario's line in the table.
type verdict struct {
	scenario     string
	faults       int
	firstSuccess time.Duration
	worstGap     time.Duration
	figures      figures
	statuses     map[string]int
	notes        []string
	violations   []string
}

func play(ctx context.Context, chosen []scenario, long bool, folder string, out io.Writer) error {
	path, err := program.Build(ctx, folder)
	if err != nil {
		return err
	}
	var verdicts []verdict
	violated := false
	for _, s := range chosen {
		begin := time.Now()
		fmt.Fprintf(out, "== %s: %s\n", s.name, s.shows)
		v := playOne(ctx, s, s.count(long), filepath.Join(folder, s.name), path, out)
		for _, note := range v.notes {
			fmt.Fprintf(out, "   %s\n", note)
		}
		for _, violation := range v.violations[:min(len(v.violations), 20)] {
			fmt.Fprintf(out, "   VIOLATED: %s\n", violation)
		}
		fmt.Fprintf(out, "   %d violations, %.0f s, answers %v\n", len(v.violations), time.Since(begin).Seconds(), v.statuses)
		violated = violated || len(v.violations) > 0
		verdicts = append(verdicts, v)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	err = printTable(out, verdicts)
	if err == nil && violated {
		err = errViolated
	}
	return err
}

// playOne plays a scenario. What keeps it from being played counts as a violation: it
// has shown nothing.
func playOne(ctx context.Context, s scenario, n int, folder, path string, out io.Writer) verdict {
	v := verdict{scenario: s.name}
	err := func() error {
		err := os.Mkdir(folder, 0o755) // PostgreSQL runs as another user.
		if err != nil {
			return err
		}
		ci, err := issuer.Start(issuer.Config{}) //nolint:contextcheck // It listens on loopback at once.
		if err != nil {
			return err
		}
		defer func() { _ = ci.Close() }()
		stage, err := newStage(folder, path, ci, out)
		if err != nil {
			return err
		}
		defer stage.close()
		err = s.play(ctx, stage, n)
		if stage.client != nil {
			if stage.client.stop != nil {
				stage.client.end()
			}
			var auditErr error
			v.figures, auditErr = stage.audit(ctx)
			err = errors.Join(err, auditErr)
			seen := stage.client.seen()
			v.worstGap, v.statuses = seen.worstGap(), seen.statuses
		}
		v.faults, v.firstSuccess, v.notes, v.violations = stage.faults, stage.firstSuccess, stage.notes, stage.violations
		if err == nil && stage.faults == 0 {
			err = errors.New("no fault was made")
		}
		return err
	}()
	if err != nil {
		v.violations = append(v.violations, err.Error())
	}
	return v
}

func printTable(out io.Writer, verdicts []verdict) error {
	fmt.Fprintln(out)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "scenario\tfaults\tfirst success\tworst gap\tacknowledged\trevoked\taudited\tcut off\tverdict")
	for _, v := range verdicts {
		result := "held"
		if len(v.violations) > 0 {
			result = fmt.Sprintf("VIOLATED (%d)", len(v.violations))
		}
		fmt.Fprintf(table, "%s\t%d\t%.2f s\t%.2f s\t%d\t%d\t%d\t%d\t%s\n", v.scenario, v.faults, v.firstSuccess.Seconds(), v.worstGap.Seconds(),
			v.figures.acknowledged, v.figures.revocations, v.figures.audited, v.figures.cutOff, result)
	}
	return table.Flush()
}
