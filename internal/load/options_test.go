package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/trustpubtest/issuer"
)

func parsed(t *testing.T, args string) options {
	t.Helper()
	o, err := parse(strings.Fields(args), &strings.Builder{})
	require.NoError(t, err, args)
	return o
}

func TestWhatIsComparedFollowsFromTheFlags(t *testing.T) {
	for args, want := range map[string]struct {
		subjects []subject
		needed   []int
	}{
		"-n 10": {[]subject{{name: "trustpub", repositories: 1}}, []int{30}},
		"-n 10 -connections 1,8 -repositories 7": {
			[]subject{{name: "trustpub", repositories: 7}}, []int{60},
		},
		"-n 10 -prefill 100": {[]subject{{name: "trustpub", prefill: 100, repositories: 100}}, []int{30}},
		"-n 10 -prefill 100,2000 -repositories 5": {
			[]subject{{name: "trustpub, 100 rows", prefill: 100, repositories: 5}, {name: "trustpub, 2000 rows", prefill: 2000, repositories: 5}}, []int{30, 30},
		},
		"-n 10 -prefill 100 -repositories 1 -unshared": {
			[]subject{{name: "trustpub", prefill: 100, repositories: 1}, {name: "trustpub, unshared", prefill: 100, repositories: 1, besides: true, unshared: true}},
			[]int{30, 30},
		},
		"-n 10 -sweep 1000": {
			[]subject{{name: "trustpub", repositories: 1}, {name: "trustpub, sweeping", repositories: 1, swept: true}}, []int{10},
		},
		"-n 10 -mode verify -unshared": {
			[]subject{{name: "Verify in this process", repositories: 1}, {name: "Verify in this process, unshared", repositories: 1, besides: true, unshared: true}},
			[]int{introspected, 0},
		},
	} {
		o := parsed(t, args)
		require.Equal(t, want.subjects, o.subjects(), args)
		var needed []int
		for _, s := range o.signed() {
			needed = append(needed, o.needed(s))
		}
		require.Equal(t, want.needed, needed, args)
	}
}

func TestWhatCannotBeComparedIsSaid(t *testing.T) {
	for args, want := range map[string]string{
		"-prefill 0":                               "above zero",
		"-repositories -1":                         "must not be below zero",
		"-sweep -1":                                "must not be below zero",
		"-db sqlite -prefill 1":                    "need servers on PostgreSQL",
		"-db sqlite -repositories 2":               "need servers on PostgreSQL",
		"-db sqlite -postgresql a=b":               "need servers on PostgreSQL",
		"-postgresql shared_buffers":               "use NAME=VALUE",
		"-db sqlite -unshared":                     "need servers on PostgreSQL",
		"-db sqlite -mode verify":                  "need servers on PostgreSQL",
		"-url http://127.0.0.1:1 -jwts f -sweep 1": "need servers on PostgreSQL",
		"-prefill 1,2 -sweep 1":                    "at a time",
		"-unshared -sweep 1":                       "at a time",
		"-prefill 1,2 -baseline":                   "about one database",
		"-sweep 1 -connections 1,2":                "at one number of connections",
		"-sweep 1 -mode introspect":                "with exchanges",
		"-mode verify -rate 1":                     "has no -rate",
		"-prefill 10,3 -repositories 4":            "must not be above -prefill",
	} {
		_, err := parse(strings.Fields(args), &strings.Builder{})
		require.ErrorContains(t, err, want, args)
	}
}

func TestIDTokensAreOfRandomRepositoriesThatASeedRepeats(t *testing.T) {
	ci, err := issuer.Start(issuer.Config{})
	require.NoError(t, err)
	defer func() { _ = ci.Close() }()
	repositories := func(args string) (of []string) {
		o := parsed(t, args)
		jwts, err := signAll(ci, o)
		require.NoError(t, err)
		for _, jwt := range jwts {
			payload, err := base64.RawURLEncoding.DecodeString(strings.Split(jwt, ".")[1])
			require.NoError(t, err)
			var claims map[string]any
			require.NoError(t, json.Unmarshal(payload, &claims))
			name := claims["repository"].(string)
			require.Equal(t, "repo:"+name+":ref:refs/tags/v1.2.3", claims["sub"])
			require.Equal(t, name+"/.github/workflows/release.yml@refs/tags/v1.2.3", claims["workflow_ref"])
			if id, filled := strings.CutPrefix(name, "owner-"); filled {
				id = strings.TrimSuffix(id, "/repository")
				require.Equal(t, id, claims["repository_id"])
				require.Equal(t, id, claims["repository_owner_id"])
				require.Equal(t, "owner-"+id, claims["repository_owner"])
			}
			of = append(of, name)
		}
		return of
	}
	first := repositories("-n 20 -rounds 1 -repositories 1000000")
	require.Len(t, first, 20)
	require.NotEqual(t, first[0], first[1])
	require.Equal(t, first, repositories("-n 20 -rounds 1 -repositories 1000000"))
	require.NotEqual(t, first, repositories("-n 20 -rounds 1 -repositories 1000000 -seed 2"))
	require.Equal(t, []string{demoRepository, demoRepository}, repositories("-n 2 -rounds 1"))
	both := repositories("-n 10 -rounds 1 -prefill 1000,1000")
	require.Len(t, both, 20)
	require.NotEqual(t, both[:10], both[10:])
}

func TestStatementsAreThoseOfTheStoreWithValues(t *testing.T) {
	recorded, err := recordStatements(t.Context())
	require.NoError(t, err)
	require.Contains(t, recorded.findConfigs, "from trustpub_configs c")
	require.Contains(t, recorded.saveToken, "insert into trustpub_tokens")
	require.Contains(t, recorded.findToken, "from trustpub_tokens t")

	one := &site{subject: subject{repositories: 1}}
	exchange, err := one.script(context.Background(), modeExchange)
	require.NoError(t, err)
	require.NotContains(t, exchange, "$")
	require.Contains(t, exchange, "c.lookup_key = 'octo-org/octo-repo'")
	require.Equal(t, 2, strings.Count(exchange, ";\n"))
	many := &site{subject: subject{repositories: 9, prefill: 10}}
	exchange, err = many.script(context.Background(), modeExchange)
	require.NoError(t, err)
	require.Contains(t, exchange, "\\set r random(1, 9)\n")
	look, err := many.script(context.Background(), modeVerify)
	require.NoError(t, err)
	require.Contains(t, look, "t.hashed_token = sha256(int8send(-:r::bigint));")

	text, err := withValues("$1 $10 $2", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j")
	require.Error(t, err, "some values have no parameter")
	require.Empty(t, text)
	text, err = withValues("x $2::y, $1,$2", "a", "b")
	require.NoError(t, err)
	require.Equal(t, "x b::y, a,b", text)
	_, err = withValues("$2", "a")
	require.ErrorContains(t, err, "no value for the parameter $2")
	_, err = withValues("$ 1", "a")
	require.Error(t, err)
}
