package application_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest"
)

const gitlabIssuer = "https://gitlab.com"

func TestTheFirstExchangePinsTheConfigs(t *testing.T) {
	w := newWorld(t)
	ids := w.trust(t, "a", "b")
	w.knows(t, "first", repository("octo-repo", "1296269"))

	_, err := w.exchange.Exchange(t.Context(), application.ExchangeRequest{IDToken: "first"})

	require.NoError(t, err)
	for _, id := range ids {
		require.Equal(t, map[string]string{"repository_id": "1296269"}, w.pinned(t, id))
	}
}

func TestAnExchangePinsTheConfigsOfItsScopeAlone(t *testing.T) {
	w := newWorld(t)
	ids := w.trust(t, "a", "b")
	w.knows(t, "first", repository("octo-repo", "1296269"))

	_, err := w.exchange.Exchange(t.Context(), application.ExchangeRequest{IDToken: "first", Packages: []domain.Package{cargo("b")}})

	require.NoError(t, err)
	require.Empty(t, w.pinned(t, ids[0]))
	require.NotEmpty(t, w.pinned(t, ids[1]))
}

func TestAnExchangeThatFailsPinsNothing(t *testing.T) {
	tests := []struct {
		name    string
		request application.ExchangeRequest
		prepare func(*world)
		code    domain.Code
	}{
		{
			"another workflow",
			application.ExchangeRequest{IDToken: "other-workflow"},
			nil, domain.CodeWorkflowMismatch,
		},
		{
			"a scope that is not granted",
			application.ExchangeRequest{IDToken: "fresh", Packages: []domain.Package{cargo("a"), cargo("unheard-of")}},
			nil, domain.CodeInvalidScope,
		},
		{
			"a package that nobody trusts it with",
			application.ExchangeRequest{IDToken: "fresh", Package: cargo("unheard-of")},
			nil, domain.CodeNoPublisher,
		},
		{
			"a store that can't save",
			application.ExchangeRequest{IDToken: "fresh"},
			func(w *world) { w.store.fails["SaveToken"] = errDown }, domain.CodeStoreUnavailable,
		},
		{
			"a replay",
			application.ExchangeRequest{IDToken: "replayed"},
			nil, domain.CodeAlreadyUsed,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.knows(t, "fresh", repository("octo-repo", "1296269"))
			w.knows(t, "replayed", repository("octo-repo", "1296269"))
			w.knows(t, "other-workflow", repository("octo-repo", "1296269"), func(_ *domain.Registered, w *domain.Workload) { w.Workflow = "ci.yml" })
			// The ID token was used for another package, whose publisher is gone.
			before := w.trust(t, "gone")
			_, err := w.exchange.Exchange(t.Context(), application.ExchangeRequest{IDToken: "replayed"})
			require.NoError(t, err)
			require.NoError(t, w.store.Store.DeleteConfig(t.Context(), before[0]))
			id := w.trust(t, "a")[0]
			if tt.prepare != nil {
				tt.prepare(w)
			}

			_, err = w.exchange.Exchange(t.Context(), tt.request)

			require.Equal(t, tt.code, domain.CodeOf(err), "%v", err)
			require.Empty(t, w.pinned(t, id))
		})
	}
}

func TestARepositoryThatWasMadeAnewIsRefusedUntilItsOwnerConfirms(t *testing.T) {
	w := newWorld(t)
	id := w.trust(t, "a")[0]
	w.knows(t, "first", repository("octo-repo", "1296269"))
	_, err := w.exchange.Exchange(t.Context(), application.ExchangeRequest{IDToken: "first"})
	require.NoError(t, err)

	for _, idToken := range []string{"anew", "anew again"} {
		w.knows(t, idToken, repository("octo-repo", "1296270"))
		_, err = w.exchange.Exchange(t.Context(), application.ExchangeRequest{IDToken: idToken})
		requireError(t, err, domain.KindRefused, domain.CodePinnedIDMismatch)
		require.Equal(t, map[string]string{"repository_id": "1296269"}, w.pinned(t, id), "a refusal changes nothing")
	}
	w.knows(t, "without an ID")
	_, err = w.exchange.Exchange(t.Context(), application.ExchangeRequest{IDToken: "without an ID"})
	requireError(t, err, domain.KindRefused, domain.CodePinnedIDMismatch)
	w.knows(t, "old again", repository("octo-repo", "1296269"))
	_, err = w.exchange.Exchange(t.Context(), application.ExchangeRequest{IDToken: "old again"})
	require.NoError(t, err, "the repository that it is pinned to is still trusted")

	require.NoError(t, w.store.Store.DeleteConfig(t.Context(), id))
	confirmed := w.trust(t, "a")[0]
	_, err = w.exchange.Exchange(t.Context(), application.ExchangeRequest{IDToken: "anew"})
	require.NoError(t, err, "the refusals did not use the ID token up")
	require.Equal(t, map[string]string{"repository_id": "1296270"}, w.pinned(t, confirmed))
}

func TestARepositoryThatWasRenamedIsToldSo(t *testing.T) {
	w := newWorld(t)
	w.trust(t, "a")
	w.knows(t, "first", repository("octo-repo", "1296269"))
	w.knows(t, "renamed", repository("new-name", "1296269"))
	w.knows(t, "another", repository("new-name", "7"))
	w.knows(t, "elsewhere", repository("new-name", "1296269"), func(r *domain.Registered, _ *domain.Workload) { r.Issuer = enterprise })
	_, err := w.exchange.Exchange(t.Context(), application.ExchangeRequest{IDToken: "renamed"})
	requireError(t, err, domain.KindRefused, domain.CodeNoPublisher)
	_, err = w.exchange.Exchange(t.Context(), application.ExchangeRequest{IDToken: "first"})
	require.NoError(t, err)

	_, err = w.exchange.Exchange(t.Context(), application.ExchangeRequest{IDToken: "renamed"})
	requireError(t, err, domain.KindRefused, domain.CodeRepositoryRenamed)
	require.Contains(t, domain.MessageOf(err), `"octo-org/new-name" were configured when it was called "octo-org/octo-repo"`)
	for _, idToken := range []string{"another", "elsewhere"} {
		_, err = w.exchange.Exchange(t.Context(), application.ExchangeRequest{IDToken: idToken})
		requireError(t, err, domain.KindRefused, domain.CodeNoPublisher)
	}
}

func TestAGitLabNamespaceThatWasTakenOverIsRefused(t *testing.T) {
	w := newWorld(t)
	config, err := w.store.Store.CreateConfig(t.Context(), trustpubtest.NewGitLabConfig(t), 5)
	require.NoError(t, err)
	id := config.Common().ID
	w.knows(t, "first", pipeline("72", "20"))
	_, err = w.exchange.Exchange(t.Context(), application.ExchangeRequest{IDToken: "first"})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"namespace_id": "72", "project_id": "20"}, w.pinned(t, id))
	tests := []struct{ name, namespace, project, shows string }{
		{"another namespace with another project", "99", "100", `namespace_id "99"`},
		{"another namespace", "99", "20", `namespace_id "99"`},
		{"another project", "72", "21", `project_id "21"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w.knows(t, tt.name, pipeline(tt.namespace, tt.project))

			_, err := w.exchange.Exchange(t.Context(), application.ExchangeRequest{IDToken: tt.name})

			requireError(t, err, domain.KindRefused, domain.CodePinnedIDMismatch)
			require.Contains(t, domain.MessageOf(err), tt.shows)
			require.Equal(t, map[string]string{"namespace_id": "72", "project_id": "20"}, w.pinned(t, id))
		})
	}
}

func TestIDsThatTheOwnerNamedHoldFromTheFirstExchangeOn(t *testing.T) {
	w := newWorld(t)
	config := trustpubtest.NewGitLabConfig(t, func(p *domain.GitLabConfigParams) { p.Pinned = map[string]string{"namespace_id": "72"} })
	stored, err := w.store.Store.CreateConfig(t.Context(), config, 5)
	require.NoError(t, err)
	w.knows(t, "other namespace", pipeline("99", "100"))
	w.knows(t, "named namespace", pipeline("72", "20"))

	_, err = w.exchange.Exchange(t.Context(), application.ExchangeRequest{IDToken: "other namespace"})
	requireError(t, err, domain.KindRefused, domain.CodePinnedIDMismatch)
	require.Equal(t, map[string]string{"namespace_id": "72"}, w.pinned(t, stored.Common().ID))

	_, err = w.exchange.Exchange(t.Context(), application.ExchangeRequest{IDToken: "named namespace"})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"namespace_id": "72", "project_id": "20"}, w.pinned(t, stored.Common().ID))
}

// knows makes the verifier accept an ID token of octo-org/octo-repo, after the changes.
func (w *world) knows(t *testing.T, idToken string, changes ...func(*domain.Registered, *domain.Workload)) {
	t.Helper()
	w.verifier.known[idToken] = trustpubtest.NewClaims(t, changes...)
}

// pinned returns what a config is pinned to.
func (w *world) pinned(t *testing.T, id int64) map[string]string {
	t.Helper()
	config, err := w.store.Store.Config(t.Context(), id)
	require.NoError(t, err)
	return config.Common().Pinned
}

// repository is a repository of octo-org with GitHub's number.
func repository(name, id string) func(*domain.Registered, *domain.Workload) {
	return func(_ *domain.Registered, w *domain.Workload) {
		w.Repository.Name, w.IDs = name, map[string]string{"repository_id": id}
	}
}

// pipeline is one of octo-group/tools/octo-project at gitlab.com with GitLab's numbers.
func pipeline(namespace, project string) func(*domain.Registered, *domain.Workload) {
	return func(r *domain.Registered, w *domain.Workload) {
		r.Issuer = gitlabIssuer
		w.Provider, w.Repository = domain.ProviderGitLab, domain.Repository{Owner: "octo-group/tools", Name: "octo-project"}
		w.OwnerID, w.Workflow = namespace, ".gitlab-ci.yml"
		w.IDs = map[string]string{"namespace_id": namespace, "project_id": project}
	}
}
