package bootstrap_test

import (
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"
)

// queries returns those of the alert rules and of the dashboard, by where they stand.
func queries(t *testing.T) map[string]string {
	t.Helper()
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
			}
		}
	}
	text, err := os.ReadFile("../docs/monitoring/alerts.yaml")
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &rules))
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	text, err = os.ReadFile("../docs/monitoring/dashboard.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &dashboard))

	found := map[string]string{}
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			found["alert "+rule.Alert] = rule.Expr
		}
	}
	for _, panel := range dashboard.Panels {
		for i, target := range panel.Targets {
			found["panel "+panel.Title+" "+string(rune('A'+i))] = target.Expr
		}
	}
	require.Greater(t, len(found), 20)
	return found
}

// exposed returns the labels of each metric that a server has counted something in.
func exposed(t *testing.T) map[string][]string {
	t.Helper()
	ci := startIssuer(t)
	s := startServer(t, settingsFor(t, ci, map[string]string{"DATABASE_URL": "sqlite:" + t.TempDir() + "/t.db"}))
	s.configure(t, demoConfig)
	s.exchange(t, sign(t, ci, ci.GitHubClaims())) // The first one pins, and shares nothing.
	answer := s.exchange(t, sign(t, ci, ci.GitHubClaims()))
	accessToken, _ := answer.member(t, "token").(string)
	require.Equal(t, http.StatusNoContent, s.call(t, http.MethodDelete, tokensPath, accessToken, "", "").status)

	metrics := map[string][]string{"up": {"job", "instance"}}
	series := regexp.MustCompile(`(?m)^([a-z_]+)(?:\{(.*)\})? `)
	label := regexp.MustCompile(`([a-z_]+)="`)
	for _, match := range series.FindAllStringSubmatch(s.metrics(t), -1) {
		names := []string{"job", "instance"} // Prometheus adds them.
		for _, l := range label.FindAllStringSubmatch(match[2], -1) {
			names = append(names, l[1])
		}
		metrics[match[1]] = names
	}
	return metrics
}

func TestEveryQueryOfTheAlertsAndTheDashboardIsValidAndAsksForMetricsThatExist(t *testing.T) {
	metrics := exposed(t)
	for where, query := range queries(t) {
		expression, err := parser.NewParser(parser.Options{}).ParseExpr(query)
		require.NoError(t, err, where)
		var known []string
		parser.Inspect(expression, func(node parser.Node, _ []parser.Node) error {
			if selector, ok := node.(*parser.VectorSelector); ok {
				require.Contains(t, metrics, selector.Name, where)
				known = append(known, metrics[selector.Name]...)
				for _, matcher := range selector.LabelMatchers {
					if matcher.Name != "__name__" {
						require.Contains(t, metrics[selector.Name], matcher.Name, where)
					}
				}
			}
			return nil
		})
		require.NotEmpty(t, known, where)
		parser.Inspect(expression, func(node parser.Node, _ []parser.Node) error {
			if aggregate, ok := node.(*parser.AggregateExpr); ok {
				for _, name := range aggregate.Grouping {
					require.Contains(t, known, name, where)
				}
			}
			return nil
		})
	}
}

func TestThePageOnMonitoringNamesAllMetricsAndAlertsAndNoOther(t *testing.T) {
	page, err := os.ReadFile("../docs/monitoring.md")
	require.NoError(t, err)
	var documented, want []string
	for _, match := range regexp.MustCompile("(?m)^\\| `([A-Za-z_]+)` \\|").FindAllStringSubmatch(string(page), -1) {
		documented = append(documented, match[1])
	}
	for name := range exposed(t) {
		name = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_count"), "_sum")
		if strings.HasPrefix(name, "trustpub_") {
			want = append(want, name)
		}
	}
	for where := range queries(t) {
		if alert, ok := strings.CutPrefix(where, "alert "); ok {
			want = append(want, alert)
		}
	}
	slices.Sort(want)
	require.ElementsMatch(t, slices.Compact(want), documented)
}
