package trustpubtest

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
)

// Store is what a database adapter implements.
type Store interface {
	application.ConfigFinder
	application.ConfigStore
	application.TokenStore
	application.ExpiredRemover
}

// TestStore checks that a store keeps what the ports in package application promise.
// newStore is called once per sub-test and returns an empty store each time. This is
// the whole test of a store of your own:
//
//	func TestStore(t *testing.T) {
//		trustpubtest.TestStore(t, func(t *testing.T) trustpubtest.Store {
//			return mystore.New(emptyDatabase(t))
//		})
//	}
func TestStore(t *testing.T, newStore func(t *testing.T) Store) {
	t.Helper()
	run := func(name string, test func(*testing.T, Store)) {
		t.Run(name, func(t *testing.T) { test(t, newStore(t)) })
	}
	run("a config is found again with all its values", testConfigRoundTrip)
	run("all configs of an issuer and a repository are found, in the order of their IDs", testFindConfigs)
	run("repositories fold ASCII case and nothing else", testFindConfigsFolds)
	run("an identical config is a conflict, also when the package is full", testDuplicateConfig)
	run("a config that differs in one value is no duplicate", testDistinctConfigs)
	run("a package has room for so many configs and no more", testConfigLimit)
	run("configs made at once never exceed the limit", func(t *testing.T, s Store) { testConfigLimitRace(t, s) })
	run("of 20 identical configs made at once one is stored", func(t *testing.T, s Store) { testDuplicateRace(t, s) })
	run("an ID is never used again", testConfigIDs)
	run("a missing config is not found", testMissingConfig)
	run("configs are listed page by page, oldest first", testListConfigs)

	run("configs of all kinds are found again with all their values", testKindsRoundTrip)
	run("configs of all kinds share their IDs, the limit and the list", testKindsTogether)
	run("a workload finds configs of its own provider, issuer and key", testFindKinds)
	run("configs are pinned together with the token, both or neither", testPins)
	run("a config that was pinned to other IDs meanwhile stops the token", testPinnedMeanwhile)
	run("of 20 first exchanges with IDs of their own one pins the config, and no other is stored", func(t *testing.T, s Store) { testPinRace(t, s) })
	run("a config that is gone is not pinned, and stops nothing", testPinOfDeletedConfig)
	run("a workload whose name changed finds what is pinned to its IDs", testFindRenamed)

	run("a token is found again with all its values", testTokenRoundTrip)
	run("an unknown token is not found", testUnknownToken)
	run("what a caller does to a token does not reach the store", testTokenIsolation)
	run("of 64 calls with one jti exactly one succeeds", func(t *testing.T, s Store) { testRace(t, s) })
	run("of many exchanges at once, some with a common jti, one of each jti succeeds, and all others", func(t *testing.T, s Store) { testReplaysAtOnce(t, s) })
	run("replays among many exchanges at once refuse only themselves", func(t *testing.T, s Store) { testOldReplaysAtOnce(t, s) })
	run("of many exchanges at once only the one that can't be stored fails", func(t *testing.T, s Store) { testFaultAmongMany(t, s) })
	run("of many exchanges at once those that are cancelled leave the others alone", func(t *testing.T, s Store) { testCancelledAmongMany(t, s) })
	run("a config that was pinned meanwhile stops none of the other exchanges at once", func(t *testing.T, s Store) { testPinsAmongMany(t, s) })
	run("a jti is used at its own issuer only, and compares byte for byte", testJTIPerIssuer)
	run("a second token for one jti is refused and not stored", testSecondToken)
	run("an expired record that is still there counts as used", testExpiredRecord)
	run("a call that is repeated with its own hash has succeeded", testRepeatedSave)
	run("a token hash that is taken spends no jti and is no replay", testTakenHash)
	run("a token is revoked once", testRevoke)
	run("of 20 calls that revoke a token one says that it did", func(t *testing.T, s Store) { testRevokeRace(t, s) })
	run("a deleted config takes its own grants away and no other", testDeletedConfig)
	run("a config deleted before the token is saved grants nothing", testDeletedBeforeSave)
	run("a config of one provider justifies no grant of another", testForeignGrant)

	run("only what expired before the moment is removed", testRemoveExpired)
	run("at most so many rows of a kind are removed at once", testRemoveExpiredLimit)
	run("a removed record frees the jti", testRemovedRecord)
	run("an ended context is an error and changes nothing", testEndedContext)
	run("random operations give what a simple model gives", testModel)
}

// TestSharedStore checks that several stores on one empty database, such as those of
// several replicas, act as one.
func TestSharedStore(t *testing.T, stores ...Store) {
	t.Helper()
	require.Greater(t, len(stores), 1)
	t.Run("of 64 calls with one jti exactly one succeeds", func(t *testing.T) { testRace(t, stores...) })
	t.Run("configs made at once never exceed the limit", func(t *testing.T) { testConfigLimitRace(t, stores...) })
	t.Run("of 20 identical configs made at once one is stored", func(t *testing.T) { testDuplicateRace(t, stores...) })
	t.Run("of 20 first exchanges with IDs of their own one pins the config, and no other is stored", func(t *testing.T) { testPinRace(t, stores...) })
	t.Run("of 20 calls that revoke a token one says that it did", func(t *testing.T) { testRevokeRace(t, stores...) })
	t.Run("of many exchanges at once, some with a common jti, one of each jti succeeds, and all others", func(t *testing.T) { testReplaysAtOnce(t, stores...) })
	t.Run("replays among many exchanges at once refuse only themselves", func(t *testing.T) { testOldReplaysAtOnce(t, stores...) })
	t.Run("of many exchanges at once only the one that can't be stored fails", func(t *testing.T) { testFaultAmongMany(t, stores...) })
	t.Run("of many exchanges at once those that are cancelled leave the others alone", func(t *testing.T) { testCancelledAmongMany(t, stores...) })
	t.Run("a config that was pinned meanwhile stops none of the other exchanges at once", func(t *testing.T) { testPinsAmongMany(t, stores...) })
	t.Run("what one does all others see at once", func(t *testing.T) { testSeenByAll(t, stores...) })
	t.Run("an expired row is removed by one of them", func(t *testing.T) { testRemoveExpiredRace(t, stores...) })
}

func create(t *testing.T, s Store, changes ...func(*domain.GitHubConfigParams)) domain.GitHubConfig {
	t.Helper()
	stored, err := s.CreateConfig(t.Context(), NewGitHubConfig(t, changes...), application.MaxConfigsPerPackage)
	require.NoError(t, err)
	return stored.(domain.GitHubConfig)
}

// save stores a new token for the claims and returns it.
func save(t *testing.T, s Store, claims domain.Claims, configs ...domain.Config) domain.AccessToken {
	t.Helper()
	token := NewToken(claims, configs...)
	require.NoError(t, s.SaveToken(t.Context(), token, claims.UsedJTI(), nil))
	return token
}

// requireToken asserts what the store has of a token. The order of grants means
// nothing.
func requireToken(t require.TestingT, want, got domain.AccessToken) {
	byConfig := cmpopts.SortSlices(func(a, b domain.Grant) bool { return a.ConfigID < b.ConfigID })
	require.Empty(t, cmp.Diff(want, got, byConfig, cmpopts.EquateEmpty()))
}

func requireNoToken(t *testing.T, s Store, hash domain.TokenHash) {
	t.Helper()
	_, err := s.FindToken(t.Context(), hash)
	requireError(t, err, domain.KindNotFound, domain.CodeNotFound)
}

func requireError(t require.TestingT, err error, kind domain.Kind, code domain.Code) {
	require.Error(t, err)
	require.Equal(t, kind, domain.KindOf(err), "%v", err)
	require.Equal(t, code, domain.CodeOf(err), "%v", err)
}

func requireAlreadyUsed(t require.TestingT, err error) {
	requireError(t, err, domain.KindRefused, domain.CodeAlreadyUsed)
}

// requireFault asserts an error that is no verdict.
func requireFault(t require.TestingT, err error) {
	require.Error(t, err)
	require.Equal(t, domain.KindInternal, domain.KindOf(err), "a fault of the store must not pass for a verdict: %v", err)
}

func testEndedContext(t *testing.T, s Store) {
	config := create(t, s)
	saved := save(t, s, NewClaims(t), config)
	claims := NewClaims(t)
	token := NewToken(claims, config)
	ended, cancel := context.WithCancel(t.Context())
	cancel()

	_, err := s.FindConfigs(ended, claims)
	requireFault(t, err)
	_, err = s.CreateConfig(ended, NewGitHubConfig(t, inPackage("other")), 1)
	requireFault(t, err)
	_, err = s.Config(ended, config.ID())
	requireFault(t, err)
	_, err = s.ListConfigs(ended, application.ListQuery{Limit: 1})
	requireFault(t, err)
	requireFault(t, s.DeleteConfig(ended, config.ID()))
	requireFault(t, s.SaveToken(ended, token, claims.UsedJTI(), nil))
	_, err = s.FindToken(ended, saved.Hash)
	requireFault(t, err)
	_, err = s.RevokeToken(ended, saved.Hash, Now())
	requireFault(t, err)
	_, err = s.RemoveExpired(ended, Now().AddDate(1, 0, 0), 10)
	requireFault(t, err)

	page, err := s.ListConfigs(t.Context(), application.ListQuery{Limit: 10})
	require.NoError(t, err)
	require.Equal(t, 1, page.Total)
	found, err := s.FindToken(t.Context(), saved.Hash)
	require.NoError(t, err)
	requireToken(t, saved, found)
	requireNoToken(t, s, token.Hash)
	require.NoError(t, s.SaveToken(t.Context(), token, claims.UsedJTI(), nil), "the jti must not have been spent")
}
