package domain_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/domain"
)

func TestDetailsStandInTheOrderOfTheirNames(t *testing.T) {
	given := map[string]string{"sha": "1", "actor": "2", "ref": "3", "actor_id": "4", "": "5", "Ref": "6"}
	details := domain.NewDetails(given)
	given["sha"] = "changed in what was given"

	var names, values []string
	for name, value := range details.All() {
		names, values = append(names, name), append(values, value)
	}
	require.Equal(t, []string{"", "Ref", "actor", "actor_id", "ref", "sha"}, names)
	require.Equal(t, []string{"5", "6", "2", "4", "3", "1"}, values)
	require.Equal(t, 6, details.Len())
	for range details.All() {
		break // It can be left.
	}
	require.Equal(t, "4", details.Get("actor_id"))
	for _, absent := range []string{"act", "actor_", "REF", "z"} {
		require.Empty(t, details.Get(absent), absent)
	}
}

func TestNoDetails(t *testing.T) {
	for _, none := range []domain.Details{{}, domain.NewDetails(nil), domain.NewDetails(map[string]string{})} {
		require.Equal(t, domain.Details{}, none)
		require.Zero(t, none.Len())
		require.Empty(t, none.Get("sha"))
		require.Empty(t, none.Map())
		require.Empty(t, slices.Collect(maps.Keys(maps.Collect(none.All()))))
		require.Equal(t, map[string]string{"sha": "1"}, none.With("sha", "1").Map())
	}
}

func TestOneMoreDetailTakesItsPlace(t *testing.T) {
	details := domain.NewDetails(map[string]string{"b": "1", "d": "2"})
	for name, want := range map[string][]string{
		"a": {"a", "b", "d"}, "b": {"b", "d"}, "c": {"b", "c", "d"}, "d": {"b", "d"}, "e": {"b", "d", "e"},
	} {
		more := details.With(name, "new")

		require.Equal(t, want, slices.Collect(func(yield func(string) bool) {
			for name := range more.All() {
				if !yield(name) {
					return
				}
			}
		}))
		require.Equal(t, "new", more.Get(name))
		require.False(t, more.Equal(details))
		require.Equal(t, map[string]string{"b": "1", "d": "2"}, details.Map(), "the others are unchanged")
	}
	require.True(t, details.With("b", "1").Equal(details))
}

func TestAClaimThatIsNamedTwiceIsRecordedOnce(t *testing.T) {
	details := domain.RawClaims{"sha": "1", "ref": "2"}.Details([]string{"sha", "ref", "sha", "absent"})
	require.Equal(t, 2, details.Len())
	require.Equal(t, map[string]string{"sha": "1", "ref": "2"}, details.Map())

	details = domain.CollectDetails(func(yield func(string, string) bool) {
		_ = yield("b", "1") && yield("a", "2") && yield("b", "3")
	})
	require.Equal(t, 2, details.Len())
	require.Equal(t, map[string]string{"a": "2", "b": "1"}, details.Map(), "the first counts")
}
