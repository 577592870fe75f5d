package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAnAbuseThatDoesNotEndAsItShouldIsAViolation(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		outcomes map[string]int
		want     string
	}{
		{"as it should", map[string]int{"413": 5, cutOff: 2}, ""},
		{"a success", map[string]int{"413": 5, "200": 1}, `1 abusers met "200"`},
		{"a server that waits until the end", map[string]int{"413": 5, "": 1}, `1 abusers met ""`},
		{"nobody that got anywhere", map[string]int{cutOff: 2}, "nothing was shown"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var s stage
			abuse{name: "endless bodies", clients: 2, want: []string{"413"}}.judge(&s, test.outcomes)
			if test.want == "" {
				require.Empty(t, s.violations)
				return
			}
			require.Len(t, s.violations, 1)
			require.Contains(t, s.violations[0], test.want)
		})
	}
}

func TestAnOverloadThatCostsTooMuchIsAViolation(t *testing.T) {
	t.Parallel()
	times := func(n int, d time.Duration) []time.Duration {
		all := make([]time.Duration, n)
		for i := range all {
			all[i] = d
		}
		return all
	}
	full := crowded{took: time.Second, successes: times(100, time.Millisecond)}
	good := crowded{took: time.Second, successes: times(80, time.Millisecond), refusals: times(10, time.Millisecond), answers: map[string]int{"200": 80, "503": 10}}
	tests := []struct {
		name   string
		change func(*crowded)
		want   string
	}{
		{"nothing", func(*crowded) {}, ""},
		{"throughput", func(c *crowded) { c.successes = c.successes[:79] }, "79 % of the throughput"},
		{"refusals that come late", func(c *crowded) { c.refusals = times(10, refusedWithin+1) }, "took longer"},
		{"no refusal", func(c *crowded) { c.refusals = nil }, "nothing was refused"},
		{"another answer", func(c *crowded) { c.answers = map[string]int{"500": 1} }, "answered 500"},
		{"connections that break", func(c *crowded) { c.answers = map[string]int{"no answer": 1} }, "answered no answer"},
		{"refusals without Retry-After", func(c *crowded) { c.withoutRetryAfter = 1 }, "Retry-After"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var s stage
			over := good
			test.change(&over)
			judgeOverload(&s, &full, &over)
			if test.want == "" {
				require.Empty(t, s.violations)
				return
			}
			require.Len(t, s.violations, 1)
			require.Contains(t, s.violations[0], test.want)
		})
	}
}

func TestTheGapIsTheLongestTimeWithoutASuccess(t *testing.T) {
	t.Parallel()
	now := time.Now()
	ago := func(seconds int) moment { return moment{answered: now.Add(-time.Duration(seconds) * time.Second)} }
	tests := []struct {
		name      string
		successes []moment
		want      time.Duration
	}{
		{"between two", []moment{ago(3), ago(9), ago(1)}, 6 * time.Second},
		{"before the first", []moment{ago(2), ago(1)}, 8 * time.Second},
		{"after the last", []moment{ago(9), ago(8)}, 8 * time.Second},
		{"none", nil, 10 * time.Second},
		{"those before do not count", []moment{ago(11)}, 10 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := &client{results: results{successes: test.successes}}
			require.Equal(t, test.want, c.gap(now.Add(-10*time.Second), now))
		})
	}
}

func TestAQuantileIsTheValueBelowWhichThatPartIs(t *testing.T) {
	t.Parallel()
	latencies := []time.Duration{4, 1, 3, 2}
	require.Equal(t, time.Duration(1), quantile(latencies, 0))
	require.Equal(t, time.Duration(3), quantile(latencies, 0.5))
	require.Equal(t, time.Duration(4), quantile(latencies, 1))
	require.Zero(t, quantile(nil, 0.5))
}
