package trustpubtest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// Store is what a database adapter implements.
type Store interface {
	application.ConfigFinder
	application.GitHubConfigStore
	application.TokenStore
	application.ExpiredRemover
}

// TestStore checks that a store keeps what the ports in package application promise.
// newStore is called once per sub-test and returns an empty store each time.
func TestStore(t *testing.T, newStore func(t *testing.T) Store) {
	t.Helper()
	run := func(name string, test func(*testing.T, Store)) {
		t.Run(name, func(t *testing.T) { test(t, newStore(t)) })
	}
	run("a config is found again with all its values", testConfigRoundTrip)
	run("a config is found by issuer and repository alone", testFindConfigs)
	run("repositories fold ASCII case and nothing else", testFindConfigsFolds)
	run("an identical config is a conflict", testDuplicateConfig)
	run("a config that differs in one value is no duplicate", testDistinctConfigs)
	run("a package has room for so many configs and no more", testConfigLimit)
	run("configs made at once never exceed the limit", testConfigLimitRace)
	run("an ID is never used again", testConfigIDs)
	run("a missing config is not found", testMissingConfig)
	run("configs are listed page by page, oldest first", testListConfigs)

	run("a token is found again with all its values", testTokenRoundTrip)
	run("an unknown token is not found", testUnknownToken)
	run("of 64 calls with one jti exactly one succeeds", func(t *testing.T, s Store) { testRace(t, s) })
	run("a jti is used at its own issuer only", testJTIPerIssuer)
	run("a second token for one jti is refused and not stored", testSecondToken)
	run("an expired record that is still there counts as used", testExpiredRecord)
	run("a call that is repeated with its own hash has succeeded", testRepeatedSave)
	run("a token hash that is taken spends no jti and is no replay", testTakenHash)
	run("a token is revoked once", testRevoke)
	run("a deleted config takes its grants away", testDeletedConfig)
	run("a config deleted before the token is saved grants nothing", testDeletedBeforeSave)

	run("only what expired before the moment is removed", testRemoveExpired)
	run("at most so many rows of a kind are removed at once", testRemoveExpiredLimit)
	run("a removed record frees the jti", testRemovedRecord)
	run("an ended context is an error and changes nothing", testEndedContext)
	run("random operations give what a simple model gives", testModel)
}

// TestSharedStore checks that several stores on one database, such as those of
// several replicas, give out one token for one jti.
func TestSharedStore(t *testing.T, stores ...Store) {
	t.Helper()
	testRace(t, stores...)
}

func create(t *testing.T, s Store, changes ...func(*domain.GitHubConfigParams)) domain.GitHubConfig {
	t.Helper()
	stored, err := s.CreateGitHubConfig(t.Context(), NewGitHubConfig(t, changes...), application.MaxConfigsPerPackage)
	require.NoError(t, err)
	return stored
}

func requireKind(t *testing.T, err error, kind domain.Kind, code domain.Code) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, kind, domain.KindOf(err), "%v", err)
	require.Equal(t, code, domain.CodeOf(err), "%v", err)
}

func requireFault(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, domain.KindInternal, domain.KindOf(err), "a fault of the store must not pass for a verdict: %v", err)
}

func testRemoveExpired(t *testing.T, s Store) {
	config := create(t, s)
	moment := Now().Add(domain.DefaultTokenTTL)
	token := NewToken(NewClaims(t), config) // It expires at that moment.
	jti := domain.UsedJTI{Issuer: Issuer, ID: "a", ExpiresAt: moment}
	require.NoError(t, s.SaveToken(t.Context(), token, jti))

	removed, err := s.RemoveExpired(t.Context(), moment, 10)
	require.NoError(t, err)
	require.Zero(t, removed, "what expires at the moment itself stays")
	_, err = s.FindToken(t.Context(), token.Hash)
	require.NoError(t, err)

	removed, err = s.RemoveExpired(t.Context(), moment.Add(time.Millisecond), 10)
	require.NoError(t, err)
	require.Equal(t, 2, removed)
	_, err = s.FindToken(t.Context(), token.Hash)
	requireKind(t, err, domain.KindNotFound, domain.CodeNotFound)
}

func testRemoveExpiredLimit(t *testing.T, s Store) {
	config := create(t, s)
	for range 5 {
		claims := NewClaims(t)
		require.NoError(t, s.SaveToken(t.Context(), NewToken(claims, config), claims.UsedJTI()))
	}
	later := Now().Add(24 * time.Hour)
	for _, want := range []int{4, 4, 2, 0} {
		removed, err := s.RemoveExpired(t.Context(), later, 2)
		require.NoError(t, err)
		require.Equal(t, want, removed)
	}
}

func testRemovedRecord(t *testing.T, s Store) {
	claims := NewClaims(t)
	config := create(t, s)
	require.NoError(t, s.SaveToken(t.Context(), NewToken(claims, config), claims.UsedJTI()))
	_, err := s.RemoveExpired(t.Context(), Now().Add(24*time.Hour), 10)
	require.NoError(t, err)

	require.NoError(t, s.SaveToken(t.Context(), NewToken(claims, config), claims.UsedJTI()))
}

func testEndedContext(t *testing.T, s Store) {
	config := create(t, s)
	claims := NewClaims(t)
	token := NewToken(claims, config)
	ended, cancel := context.WithCancel(t.Context())
	cancel()

	requireFault(t, s.SaveToken(ended, token, claims.UsedJTI()))
	_, err := s.FindConfigs(ended, claims)
	requireFault(t, err)
	_, err = s.FindToken(ended, token.Hash)
	requireFault(t, err)
	requireFault(t, s.DeleteGitHubConfig(ended, config.ID()))
	_, err = s.RemoveExpired(ended, Now(), 1)
	requireFault(t, err)

	_, err = s.FindToken(t.Context(), token.Hash)
	requireKind(t, err, domain.KindNotFound, domain.CodeNotFound)
	require.NoError(t, s.SaveToken(t.Context(), token, claims.UsedJTI()))
}
