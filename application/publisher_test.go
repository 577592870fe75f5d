package application_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/memory"
	"github.com/trustpub/trustpub/application"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest"
)

// ownership lets ferris manage everything but what is not hers, and hides "secret".
type ownership struct {
	asked int
	err   error // What it answers instead; nil for nothing.
}

func (o *ownership) MayManage(_ context.Context, actor application.Actor, pkg domain.Package) error {
	o.asked++
	switch {
	case o.err != nil:
		return o.err
	case pkg.Name == "secret":
		return &domain.Error{Kind: domain.KindNotFound, Code: domain.CodeNotFound, Message: "There is no such package."}
	case actor.ID != "ferris", pkg.Name == "foreign":
		return &domain.Error{Kind: domain.KindForbidden, Code: domain.CodeForbidden, Message: "The package is not yours."}
	}
	return nil
}

// owners knows octo-org at each issuer under a number of its own.
type owners struct {
	asked []string
	err   error // What it answers instead; nil for nothing.
}

func (o *owners) OwnerID(_ context.Context, issuer, login string) (int64, error) {
	o.asked = append(o.asked, issuer+" "+login)
	switch {
	case o.err != nil:
		return 0, o.err
	case login != "octo-org":
		return 0, domain.Invalid(domain.CodeUnknownOwner, "GitHub knows no such account.")
	case issuer == trustpubtest.Issuer:
		return 65, nil
	}
	return 1065, nil
}

const enterprise = "https://ghes.example/_services/token"

var ferris = application.Actor{ID: "ferris"}

// registry is a PublisherService with what it asks.
type registry struct {
	*application.PublisherService

	store     *store
	ownership *ownership
	owners    *owners
	auditor   *auditor
}

func newRegistry(t *testing.T, issuers ...string) *registry {
	t.Helper()
	r := &registry{
		store:     &store{Store: memory.New(), fails: map[string]error{}},
		ownership: &ownership{}, owners: &owners{}, auditor: &auditor{},
	}
	var err error
	r.PublisherService, err = application.NewPublisherService(r.config(issuers...))
	require.NoError(t, err)
	return r
}

func (r *registry) config(issuers ...string) application.PublisherConfig {
	return application.PublisherConfig{
		Configs: r.store, Ownership: r.ownership, Owners: r.owners, Auditor: r.auditor, Now: trustpubtest.Now,
		Issuers: map[string][]string{domain.ProviderGitHub: issuers},
	}
}

// stored counts the configs of a package.
func (r *registry) stored(t *testing.T, pkg domain.Package) int {
	t.Helper()
	page, err := r.store.Store.ListConfigs(t.Context(), application.ListQuery{Package: pkg, Limit: 1})
	require.NoError(t, err)
	return page.Total
}

func params(changes ...func(*domain.GitHubConfigParams)) domain.GitHubConfigParams {
	p := domain.GitHubConfigParams{
		Package: cargo("demo"), Owner: "octo-org", Repository: "octo-repo", OwnerID: 65, WorkflowFilename: "release.yml",
	}
	for _, change := range changes {
		change(&p)
	}
	return p
}

func TestCreateStoresTheConfigForTheOnlyIssuer(t *testing.T) {
	r := newRegistry(t, trustpubtest.Issuer)

	config, err := r.CreateConfig(t.Context(), ferris, params(func(p *domain.GitHubConfigParams) {
		p.ID, p.CreatedAt = 99, time.Unix(0, 0) // A client's, which are not taken over.
	}))

	require.NoError(t, err)
	require.Equal(t, trustpubtest.Issuer, config.Common().Issuer)
	require.Zero(t, r.store.created.Common().ID, "the store is asked for an ID")
	require.Equal(t, int64(1), config.Common().ID)
	require.Equal(t, trustpubtest.Now(), config.Common().CreatedAt)
	require.Equal(t, int64(65), config.(domain.GitHubConfig).OwnerID())
	require.Empty(t, r.owners.asked, "the owner's ID was given")
	stored, err := r.store.Config(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, config, stored)
	event := r.auditor.only(t)
	require.Equal(t, application.Event{
		Action: application.ActionCreateConfig, Actor: "ferris", Packages: []domain.Package{cargo("demo")}, Provider: "github", ConfigID: 1,
	}, event)
}

func TestCreateLooksUpTheOwnerAtTheConfigsOwnIssuer(t *testing.T) {
	r := newRegistry(t, trustpubtest.Issuer, enterprise)

	config, err := r.CreateConfig(t.Context(), ferris, params(func(p *domain.GitHubConfigParams) { p.OwnerID, p.Issuer = 0, enterprise }))

	require.NoError(t, err)
	require.Equal(t, int64(1065), config.(domain.GitHubConfig).OwnerID())
	require.Equal(t, enterprise, config.Common().Issuer)
	require.Equal(t, []string{enterprise + " octo-org"}, r.owners.asked)
}

func TestCreateRefusesBeforeAnybodyIsAskedForTheOwner(t *testing.T) {
	tests := []struct {
		name    string
		issuers []string
		actor   application.Actor
		change  func(*domain.GitHubConfigParams)
		kind    domain.Kind
		code    domain.Code
		says    string
	}{
		{"no issuer enabled", nil, ferris, nil, domain.KindInvalid, domain.CodeInvalidConfig, "No GitHub issuer is enabled"},
		{"no issuer enabled, one named", nil, ferris, func(p *domain.GitHubConfigParams) { p.Issuer = trustpubtest.Issuer }, domain.KindInvalid, domain.CodeInvalidConfig, "No GitHub issuer is enabled"},
		{"several issuers, none named", []string{trustpubtest.Issuer, enterprise}, ferris, nil, domain.KindInvalid, domain.CodeInvalidConfig, trustpubtest.Issuer + ", " + enterprise},
		{"an issuer that is not enabled", []string{trustpubtest.Issuer}, ferris, func(p *domain.GitHubConfigParams) { p.Issuer = enterprise }, domain.KindInvalid, domain.CodeInvalidConfig, "Name one of: " + trustpubtest.Issuer},
		{"an issuer with a slash behind", []string{trustpubtest.Issuer}, ferris, func(p *domain.GitHubConfigParams) { p.Issuer = trustpubtest.Issuer + "/" }, domain.KindInvalid, domain.CodeInvalidConfig, "Name one of"},
		{"a bad package", []string{trustpubtest.Issuer}, ferris, func(p *domain.GitHubConfigParams) { p.Package.Name = "" }, domain.KindInvalid, domain.CodeInvalidConfig, "package name"},
		{"a bad owner", []string{trustpubtest.Issuer}, ferris, func(p *domain.GitHubConfigParams) { p.Owner = "../x" }, domain.KindInvalid, domain.CodeInvalidConfig, "owner"},
		{"a bad repository", []string{trustpubtest.Issuer}, ferris, func(p *domain.GitHubConfigParams) { p.Repository = ".." }, domain.KindInvalid, domain.CodeInvalidConfig, "repository name"},
		{"a bad workflow", []string{trustpubtest.Issuer}, ferris, func(p *domain.GitHubConfigParams) { p.WorkflowFilename = "x" }, domain.KindInvalid, domain.CodeInvalidConfig, "workflow"},
		{"a bad environment", []string{trustpubtest.Issuer}, ferris, func(p *domain.GitHubConfigParams) { p.Environment = new("") }, domain.KindInvalid, domain.CodeInvalidConfig, "environment"},
		{"an owner ID below zero", []string{trustpubtest.Issuer}, ferris, func(p *domain.GitHubConfigParams) { p.OwnerID = -1 }, domain.KindInvalid, domain.CodeInvalidConfig, "owner ID"},
		{"nobody authenticated", []string{trustpubtest.Issuer}, application.Actor{}, nil, domain.KindUnauthenticated, domain.CodeUnauthenticated, "credential"},
		{"somebody else", []string{trustpubtest.Issuer}, application.Actor{ID: "mallory"}, nil, domain.KindForbidden, domain.CodeForbidden, "not yours"},
		{"a package of somebody else", []string{trustpubtest.Issuer}, ferris, func(p *domain.GitHubConfigParams) { p.Package = cargo("foreign") }, domain.KindForbidden, domain.CodeForbidden, "not yours"},
		{"a package that is hidden", []string{trustpubtest.Issuer}, ferris, func(p *domain.GitHubConfigParams) { p.Package = cargo("secret") }, domain.KindNotFound, domain.CodeNotFound, "no such package"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRegistry(t, tt.issuers...)
			p := params(func(p *domain.GitHubConfigParams) { p.OwnerID = 0 })
			if tt.change != nil {
				tt.change(&p)
			}

			config, err := r.CreateConfig(t.Context(), tt.actor, p)

			requireError(t, err, tt.kind, tt.code)
			require.Contains(t, domain.MessageOf(err), tt.says)
			require.Nil(t, config)
			require.Empty(t, r.owners.asked)
			require.Zero(t, r.stored(t, p.Package))
			event := r.auditor.only(t)
			require.Equal(t, tt.code, domain.CodeOf(event.Err))
			require.Equal(t, tt.actor.ID, event.Actor)
		})
	}
}

func TestCreateRefusesForWhatItLearnsAfterwards(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(*registry)
		change  func(*domain.GitHubConfigParams)
		kind    domain.Kind
		code    domain.Code
	}{
		{
			"an unknown owner", func(*registry) {},
			func(p *domain.GitHubConfigParams) { p.Owner = "nobody" }, domain.KindInvalid, domain.CodeUnknownOwner,
		},
		{
			"GitHub is unreachable",
			func(r *registry) {
				r.owners.err = domain.Unavailable(domain.CodeOwnerLookupUnavailable, errDown, "Try again.")
			}, nil, domain.KindUnavailable, domain.CodeOwnerLookupUnavailable,
		},
		{
			"the store is down", func(r *registry) { r.store.fails["CreateConfig"] = errDown },
			nil, domain.KindUnavailable, domain.CodeStoreUnavailable,
		},
		{
			"the owners of packages can't be asked", func(r *registry) { r.ownership.err = errDown },
			nil, domain.KindUnavailable, domain.CodeStoreUnavailable,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRegistry(t, trustpubtest.Issuer)
			tt.prepare(r)
			p := params(func(p *domain.GitHubConfigParams) { p.OwnerID = 0 })
			if tt.change != nil {
				tt.change(&p)
			}

			_, err := r.CreateConfig(t.Context(), ferris, p)

			requireError(t, err, tt.kind, tt.code)
			require.Zero(t, r.stored(t, p.Package))
			require.Equal(t, tt.code, domain.CodeOf(r.auditor.only(t).Err))
		})
	}
}

func TestAnOwnerLookupThatReturnsNonsenseMakesNoConfig(t *testing.T) {
	cfg := newRegistry(t).config(trustpubtest.Issuer)
	cfg.Owners = nonsense{}
	service, err := application.NewPublisherService(cfg)
	require.NoError(t, err)

	_, err = service.CreateConfig(t.Context(), ferris, params(func(p *domain.GitHubConfigParams) { p.OwnerID = 0 }))

	requireError(t, err, domain.KindInvalid, domain.CodeInvalidConfig)
}

// nonsense is an OwnerLookup that breaks its promise.
type nonsense struct{}

func (nonsense) OwnerID(context.Context, string, string) (int64, error) { return 0, nil }

func TestAPackageHasFiveConfigsAtMostAndNoTwoAlike(t *testing.T) {
	r := newRegistry(t, trustpubtest.Issuer)
	for _, workflow := range []string{"a.yml", "b.yml", "c.yml", "d.yml", "e.yml"} {
		_, err := r.CreateConfig(t.Context(), ferris, params(func(p *domain.GitHubConfigParams) { p.WorkflowFilename = workflow }))
		require.NoError(t, err)
	}

	_, err := r.CreateConfig(t.Context(), ferris, params(func(p *domain.GitHubConfigParams) { p.WorkflowFilename = "f.yml" }))
	requireError(t, err, domain.KindConflict, domain.CodeTooManyConfigs)
	_, err = r.CreateConfig(t.Context(), ferris, params(func(p *domain.GitHubConfigParams) { p.WorkflowFilename, p.Owner = "a.yml", "OCTO-ORG" }))
	requireError(t, err, domain.KindConflict, domain.CodeDuplicateConfig)
	_, err = r.CreateConfig(t.Context(), ferris, params(func(p *domain.GitHubConfigParams) { p.Package = cargo("other") }))
	require.NoError(t, err)
}

func TestNewPublisherServiceFailsOnAnIncompleteConfig(t *testing.T) {
	tests := []struct {
		name   string
		change func(*application.PublisherConfig)
	}{
		{"no store", func(c *application.PublisherConfig) { c.Configs = nil }},
		{"no ownership", func(c *application.PublisherConfig) { c.Ownership = nil }},
		{"no owner look-up", func(c *application.PublisherConfig) { c.Owners = nil }},
		{"no auditor", func(c *application.PublisherConfig) { c.Auditor = nil }},
		{"no clock", func(c *application.PublisherConfig) { c.Now = nil }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := newRegistry(t).config(trustpubtest.Issuer)
			tt.change(&cfg)

			service, err := application.NewPublisherService(cfg)

			require.Error(t, err)
			require.Nil(t, service)
		})
	}
}

func TestThePublisherServiceKeepsIssuersOfItsOwn(t *testing.T) {
	issuers := []string{trustpubtest.Issuer}
	r := newRegistry(t)
	service, err := application.NewPublisherService(r.config(issuers...))
	require.NoError(t, err)
	issuers[0] = "https://evil.example"

	config, err := service.CreateConfig(t.Context(), ferris, params())

	require.NoError(t, err)
	require.Equal(t, trustpubtest.Issuer, config.Common().Issuer)
}
