package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"text/tabwriter"
	"time"
)

var selfPID = os.Getpid()

// writeTable writes a line for each result.
func writeTable(w io.Writer, results []result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(t, "what\tconnections\tper second\tp50 ms\tp99 ms\tmax ms\tserver CPU µs\tPostgreSQL CPU µs\tclient CPU µs\tpeak MiB\t")
	for _, r := range results {
		_, _ = fmt.Fprintf(t, "%s\t%d\t%.0f\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", r.what, r.connections, r.perSecond,
			ms(r.p50), ms(r.p99), ms(r.max), us(r.server), us(r.database), us(r.client), known(r.memory, "%.0f"))
	}
	err := t.Flush()
	if err != nil {
		return err
	}
	refused := refusals(results)
	for _, why := range slices.Sorted(maps.Keys(refused)) {
		_, err = fmt.Fprintf(w, "refused: %d × %s\n", refused[why], why)
		if err != nil {
			return err
		}
	}
	return nil
}

func ms(d time.Duration) string { return known(float64(d)/float64(time.Millisecond), "%.2f") }

func us(d time.Duration) string { return known(float64(d)/float64(time.Microsecond), "%.0f") }

func known(f float64, format string) string {
	if f == 0 {
		return "-"
	}
	return fmt.Sprintf(format, f)
}

// writeResident writes what long rounds held in memory.
func writeResident(w io.Writer, results []result) error {
	for _, r := range results {
		if len(r.resident) == 0 {
			continue
		}
		_, err := fmt.Fprintf(w, "%s, %d connections: resident MiB at each tenth of the last round: %.0f\n", r.what, r.connections, r.resident)
		if err != nil {
			return err
		}
	}
	return nil
}

// writeComparison compares two subjects: what is asked about with what it is held
// against. Each ratio is the median of those of the rounds.
func writeComparison(w io.Writer, o options, results *results) error {
	subjects := o.subjects()
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	if len(subjects) > 1 {
		_, _ = fmt.Fprintln(t, "\nwhat\tconnections\tper second\tp50\tp99\tmax\tserver CPU\tPostgreSQL CPU\t")
	}
	for _, s := range subjects[1:] {
		asked, held := s.name, subjects[0].name
		if s.unshared {
			asked, held = held, asked
		}
		for _, c := range o.connections {
			a, b := results.rounds[row{asked, c}], results.rounds[row{held, c}]
			of := func(figure func(result) float64) string { return medianRatio(a, b, figure) }
			_, _ = fmt.Fprintf(t, "%s / %s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t\n", asked, held, c, of(func(r result) float64 { return r.perSecond }),
				of(func(r result) float64 { return float64(r.p50) }), of(func(r result) float64 { return float64(r.p99) }), of(func(r result) float64 { return float64(r.max) }),
				of(func(r result) float64 { return float64(r.server) }), of(func(r result) float64 { return float64(r.database) }))
		}
	}
	return t.Flush()
}

// medianRatio returns the median of a/b over the rounds.
func medianRatio(a, b []result, figure func(result) float64) string {
	var ratios []float64
	for i := range min(len(a), len(b)) {
		if below := figure(b[i]); below > 0 {
			ratios = append(ratios, figure(a[i])/below)
		}
	}
	if len(ratios) == 0 {
		return "-"
	}
	slices.Sort(ratios)
	return fmt.Sprintf("%.2f", ratios[len(ratios)/2])
}

// writeRatios compares the servers with the baselines.
func writeRatios(w io.Writer, o options, results []result) error {
	if !o.baseline {
		return nil
	}
	find := func(what string, connections int) result {
		i := slices.IndexFunc(results, func(r result) bool { return r.what == what && r.connections == connections })
		if i < 0 {
			return result{}
		}
		return results[i]
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(t, "\nconnections\tper second / pgbench\tp50 / pgbench's mean\tserver CPU / RS256\tserver+PostgreSQL CPU / RS256\tserver CPU / echo\t")
	for _, c := range o.connections {
		us, pg, rsa, echo := find(o.subjects()[0].name, c), find(rowPgbench, c), find(rowRS256, c), find(rowEcho, c)
		_, _ = fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t\n", c, ratio(us.perSecond, pg.perSecond), ratio(float64(us.p50), float64(pg.p50)),
			ratio(float64(us.server), float64(rsa.server)), ratio(float64(us.server+us.database), float64(rsa.server)), ratio(float64(us.server), float64(echo.server)))
	}
	return t.Flush()
}

func ratio(a, b float64) string {
	if b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", a/b)
}
